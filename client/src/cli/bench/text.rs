//! The report as text: what was done, what came of it, how long it took, and whether the figures can be trusted.

use std::fmt::Write as _;

use indicatif::HumanCount;
use rowstream_client::sink::Visible;

use super::{
    bins::bins,
    call::{Encoding, Values},
    latency::Latency,
    numbers::{counted, float, percent, rate, three_digits, time, whole},
    report::{Ended, Load, Report, Settings, Statement, Verdict},
};

/// How long the longest bar is.
const BAR: f64 = 40.0;
/// The percentiles that are told of each distribution.
pub(super) const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// The whole report.
pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(text, "{}", Visible(&title(&report.settings)));
    let _ = writeln!(text, "{}", Visible(&how(report)));
    if report.measured_s == 0.0 {
        return text;
    }
    for (name, told) in facts(report) {
        let _ = writeln!(text, "{name:<11}{}", Visible(&told));
    }
    for failure in &report.failures {
        let reason = failure.reason.as_deref().map(|reason| format!(" {reason}")).unwrap_or_default();
        let told = format!("{} {}{reason}: {}", HumanCount(failure.count), failure.code, failure.message);
        let _ = writeln!(text, "{:<11}{}", "", Visible(&told));
    }
    text += &latencies(report);
    text += &steps(report);
    let (name, main) = main(report);
    if !main.is_empty() {
        let _ = write!(text, "\n{name}, histogram\n{}", histogram(main));
        let _ = write!(text, "\n{name}, percentile spectrum\n{}", spectrum(main));
    }
    text
}

/// What was run.
pub(super) fn title(settings: &Settings) -> String {
    let what = match &settings.statement {
        Statement::Query(name) => format!("query {name}"),
        Statement::Table(table) => format!("table {table}"),
        Statement::Sql(sql) => format!("SQL {}", sql.split_whitespace().collect::<Vec<_>>().join(" ")),
    };
    format!("rowstream bench: {what}")
}

/// How it was run.
pub(super) fn how(report: &Report) -> String {
    let settings = &report.settings;
    let load = match &settings.load {
        Load::Closed { concurrency } => {
            format!("closed loop, {} under way at all times", counted(*concurrency, "call"))
        }
        Load::Open { rate_from, rate_to, .. } if rate_from == rate_to => format!("open loop at {}", rate(*rate_from)),
        Load::Open { rate_from, rate_to, steps, .. } => {
            let steps = steps.map_or_else(|| "evenly".to_owned(), |steps| format!("in {steps} steps"));
            format!("open loop from {} to {}, {steps}", rate(*rate_from), rate(*rate_to))
        }
    };
    let ended = match report.ended {
        Ended::Complete => "",
        Ended::Interrupted => ", interrupted",
        Ended::Failed => ", ended because every call failed",
    };
    let warmup = time(settings.warmup_s * 1e6);
    if report.measured_s == 0.0 {
        return format!("{load}{ended}; it did not come to the end of its warm-up, and nothing was measured");
    }
    format!("{load}; measured for {} after {warmup} of warm-up{ended}", time(report.measured_s * 1e6))
}

/// The figures beside the latencies, each with its name.
pub(super) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let (calls, throughput) = (&report.calls, &report.throughput);
    let per_second = three_digits(throughput.calls_per_s);
    let mut facts = vec![(
        "calls",
        format!(
            "{per_second}/s succeeded; of {} due {} succeeded, {} failed",
            HumanCount(calls.due),
            HumanCount(calls.succeeded),
            HumanCount(calls.failed)
        ),
    )];
    let open_ends = [(calls.unfinished, "given up at the end"), (calls.never_begun, "never begun")];
    for (count, what) in open_ends.into_iter().filter(|(count, _)| *count > 0) {
        facts[0].1 += &format!(", {} {what}", HumanCount(count));
    }
    if calls.held > 0 {
        let told = format!("{} begun late: as many as may be were under way", HumanCount(calls.held));
        facts.push(("", told));
    }
    if calls.at_least > 0 {
        let told = format!("{} ran out of time, and count as long as they had", HumanCount(calls.at_least));
        facts.push(("", told));
    }
    let [rows, bytes] = [throughput.rows_per_s, throughput.mb_per_s].map(three_digits);
    let values = match (report.settings.encoding, report.settings.values) {
        (Encoding::Rows, Values::Counted) => "rows, checked and counted, values not read",
        (Encoding::Rows, Values::Read) => "rows, every value read",
        (Encoding::Arrow, Values::Counted) => "Arrow, checked and counted, not decoded",
        (Encoding::Arrow, Values::Read) => "Arrow, decoded, every value read",
    };
    facts.push(("data", format!("{rows} rows/s, {bytes} MB/s; {values}")));
    facts.push(("server", server(report)));
    facts.push(("generator", generator(report)));
    facts
}

