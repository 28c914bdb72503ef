//! The named queries that a fake server lists and describes.

use std::time::Duration;

use rowstream_contract::v1::{self, DescribeQueryResponse, NamedQuery, PlanEstimate};

use super::rows::type_oid;
use crate::{Column, Value};

/// What a fake server says about a named query, when it is asked for its queries or for this one's description. Says
/// nothing about answers, which are scripted apart.
///
/// ```
/// use rowstream_client::testing::FakeQuery;
///
/// let query = FakeQuery::new("user_events")
///     .description("What a user did")
///     .required("id", "int8")
///     .optional("since", "date", "2024-01-01")
///     .columns([("at", "timestamptz"), ("event", "text")]);
/// # let _ = query;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FakeQuery {
    query: NamedQuery,
    columns: Vec<v1::Column>,
    plan: Option<PlanEstimate>,
}

impl FakeQuery {
    /// A query without parameters, columns or limits of its own.
    pub fn new(name: impl Into<String>) -> Self {
        let query = NamedQuery { name: name.into(), ..NamedQuery::default() };
        Self { query, columns: Vec::new(), plan: None }
    }

    /// What it is for.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.query.description = text.into();
        self
    }

    /// Adds a parameter that must be given, of that PostgreSQL type.
    pub fn required(self, name: impl Into<String>, type_name: &str) -> Self {
        self.parameter(name.into(), type_name, None)
    }

    /// Adds a parameter with what is taken if it is not given, in PostgreSQL's text form.
    pub fn optional(self, name: impl Into<String>, type_name: &str, default: impl Into<String>) -> Self {
        self.parameter(name.into(), type_name, Some(default.into()))
    }

    fn parameter(mut self, name: String, type_name: &str, default: Option<String>) -> Self {
        self.query.parameters.push(v1::Parameter {
            position: i32::try_from(self.query.parameters.len() + 1).unwrap_or(i32::MAX),
            name,
            type_name: type_name.to_owned(),
            type_oid: type_oid(type_name),
            required: default.is_none(),
            default_value: default.map(|text| Value::from(text).into_wire()),
            description: String::new(),
        });
        self
    }

    /// Describes the last parameter.
    ///
    /// # Panics
    /// If there is none.
    pub fn parameter_description(mut self, text: impl Into<String>) -> Self {
        match self.query.parameters.last_mut() {
            Some(parameter) => parameter.description = text.into(),
            None => panic!("parameter_description comes after the parameter that it describes"),
        }
        self
    }

    /// The columns that it gives.
    pub fn columns(mut self, columns: impl IntoIterator<Item: Into<Column>>) -> Self {
        self.columns = columns.into_iter().map(|column| column.into().into_wire()).collect();
        self
    }

    /// Its own limit on a call's time.
    pub fn max_deadline(mut self, limit: Duration) -> Self {
        self.query.max_deadline = limit.try_into().ok();
        self
    }

    /// Its own limit on rows.
    pub fn max_rows(mut self, rows: u32) -> Self {
        self.query.max_rows = rows.into();
        self
    }

    /// Its own limit on the size of a batch.
    pub fn max_batch_bytes(mut self, bytes: u32) -> Self {
        self.query.max_batch_bytes = bytes.try_into().unwrap_or(i32::MAX);
        self
    }

    /// What PostgreSQL would estimate of its plan: rows, their average width in bytes, and the cost in its unit.
    pub fn plan_estimate(mut self, rows: f64, width_bytes: u32, total_cost: f64) -> Self {
        let width_bytes = width_bytes.try_into().unwrap_or(i32::MAX);
        let json = "[{}]".to_owned();
        self.plan = Some(PlanEstimate { rows, width_bytes, total_cost, json, ..PlanEstimate::default() });
        self
    }

    pub(super) fn named(&self) -> NamedQuery {
        self.query.clone()
    }

    pub(super) fn describe(&self, plan_estimate: bool) -> DescribeQueryResponse {
        let NamedQuery { parameters, description, max_deadline, max_rows, max_batch_bytes, .. } = self.query.clone();
        DescribeQueryResponse {
            parameters,
            columns: self.columns.clone(),
            description,
            max_deadline,
            max_rows,
            plan_estimate: self.plan.clone().filter(|_| plan_estimate),
            max_batch_bytes,
        }
    }
}
