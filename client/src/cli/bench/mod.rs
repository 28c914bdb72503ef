//! `rowstream bench`: a load of calls, and a report of how they fared.
//!
//! `settings` makes a run of the arguments, `schedule` says when calls are due, `generator` begins them (`pacer` waits
//! for the moment), `call` is one of them, `recorder` and
//! `recorded` count. `account` makes the `report` of that, which `text`, `html`
//! and JSON show, and `compare` reads. What calls do beyond that is the library's: here are no retries and no hedges,
//! which would hide what is to be measured.

mod account;
mod args;
mod bins;
mod call;
mod compare;
mod display;
mod failures;
mod generator;
mod html;
mod latency;
mod machine;
mod numbers;
mod pacer;
mod recorded;
mod recorder;
mod report;
mod schedule;
mod settings;
mod slices;
#[cfg(test)]
mod tests;
mod text;

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use rowstream_client::{Client, sink::Output};
use tokio::time::Instant;

pub(crate) use self::args::{Bench, Other};
use self::{
    call::Work,
    display::Progress,
    generator::{Ended, Ending, Generator, Load, Open},
    pacer::Pacer,
    recorder::Recorder,
    settings::Asked,
};
use super::{
    args::Connection, failure::Failure, formats::GrpcCompression, interrupt::Interrupts, print, query::with_parameters,
};

/// Applies the load, and reports.
pub(crate) async fn run(
    client: &Client,
    connection: &Connection,
    bench: Bench,
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    let asked = Asked::try_new(&bench.load, &bench.read)?;
    let settings = settings::settings(&bench, &asked, connection);
    // Before the load, so that no run is in vain for want of a folder.
    let json = bench.output.json.map(open).transpose()?;
    let html = bench.output.html.map(open).transpose()?;
    let (mut call, sql) = with_parameters(client, bench.source, &bench.table_options, &bench.param, &bench.null)?;
    if let Some(deadline) = connection.deadline {
        call = call.deadline(deadline);
    }
    if let Some(strategy) = bench.read.strategy {
        call = call.strategy(strategy.into());
    }
    if let Some(compression) = bench.read.grpc_compression.and_then(GrpcCompression::compression) {
        call = call.compression(compression);
    }
    let call = call.max_rows(bench.read.max_rows.unwrap_or(0));
    let work = Arc::new(Work { call, encoding: bench.read.encoding, values: asked.values });
    let rates: Vec<_> = asked.schedule.iter().flat_map(|schedule| schedule.steps().collect::<Vec<_>>()).collect();
    let started = SystemTime::now();
    let generator = generator(work, &asked)?;
    let recorder = generator.recorder.clone();
    let start = generator.begin + asked.warmup;
    let mut progress = Progress::new(bench.output.quiet, recorder.clone(), start, asked.extent);
    let ended = generator.run(async || interrupts.next().await, || progress.update()).await;
    progress.clear();
    let report = account::report(settings, &recorder, &ended, &rates, started);
    let printed = print(&text::text(&report));
    if let Some(file) = json {
        let json = report.write().map_err(|error| Failure::Start(error.into()))?;
        write(file, json).await?;
    }
    if let Some(file) = html {
        write(file, html::page(&report).into_bytes()).await?;
    }
    printed.and(conclude(&ended, &recorder, sql))
}

fn generator(work: Arc<Work>, asked: &Asked) -> Result<Generator, Failure> {
    let load = match asked.schedule.clone() {
        None => Load::Closed { concurrency: asked.concurrency },
        Some(schedule) => {
            let pacer = Pacer::precise().map_err(Failure::Start)?;
            Load::Open(Open { schedule, max_in_flight: asked.max_in_flight, pacer })
        }
    };
    let begin = Instant::now();
    let steps = asked.schedule.as_ref().map_or(1, |schedule| schedule.steps().count());
    let recorder = Recorder::new(begin + asked.warmup, asked.schedule.is_some(), steps);
    let Asked { warmup, extent, grace, .. } = *asked;
    Ok(Generator { work, load, warmup, extent, grace, recorder, begin })
}

/// A file that will appear whole, under its name, or not at all.
fn open(path: PathBuf) -> Result<(PathBuf, Output), Failure> {
    match Output::file(&path) {
        Ok(output) => Ok((path, output)),
        Err(source) => Err(Failure::output(Some(path), source)),
    }
}

async fn write((path, mut output): (PathBuf, Output), mut bytes: Vec<u8>) -> Result<(), Failure> {
    output.write(&mut bytes).await;
    output.finish().await.map_err(|source| Failure::output(Some(path), source))
}

/// What the program exits with: calls that fail are part of a report, but not if all of them do.
fn conclude(ended: &Ended, recorder: &Recorder, sql: Option<String>) -> Result<(), Failure> {
    if let Ending::Interrupted(signal) = ended.ending {
        return Err(Failure::Interrupted { signal, rows: None });
    }
    let mut recorded = recorder.lock();
    let first = if recorded.nothing_succeeded() { recorded.failures.take_first() } else { None };
    first.map_or(Ok(()), |error| Err(Failure::Call { error, sql }))
}

/// `rowstream bench` without a load.
pub(crate) fn other(other: Other) -> Result<(), Failure> {
    match other {
        Other::Compare(compare) => compare::run(&compare),
    }
}
