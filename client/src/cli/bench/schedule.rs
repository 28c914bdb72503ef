//! When calls are due in an open loop: at a constant rate, at rates that rise or fall in steps, or evenly. Pure: what
//! waits for these times, and whether calls begin on time, is elsewhere.

use std::{fmt, str::FromStr, time::Duration};

use rowstream_client::fanout::Rate;

use super::numbers::float;

/// Arrivals that rounding moves across the edge between two rates, in arrivals.
const TOLERANCE: f64 = 1e-6;

/// A rate, or two with everything between them: `200/s`, `100/s..1000/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RateRange {
    pub(crate) from: Rate,
    pub(crate) to: Rate,
}

impl RateRange {
    pub(super) fn is_constant(&self) -> bool {
        self.from == self.to
    }

    /// Calls a second at the beginning.
    pub(super) fn first(&self) -> f64 {
        as_typed(self.from)
    }

    /// Calls a second at the end.
    pub(super) fn last(&self) -> f64 {
        as_typed(self.to)
    }
}

/// A [`Rate`] keeps the time between two calls, in nanoseconds: a rate that is off by no more than that is a round one.
fn as_typed(rate: Rate) -> f64 {
    let calls = rate.calls_per_second();
    let round = [calls.round(), (calls * 1e3).round() / 1e3];
    round.into_iter().find(|round| (round / calls - 1.0).abs() <= 1e-9 * calls).unwrap_or(calls)
}

impl FromStr for RateRange {
    type Err = rowstream_client::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        Ok(Self { from: from.parse()?, to: to.parse()? })
    }
}

impl fmt::Display for RateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_constant() {
            true => self.from.fmt(f),
            false => write!(f, "{}..{}", self.from, self.to),
        }
    }
}

/// How long calls arrive, or how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Extent {
    Duration(Duration),
    Count(u64),
}

/// When a call is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Due {
    /// From the beginning of the warm-up.
    pub(super) after: Duration,
    /// Whether it is measured: it comes after the warm-up.
    pub(super) measured: bool,
    /// Which step it belongs to.
    pub(super) step: usize,
}

/// All arrivals of a run, by their number.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    stretches: Vec<Stretch>,
}

/// A stretch of time in which the rate is constant, or rises or falls evenly.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// In seconds from the beginning.
    begins: f64,
    length: f64,
    /// In arrivals a second, at its beginning and at its end.
    from: f64,
    to: f64,
    /// Arrivals before it.
    before: f64,
    measured: bool,
    step: usize,
}

impl Stretch {
    fn arrivals(&self) -> f64 {
        self.length * (self.from + self.to) / 2.0
    }

    /// The time within it at which so many arrivals of it have come.
    fn time_of(&self, arrivals: f64) -> f64 {
        // from * t + slope / 2 * t^2 = arrivals, solved in the way that is exact for a slope of 0, too.
        let slope = (self.to - self.from) / self.length;
        let root = (self.from * self.from + 2.0 * slope * arrivals).max(0.0).sqrt();
        2.0 * arrivals / (self.from + root)
    }
}

impl Schedule {
    /// The warm-up is at the first rate. With steps the rates go from the first to the last, each for the same time;
    /// without, a range is one even rise or fall.
    pub(super) fn new(rate: RateRange, steps: Option<usize>, warmup: Duration, extent: Extent) -> Self {
        let (from, to) = (rate.first(), rate.last());
        let length = match extent {
            Extent::Duration(duration) => duration.as_secs_f64(),
            Extent::Count(count) => float(count) / ((from + to) / 2.0),
        };
        let mut schedule = Self { stretches: Vec::new() };
        if !warmup.is_zero() {
            schedule.push(warmup.as_secs_f64(), (from, from), false, 0);
        }
        match steps {
            Some(steps @ 2..) => {
                let number = |step: usize| float(step as u64);
                for step in 0..steps {
                    let rate = from + (to - from) * number(step) / number(steps - 1);
                    schedule.push(length / number(steps), (rate, rate), true, step);
                }
            }
            _ => schedule.push(length, (from, to), true, 0),
        }
        schedule
    }

    fn push(&mut self, length: f64, (from, to): (f64, f64), measured: bool, step: usize) {
        let last = self.stretches.last();
        let begins = last.map_or(0.0, |last| last.begins + last.length);
        let before = last.map_or(0.0, |last| last.before + last.arrivals());
        self.stretches.push(Stretch { begins, length, from, to, before, measured, step });
    }

