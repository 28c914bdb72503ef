//! `rowstream fanout`: a call for each input, many at once, each with a record of its outcome.
//!
//! The way of an input: `input` reads it, `mapping` gives its values to parameters, `feed` hands it to the fan-out as a
//! `lookup`, `run` takes the outcome, `output` makes its record, `place` and `checkpoint` keep it. Rate, concurrency,
//! retries and all else about the calls themselves is the library's.

mod args;
mod checkpoint;
mod display;
mod feed;
mod input;
mod inputs;
mod lookup;
mod mapping;
mod output;
mod place;
mod rejects;
mod run;
mod settings;
mod summary;
#[cfg(test)]
mod testing;
mod types;
mod values;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rowstream_client::{Client, Columns};

pub(crate) use self::{args::Fanout, checkpoint::Refused};
use self::{
    args::Mode,
    checkpoint::{Checkpoint, Earlier, Header},
    display::Progress,
    feed::{Feed, Plan},
    input::Source,
    lookup::{Statement, Template},
    mapping::Mapping,
    output::{Formatter, OutputFormat},
    place::Place,
    run::Run,
    summary::Summary,
};
use super::{failure::Failure, interrupt::Interrupts};

pub(crate) async fn run(
    client: &Client,
    deadline: Option<Duration>,
    mut arguments: Fanout,
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    arguments.output.output = arguments.output.output.filter(|path| path != Path::new("-"));
    let fanout = settings::of(client, deadline, &arguments);
    let prepared = interrupts.or_end(prepare(client, deadline, &arguments)).await?;
    let Prepared { template, formatter, place, feed, earlier } = prepared;
    let output = &arguments.output;
    let mut summary = Summary::new(feed.usable, earlier.done.len(), earlier.failed);
    summary.rejected = feed.rejected();
    let on_terminal = output.output.is_none() && io::stdout().is_terminal();
    let most = arguments.limits.rate.as_ref().map(ToString::to_string);
    let run = Run {
        template,
        formatter,
        may_block: output.output.as_deref().is_none_or(|path| !path.is_file() && path.exists()),
        mode: arguments.limits.mode,
        progress: Progress::new(output.quiet, on_terminal, feed.usable, earlier.done.len(), most),
        quiet: output.quiet,
        summary,
    };
    if !output.quiet && feed.usable.is_some_and(|inputs| inputs > 0 && inputs == earlier.done.len()) {
        run.progress.note(format_args!("rowstream: all {} inputs are done", earlier.done.len()));
    }
    let started = feed.start(earlier.done)?;
    let (outcome, summary) = run.run(&fanout, place, started, interrupts).await;
    if !output.quiet && !matches!(outcome, Err(Failure::ClosedPipe)) {
        // Nobody is left to be told that stderr is gone.
        let _ = io::stderr().write_all(summary.text().as_bytes());
    }
    let written = output.summary.as_deref().map_or(Ok(()), |path| summary.write(path));
    outcome.and(written)
}

/// What is settled before the first call.
struct Prepared {
    template: Arc<Template>,
    formatter: Formatter,
    place: Place,
    feed: Feed,
    earlier: Earlier,
}

async fn prepare(client: &Client, deadline: Option<Duration>, arguments: &Fanout) -> Result<Prepared, Failure> {
    distinct(arguments)?;
    let (source, format) = source(arguments)?;
    let statement = match (&arguments.name, &arguments.sql) {
        (Some(name), _) => Statement::Query(name.clone()),
        (None, sql) => Statement::Sql(sql.clone().unwrap_or_default()),
    };
    let description = settings::describe(client, deadline, &arguments.limits, &statement).await?;
    let options = &arguments.input;
    let named = statement.is_named();
    let mapping = Mapping::try_new(&description.parameters, named, &options.map, options.extra_columns);
    let plan = Plan {
        source,
        format,
        null: options.null.clone(),
        mapping: mapping.map_err(Failure::Usage)?,
        same_columns: arguments.output.format == OutputFormat::RowsCsv,
        rejects: options.rejects.clone(),
    };
    let feed = tokio::task::spawn_blocking(|| plan.check()).await.map_err(|error| Failure::Start(error.into()))??;
    let columns: Columns = description.columns.into_iter().collect();
    let formatter = Formatter::new(arguments.output.format, &feed.columns, &columns);
    let (place, earlier) = open(arguments, &statement, &feed, &formatter)?;
    let template = Template {
        statement,
        mapping: feed.mapping.clone(),
        max_rows: arguments.output.max_rows.unwrap_or(0),
        columns: (arguments.output.format == OutputFormat::RowsCsv).then_some(columns),
    };
    Ok(Prepared { template: Arc::new(template), formatter, place, feed, earlier })
}

