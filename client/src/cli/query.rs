//! `rowstream query`: from the arguments to a job, and from the job's rows to its output.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rowstream_client::{
    Call, Client, Summary,
    sink::{CsvSink, JsonLinesSink, Output, Sink, TableSink},
};

use super::{
    args::{Connection, Format, Query, Source, TableOptions},
    conditions,
    failure::Failure,
    interrupt::Interrupts,
    parameters,
    progress::Progress,
};

/// How long an interrupted program waits for the server's word that the query is cancelled.
const CANCEL_WAIT: Duration = Duration::from_secs(1);

/// What is to be done, with nothing left to decide.
struct Job {
    call: Call,
    /// The SQL text, to show where in it an error is.
    sql: Option<String>,
    sink: Box<dyn Sink>,
    /// The file to write; stdout without one.
    path: Option<PathBuf>,
    max_rows: Option<u64>,
    show_progress: bool,
    show_summary: bool,
    show_notes: bool,
}

/// What is known of a call under way, for whoever has to end it.
struct Underway {
    progress: Progress,
    query_id: Option<String>,
}

pub(crate) async fn run(
    client: &Client,
    connection: &Connection,
    query: Query,
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    let mut job = Job::resolve(client, connection, query)?;
    let opened = job.path.as_deref().map_or_else(Output::stdout, Output::file);
    let mut output = opened.map_err(|source| Failure::output(job.path.clone(), source))?;
    let mut underway = Underway { progress: Progress::new(job.show_progress), query_id: None };
    let copied = tokio::select! {
        copied = copy(&mut job, &mut output, &mut underway) => copied,
        signal = interrupts.next() => Err(Failure::Interrupted { signal, rows: Some(0) }),
    };
    underway.progress.clear();
    match copied {
        Ok(summary) => {
            finish(&job, output, interrupts, underway.progress.rows).await?;
            job.print_notes(&summary, &underway.progress);
            Ok(())
        }
        Err(Failure::Interrupted { signal, .. }) => {
            output.abandon();
            cancel(client, underway.query_id, interrupts).await;
            Err(Failure::Interrupted { signal, rows: Some(underway.progress.rows) })
        }
        // The output has failed, and knows how.
        Err(Failure::ClosedPipe) => {
            finish(&job, output, interrupts, underway.progress.rows).await.and(Err(Failure::ClosedPipe))
        }
        Err(failure) => {
            output.abandon();
            Err(failure)
        }
    }
}

/// Moves all rows into the output.
async fn copy(job: &mut Job, output: &mut Output, underway: &mut Underway) -> Result<Summary, Failure> {
    let failed = |error| Failure::Call { error, sql: job.sql.clone() };
    let mut rows = job.call.stream().await.map_err(failed)?;
    underway.query_id = Some(rows.query_id().to_owned());
    let mut buffer = Vec::new();
    job.sink.begin(rows.columns(), &mut buffer);
    while let Some(batch) = rows.next_batch().await.map_err(failed)? {
        job.sink.batch(&batch, &mut buffer).map_err(|error| failed(error.into()))?;
        if !output.write(&mut buffer).await {
            return Err(Failure::ClosedPipe);
        }
        underway.progress.set(rows.rows_received(), rows.bytes_received());
    }
    job.sink.end(&mut buffer);
    output.write(&mut buffer).await;
    rows.summary().cloned().ok_or_else(|| failed(rowstream_client::Error::Truncated { rows: rows.rows_received() }))
}

/// Completes the output. A stdout that nobody reads can be interrupted; a file is short work.
async fn finish(job: &Job, output: Output, interrupts: &mut Interrupts, rows: u64) -> Result<(), Failure> {
    let finished = if job.path.is_some() {
        output.finish().await
    } else {
        tokio::select! {
            finished = output.finish() => finished,
            signal = interrupts.next() => return Err(Failure::Interrupted { signal, rows: Some(rows) }),
        }
    };
    finished.map_err(|source| Failure::output(job.path.clone(), source))
}

/// The stream is dropped, which cancels it; asking as well makes sure that the server has heard it
/// before the process ends. A second signal ends the wait.
async fn cancel(client: &Client, query_id: Option<String>, interrupts: &mut Interrupts) {
    let Some(query_id) = query_id else { return };
    tokio::select! {
        // Whether it succeeds or not, the connection closes right after.
        _ = tokio::time::timeout(CANCEL_WAIT, client.cancel(query_id)) => {}
        _ = interrupts.next() => {}
    }
}

impl Job {
    fn resolve(client: &Client, connection: &Connection, query: Query) -> Result<Self, Failure> {
        let path = query.output.filter(|path| path != Path::new("-"));
        let on_terminal = path.is_none() && io::stdout().is_terminal();
        let format = query.format.unwrap_or(if on_terminal { Format::Table } else { Format::Csv });
        let (mut call, sql) = with_parameters(client, query.source, &query.table_options, &query.param, &query.null)?;
        if let Some(deadline) = connection.deadline {
            call = call.deadline(deadline);
        }
        if let Some(id) = query.query_id {
            call = call.query_id(id);
        }
        Ok(Self {
            call: call.max_rows(query.max_rows.unwrap_or(0)),
            sql,
            sink: sink(format),
            show_progress: !query.quiet && !on_terminal,
            show_summary: query.verbose || (path.is_some() && !query.quiet),
            show_notes: !query.quiet,
            path,
            max_rows: query.max_rows,
        })
    }

    fn print_notes(&self, summary: &Summary, progress: &Progress) {
        if self.show_summary {
            progress.print_summary(summary);
        }
        if self.show_notes && summary.truncated && self.max_rows != Some(summary.row_count) {
            // Nobody is left to be told that stderr is gone.
            let _ = writeln!(io::stderr(), "rowstream: a limit on the server cut the result: more rows exist");
        }
    }
}

/// The call of a source with its values, and its SQL if it is ad hoc.
pub(crate) fn with_parameters(
    client: &Client,
    source: Source,
    options: &TableOptions,
    params: &[String],
    nulls: &[String],
) -> Result<(Call, Option<String>), Failure> {
    match (source.name, source.table, source.sql) {
        (Some(name), _, _) => Ok((parameters::by_name(client.query(name), params, nulls)?, None)),
        (None, Some(table), _) => Ok((conditions::apply(client.table(table), options)?.call(), None)),
        (None, None, sql) => {
            let sql = sql.unwrap_or_default();
            Ok((parameters::by_position(client.sql(&sql), params, nulls)?, Some(sql)))
        }
    }
}

fn sink(format: Format) -> Box<dyn Sink> {
    match format {
        Format::Table => Box::new(TableSink::default()),
        Format::Csv => Box::new(CsvSink::default()),
        Format::Jsonl => Box::new(JsonLinesSink::default()),
    }
}
