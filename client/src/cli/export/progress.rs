//! What people see on stderr while partitions are read: a bar for each that is under way and one for all on a terminal,
//! a line every few seconds elsewhere.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::{journal::Partition, manifest::Totals};

/// Where there is no terminal, a line comes so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// From when on the rate tells how long the rest will take.
const SETTLED: Duration = Duration::from_secs(2);

/// How far the partitions have come; written by the tasks that read them.
#[derive(Debug)]
pub(super) struct Counts(Vec<Count>);

#[derive(Debug, Default)]
struct Count {
    /// Estimated by the server.
    estimated: Option<u64>,
    /// Of files that were there before this program began.
    before: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    begun: AtomicBool,
    whole: AtomicBool,
}

impl Counts {
    pub(super) fn new(partitions: &[Partition]) -> Self {
        Self(partitions.iter().map(|part| Count { estimated: part.estimated_rows, ..Count::default() }).collect())
    }

    /// A partition has so many more rows in files that were there, and is whole.
    pub(super) fn done_before(&self, index: usize, rows: u64) {
        let rows = self.0[index].rows.load(Relaxed) + rows;
        self.begun(index, rows);
        self.whole(index);
    }

    /// A partition begins behind so many rows.
    pub(super) fn begun(&self, index: usize, rows: u64) {
        let count = &self.0[index];
        count.before.store(rows, Relaxed);
        count.rows.store(rows, Relaxed);
        count.begun.store(true, Relaxed);
    }

    /// Rows of the partition, and bytes, by now.
    pub(super) fn received(&self, index: usize, rows: u64, bytes: u64) {
        self.0[index].rows.store(rows, Relaxed);
        self.0[index].bytes.store(bytes, Relaxed);
    }

    pub(super) fn whole(&self, index: usize) {
        self.0[index].whole.store(true, Relaxed);
    }

    fn sum(&self, of: impl Fn(&Count) -> u64) -> u64 {
        self.0.iter().map(of).sum()
    }
}

impl Count {
    /// How many rows it will have, as far as is known.
    fn expected(&self) -> Option<u64> {
        let rows = self.rows.load(Relaxed);
        if self.whole.load(Relaxed) { Some(rows) } else { self.estimated.map(|estimated| estimated.max(rows)) }
    }
}

/// Shows how far the export has come.
#[derive(Debug)]
pub(super) struct Progress {
    shown: Shown,
    started: Instant,
}

#[derive(Debug)]
enum Shown {
    Bars { all: MultiProgress, total: ProgressBar, parts: BTreeMap<usize, ProgressBar> },
    Lines { last: Instant },
    Nothing,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let shown = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Shown::Nothing,
            (false, true) => {
                let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
                let total = all.add(bar("all"));
                Shown::Bars { all, total, parts: BTreeMap::new() }
            }
            (false, false) => Shown::Lines { last: Instant::now() },
        };
        Self { shown, started: Instant::now() }
    }

    /// Shows what there is to tell now.
    pub(super) fn update(&mut self, counts: &Arc<Counts>) {
        let now = Instant::now();
        let line = line(counts, now - self.started);
        match &mut self.shown {
            Shown::Bars { all, total, parts } => {
                for (index, count) in counts.0.iter().enumerate() {
                    if count.whole.load(Relaxed) {
                        parts.remove(&index).iter().for_each(ProgressBar::finish_and_clear);
                    } else if count.begun.load(Relaxed) {
                        let name = format!("partition {}", index + 1);
                        let next = parts.range(index + 1..).next().map_or(&*total, |(_, next)| next).clone();
                        let bar = parts.entry(index).or_insert_with(|| all.insert_before(&next, bar(&name)));
                        show(bar, count.rows.load(Relaxed), count.expected());
                        bar.set_message(rows_and_bytes(count.rows.load(Relaxed), count.bytes.load(Relaxed)));
                    }
                }
                let expected = counts.0.iter().map(Count::expected).sum();
                show(total, counts.sum(|count| count.rows.load(Relaxed)), expected);
                total.set_message(line);
            }
            Shown::Lines { last } if now - *last >= LINE_EVERY => {
                *last = now;
                // Nobody is left to be told that stderr is gone.
                let _ = writeln!(io::stderr(), "rowstream: {line}");
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }

    /// Says something in between, to who wants to know how it goes.
    pub(super) fn note(&self, text: impl Display) {
        if !matches!(self.shown, Shown::Nothing) {
            self.warn(text);
        }
    }

    /// Says what everybody must know.
    pub(super) fn warn(&self, text: impl Display) {
        // As above.
        let write = || drop(writeln!(io::stderr(), "rowstream: {text}"));
        match &self.shown {
            Shown::Bars { all, .. } => all.suspend(write),
            Shown::Lines { .. } | Shown::Nothing => write(),
        }
    }

    /// Removes what is kept up to date.
    pub(super) fn clear(&self) {
        if let Shown::Bars { all, .. } = &self.shown {
            // As above.
            let _ = all.clear();
        }
    }

    /// Says what the export came to.
    pub(super) fn summary(&self, totals: Totals, counts: &Counts) {
        let Totals { files, rows, bytes, .. } = totals;
        let elapsed = self.started.elapsed();
        let rate = HumanCount(per_second(read_now(counts), elapsed));
        let (rows, files) = (plural(rows, "row"), plural(files as u64, "file"));
        self.note(format_args!("{rows}, {} in {files}, in {}, {rate} rows/s", HumanBytes(bytes), seconds(elapsed)));
    }
}

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:14} {bar:20} {percent:>3}%  {msg}");
    let bar = ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(name.to_owned());
    bar
}

