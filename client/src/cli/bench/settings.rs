//! From the arguments to a run: what is called, how the load comes, and how the report tells both.

use std::time::Duration;

use clap::ValueEnum;

use super::{
    account::seconds,
    args::{Bench, LoadOptions, ReadOptions},
    call::Values,
    report::{self, Settings, Statement},
    schedule::{Extent, Schedule},
};
use crate::cli::{args::Connection, failure::Failure};

/// A load, unless it says otherwise.
const DURATION: Duration = Duration::from_secs(10);
const WARMUP: Duration = Duration::from_secs(2);
const MAX_IN_FLIGHT: u64 = 1_000;
/// The longest run: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is asked for, with nothing left out.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) extent: Extent,
    pub(super) warmup: Duration,
    pub(super) grace: Duration,
    pub(super) values: Values,
    pub(super) max_in_flight: usize,
    pub(super) concurrency: usize,
    /// When calls are due, in an open loop.
    pub(super) schedule: Option<Schedule>,
}

impl Asked {
    pub(super) fn try_new(load: &LoadOptions, read: &ReadOptions) -> Result<Self, Failure> {
        if load.steps.is_some() && load.rate.is_some_and(|rate| rate.is_constant()) {
            let message = "--steps needs a --rate with a beginning and an end, such as 100/s..1000/s";
            return Err(Failure::Usage(message.to_owned()));
        }
        for (flag, time) in [("--duration", load.duration), ("--warmup", load.warmup), ("--grace", Some(load.grace))] {
            if time.is_some_and(|time| time > LONGEST) {
                return Err(Failure::Usage(format!("{flag} is at most a year")));
            }
        }
        if load.duration.is_some_and(|duration| duration.is_zero()) {
            return Err(Failure::Usage("--duration 0s would measure nothing; write a time such as 10s".to_owned()));
        }
        let extent = load.count.map_or(Extent::Duration(load.duration.unwrap_or(DURATION)), Extent::Count);
        let warmup = load.warmup.unwrap_or(if load.count.is_some() { Duration::ZERO } else { WARMUP });
        let steps = load.steps.and_then(|steps| usize::try_from(steps).ok());
        Ok(Self {
            extent,
            warmup,
            grace: load.grace,
            values: if read.read_values { Values::Read } else { Values::Counted },
            max_in_flight: bounded(load.max_in_flight.unwrap_or(MAX_IN_FLIGHT)),
            concurrency: bounded(load.concurrency.unwrap_or(1)),
            schedule: load.rate.map(|rate| Schedule::new(rate, steps, warmup, extent)),
        })
    }
}

/// A number that clap has bounded.
fn bounded(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What the report says of the settings.
pub(super) fn settings(bench: &Bench, asked: &Asked, connection: &Connection) -> Settings {
    let load = &bench.load;
    let (duration, count) = match asked.extent {
        Extent::Duration(duration) => (Some(duration), None),
        Extent::Count(count) => (None, Some(count)),
    };
    Settings {
        statement: statement(bench),
        parameters: parameters(bench),
        endpoints: connection.endpoint.clone(),
        connections: load.connections as u64,
        load: match load.rate {
            Some(rate) => report::Load::Open {
                rate_from: rate.first(),
                rate_to: rate.last(),
                steps: load.steps,
                max_in_flight: asked.max_in_flight as u64,
            },
            None => report::Load::Closed { concurrency: asked.concurrency as u64 },
        },
        duration_s: duration.map(seconds),
        count,
        warmup_s: seconds(asked.warmup),
        grace_s: seconds(asked.grace),
        deadline_s: connection.deadline.map(seconds),
        max_rows: bench.read.max_rows,
        encoding: bench.read.encoding,
        strategy: bench.read.strategy.and_then(as_typed),
        grpc_compression: bench.read.grpc_compression.and_then(as_typed),
        values: asked.values,
    }
}

fn as_typed(value: impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().to_owned())
}

fn statement(bench: &Bench) -> Statement {
    match (&bench.source.name, &bench.source.table, &bench.source.sql) {
        (Some(name), _, _) => Statement::Query(name.clone()),
        (None, Some(table), _) => Statement::Table(table.clone()),
        (None, None, sql) => Statement::Sql(sql.clone().unwrap_or_default()),
    }
}

/// The parameters, or what is read of a table, as typed.
fn parameters(bench: &Bench) -> Vec<String> {
    let table = &bench.table_options;
    let flagged = |flag: &str, values: &[String]| values.iter().map(|value| format!("{flag} {value}")).collect();
    let lists: [Vec<String>; 7] = [
        flagged("-p", &bench.param),
        flagged("--null", &bench.null),
        flagged("--columns", &table.columns),
        flagged("--column", &table.column),
        flagged("--where", &table.conditions),
        flagged("--filter", &table.filter),
        flagged("--order-by", &table.order_by),
    ];
    lists.into_iter().flatten().chain(table.limit.map(|rows| format!("--limit {rows}"))).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Arguments, Command};

    fn parsed(arguments: &[&str]) -> (Bench, Connection) {
        let all = ["rowstream", "bench"].iter().chain(arguments);
        let arguments = Arguments::try_parse_from(all).unwrap();
        let Some(Command::Bench(bench)) = arguments.command else { panic!("not bench") };
        (*bench, arguments.connection)
    }

    #[test]
    fn what_is_not_said_has_a_default_and_the_report_tells_it() {
        let (bench, connection) = parsed(&["--table", "t", "--where", "a = 1", "--limit", "5", "--deadline", "2s"]);
        let settings = settings(&bench, &Asked::try_new(&bench.load, &bench.read).unwrap(), &connection);
        assert_eq!(settings.load, report::Load::Closed { concurrency: 1 });
        assert_eq!((settings.duration_s, settings.warmup_s, settings.deadline_s), (Some(10.0), 2.0, Some(2.0)));
        assert_eq!(settings.parameters, ["--where a = 1", "--limit 5"]);
        let (bench, _) = parsed(&["select 1", "--count", "5"]);
        let asked = Asked::try_new(&bench.load, &bench.read).unwrap();
        assert_eq!((asked.extent, asked.warmup), (Extent::Count(5), Duration::ZERO));
    }

    #[test]
    fn a_load_that_makes_no_sense_is_told() {
        for (arguments, told) in [
            (&["select 1", "--rate", "5/s", "--steps", "3"][..], "100/s..1000/s"),
            (&["select 1", "--duration", "0s"], "measure nothing"),
            (&["select 1", "--warmup", "2years"], "at most a year"),
        ] {
            let (bench, _) = parsed(arguments);
            let failure = Asked::try_new(&bench.load, &bench.read).unwrap_err();
            assert!(matches!(&failure, Failure::Usage(message) if message.contains(told)), "{failure:?}");
        }
    }
}
