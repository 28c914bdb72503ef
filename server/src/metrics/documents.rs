//! Holds what is written about the metrics to the list of them: the reference, the dashboard, the alerts.

use std::{collections::BTreeSet, path::Path, process::Command};

use promql_parser::{
    label::Matchers,
    parser::{AggregateExpr, BinaryExpr, Expr, VectorSelector, parse},
    util::{ExprVisitor, walk_expr},
};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::{
    Metrics,
    gauges::State,
    names::{ALL, Kind, PROCESS},
};

const REFERENCE: &str = include_str!("../../../docs/metrics.md");
const OPERATION: &str = include_str!("../../../docs/operation.md");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/rowstream.json");
const RULES: &str = include_str!("../../../deploy/prometheus/rowstream.rules.yml");

/// Name, type and labels of a metric, as the reference's table has them.
type Row = (String, &'static str, String);

fn rows() -> BTreeSet<Row> {
    let kind = |kind| match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let ours = ALL.iter().map(|metric| (metric.name.to_owned(), kind(metric.kind), metric.labels.join(", ")));
    let process = PROCESS.iter().map(|(name, of)| ((*name).to_owned(), kind(*of), String::new()));
    ours.chain(process).collect()
}

#[test]
fn the_reference_has_every_metric_with_its_type_and_labels_and_no_other() {
    let lines = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let documented: Vec<(String, String, String)> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 4, "name, type, labels and meaning: {line}");
            assert!(cells[3].ends_with('.'), "a meaning: {line}");
            (cells[0].trim_end_matches('`').to_owned(), cells[1].to_owned(), cells[2].to_owned())
        })
        .collect();
    let expected: BTreeSet<_> =
        rows().into_iter().map(|(name, kind, labels)| (name, kind.to_owned(), labels)).collect();
    assert_eq!(documented.len(), expected.len(), "each metric has one row");
    assert_eq!(documented.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    for metric in ALL {
        let name = metric.name;
        assert!(name.starts_with("rowstream_"), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_seconds"), metric.kind == Kind::Histogram, "{name}");
        assert!(metric.help.ends_with('.'), "{name}");
    }
}

/// Every metric of ours is registered, under the type that the list has.
#[test]
fn the_list_is_what_is_registered() {
    let metrics = Metrics::new();
    // Those whose labels are made when they are met.
    let call = metrics.calls.begin(super::calls::Method::StreamQuery);
    call.of_statement("sql");
    call.phase(super::calls::Phase::Queue, std::time::Duration::ZERO);
    call.read("copy", "arrow");
    call.batch(1, 1, true);
    call.fetched(1);
    metrics.database.pool(super::database::CALLS);
    let text = metrics.render(&State::default()).expect("it can be written");
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let typed: BTreeSet<(String, &str)> = typed.map(|(name, kind)| (name.to_owned(), kind)).collect();
    let on_linux = |name: &str| cfg!(target_os = "linux") || !name.starts_with("process_");
    let expected = rows().into_iter().filter(|(name, ..)| on_linux(name)).map(|(name, kind, _)| (name, kind));
    assert_eq!(typed, expected.collect());
}

/// The labels of a series, if there is one of that name: a histogram has three.
fn labels_of(series: &str) -> Option<Vec<&'static str>> {
    if series == "up" || PROCESS.iter().any(|(name, _)| *name == series) {
        return Some(TARGET.to_vec());
    }
    let found = ALL.iter().find_map(|metric| {
        let suffix = series.strip_prefix(metric.name)?;
        let bucket = match (metric.kind, suffix) {
            (Kind::Histogram, "_bucket") => Some("le"),
            (Kind::Histogram, "_sum" | "_count") | (Kind::Counter | Kind::Gauge, "") => None,
            _ => return None,
        };
        Some(metric.labels.iter().copied().chain(bucket))
    });
    Some(found?.chain(TARGET.iter().copied()).collect())
}

/// What Prometheus adds to every series.
const TARGET: &[&str] = &["job", "instance"];

/// Checks an expression, and gathers the labels that its series have.
#[derive(Default)]
struct Check {
    labels: BTreeSet<String>,
    grouped: Vec<String>,
}

impl ExprVisitor for Check {
    type Error = String;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, String> {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector)?,
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs)?,
            Expr::Aggregate(AggregateExpr { modifier: Some(modifier), .. }) => {
                self.grouped.extend(modifier.labels().labels.iter().cloned());
            }
            Expr::Binary(BinaryExpr { modifier: Some(modifier), .. }) => {
                let matching = modifier.matching.iter().flat_map(|matching| &matching.labels().labels);
                self.grouped.extend(matching.cloned());
            }
            _ => {}
        }
        Ok(true)
    }
}

