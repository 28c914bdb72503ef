//! What the server tells about statements and calls, as validated types.

use std::time::{Duration, SystemTime};

use rowstream_contract::v1;
use serde::{Serialize, Serializer};

use crate::{Column, Columns, Encoding, Error, ResumeGuarantee, Strategy, Value};

/// What a stream begins with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Header {
    /// The id of the call.
    pub query_id: String,
    /// The columns, in order.
    pub columns: Columns,
    /// When the server will end the call.
    pub deadline: Option<SystemTime>,
    /// How rows travel.
    pub encoding: Encoding,
    /// How the server reads from PostgreSQL, never [`Strategy::Auto`]; `None` if it does not say.
    pub strategy: Option<Strategy>,
    /// Why it reads in this way, in one sentence for people; may be empty.
    pub strategy_reason: String,
    /// What the stream's resume tokens promise.
    pub resume_guarantee: ResumeGuarantee,
}

impl TryFrom<v1::Header> for Header {
    type Error = Error;

    fn try_from(header: v1::Header) -> Result<Self, Error> {
        let deadline = header.deadline.map(SystemTime::try_from).transpose().map_err(Error::protocol)?;
        let encoding = Encoding::from_wire(header.encoding)
            .ok_or_else(|| Error::protocol(format!("there is no encoding {}", header.encoding)))?;
        Ok(Self {
            query_id: header.query_id,
            columns: header.columns.into(),
            deadline,
            encoding,
            strategy: Strategy::used(header.strategy),
            strategy_reason: header.strategy_reason,
            resume_guarantee: ResumeGuarantee::from_wire(header.resume_guarantee),
        })
    }
}

/// What a complete stream ends with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Rows in all.
    pub row_count: u64,
    /// Bytes of row data in all.
    pub byte_count: u64,
    /// CRC-32C of the row data.
    pub checksum: u32,
    /// Whether the limit on rows cut the result short.
    pub truncated: bool,
    /// Time spent waiting for admission and for a database connection.
    pub queued: Duration,
    /// Time spent waiting for PostgreSQL.
    pub database: Duration,
    /// Time spent encoding rows.
    pub encode: Duration,
    /// Time that the server spent waiting for this client.
    pub client_wait: Duration,
}

impl TryFrom<v1::Summary> for Summary {
    type Error = Error;

    fn try_from(summary: v1::Summary) -> Result<Self, Error> {
        let figure = |figure: i64| u64::try_from(figure).map_err(Error::protocol);
        let time = |time: Option<_>| duration(time).map(Option::unwrap_or_default);
        Ok(Self {
            row_count: figure(summary.row_count)?,
            byte_count: figure(summary.byte_count)?,
            checksum: summary.checksum,
            truncated: summary.truncated,
            queued: time(summary.queued)?,
            database: time(summary.database)?,
            encode: time(summary.encode)?,
            client_wait: time(summary.client_wait)?,
        })
    }
}

/// A parameter of a statement.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Parameter {
    /// 1 for `$1`.
    pub position: u32,
    /// The name; empty for ad-hoc SQL.
    pub name: String,
    /// PostgreSQL's short type name.
    pub type_name: String,
    /// PostgreSQL's OID of the type; 0 while the server has not asked PostgreSQL.
    pub type_oid: u32,
    /// Whether it must be given.
    pub required: bool,
    /// What is taken when it is not given, in PostgreSQL's text form; `None` if required.
    #[serde(serialize_with = "default_as_text")]
    pub default_value: Option<Value>,
    /// What it means; may be empty.
    pub description: String,
}

fn default_as_text<S: Serializer>(value: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().and_then(Value::as_text).serialize(serializer)
}

fn as_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

impl TryFrom<v1::Parameter> for Parameter {
    type Error = Error;

    fn try_from(parameter: v1::Parameter) -> Result<Self, Error> {
        Ok(Self {
            position: parameter.position.try_into().map_err(Error::protocol)?,
            name: parameter.name,
            type_name: parameter.type_name,
            type_oid: parameter.type_oid,
            required: parameter.required,
            default_value: parameter.default_value.map(Value::from_wire),
            description: parameter.description,
        })
    }
}