/// Refuses a file that would be read and written, or written twice.
fn distinct(arguments: &Fanout) -> Result<(), Failure> {
    let (input, output) = (&arguments.input, &arguments.output);
    let files = [
        ("--params", Some(&input.params)),
        ("--rejects", input.rejects.as_ref()),
        ("--output", output.output.as_ref()),
        ("--checkpoint", output.checkpoint.as_ref()),
        ("--summary", output.summary.as_ref()),
    ];
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (flag, path) in files {
        // What cannot be found is told where it is needed; a device may serve several.
        let Some(path) = path.and_then(|path| resolved(path).ok()) else { continue };
        if path.exists() && !path.is_file() {
            continue;
        }
        if let Some((other, _)) = seen.iter().find(|(_, seen)| *seen == path) {
            return Err(Failure::Usage(format!("{other} and {flag} are the same file, {}", path.display())));
        }
        seen.push((flag, path));
    }
    Ok(())
}

/// The input and its format, and what must hold for a checkpoint.
fn source(arguments: &Fanout) -> Result<(Source, input::InputFormat), Failure> {
    let (options, output) = (&arguments.input, &arguments.output);
    let failed = |source| Failure::Params { name: options.params.display().to_string(), source };
    let source = Source::open(&options.params).map_err(failed)?;
    let format = options.params_format.or_else(|| source.format()).ok_or_else(|| {
        Failure::Usage(format!("how is {} written? Say --params-format csv or --params-format jsonl", source.name()))
    })?;
    if output.checkpoint.is_some() {
        let problem = match (&source, &output.output) {
            (Source::Stdin | Source::Stream(_), _) => "--params to be a file, which can be read again",
            (_, None) => "--output to be a file",
            _ if arguments.limits.mode == Mode::First => "every input to be run: --mode first runs some of them",
            _ => return Ok((source, format)),
        };
        return Err(Failure::Usage(format!("--checkpoint needs {problem}")));
    }
    Ok((source, format))
}

/// Opens the place for the records: with a checkpoint where it stopped.
fn open(
    arguments: &Fanout,
    statement: &Statement,
    feed: &Feed,
    formatter: &Formatter,
) -> Result<(Place, Earlier), Failure> {
    let (output, head) = (&arguments.output, formatter.head());
    let (Some(checkpoint), Some(path), Some(fingerprint)) = (&output.checkpoint, &output.output, &feed.fingerprint)
    else {
        return Ok((Place::plain(output.output.clone(), head)?, Earlier::default()));
    };
    let failed = |source| Failure::output(Some(path.clone()), source);
    let path = resolved(path).map_err(failed)?;
    let header =
        Header::new(path.to_string_lossy().into_owned(), fingerprint.clone(), same(arguments, statement, feed, &head));
    let place = checkpoint::Place { checkpoint, output: &path, head: &head };
    let opened = Checkpoint::open(&place, &header, output.only_failed).map_err(Failure::Checkpoint)?;
    let (log, earlier) = opened.into_log().map_err(Failure::Start)?;
    Ok((Place::Logged { log, path }, earlier))
}

/// The file's full name, the same from wherever the program is run.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    if path.exists() {
        return path.canonicalize();
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.canonicalize()?.join(path.file_name().unwrap_or_default()))
}

/// What must be the same for a run to go on, by the flag that says it.
fn same(arguments: &Fanout, statement: &Statement, feed: &Feed, head: &[u8]) -> BTreeMap<String, String> {
    let Fanout { input, output, .. } = arguments;
    let mut same = BTreeMap::new();
    let mut note = |flag: &str, value: Option<String>| same.extend(value.map(|value| (flag.to_owned(), value)));
    match statement {
        Statement::Query(name) => note("--query", Some(name.clone())),
        Statement::Sql(sql) => note("--sql", Some(sql.clone())),
    }
    note("--map", (!input.map.is_empty()).then(|| input.map.join(" ")));
    note("--null", (!input.null.is_empty()).then(|| input.null.clone()));
    note("--extra-columns", input.extra_columns.map(|extra| extra.name().to_owned()));
    note("--params-format", Some(feed.format().name().to_owned()));
    note("--format", Some(output.format.name().to_owned()));
    note("--max-rows", output.max_rows.map(|rows| rows.to_string()));
    note("the header of the output", (!head.is_empty()).then(|| String::from_utf8_lossy(head).trim_end().to_owned()));
    same
}