    /// When the arrival of that number, from 0, is due; `None` beyond the last.
    pub(super) fn due(&self, number: u64) -> Option<Due> {
        let number = float(number);
        let within = |stretch: &&Stretch| number < stretch.before + stretch.arrivals() - TOLERANCE;
        let stretch = self.stretches.iter().find(within)?;
        let time = stretch.begins + stretch.time_of((number - stretch.before).max(0.0));
        let after = Duration::try_from_secs_f64(time).unwrap_or(Duration::MAX);
        Some(Due { after, measured: stretch.measured, step: stretch.step })
    }

    /// The rate of each step that is measured, at its beginning and its end.
    pub(super) fn steps(&self) -> impl Iterator<Item = (f64, f64)> {
        self.stretches.iter().filter(|stretch| stretch.measured).map(|stretch| (stretch.from, stretch.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: &str, steps: Option<usize>, warmup: u64, extent: Extent) -> Vec<Due> {
        let schedule = Schedule::new(rate.parse().unwrap(), steps, Duration::from_secs(warmup), extent);
        (0..).map_while(|number| schedule.due(number)).collect()
    }

    fn seconds(seconds: u64) -> Extent {
        Extent::Duration(Duration::from_secs(seconds))
    }

    fn between(dues: &[Due], from: f64, until: f64) -> usize {
        dues.iter().filter(|due| (from..until).contains(&due.after.as_secs_f64())).count()
    }

    #[test]
    fn at_a_constant_rate_every_arrival_has_its_time_and_rounding_does_not_add_up() {
        let dues = schedule("200/s", None, 2, seconds(30));
        assert_eq!(dues.len(), 32 * 200);
        for (number, due) in dues.iter().enumerate() {
            assert!((due.after.as_secs_f64() - float(number as u64) / 200.0).abs() < 1e-9, "{number}: {due:?}");
            assert_eq!(due.measured, number >= 400, "{number}");
        }
        let long = Schedule::new("333333/s".parse().unwrap(), None, Duration::ZERO, seconds(1_000_000));
        assert_eq!(long.due(333_333 * 999_999).unwrap().after.as_secs(), 999_999);
    }

    #[test]
    fn a_count_is_kept_whatever_the_rate_and_the_warm_up_are() {
        for rate in ["7/s", "0.3/s", "10/s..1000/s", "1000/s..10/s"] {
            for steps in [None, Some(7)] {
                for warmup in [0, 1, 3] {
                    let dues = schedule(rate, steps, warmup, Extent::Count(997));
                    assert_eq!(dues.iter().filter(|due| due.measured).count(), 997, "{rate} {steps:?} {warmup}");
                }
            }
        }
    }

    #[test]
    fn steps_take_the_same_time_each_and_go_from_the_first_rate_to_the_last() {
        let dues = schedule("100/s..1000/s", Some(10), 0, seconds(10));
        for step in 0..10_u32 {
            let count = between(&dues, f64::from(step), f64::from(step + 1));
            assert_eq!(count, usize::try_from(100 * (step + 1)).unwrap(), "in second {step}");
        }
        assert!(dues.iter().all(|due| due.step == usize::try_from(due.after.as_secs()).unwrap()));
    }

    #[test]
    fn a_ramp_rises_or_falls_evenly() {
        for (rate, first, last) in [("100/s..300/s", 110, 290), ("300/s..100/s", 290, 110)] {
            let dues = schedule(rate, None, 0, seconds(10));
            assert_eq!(dues.len(), 2000, "{rate}: the mean over the whole time");
            let found = (between(&dues, 0.0, 1.0), between(&dues, 9.0, 10.0));
            assert!(found.0.abs_diff(first) <= 1 && found.1.abs_diff(last) <= 1, "{rate}: {found:?}");
            assert!(dues.windows(2).all(|pair| pair[0].after < pair[1].after));
        }
    }

    #[test]
    fn a_range_is_two_rates_and_a_wrong_one_is_told() {
        let range: RateRange = "100/s..60000/min".parse().unwrap();
        assert_eq!((range.to_string().as_str(), range.is_constant()), ("100/s..1000/s", false));
        assert_eq!("200/s".parse::<RateRange>().unwrap().to_string(), "200/s");
        for text in ["", "..", "100/s..", "100..1000/s", "1/s..0/s"] {
            assert!(text.parse::<RateRange>().unwrap_err().to_string().contains("write N/s"), "{text}");
        }
    }
}
