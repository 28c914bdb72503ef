//! `rowstream describe`, `rowstream queries` and `rowstream tables`: what there is to run, and what it takes and gives.

use std::{fmt::Write as _, time::Duration};

use rowstream_client::{Client, Column, Description, NamedQuery, Parameter, PlanEstimate, Table, sink::Visible};
use serde::Serialize;

use super::{
    args::{Describe, ListFormat, TableOptions, TextOrJson},
    failure::Failure,
    print, query,
};

pub(crate) async fn statement(client: &Client, deadline: Option<Duration>, describe: Describe) -> Result<(), Failure> {
    let (mut call, sql) =
        query::with_parameters(client, describe.source, &TableOptions::default(), &describe.param, &describe.null)?;
    if let Some(deadline) = deadline {
        call = call.deadline(deadline);
    }
    let described = if describe.plan { call.describe_with_plan().await } else { call.describe().await };
    let description = described.map_err(|error| Failure::Call { error, sql })?;
    match describe.format.format {
        TextOrJson::Text => print(&description_text(&description)),
        TextOrJson::Json => print_json(&description),
    }
}

pub(crate) async fn queries(client: &Client, format: ListFormat) -> Result<(), Failure> {
    let queries = client.list_queries().await?;
    match format.format {
        TextOrJson::Text => print(&queries.iter().map(query_text).collect::<String>()),
        TextOrJson::Json => print_json(&queries),
    }
}

pub(crate) async fn tables(client: &Client, format: ListFormat) -> Result<(), Failure> {
    let tables = client.tables().await?;
    match format.format {
        TextOrJson::Text => print(&tables.iter().map(table_text).collect::<String>()),
        TextOrJson::Json => print_json(&tables),
    }
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Failure::output(None, error.into()))?;
    print(&(json + "\n"))
}

fn description_text(description: &Description) -> String {
    let mut text = String::new();
    let mut line = |line: String| text.extend([line, "\n".to_owned()]);
    if !description.description.is_empty() {
        line(Visible(&description.description).to_string());
    }
    if let Some(deadline) = description.max_deadline {
        line(format!("at most {}", humantime::format_duration(deadline)));
    }
    if let Some(rows) = description.max_rows {
        line(format!("at most {rows} rows"));
    }
    if let Some(bytes) = description.max_batch_bytes {
        line(format!("at most {bytes} bytes a batch"));
    }
    line("parameters:".to_owned());
    for parameter in &description.parameters {
        let about = if parameter.description.is_empty() { "" } else { "  -- " };
        let about = format!("{about}{}", Visible(&parameter.description));
        line(format!("  ${} {}{about}", parameter.position, parameter_text(parameter)));
    }
    line("columns:".to_owned());
    for column in &description.columns {
        line(format!("  {}", column_text(column)));
    }
    if let Some(estimate) = &description.plan_estimate {
        plan_text(estimate).into_iter().for_each(line);
    }
    text
}

fn plan_text(estimate: &PlanEstimate) -> Vec<String> {
    let whose = if estimate.generic { "for any values" } else { "for these values" };
    let mut lines = vec![
        format!("plan, as PostgreSQL estimates it {whose}:"),
        format!("  {} rows of {} bytes", estimate.rows, estimate.width_bytes),
        format!("  cost {:.2} to the first row, {:.2} to the last", estimate.startup_cost, estimate.total_cost),
    ];
    if estimate.parallel_workers > 0 {
        lines.push(format!("  {} parallel workers", estimate.parallel_workers));
    }
    lines.extend(estimate.json.lines().map(|line| format!("  {}", Visible(line))));
    lines
}

/// One query: a signature, and its description below.
fn query_text(query: &NamedQuery) -> String {
    let parameters: Vec<_> = query.parameters.iter().map(parameter_text).collect();
    let mut text = format!("{}({})\n", Visible(&query.name), parameters.join(", "));
    for line in query.description.lines() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "    {}", Visible(line));
    }
    text
}

/// One table: its name and what it is, its comment and its columns below.
fn table_text(table: &Table) -> String {
    let rows = table.estimated_rows.map_or(String::new(), |rows| format!(", about {rows} rows"));
    let mut text = format!("{}: {}{rows}\n", Visible(&table.table), table.kind.as_str());
    for line in table.comment.lines() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "    {}", Visible(line));
    }
    for column in &table.columns {
        let key = if table.primary_key.contains(&column.name) { ", primary key" } else { "" };
        let _ = writeln!(text, "  {}{key}", column_text(column));
    }
    text
}

/// `name type`, with what is known of NULL.
fn column_text(column: &Column) -> String {
    let not_null = if column.nullable == Some(false) { " not null" } else { "" };
    format!("{} {}{not_null}", Visible(&column.name), Visible(&column.type_name))
}

/// `name type`, with the default of an optional one: `since date = 2024-01-01`.
fn parameter_text(parameter: &Parameter) -> String {
    let name = Visible(&parameter.name);
    let space = if parameter.name.is_empty() { "" } else { " " };
    let default = match &parameter.default_value {
        _ if parameter.required => String::new(),
        Some(value) => value.as_text().map_or(" = NULL".to_owned(), |text| format!(" = {}", Visible(text))),
        None => " = NULL".to_owned(),
    };
    format!("{name}{space}{}{default}", Visible(&parameter.type_name))
}
