//! Which plots a report has.

use super::{
    axis::Axis,
    chart::{Bar, Chart, Series},
};
use crate::cli::bench::{
    bins::bins,
    latency::Latency,
    numbers::{counted, float, short, three_digits, time},
    report::Report,
    slices::Slice,
    text,
};

/// All plots that the report has figures for.
pub(super) fn all(report: &Report) -> String {
    let mut plots = String::new();
    if !report.main_latency().is_empty() {
        plots += &percentiles(report);
        plots += &histogram(report);
    }
    if report.over_time.slices.len() > 1 {
        plots += &latency_over_time(report);
        plots += &calls_over_time(report);
        plots += &data_over_time(report);
        plots += &in_flight_over_time(report);
    }
    plots
}

/// Each further 9 of the percentile is as wide as the one before it: the tail is what matters.
fn percentiles(report: &Report) -> String {
    let shown = ["response", "service", "first row"];
    let distributions: Vec<_> =
        text::distributions(report).into_iter().filter(|(name, _)| shown.contains(name)).collect();
    let nines = |percent: f64, latency: &Latency| {
        // The longest of so many calls stands for the last of as many parts.
        let beyond = ((100.0 - percent) / 100.0).max(1.0 / float(latency.count() + 1));
        -beyond.log10()
    };
    let line = |(name, latency): &(&'static str, &Latency)| {
        let points =
            latency.spectrum().into_iter().map(|(percent, micros)| (nines(percent, latency), Some(float(micros))));
        Series { name, points: points.collect() }
    };
    let series: Vec<_> = distributions.iter().map(line).collect();
    let most = distributions.iter().map(|(_, latency)| nines(100.0, latency)).fold(1.0, f64::max);
    let names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
    let ticks = names.iter().zip(0_u32..).map(|(name, nine)| (f64::from(nine), (*name).to_owned()));
    let ticks = ticks.chain([(0.301, "50 %".to_owned())]).filter(|(nine, _)| *nine <= most);
    let chart = Chart {
        title: "Latency by percentile".to_owned(),
        caption: "how many of the calls took at most how long; logarithmic",
        x: Axis::marked(most, ticks.collect()),
        y: latency_axis(&series),
    };
    let percent = |nines: f64| format!("{} %", (100.0 - 10_f64.powf(2.0 - nines)).mul_add(1e4, 0.5).floor() / 1e4);
    chart.lines(&series, |nines, micros| format!("{} took at most {}", percent(nines), time(micros)))
}

fn histogram(report: &Report) -> String {
    let (name, latency) = text::main(report);
    let bins = bins(latency);
    let bars: Vec<_> = bins
        .iter()
        .zip(0_u32..)
        .map(|(bin, place)| Bar {
            from: f64::from(place),
            to: f64::from(place + 1),
            height: float(bin.count),
            told: format!("up to {}: {}", bin.label(), counted(bin.count, "call")),
        })
        .collect();
    // Bounds stand between bars; every second one, if they are many.
    let every = if bins.len() > 12 { 2 } else { 1 };
    let ticks = bars.iter().zip(&bins).skip(every - 1).step_by(every).map(|(bar, bin)| (bar.to, short(&bin.label())));
    let most = bars.iter().map(|bar| bar.height).fold(0.0, f64::max);
    let chart = Chart {
        title: format!("Histogram of the {name}"),
        caption: "calls between one time and the next; a bar's width is a ratio of times",
        x: Axis::marked(float(bars.len() as u64), ticks.collect()),
        y: Axis::linear(most, mark),
    };
    chart.bars(&bars)
}

fn latency_over_time(report: &Report) -> String {
    let some = |micros: u64| (micros > 0).then(|| float(micros));
    let series = [
        over_time(report, "p50", |slice| some(slice.p50_us)),
        over_time(report, "p90", |slice| some(slice.p90_us)),
        over_time(report, "p99", |slice| some(slice.p99_us)),
        over_time(report, "longest", |slice| some(slice.max_us)),
    ];
    let y = latency_axis(&series);
    chart_over_time(report, "Latency over time", "of the calls that ended in each slice; logarithmic", y)
        .lines(&series, |at, micros| format!("{} at {}", time(micros), seconds(at)))
}

fn calls_over_time(report: &Report) -> String {
    let mut series = vec![rate_over_time(report, "succeeded", |slice| float(slice.succeeded))];
    if report.over_time.slices.iter().any(|slice| slice.failed > 0) {
        series.push(rate_over_time(report, "failed", |slice| float(slice.failed)));
    }
    let y = Axis::linear(greatest(&series), mark);
    chart_over_time(report, "Calls a second", "ended in each slice", y)
        .lines(&series, |at, calls| format!("{}/s at {}", three_digits(calls), seconds(at)))
}

fn data_over_time(report: &Report) -> String {
    let series = [rate_over_time(report, "MB/s", |slice| float(slice.bytes) / 1e6)];
    let y = Axis::linear(greatest(&series), mark);
    let rows = three_digits(report.throughput.rows_per_s);
    let title = format!("Data: {rows} rows/s in all");
    chart_over_time(report, &title, "row data received in each slice", y)
        .lines(&series, |at, megabytes| format!("{} at {}", three_digits(megabytes), seconds(at)))
}

fn in_flight_over_time(report: &Report) -> String {
    let series = [over_time(report, "under way at once", |slice| Some(float(slice.in_flight)))];
    let y = Axis::linear(greatest(&series), mark);
    chart_over_time(report, "Calls under way", "the most at once when a call began in each slice", y)
        .lines(&series, |at, calls| format!("{} at {}", three_digits(calls), seconds(at)))
}

/// A line through the middle of each slice.
fn over_time(report: &Report, name: &'static str, value: impl Fn(&Slice) -> Option<f64>) -> Series {
    let width = float(report.over_time.width_s);
    let slices = report.over_time.slices.iter().zip(0_u32..);
    let points = slices.map(|(slice, place)| ((f64::from(place) + 0.5) * width, value(slice)));
    Series { name, points: points.collect() }
}

/// What happens a second. In a slice that the measured time does not fill, it would seem to be less than it is.
fn rate_over_time(report: &Report, name: &'static str, value: impl Fn(&Slice) -> f64) -> Series {
    let width = float(report.over_time.width_s);
    let mut series = over_time(report, name, |slice| Some(value(slice) / width));
    series.points.retain(|(at, _)| at + width / 2.0 <= report.measured_s + 1e-3);
    series
}

fn chart_over_time(report: &Report, title: &str, caption: &'static str, y: Axis) -> Chart {
    let all = float(report.over_time.width_s * report.over_time.slices.len() as u64);
    Chart { title: title.to_owned(), caption, x: Axis::upto(all, seconds), y }
}

fn mark(value: f64) -> String {
    short(&three_digits(value))
}

fn seconds(at: f64) -> String {
    format!("{at} s")
}

/// The times of all lines, in microseconds.
fn latency_axis(series: &[Series]) -> Axis {
    let values = || series.iter().flat_map(|line| line.points.iter().filter_map(|(_, y)| *y));
    let least = values().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
    Axis::logarithmic(if least.is_finite() { least } else { 1.0 }, values().fold(1.0, f64::max), |micros| {
        short(&time(micros))
    })
}

fn greatest(series: &[Series]) -> f64 {
    series.iter().flat_map(|line| line.points.iter().filter_map(|(_, y)| *y)).fold(0.0, f64::max)
}
