//! The library's fake server, for a program in another process: the name of the query says how it behaves.

use std::time::Duration;

use rowstream_client::{
    Code, Reason, Value,
    testing::{Answer, Damage, FakeQuery, FakeServer, Request},
};
use tokio::runtime::Runtime;

const COLUMNS: [(&str, &str); 2] = [("id", "int8"), ("name", "text")];

/// A running fake server; gone when dropped.
pub(crate) struct Fake {
    pub(crate) endpoint: String,
    pub(crate) server: FakeServer,
    runtime: Runtime,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(FakeServer::start());
        rows(&server);
        errors(&server);
        server.query(
            FakeQuery::new("first")
                .description("The first.")
                .required("id", "int8")
                .parameter_description("the key")
                .optional("since", "date", "2024-01-01")
                .columns(COLUMNS)
                .max_deadline(Duration::from_secs(30))
                .max_rows(5)
                .max_batch_bytes(65_536)
                .plan_estimate(1.0, 12, 1.25),
        );
        server.query(FakeQuery::new("second"));
        Self { endpoint: server.url().to_owned(), server, runtime }
    }

    /// Waits until every call that began has ended.
    pub(crate) fn wait_until_idle(&self) {
        self.runtime.block_on(self.server.until_idle());
    }

    /// Waits until what the server has seen fulfils a condition.
    pub(crate) fn wait_until(&self, condition: impl FnMut(&FakeServer) -> bool) {
        self.runtime.block_on(self.server.until(condition));
    }

    /// Waits until a call of that query is under way.
    pub(crate) fn wait_until_called(&self, query: &str) {
        self.wait_until_sent(query, 0);
    }

    /// Waits until a running call of that query has sent so many batches.
    pub(crate) fn wait_until_sent(&self, query: &str, batches: u64) {
        let sent = |server: &FakeServer| {
            let mut running = server.calls().into_iter().filter(|call| call.end.is_none());
            running.any(|call| call.request.query == query && call.batches >= batches)
        };
        self.runtime.block_on(self.server.until(sent));
    }
}

fn rows(server: &FakeServer) {
    let three_rows = Answer::rows(COLUMNS, [(1, Some("a")), (2, Some("b,c")), (3, None)]).batch_rows(1);
    for (query, damage) in [
        ("no_summary", Damage::NoSummary),
        ("no_header", Damage::NoHeader),
        ("two_headers", Damage::SecondHeader),
        ("after_summary", Damage::AfterSummary),
        ("gap", Damage::RowGap),
        ("garbage", Damage::MalformedRows),
        ("wrong_count", Damage::RowCount),
        ("wrong_bytes", Damage::ByteCount),
        ("wrong_checksum", Damage::Checksum),
        ("empty", Damage::Empty),
    ] {
        server.on(query, three_rows.clone().damaged(damage));
    }
    // More than a pipe, the program's buffers and the windows hold until it blocks.
    let many = (1..=4000).map(|id| (id, "some text that takes its room"));
    server
        .on("rows", three_rows.clone())
        .on("truncated", three_rows.clone().truncated())
        .on("fails_midway", three_rows.clone().error_after(1, Code::Internal, None).message("boom"))
        .on("silent", three_rows.clone().hang_after(0))
        .on("then_silent", three_rows.hang_after(1))
        .on("never", Answer::hang())
        .on("endless", Answer::rows(COLUMNS, many).endless())
        .on_request("echo", echo);
}

/// What the client sent, as names of rows.
fn echo(request: &Request) -> Answer {
    let named = request.named_parameters.iter().map(|(name, value)| match value.as_text() {
        Some(value) => Value::from(format!("{name}={value}")),
        None => name.into(),
    });
    let sent = request.parameters.iter().cloned().chain(named);
    Answer::rows(COLUMNS, (1..).zip(sent).map(|(id, value): (i64, Value)| (id, value)))
}

fn errors(server: &FakeServer) {
    let error = |code, reason, message| Answer::error(code, reason).message(message);
    let missing = error(Code::InvalidArgument, Reason::SqlError, "column \"foo\" does not exist");
    let full = error(Code::ResourceExhausted, Reason::QueueFull, "the queue is full");
    server
        .on("select foo", missing.info("sqlstate", "42703").info("position", "8").info("query_id", "q-1"))
        .on("unknown", error(Code::NotFound, Reason::UnknownQuery, "no query \"unknown\""))
        .on("forbidden", error(Code::PermissionDenied, Reason::SqlNotAllowed, "no SQL here"))
        .on("full", full.retry_after(Duration::from_millis(250)))
        .on("down", error(Code::Unavailable, Reason::DatabaseUnavailable, "PostgreSQL is away"));
}
