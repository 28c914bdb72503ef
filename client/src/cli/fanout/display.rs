//! What people see on stderr while calls run: two lines that are kept up to date on a terminal, a line every few seconds
//! elsewhere.

use std::{
    collections::VecDeque,
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rowstream_client::fanout::Report;
use tokio::time::Instant;

/// Where there is no terminal, a line comes so often.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The time that the rate of now is taken over.
const RATE_OVER: Duration = Duration::from_secs(5);

/// Shows how far the calls have come.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: Shown,
    /// How many inputs there are, if that is known.
    total: Option<u64>,
    /// How many of them were done before.
    before: u64,
    /// Calls in a second, at most, as it was asked for.
    most: Option<String>,
    /// Ended calls at times in the past.
    samples: VecDeque<(Instant, u64)>,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
    Nothing,
}

impl Progress {
    /// `rows_on_terminal`: the records go there as well, and would be torn apart.
    pub(crate) fn new(
        quiet: bool,
        rows_on_terminal: bool,
        total: Option<u64>,
        before: u64,
        most: Option<String>,
    ) -> Self {
        let shown = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Shown::Nothing,
            (false, true) if rows_on_terminal => Shown::Nothing,
            (false, true) => Shown::Bar(bar(total)),
            (false, false) => Shown::Lines { last: Instant::now() },
        };
        Self { shown, total, before, most, samples: VecDeque::from([(Instant::now(), 0)]) }
    }

    /// Shows what there is to tell now.
    pub(crate) fn update(&mut self, report: &Report) {
        let (now, ended) = (Instant::now(), report.succeeded + report.failed);
        self.samples.push_back((now, ended));
        while self.samples.len() > 2 && now - self.samples[0].0 > RATE_OVER {
            self.samples.pop_front();
        }
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(self.before + ended);
                bar.set_message(self.figures(report, now).lines("\n"));
            }
            Shown::Lines { last } if now - *last >= LINE_EVERY => {
                // Nobody is left to be told that stderr is gone.
                let _ = writeln!(io::stderr(), "rowstream: {}", self.figures(report, now).lines(", "));
                self.shown = Shown::Lines { last: now };
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }

    /// Says something in between.
    pub(crate) fn note(&self, text: impl Display) {
        let write = || {
            // As above.
            let _ = writeln!(io::stderr(), "{text}");
        };
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(write),
            _ => write(),
        }
    }

    /// Removes what is kept up to date.
    pub(crate) fn clear(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    fn figures<'a>(&'a self, report: &'a Report, now: Instant) -> Figures<'a> {
        let ended = report.succeeded + report.failed;
        let (since, then) = self.samples.front().copied().unwrap_or((now, ended));
        Figures {
            report,
            done: self.before + ended,
            total: self.total,
            rate: per_second(ended - then, now - since),
            most: self.most.as_deref(),
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let template = if total.is_some() { "{bar:20} {percent:>3}%  {msg}" } else { "{spinner}  {msg}" };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5)).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// What one moment's display tells.
struct Figures<'a> {
    report: &'a Report,
    done: u64,
    total: Option<u64>,
    rate: f64,
    most: Option<&'a str>,
}

impl Figures<'_> {
    fn lines(&self, between: &str) -> String {
        let mut progress = vec![match self.total {
            Some(total) => format!("{} of {} done", HumanCount(self.done), HumanCount(total)),
            None => format!("{} done", HumanCount(self.done)),
        }];
        progress.push(match self.most {
            Some(most) => format!("{:.0}/s of {most}", self.rate),
            None => format!("{:.0}/s", self.rate),
        });
        progress.extend(self.left().map(|left| format!("{} left", humantime::format_duration(left))));
        let Report { in_flight, failed, retries, hedges, latency, .. } = self.report;
        let mut calls = vec![
            format!("{} in flight", HumanCount(*in_flight)),
            format!("{} failed", HumanCount(*failed)),
            format!("{} retries", HumanCount(*retries)),
        ];
        if *hedges > 0 {
            calls.push(format!("{} hedges", HumanCount(*hedges)));
        }
        calls.push(format!("p50 {}, p99 {}", millis(latency.p50), millis(latency.p99)));
        [progress.join(", "), calls.join(", ")].join(between)
    }

    /// The time for the rest at the rate of now, in whole seconds.
    fn left(&self) -> Option<Duration> {
        let rest = self.total?.checked_sub(self.done)?;
        let seconds = f64::from(u32::try_from(rest).ok()?) / self.rate;
        Duration::try_from_secs_f64(seconds.ceil()).ok()
    }
}

/// So many in that time, as a rate.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    // More than 2^32 calls within seconds do not occur.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64().max(1e-3)
}

/// A latency for people: three digits or so.
pub(crate) fn millis(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2}s"),
        seconds if seconds >= 0.01 => format!("{:.0}ms", seconds * 1e3),
        seconds => format!("{:.2}ms", seconds * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fanout::testing::report;

    #[tokio::test(start_paused = true)]
    async fn a_line_tells_all_and_what_is_left_at_the_rate_of_now() {
        let mut progress = Progress::new(true, false, Some(10_000), 1000, Some("200/s".to_owned()));
        let mut report = report();
        for second in 1..=10 {
            tokio::time::advance(Duration::from_secs(1)).await;
            // Slow at first, then 100 a second.
            report.succeeded = if second < 5 { second } else { (second - 4) * 100 };
            progress.update(&report);
        }
        report.failed = 3;
        (report.in_flight, report.retries) = (16, 5);
        (report.latency.p50, report.latency.p99) = (Duration::from_micros(1230), Duration::from_millis(1234));
        assert_eq!(
            progress.figures(&report, Instant::now()).lines(", "),
            "1,603 of 10,000 done, 101/s of 200/s, 1m 24s left, \
             16 in flight, 3 failed, 5 retries, p50 1.23ms, p99 1.23s"
        );
        progress.total = None;
        report.hedges = 2;
        let lines = progress.figures(&report, Instant::now()).lines("\n");
        assert!(
            lines.starts_with("1,603 done, 101/s of 200/s\n16 in flight, 3 failed, 5 retries, 2 hedges, "),
            "{lines}"
        );
    }

    #[test]
    fn nothing_left_is_zero_and_no_rate_is_no_time() {
        let report = report();
        let figures = |done, rate| Figures { report: &report, done, total: Some(10), rate, most: None };
        assert_eq!(figures(10, 5.0).left(), Some(Duration::ZERO));
        assert_eq!(figures(5, 0.0).left(), None);
        assert_eq!(figures(11, 5.0).left(), None);
    }
}
