//! What people see on stderr while rows come, and after.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rowstream_client::{Header, Strategy, Summary, sink::Visible};

/// What is known of a call under way, for whoever has to end it or to tell of it.
pub(crate) struct Underway {
    pub(crate) progress: Progress,
    pub(crate) query_id: Option<String>,
    strategy: Option<Strategy>,
    reason: String,
    /// How often it has gone on where it was cut, and whether people are to be told.
    resumed: u32,
    tells: bool,
}

impl Underway {
    pub(crate) fn new(progress: Progress, tells: bool) -> Self {
        Self { progress, query_id: None, strategy: None, reason: String::new(), resumed: 0, tells }
    }

    /// Takes note of what the server said before the first row.
    pub(crate) fn begun(&mut self, header: &Header) {
        self.query_id = Some(header.query_id.clone());
        self.strategy = header.strategy;
        self.reason.clone_from(&header.strategy_reason);
    }

    /// Takes note of how often the call has gone on by now, behind the rows that were counted last.
    pub(crate) fn resumed(&mut self, times: u32) {
        if std::mem::replace(&mut self.resumed, times) != times && self.tells {
            self.progress.note(&format!("rowstream: cut off after {} rows, and resumed", self.progress.rows));
        }
    }

    /// Prints how the server has read, and why, if it says so.
    pub(crate) fn print_strategy(&self) {
        let Some(strategy) = self.strategy else { return };
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", Visible(&self.reason)) };
        // Nobody is left to be told that stderr is gone.
        let _ = writeln!(io::stderr(), "strategy {strategy}{reason}");
    }
}

/// A line on stderr that tells how far the call has come.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    bar: Option<ProgressBar>,
    pub(crate) rows: u64,
    bytes: u64,
}

impl Progress {
    /// Shown only where stderr is a terminal and the rows do not go there too.
    pub(crate) fn new(wanted: bool) -> Self {
        let bar = (wanted && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::default_spinner();
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5)).with_style(style);
            bar.set_message("waiting for the first row");
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { started: Instant::now(), bar, rows: 0, bytes: 0 }
    }

    /// Counts what has arrived in all.
    pub(crate) fn set(&mut self, rows: u64, bytes: u64) {
        (self.rows, self.bytes) = (rows, bytes);
        if let Some(bar) = &self.bar {
            bar.set_message(self.line());
        }
    }

    /// Prints something beside the line.
    fn note(&self, text: &str) {
        // Nobody is left to be told that stderr is gone.
        let print = || drop(writeln!(io::stderr(), "{text}"));
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Prints what the call took, this side's time and the server's.
    pub(crate) fn print_summary(&self, summary: &Summary) {
        let time = |time: Duration| humantime::format_duration(Duration::from_micros(micros(time))).to_string();
        let Summary { queued, database, encode, client_wait, .. } = summary;
        // Nobody is left to be told that stderr is gone.
        let _ = writeln!(
            io::stderr(),
            "{}; server: queued {}, database {}, encoding {}, waiting for this client {}",
            self.line(),
            time(*queued),
            time(*database),
            time(*encode),
            time(*client_wait),
        );
    }

    fn line(&self) -> String {
        let elapsed = self.started.elapsed();
        let rate = u128::from(self.rows) * 1_000_000 / elapsed.as_micros().max(1);
        let (rows, rate) = (HumanCount(self.rows), HumanCount(rate.try_into().unwrap_or(u64::MAX)));
        let tenths = Duration::from_millis(micros(elapsed) / 100_000 * 100);
        let unit = if self.rows == 1 { "row" } else { "rows" };
        format!("{rows} {unit}, {} in {}, {rate} rows/s", HumanBytes(self.bytes), humantime::format_duration(tenths))
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}
