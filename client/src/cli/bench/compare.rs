//! `rowstream bench compare`: two reports side by side, and whether the second is worse.

use std::{fmt::Write as _, fs, path::Path, str::FromStr};

use rowstream_client::sink::Visible;

use super::{
    args::Compare,
    numbers::{float, percent, three_digits, time},
    report::Report,
    text::{self, PERCENTILES},
};
use crate::cli::{failure::Failure, print};

/// Something that may not become worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Check {
    Percentile(f64),
    Mean,
    Max,
    /// Calls a second.
    Rate,
    Rows,
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mean" => return Ok(Self::Mean),
            "max" => return Ok(Self::Max),
            "rate" => return Ok(Self::Rate),
            "rows" => return Ok(Self::Rows),
            _ => {}
        }
        let percent = text.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok());
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent)).map(Self::Percentile);
        percent.ok_or_else(|| "write p50, p99.9 or any other percentile, mean, max, rate or rows".to_owned())
    }
}

impl Check {
    fn name(self) -> String {
        match self {
            Self::Percentile(percent) => format!("p{percent}"),
            Self::Mean => "mean".to_owned(),
            Self::Max => "max".to_owned(),
            Self::Rate => "rate".to_owned(),
            Self::Rows => "rows".to_owned(),
        }
    }

    fn of(self, report: &Report) -> f64 {
        let latency = report.main_latency();
        match self {
            Self::Percentile(percent) => float(latency.percentile(percent)),
            Self::Mean => latency.mean(),
            Self::Max => float(latency.max()),
            Self::Rate => report.throughput.calls_per_s,
            Self::Rows => report.throughput.rows_per_s,
        }
    }

    /// By what share the second is worse than the first; 0 if it is not.
    fn worse_by(self, before: &Report, after: &Report) -> f64 {
        let (before, after) = (self.of(before), self.of(after));
        let (good, bad) = match self {
            Self::Rate | Self::Rows => (after, before),
            Self::Percentile(_) | Self::Mean | Self::Max => (before, after),
        };
        match () {
            () if bad <= good => 0.0,
            () if before == 0.0 => f64::INFINITY,
            () => (bad - good) / before,
        }
    }
}

/// Compares, and fails if something that is checked has become worse by more than it may.
pub(super) fn run(arguments: &Compare) -> Result<(), Failure> {
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    print(&table(&before, &after))?;
    let Some(allowed) = arguments.fail_over else { return Ok(()) };
    if before.settings.load.is_open() != after.settings.load.is_open() {
        let message =
            "--fail-over: one report is of an open loop and the other of a closed one; they measure different things";
        return Err(Failure::Usage(message.to_owned()));
    }
    let worse: Vec<_> = arguments
        .check
        .iter()
        .map(|check| (check, check.worse_by(&before, &after)))
        .filter(|(_, by)| *by > allowed)
        .map(|(check, by)| format!("{} is worse by {}", check.name(), percent(by)))
        .collect();
    if worse.is_empty() { Ok(()) } else { Err(Failure::Worse { told: worse.join(", "), allowed: percent(allowed) }) }
}

fn read(path: &Path) -> Result<Report, Failure> {
    let failed = |source| Failure::Params { name: path.display().to_string(), source };
    let json = fs::read(path).map_err(failed)?;
    Report::read(&json).map_err(|problem| Failure::Report { path: path.to_owned(), problem })
}

/// The reports side by side: what was different, then every figure with its ratio.
fn table(before: &Report, after: &Report) -> String {
    let mut text = String::new();
    for (name, report) in [("A", before), ("B", after)] {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name}  {}  {}", report.started_at, Visible(&text::title(&report.settings)));
        let _ = writeln!(text, "   {}", Visible(&text::how(report)));
    }
    let differences = differences(before, after);
    if !differences.is_empty() {
        let _ = writeln!(text, "\nnot the same in both:");
        for (key, [a, b]) in &differences {
            let _ = writeln!(text, "   {key}: {} | {}", Visible(a), Visible(b));
        }
    }
    let _ = writeln!(text, "\n{:<20}{:>12}{:>12}{:>10}{:>10}", "", "A", "B", "B / A", "change");
    for (name, a, b, show) in figures(before, after) {
        let ratio = if a == 0.0 { "-".to_owned() } else { format!("{:.3}", b / a) };
        let change = if a == 0.0 { "-".to_owned() } else { signed(b / a - 1.0) };
        let _ = writeln!(text, "{name:<20}{:>12}{:>12}{ratio:>10}{change:>10}", show(a), show(b));
    }
    text
}

fn signed(change: f64) -> String {
    format!("{}{}", if change > 0.0 { "+" } else { "" }, percent(change))
}

type Figure = (String, f64, f64, fn(f64) -> String);
type Named = (&'static str, fn(&Report) -> f64);

/// Every figure that both have.
fn figures(before: &Report, after: &Report) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    let throughput: [Named; 5] = [
        ("calls/s", |report| report.throughput.calls_per_s),
        ("rows/s", |report| report.throughput.rows_per_s),
        ("MB/s", |report| report.throughput.mb_per_s),
        ("failed, share", |report| share(report.calls.failed, report)),
        ("no answer, share", |report| share(report.calls.unfinished + report.calls.never_begun, report)),
    ];
    figures.extend(
        throughput.map(|(name, of)| (name.to_owned(), of(before), of(after), three_digits as fn(f64) -> String)),
    );
    let others = text::distributions(after);
    for (name, a) in text::distributions(before) {
        let Some((_, b)) = others.iter().find(|(other, _)| *other == name) else { continue };
        for percentile in PERCENTILES {
            let at = [a, *b].map(|latency| float(latency.percentile(percentile)));
            figures.push((format!("{name} p{percentile}"), at[0], at[1], time));
        }
        figures.push((format!("{name} max"), float(a.max()), float(b.max()), time));
    }
    let server: [Named; 4] = [
        ("server: queued", |report| report.server.queued_s),
        ("server: database", |report| report.server.database_s),
        ("server: encoding", |report| report.server.encode_s),
        ("server: waiting", |report| report.server.client_wait_s),
    ];
    let each = |report: &Report, of: fn(&Report) -> f64| of(report) * 1e6 / float(report.server.calls.max(1));
    figures.extend(
        server.map(|(name, of)| (name.to_owned(), each(before, of), each(after, of), time as fn(f64) -> String)),
    );
    figures
}

fn share(count: u64, report: &Report) -> f64 {
    float(count) / float(report.calls.due.max(1))
}

/// Settings and machine where they differ, by key.
fn differences(before: &Report, after: &Report) -> Vec<(String, [String; 2])> {
    let mut differences = Vec::new();
    for part in ["settings", "machine", "rowstream"] {
        let values = [before, after].map(|report| {
            let json = serde_json::to_value(report).unwrap_or_default();
            json.get(part).cloned().unwrap_or_default()
        });
        collect(part, &values[0], &values[1], &mut differences);
    }
    differences
}

fn collect(key: &str, a: &serde_json::Value, b: &serde_json::Value, into: &mut Vec<(String, [String; 2])>) {
    if let (Some(a), Some(b)) = (a.as_object(), b.as_object()) {
        let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
        for name in keys {
            let null = serde_json::Value::Null;
            collect(&format!("{key}.{name}"), a.get(name).unwrap_or(&null), b.get(name).unwrap_or(&null), into);
        }
    } else if a != b {
        into.push((key.to_owned(), [a, b].map(ToString::to_string)));
    }
}
