//! The command line: raw arguments (`args`) become a call of the library, its outcome becomes output
//! and an exit code (`exit`).
//!
//! Data goes to stdout, everything else to stderr. The runtime has one thread, but for an export: receiving and
//! formatting take turns on it, and only writing the output has a thread of its own.

mod args;
mod bench;
mod completions;
mod conditions;
mod control;
mod describe;
mod destination;
mod exit;
mod export;
mod failure;
mod fanout;
mod formats;
mod interrupt;
mod man;
mod parameters;
mod profile;
mod progress;
mod proto;
mod query;
mod report;
mod target;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use rowstream_client::{Client, Error};

use self::{
    args::{Arguments, Command, Connection, Describe, Query},
    failure::Failure,
    formats::Format,
    interrupt::Interrupts,
};

/// Where the server is if nothing says so.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:50051";

/// The whole program but for the process: parse, run, report.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse().and_then(one_thing_to_do) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to be told that help could not be printed.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let outcome = run(arguments);
    if let Err(failure) = &outcome {
        // As above: stderr is gone.
        let _ = report::write(failure, &mut io::stderr().lock());
    }
    outcome.map_or_else(|failure| exit::code(&failure).into(), |()| ExitCode::SUCCESS)
}

/// A command or --print-proto, and not both.
fn one_thing_to_do(arguments: Arguments) -> Result<Arguments, clap::Error> {
    match (&arguments.command, &arguments.print_proto) {
        (Some(_), None) | (None, Some(_)) => Ok(arguments),
        (None, None) => {
            Err(Arguments::command().error(ErrorKind::MissingSubcommand, "give a command, or --print-proto"))
        }
        (Some(_), Some(_)) => {
            Err(Arguments::command().error(ErrorKind::ArgumentConflict, "--print-proto stands without a command"))
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { profile, mut connection, print_proto, command } = arguments;
    let mut command = match command {
        None => return proto::run(print_proto.flatten().as_deref()),
        Some(Command::Profiles) => return profile::list(&profile),
        Some(Command::Completions(completions)) => return completions::run(completions.shell),
        Some(Command::Man(man)) => return man::run(&man.dir),
        Some(Command::Export(export)) if export.verify.is_some() => {
            return export.verify.map_or(Ok(()), |directory| export::verify(&directory));
        }
        Some(Command::Bench(bench)) if bench.other.is_some() => return bench.other.map_or(Ok(()), bench::other),
        Some(command) => command,
    };
    if let Command::Query(query) = &mut command {
        query.format = query.format.or_else(|| Format::of_file(query.output.as_deref()?));
    }
    profile::apply(&profile, &mut connection, &mut command)?;
    if connection.endpoint.is_empty() {
        connection.endpoint.push(DEFAULT_ENDPOINT.to_owned());
    }
    let mut runtime = match &command {
        // It formats several streams at once.
        Command::Export(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().map_err(Failure::Start)?;
    let outcome = runtime.block_on(dispatch(connection, command));
    // Do not wait for an output that nobody reads.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(connection: Connection, mut command: Command) -> Result<(), Failure> {
    let connections = match &command {
        Command::Fanout(fanout) => fanout.limits.connections,
        Command::Bench(bench) => bench.load.connections,
        Command::Export(export) => export::connections(export),
        _ => 1,
    };
    let client = connect(&connection, connections)?;
    // Before signals are listened for: this read can only be interrupted by ending the process.
    match &mut command {
        Command::Query(Query { source, .. }) | Command::Describe(Describe { source, .. }) => source.read_stdin(),
        Command::Bench(bench) => bench.source.read_stdin(),
        _ => Ok(()),
    }
    .map_err(Failure::Input)?;
    let mut interrupts = Interrupts::listen().map_err(Failure::Start)?;
    let deadline = connection.deadline;
    match command {
        Command::Query(query) => query::run(&client, &connection, query, &mut interrupts).await,
        Command::Fanout(fanout) => fanout::run(&client, deadline, *fanout, &mut interrupts).await,
        Command::Export(export) => export::run(&client, deadline, *export, &mut interrupts).await,
        Command::Bench(bench) => bench::run(&client, &connection, *bench, &mut interrupts).await,
        Command::Describe(describe) => interrupts.or_end(describe::statement(&client, deadline, describe)).await,
        Command::Queries(format) => interrupts.or_end(within(deadline, describe::queries(&client, format))).await,
        Command::Tables(format) => interrupts.or_end(within(deadline, describe::tables(&client, format))).await,
        Command::Health => interrupts.or_end(within(deadline, control::health(&client))).await,
        Command::Cancel(cancel) => interrupts.or_end(within(deadline, control::cancel(&client, cancel))).await,
        // Done before there was a client.
        Command::Profiles | Command::Completions(_) | Command::Man(_) => Ok(()),
    }
}

/// Bounds the calls that have no deadline of the caller's own.
async fn within(deadline: Option<Duration>, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let Some(timeout) = deadline else { return work.await };
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or_else(|_| Err(Error::DeadlineExceeded { timeout, resume_token: None }.into()))
}

fn connect(connection: &Connection, connections: usize) -> Result<Client, Failure> {
    let mut builder = Client::builder(&connection.endpoint).connections_per_endpoint(connections);
    if let Some(timeout) = connection.connect_timeout {
        builder = builder.connect_timeout(timeout);
    }
    if let Some(file) = &connection.cacert {
        let read = std::fs::read(file);
        let pem = read.map_err(|error| Failure::Usage(format!("--cacert {}: {error}", file.display())))?;
        builder = builder.ca_certificate(pem);
    }
    if let Some(name) = &connection.server_name {
        builder = builder.server_name(name);
    }
    Ok(builder.build()?)
}

/// Prints a small answer.
fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|source| Failure::output(None, source))
}
