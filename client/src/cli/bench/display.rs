//! What people see on stderr while a load is applied: a line that is kept up to date on a terminal, a line every few
//! seconds elsewhere.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::{
    numbers::{float, three_digits, time},
    recorder::{Glance, Recorder},
    schedule::Extent,
};

/// Where there is no terminal, a line comes so often.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The time that the rate of now is taken over.
const RATE_OVER: Duration = Duration::from_secs(1);

/// Shows how far a run is.
#[derive(Debug)]
pub(super) struct Progress {
    shown: Shown,
    recorder: Recorder,
    /// When the warm-up ends.
    start: Instant,
    extent: Extent,
    /// Calls at a moment of the past, and the rate between that and the one before it.
    last: (Instant, u64),
    rate: f64,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
    Nothing,
}

impl Progress {
    pub(super) fn new(quiet: bool, recorder: Recorder, start: Instant, extent: Extent) -> Self {
        let now = Instant::now();
        let shown = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Shown::Nothing,
            (false, true) => Shown::Bar(bar()),
            (false, false) => Shown::Lines { last: now },
        };
        Self { shown, recorder, start, extent, last: (now, 0), rate: 0.0 }
    }

    /// Shows what there is to tell now.
    pub(super) fn update(&mut self) {
        let now = Instant::now();
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines { last } if now - *last < LINE_EVERY => {}
            Shown::Lines { .. } => {
                // Nobody is left to be told that stderr is gone.
                let _ = writeln!(io::stderr(), "rowstream: {}", self.line(now));
                self.shown = Shown::Lines { last: now };
            }
            Shown::Bar(bar) => {
                let bar = bar.clone();
                bar.set_message(self.line(now));
            }
        }
    }

    /// Removes what is kept up to date.
    pub(super) fn clear(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    fn line(&mut self, now: Instant) -> String {
        let glance = self.recorder.glance();
        let (then, calls) = self.last;
        if now - then >= RATE_OVER {
            self.rate = float(glance.calls - calls) / (now - then).as_secs_f64();
            self.last = (now, glance.calls);
        }
        line(&glance, self.rate, self.start, self.extent, now)
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner}  {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5)).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn line(glance: &Glance, rate: f64, start: Instant, extent: Extent, now: Instant) -> String {
    if now < start {
        return format!("warming up, {} left", seconds(start - now));
    }
    let far = match extent {
        Extent::Duration(duration) => format!("{} of {}", seconds((now - start).min(duration)), seconds(duration)),
        Extent::Count(count) => format!("{} of {} calls", HumanCount(glance.calls), HumanCount(count)),
    };
    format!(
        "{far}, {}/s, {} in flight, {} failed, {} rows, p50 {}, p99 {}",
        three_digits(rate),
        HumanCount(glance.in_flight),
        HumanCount(glance.failed),
        HumanCount(glance.rows),
        time(float(glance.p50_us)),
        time(float(glance.p99_us)),
    )
}

/// In whole seconds.
fn seconds(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_tells_how_far_it_is_and_how_it_goes() {
        let start = Instant::now() + Duration::from_secs(2);
        let glance = Glance { calls: 2_400, failed: 3, rows: 24_000, in_flight: 16, p50_us: 1_230, p99_us: 1_234_000 };
        let thirty = Extent::Duration(Duration::from_secs(30));
        assert_eq!(line(&glance, 200.0, start, thirty, Instant::now()), "warming up, 2s left");
        let now = start + Duration::from_millis(12_400);
        let figures = "200/s, 16 in flight, 3 failed, 24,000 rows, p50 1.23ms, p99 1.23s";
        assert_eq!(line(&glance, 200.0, start, thirty, now), format!("12s of 30s, {figures}"));
        assert_eq!(line(&glance, 200.0, start, Extent::Count(9_000), now), format!("2,400 of 9,000 calls, {figures}"));
    }
}
