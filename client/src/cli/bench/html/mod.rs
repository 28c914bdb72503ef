//! The report as one page that needs nothing beside itself: no script, no font, no picture from elsewhere.
//!
//! What is drawn is in `plots`, how in `chart` and `axis`; the colours are in `style.css`.

mod axis;
mod chart;
mod plots;

use std::fmt::{self, Display, Write as _};

use indicatif::HumanCount;
use rowstream_client::sink::Visible;

use super::{
    latency::Latency,
    numbers::{float, rate, time},
    report::{Report, Verdict},
    text::{self, PERCENTILES},
};

const STYLE: &str = include_str!("style.css");

/// Text that stands for itself in HTML, in an attribute too.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in Visible(&self.0.to_string()).to_string().chars() {
            match char {
                '&' => f.write_str("&amp;"),
                '<' => f.write_str("&lt;"),
                '>' => f.write_str("&gt;"),
                '"' => f.write_str("&quot;"),
                '\'' => f.write_str("&#39;"),
                _ => f.write_char(char),
            }?;
        }
        Ok(())
    }
}

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let title = Escaped(text::title(&report.settings)).to_string();
    let mut page = String::new();
    // Writing to a String does not fail.
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n<p class=\"how\">{}</p>\n",
        Escaped(text::how(report)),
    );
    page += &facts(report);
    page += &failures(report);
    page += "<h2>Latency</h2>\n";
    page += &latencies(report);
    page += &steps(report);
    page += &plots::all(report);
    let _ = write!(page, "{}</main>\n</body>\n</html>\n", footer(report));
    page
}

fn facts(report: &Report) -> String {
    let mut facts = String::from("<dl>\n");
    for (name, told) in text::facts(report) {
        let warns = name == "generator" && report.generator.verdict != Verdict::Unhindered;
        let class = if warns { " class=\"warning\"" } else { "" };
        let _ = writeln!(facts, "<dt>{name}</dt><dd{class}>{}</dd>", Escaped(told));
    }
    facts + "</dl>\n"
}

fn failures(report: &Report) -> String {
    let row = |failure: &super::failures::Failure| {
        let reason = failure.reason.as_deref().unwrap_or_default();
        let cells =
            [HumanCount(failure.count).to_string(), failure.code.clone(), reason.to_owned(), failure.message.clone()];
        cells.to_vec()
    };
    match report.failures.is_empty() {
        true => String::new(),
        false => {
            let rows: Vec<_> = report.failures.iter().map(row).collect();
            format!("<h2>Failures</h2>\n{}", table(&["calls", "code", "reason", "the first of them said"], &rows))
        }
    }
}

fn latencies(report: &Report) -> String {
    let percentiles = PERCENTILES.map(|percent| format!("p{percent}"));
    let heads: Vec<&str> =
        [""].into_iter().chain(percentiles.iter().map(String::as_str)).chain(["max", "mean", "count"]).collect();
    let row = |(name, latency): (&str, &Latency)| {
        let mut cells = vec![name.to_owned()];
        cells.extend(PERCENTILES.map(|percent| time(float(latency.percentile(percent)))));
        cells.extend([time(float(latency.max())), time(latency.mean()), HumanCount(latency.count()).to_string()]);
        cells
    };
    let rows: Vec<_> = text::distributions(report).into_iter().map(row).collect();
    table(&heads, &rows)
}

fn steps(report: &Report) -> String {
    if report.steps.is_empty() {
        return String::new();
    }
    let row = |step: &super::report::Step| {
        let mut cells = vec![rate(step.rate_from)];
        cells.extend([step.due, step.succeeded].map(|count| HumanCount(count).to_string()));
        cells.extend([50.0, 90.0, 99.0].map(|percent| time(float(step.response.percentile(percent)))));
        cells.push(time(float(step.response.max())));
        cells
    };
    let rows: Vec<_> = report.steps.iter().map(row).collect();
    format!("<h2>Steps</h2>\n{}", table(&["rate", "due", "succeeded", "p50", "p90", "p99", "max"], &rows))
}

fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = String::from("<div class=\"wide\"><table>\n<thead><tr>");
    for head in heads {
        let _ = write!(table, "<th>{}</th>", Escaped(head));
    }
    table += "</tr></thead>\n<tbody>\n";
    for row in rows {
        table += "<tr>";
        for cell in row {
            let _ = write!(table, "<td>{}</td>", Escaped(cell));
        }
        table += "</tr>\n";
    }
    table + "</tbody>\n</table></div>\n"
}

fn footer(report: &Report) -> String {
    let machine = &report.machine;
    let cpu = machine.cpu.as_deref().unwrap_or(&machine.architecture);
    let machine = format!("{} {}, {} processors, {cpu}", machine.os, machine.kernel, machine.cpus);
    let mut told = vec![
        format!("{}, rowstream {}, generator on {machine}", report.started_at, report.rowstream),
        format!("servers: {}", report.settings.endpoints.join(", ")),
    ];
    if !report.settings.parameters.is_empty() {
        told.push(format!("parameters: {}", report.settings.parameters.join(" ")));
    }
    let lines: String = told.iter().map(|line| format!("<p>{}</p>\n", Escaped(line))).collect();
    format!("<footer>\n{lines}</footer>\n")
}
