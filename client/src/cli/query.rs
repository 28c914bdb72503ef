//! `rowstream query`: from the arguments to a job, and from the job's rows to its output.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rowstream_client::{Call, Client, Summary, sink::FileCompression};

use super::{
    args::{Connection, Query, Source, TableOptions},
    conditions,
    destination::Destination,
    failure::Failure,
    formats::{Format, GrpcCompression},
    interrupt::Interrupts,
    parameters,
    progress::{Progress, Underway},
    target::Form,
};

/// How long an interrupted program waits for the server's word that the query is cancelled.
const CANCEL_WAIT: Duration = Duration::from_secs(1);

/// What is to be done, with nothing left to decide.
struct Job {
    call: Call,
    /// The SQL text, to show where in it an error is.
    sql: Option<String>,
    form: Form,
    /// The file to write; stdout without one.
    path: Option<PathBuf>,
    max_rows: Option<u64>,
    show_progress: bool,
    show_summary: bool,
    show_strategy: bool,
    show_notes: bool,
}

pub(crate) async fn run(
    client: &Client,
    connection: &Connection,
    query: Query,
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    let job = Job::resolve(client, connection, query)?;
    let mut destination = Destination::open(job.form, job.path.clone())?;
    let mut underway = Underway::new(Progress::new(job.show_progress), job.show_notes);
    let copied = tokio::select! {
        copied = destination.copy(&job.call, &mut underway) => copied,
        signal = interrupts.next() => Err(Failure::Interrupted { signal, rows: Some(0) }),
    };
    underway.progress.clear();
    match copied {
        Ok(summary) => {
            job.finish(destination, interrupts, underway.progress.rows).await?;
            job.print_notes(&summary, &underway);
            Ok(())
        }
        Err(Failure::Interrupted { signal, .. }) => {
            destination.abandon();
            cancel(client, underway.query_id, interrupts).await;
            Err(Failure::Interrupted { signal, rows: Some(underway.progress.rows) })
        }
        // The output has failed, and knows how.
        Err(Failure::ClosedPipe) => {
            job.finish(destination, interrupts, underway.progress.rows).await.and(Err(Failure::ClosedPipe))
        }
        Err(failure) => {
            destination.abandon();
            Err(failure.of_sql(job.sql))
        }
    }
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
        if format.is_columnar() && on_terminal {
            return Err(Failure::Usage(format!(
                "--format {} is binary, and stdout is a terminal: name a file with -o, or use a pipe",
                format.name()
            )));
        }
        query.columnar.check(format).map_err(Failure::Usage)?;
        let (mut call, sql) = with_parameters(client, query.source, &query.table_options, &query.param, &query.null)?;
        if let Some(deadline) = connection.deadline {
            call = call.deadline(deadline);
        }
        if let Some(id) = query.query_id {
            call = call.query_id(id);
        }
        if let Some(strategy) = query.strategy {
            call = call.strategy(strategy.into());
        }
        if let Some(compression) = query.grpc_compression.and_then(GrpcCompression::compression) {
            call = call.compression(compression);
        }
        Ok(Self {
            call: call
                .max_rows(query.max_rows.unwrap_or(0))
                .resume_key(query.resume_key)
                .arrow_options(query.columnar.options()),
            sql,
            form: Form { format, row_group_bytes: query.columnar.row_group_bytes, compression: FileCompression::None },
            show_progress: !query.quiet && !on_terminal,
            show_summary: query.verbose || (path.is_some() && !query.quiet),
            show_strategy: query.verbose,
            show_notes: !query.quiet,
            path,
            max_rows: query.max_rows,
        })
    }

    /// Completes the output. A stdout that nobody reads can be interrupted; a file is short work.
    async fn finish(&self, destination: Destination, interrupts: &mut Interrupts, rows: u64) -> Result<(), Failure> {
        if self.path.is_some() {
            return destination.finish().await;
        }
        tokio::select! {
            finished = destination.finish() => finished,
            signal = interrupts.next() => Err(Failure::Interrupted { signal, rows: Some(rows) }),
        }
    }

    fn print_notes(&self, summary: &Summary, underway: &Underway) {
        if self.show_summary {
            underway.progress.print_summary(summary);
        }
        if self.show_strategy {
            underway.print_strategy();
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