fn server(report: &Report) -> String {
    let server = &report.server;
    let each = |seconds: f64| time(seconds * 1e6 / float(server.calls.max(1)));
    let strategy = server.strategy.as_ref().map(|strategy| format!("; read by {strategy}")).unwrap_or_default();
    format!(
        "a call: queued {}, database {}, encoding {}, waiting for this client {}{strategy}",
        each(server.queued_s),
        each(server.database_s),
        each(server.encode_s),
        each(server.client_wait_s)
    )
}

fn generator(report: &Report) -> String {
    let generator = &report.generator;
    let lag = generator.lag.as_ref().map(|lag| format!(", began calls {} late at p99", at(lag, 99.0)));
    let verdict = match generator.verdict {
        Verdict::Unhindered => "it was not what limited this run",
        Verdict::Busy => "IT WAS BUSY: these may be its own limits, not the server's",
        Verdict::Late => "IT WAS LATE: part of these latencies is its own",
    };
    let (cpu, share) = (time(generator.cpu_s * 1e6), percent(generator.cpu_share));
    format!("{cpu} of CPU, {share} of its one thread{}; {verdict}", lag.unwrap_or_default())
}

/// The distributions that have any times, each with its name and what it measures.
pub(super) fn distributions(report: &Report) -> Vec<(&'static str, &Latency)> {
    let latency = &report.latency;
    let response = latency.response.as_ref().map(|response| ("response", response));
    let others = [
        ("service", &latency.service),
        ("header", &latency.header),
        ("first row", &latency.first_row),
        ("gap", &latency.gap),
        ("failure", &latency.failure),
    ];
    response.into_iter().chain(others).filter(|(_, latency)| !latency.is_empty()).collect()
}

fn latencies(report: &Report) -> String {
    let mut text = format!("\n{:<11}", "latency");
    for head in
        PERCENTILES.map(|percent| format!("p{percent}")).iter().map(String::as_str).chain(["max", "mean", "count"])
    {
        let _ = write!(text, "{head:>10}");
    }
    text.push('\n');
    for (name, latency) in distributions(report) {
        let _ = write!(text, "{name:<11}");
        for percent in PERCENTILES {
            let _ = write!(text, "{:>10}", at(latency, percent));
        }
        let [max, mean] = [float(latency.max()), latency.mean()].map(time);
        let _ = writeln!(text, "{max:>10}{mean:>10}{:>10}", HumanCount(latency.count()).to_string());
    }
    text
}

fn steps(report: &Report) -> String {
    let mut text = String::new();
    if report.steps.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "\n{:<11}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "step", "due", "succeeded", "p50", "p90", "p99", "max"
    );
    for step in &report.steps {
        let rate = rate(step.rate_from);
        let [due, succeeded] = [step.due, step.succeeded].map(|count| HumanCount(count).to_string());
        let [p50, p90, p99] = [50.0, 90.0, 99.0].map(|percent| at(&step.response, percent));
        let max = time(float(step.response.max()));
        let _ = writeln!(text, "{rate:<11}{due:>10}{succeeded:>10}{p50:>10}{p90:>10}{p99:>10}{max:>10}");
    }
    text
}

/// The distribution that counts, and its name.
pub(super) fn main(report: &Report) -> (&'static str, &Latency) {
    let name = if report.settings.load.is_open() { "response time" } else { "service time" };
    (name, report.main_latency())
}

fn histogram(latency: &Latency) -> String {
    let bins = bins(latency);
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1);
    let mut text = String::new();
    for bin in &bins {
        let length = whole((float(bin.count) / float(most) * BAR).ceil());
        let bar: String = (0..length).map(|_| '#').collect();
        let _ = writeln!(text, "{:>10} |{bar:<40}| {}", bin.label(), HumanCount(bin.count));
    }
    text
}

fn spectrum(latency: &Latency) -> String {
    let mut text = String::new();
    for percent in [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999, 99.9999, 100.0] {
        // Beyond the last call there is nothing to tell percentiles apart by.
        let beyond = float(latency.count()) * (100.0 - percent) / 100.0;
        if beyond < 1.0 && percent < 100.0 {
            continue;
        }
        let _ = writeln!(text, "{:>10} {}", format!("{percent} %"), at(latency, percent));
    }
    text
}

fn at(latency: &Latency, percent: f64) -> String {
    time(float(latency.percentile(percent)))
}