/// A query that the server's operator has named.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NamedQuery {
    /// What [`Client::query`](crate::Client::query) takes.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its parameters, `$1` first.
    pub parameters: Vec<Parameter>,
    /// Its own limit on a call's time.
    #[serde(rename = "max_deadline_seconds", serialize_with = "as_seconds")]
    pub max_deadline: Option<Duration>,
    /// Its own limit on rows.
    pub max_rows: Option<u64>,
    /// Its own limit on the size of a batch, in bytes.
    pub max_batch_bytes: Option<u64>,
}

impl TryFrom<v1::NamedQuery> for NamedQuery {
    type Error = Error;

    fn try_from(query: v1::NamedQuery) -> Result<Self, Error> {
        Ok(Self {
            name: query.name,
            description: query.description,
            parameters: parameters(query.parameters)?,
            max_deadline: duration(query.max_deadline)?,
            max_rows: limit(query.max_rows)?,
            max_batch_bytes: limit(query.max_batch_bytes.into())?,
        })
    }
}

/// What a statement takes and gives.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// The parameters, `$1` first.
    pub parameters: Vec<Parameter>,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The named query's description; empty for ad-hoc SQL.
    pub description: String,
    /// The named query's own limit on a call's time.
    #[serde(rename = "max_deadline_seconds", serialize_with = "as_seconds")]
    pub max_deadline: Option<Duration>,
    /// The named query's own limit on rows.
    pub max_rows: Option<u64>,
    /// The named query's own limit on the size of a batch, in bytes.
    pub max_batch_bytes: Option<u64>,
    /// What PostgreSQL estimates, if [`Call::describe_with_plan`](crate::Call::describe_with_plan) asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_estimate: Option<PlanEstimate>,
}

/// What PostgreSQL estimates of the plan that a call would run, from statistics: nothing is counted or run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PlanEstimate {
    /// How many rows come out.
    pub rows: f64,
    /// How wide a row is on average, in bytes as PostgreSQL holds it.
    pub width_bytes: u32,
    /// The cost until the first row, in PostgreSQL's unit.
    pub startup_cost: f64,
    /// The cost until the last row, in PostgreSQL's unit.
    pub total_cost: f64,
    /// Whether it is for any values, because none were given.
    pub generic: bool,
    /// Parallel workers that the plan asks for.
    pub parallel_workers: u32,
    /// The whole plan as `EXPLAIN (FORMAT JSON)` prints it; empty if the server does not show it.
    pub json: String,
}

impl TryFrom<v1::PlanEstimate> for PlanEstimate {
    type Error = Error;

    fn try_from(estimate: v1::PlanEstimate) -> Result<Self, Error> {
        let figure = |figure: i32| u32::try_from(figure).map_err(Error::protocol);
        Ok(Self {
            rows: estimate.rows,
            width_bytes: figure(estimate.width_bytes)?,
            startup_cost: estimate.startup_cost,
            total_cost: estimate.total_cost,
            generic: estimate.generic,
            parallel_workers: figure(estimate.parallel_workers)?,
            json: estimate.json,
        })
    }
}

impl TryFrom<v1::DescribeQueryResponse> for Description {
    type Error = Error;

    fn try_from(response: v1::DescribeQueryResponse) -> Result<Self, Error> {
        Ok(Self {
            parameters: parameters(response.parameters)?,
            columns: response.columns.into_iter().map(Column::from).collect(),
            description: response.description,
            max_deadline: duration(response.max_deadline)?,
            max_rows: limit(response.max_rows)?,
            max_batch_bytes: limit(response.max_batch_bytes.into())?,
            plan_estimate: response.plan_estimate.map(PlanEstimate::try_from).transpose()?,
        })
    }
}

fn parameters(parameters: Vec<v1::Parameter>) -> Result<Vec<Parameter>, Error> {
    parameters.into_iter().map(Parameter::try_from).collect()
}

/// 0 is no limit.
fn limit(limit: i64) -> Result<Option<u64>, Error> {
    let limit = u64::try_from(limit).map_err(Error::protocol)?;
    Ok((limit > 0).then_some(limit))
}

/// Reads protobuf's duration, whose type the contract keeps to itself.
fn duration<T: TryInto<Duration, Error: std::fmt::Display>>(duration: Option<T>) -> Result<Option<Duration>, Error> {
    duration.map(TryInto::try_into).transpose().map_err(Error::protocol)
}
