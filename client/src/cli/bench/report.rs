//! The report of a run: what --json writes and `bench compare` reads, and what text and page are made of.
//!
//! docs/bench.md describes every key; a test holds the two against each other. A change of what is here is a new
//! version of the format.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{
    call::{Encoding, Values},
    failures::Failure,
    latency::Latency,
    machine::Machine,
    slices::Slices,
};

/// What the document says that it is.
const FORMAT: &str = "rowstream-bench";
pub(super) const VERSION: u64 = 1;

/// A run and what it came to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    pub(super) format: Format,
    #[serde(deserialize_with = "version")]
    pub(super) version: u64,
    /// The version of the program.
    pub(super) rowstream: String,
    pub(super) started_at: String,
    pub(super) machine: Machine,
    pub(super) settings: Settings,
    pub(super) ended: Ended,
    pub(super) measured_s: f64,
    pub(super) calls: Calls,
    pub(super) failures: Vec<Failure>,
    pub(super) throughput: Throughput,
    pub(super) latency: Latencies,
    pub(super) server: Server,
    pub(super) generator: Generator,
    pub(super) steps: Vec<Step>,
    pub(super) over_time: Slices,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum Format {
    #[serde(rename = "rowstream-bench")]
    Bench,
}

/// What was asked for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) statement: Statement,
    /// As typed.
    pub(super) parameters: Vec<String>,
    pub(super) endpoints: Vec<String>,
    pub(super) connections: u64,
    pub(super) load: Load,
    pub(super) duration_s: Option<f64>,
    pub(super) count: Option<u64>,
    pub(super) warmup_s: f64,
    pub(super) grace_s: f64,
    pub(super) deadline_s: Option<f64>,
    pub(super) max_rows: Option<u64>,
    pub(super) encoding: Encoding,
    pub(super) strategy: Option<String>,
    pub(super) grpc_compression: Option<String>,
    pub(super) values: Values,
}

impl Settings {
    pub(super) fn has_steps(&self) -> bool {
        matches!(self.load, Load::Open { steps: Some(_), .. })
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Statement {
    Sql(String),
    Query(String),
    Table(String),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Load {
    Open { rate_from: f64, rate_to: f64, steps: Option<u64>, max_in_flight: u64 },
    Closed { concurrency: u64 },
}

impl Load {
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    Complete,
    Interrupted,
    Failed,
}

/// Calls that were due after the warm-up.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Calls {
    pub(super) due: u64,
    pub(super) begun: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) unfinished: u64,
    pub(super) never_begun: u64,
    pub(super) held: u64,
    pub(super) at_least: u64,
    pub(super) most_in_flight: u64,
}

/// What arrived in the measured time.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Throughput {
    pub(super) calls: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) calls_per_s: f64,
    pub(super) rows_per_s: f64,
    pub(super) mb_per_s: f64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Latencies {
    /// In an open loop.
    pub(super) response: Option<Latency>,
    pub(super) service: Latency,
    pub(super) header: Latency,
    pub(super) first_row: Latency,
    pub(super) gap: Latency,
    pub(super) failure: Latency,
}

/// The sums of what the server says of the calls that succeeded.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) calls: u64,
    pub(super) queued_s: f64,
    pub(super) database_s: f64,
    pub(super) encode_s: f64,
    pub(super) client_wait_s: f64,
    /// How it read, if it said so.
    pub(super) strategy: Option<String>,
}

/// What making the load took, and whether it was made as it should.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Generator {
    pub(super) cpu_s: f64,
    /// Of one processor, in the measured time.
    pub(super) cpu_share: f64,
    /// In an open loop: how late calls began that nothing held.
    pub(super) lag: Option<Latency>,
    pub(super) verdict: Verdict,
}

/// Whether the figures are the server's or the generator's.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It had time to spare, and was on time.
    Unhindered,
    /// Its one thread had hardly any time left.
    Busy,
    /// It began calls so late that it shows in the latencies.
    Late,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) rate_from: f64,
    pub(super) rate_to: f64,
    pub(super) due: u64,
    pub(super) succeeded: u64,
    pub(super) response: Latency,
}

impl Report {
    /// The distribution that tells what a caller waits: from when a call was due in an open loop, from its beginning in
    /// a closed one.
    pub(super) fn main_latency(&self) -> &Latency {
        self.latency.response.as_ref().unwrap_or(&self.latency.service)
    }

    /// Reads a report; a problem says what is wrong with it.
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("it is no report of `rowstream bench --json`: {error}"))
    }

    pub(super) fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        other => Err(de::Error::custom(format!("{FORMAT} of version {other}; this program reads version {VERSION}"))),
    }
}