fn show(bar: &ProgressBar, rows: u64, expected: Option<u64>) {
    match expected {
        Some(expected) => bar.set_length(expected.max(1)),
        None => bar.unset_length(),
    }
    bar.set_position(rows);
}

/// Rows that this program has read.
fn read_now(counts: &Counts) -> u64 {
    counts.sum(|count| count.rows.load(Relaxed).saturating_sub(count.before.load(Relaxed)))
}

fn line(counts: &Counts, elapsed: Duration) -> String {
    let rows = counts.sum(|count| count.rows.load(Relaxed));
    let rate = per_second(read_now(counts), elapsed);
    let whole = counts.0.iter().filter(|count| count.whole.load(Relaxed)).count();
    let mut told = vec![
        format!("{whole} of {} partitions", counts.0.len()),
        rows_and_bytes(rows, counts.sum(|count| count.bytes.load(Relaxed))),
        format!("{} rows/s", HumanCount(rate)),
    ];
    // Before that, the rate is that of the first moment.
    let expected: Option<u64> = counts.0.iter().map(Count::expected).sum();
    if let Some(left) =
        expected.filter(|_| elapsed >= SETTLED).and_then(|expected| expected.checked_sub(rows)?.checked_div(rate))
    {
        told.push(format!("{} left", humantime::format_duration(Duration::from_secs(left))));
    }
    told.join(", ")
}

fn rows_and_bytes(rows: u64, bytes: u64) -> String {
    format!("{}, {}", plural(rows, "row"), HumanBytes(bytes))
}

fn plural(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

fn per_second(count: u64, time: Duration) -> u64 {
    let rate = u128::from(count) * 1_000_000 / time.as_micros().max(1);
    rate.try_into().unwrap_or(u64::MAX)
}

/// To tenths.
fn seconds(time: Duration) -> humantime::FormattedDuration {
    let tenths = u64::try_from(time.as_millis() / 100).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(tenths.saturating_mul(100)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_comes_from_the_estimates_and_what_was_there_before_is_no_rate() {
        let count = |estimated| Count { estimated, ..Count::default() };
        let counts = Counts(vec![count(Some(1000)), count(Some(1000)), count(Some(1000))]);
        counts.begun(0, 1500);
        counts.whole(0);
        counts.begun(1, 200);
        counts.received(1, 400, 2048);
        let told = line(&counts, Duration::from_secs(2));
        assert_eq!(told, "1 of 3 partitions, 1,900 rows, 2.00 KiB, 100 rows/s, 16s left");
        let counts = Counts(vec![count(None)]);
        counts.begun(0, 0);
        counts.received(0, 1, 10);
        assert_eq!(line(&counts, Duration::from_secs(1)), "0 of 1 partitions, 1 row, 10 B, 1 rows/s");
    }
}