impl Check {
    fn selector(&mut self, VectorSelector { name, matchers, .. }: &VectorSelector) -> Result<(), String> {
        let name = name.as_deref().ok_or("a selector without a name")?;
        let labels = labels_of(name).ok_or_else(|| format!("there is no metric {name}"))?;
        let Matchers { matchers, or_matchers } = matchers;
        for matcher in matchers.iter().chain(or_matchers.iter().flatten()) {
            if !labels.contains(&matcher.name.as_str()) {
                return Err(format!("{name} has no label {}", matcher.name));
            }
        }
        self.labels.extend(labels.into_iter().map(str::to_owned));
        Ok(())
    }
}

/// The labels of an expression's series, or why it is wrong.
fn check(expr: &str) -> Result<BTreeSet<String>, String> {
    let concrete = expr.replace("$__rate_interval", "5m");
    let mut check = Check::default();
    walk_expr(&mut check, &parse(&concrete)?)?;
    match check.grouped.iter().find(|label| !check.labels.contains(*label)) {
        Some(label) => Err(format!("no series of it has a label {label}")),
        None if check.labels.is_empty() => Err("it has no series".to_owned()),
        None => Ok(check.labels),
    }
}

/// The names that stand between `begin` and the next character that no name has.
fn named(text: &str, begin: &str) -> Vec<String> {
    let name =
        |rest: &str| rest.trim_start().split(|c: char| c != '_' && !c.is_alphanumeric()).next().map(str::to_owned);
    text.split(begin).skip(1).filter_map(name).collect()
}

#[test]
fn a_wrong_name_or_label_is_found() {
    for (expr, reason) in [
        ("rate(rowstream_call_total[5m])", "no metric rowstream_call_total"),
        ("rowstream_call_duration_seconds", "no metric rowstream_call_duration_seconds"),
        ("rowstream_queue_length{pool=\"calls\"}", "has no label pool"),
        ("sum by (code) (rowstream_rows_sent_total)", "no series of it has a label code"),
        ("rowstream_streams_open / on (pool) rowstream_streams_limit", "no series of it has a label pool"),
    ] {
        let error = check(expr).expect_err(expr);
        assert!(error.contains(reason), "{expr}: {error}");
    }
}

#[test]
fn the_dashboard_asks_for_series_and_labels_that_there_are() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array().map(|targets| (panel, targets)));
    let mut asked = BTreeSet::new();
    for (panel, target) in targets.flat_map(|(panel, targets)| targets.iter().map(move |target| (panel, target))) {
        let expr = target["expr"].as_str().expect("an expression");
        let labels = check(expr).unwrap_or_else(|error| panic!("{}: {expr}: {error}", panel["title"]));
        for label in named(target["legendFormat"].as_str().expect("a legend"), "{{") {
            assert!(labels.contains(&label), "{}: the legend's {label} is in no series", panel["title"]);
        }
        assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        asked.extend(ALL.iter().map(|metric| metric.name).filter(|name| expr.contains(name)));
    }
    let rows: Vec<_> = panels.iter().filter(|panel| panel["type"] == "row").map(|panel| &panel["title"]).collect();
    assert_eq!(rows, ["Traffic", "Latency", "Streams", "Database", "Memory", "Drain"]);
    assert!(asked.len() * 10 > ALL.len() * 8, "most of the metrics are shown: {} of {}", asked.len(), ALL.len());
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let query = variable["definition"].as_str().unwrap_or_default();
        assert!(named(query, "label_values(").iter().all(|name| labels_of(name).is_some()), "{query}");
    }
}

/// The alerts: name, expression, and the texts that people read.
fn alerts() -> Vec<(String, String, String)> {
    let documents = YamlLoader::load_from_str(RULES).expect("YAML");
    let rules = documents[0]["groups"][0]["rules"].as_vec().expect("rules");
    let text = |rule: &Yaml, key: &str| rule[key].as_str().unwrap_or_else(|| panic!("{key} in {rule:?}")).to_owned();
    rules.iter().map(|rule| (text(rule, "alert"), text(rule, "expr"), text(&rule["annotations"], "summary"))).collect()
}

#[test]
fn every_alert_is_about_series_and_labels_that_there_are_and_is_explained() {
    for (alert, expr, summary) in alerts() {
        let labels = check(&expr).unwrap_or_else(|error| panic!("{alert}: {error}"));
        for label in named(&summary, "$labels.") {
            assert!(labels.contains(&label), "{alert}: no series of it has the label {label} of its summary");
        }
        assert!(OPERATION.contains(&format!("| `{alert}` |")), "docs/operation.md tells what to do about {alert}");
    }
    let explained = OPERATION.matches("| `Rowstream").count();
    assert_eq!(explained, alerts().len(), "docs/operation.md has each alert once and no other");
}

/// Prometheus's own tool, where there is one, has the last word.
#[test]
fn promtool_accepts_the_rules_and_the_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    for (command, file) in [("rules", "rowstream.rules.yml"), ("config", "prometheus.yml")] {
        let output = Command::new("promtool").args(["check", command, file]).current_dir(&folder).output();
        match output {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("not checked by promtool: {error}"),
        }
    }
}
