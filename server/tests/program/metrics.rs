//! The admin port: what it counts, exactly; readiness and liveness; and that it cannot be clogged.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use rowstream_contract::v1::{CancelQueryRequest, Statement, StreamQueryRequest, statement::Source};
use rowstream_testkit::eventually;
use tempfile::tempdir;

use crate::{
    harness::{ENDLESS, PATIENCE, Server, is, open, outcome, read, row_of, stream_of, within},
    process::Program,
};

const ADMIN: &[&str] = &["--admin-listen", "127.0.0.1:0"];
const THOUSAND: &str = "select i from generate_series(1, 1000) i";

/// The admin port's address, as the log says.
async fn admin(program: &Program) -> SocketAddr {
    program.until_logged("admin listening").await;
    let log = program.log();
    let line = log.iter().find(|line| line.message() == "admin listening").expect("just seen");
    line.text("address").parse().expect("an address")
}

/// Sends a request, and reads the whole answer: status line, headers and body.
fn ask(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{request} HTTP/1.1\r\nhost: admin\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The status and the body of a GET.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = ask(address, &format!("GET {path}")).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

/// What one scrape told.
struct Scrape(String);

impl Scrape {
    fn of(address: SocketAddr) -> Self {
        let (status, body) = get(address, "/metrics");
        assert_eq!(status, 200, "{body}");
        Self(body)
    }

    /// The values of all series of that name that have all these labels.
    fn all(&self, name: &str, labels: &[&str]) -> Vec<f64> {
        let series = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            (found == name && labels.iter().all(|label| rest.contains(label))).then_some(value)
        });
        series.map(|value| value.parse().expect("a number")).collect()
    }

    /// Their sum.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.all(name, labels).iter().sum()
    }

    /// Asserts the value of the only such series.
    #[track_caller]
    fn assert(&self, name: &str, labels: &[&str], value: f64) {
        assert_eq!(self.all(name, labels), [value], "{name} {labels:?}");
    }
}

fn outcome_of(statement: &str, code: &str, reason: &str) -> [String; 3] {
    [format!("statement=\"{statement}\""), format!("code=\"{code}\""), format!("reason=\"{reason}\"")]
}

/// How many calls of StreamQuery ended so.
fn ended(scrape: &Scrape, statement: &str, code: &str, reason: &str) -> f64 {
    let labels = outcome_of(statement, code, reason);
    let labels: Vec<&str> = labels.iter().map(String::as_str).chain(["method=\"StreamQuery\""]).collect();
    scrape.sum("rowstream_calls_total", &labels)
}

#[tokio::test]
async fn three_streams_of_a_thousand_rows_are_counted_to_the_byte() {
    let server = Server::start(ADMIN).await;
    let admin = admin(&server.program).await;
    let mut bytes = 0;
    for _ in 0..3 {
        bytes += read(open(&server.client(), THOUSAND).await).await.expect("a summary").byte_count;
    }
    server.assert_idle().await;
    eventually("the calls have ended", PATIENCE, async || {
        Scrape::of(admin).sum("rowstream_calls_in_flight", &[]) == 0.0
    })
    .await;

    let scrape = Scrape::of(admin);
    let of = &["method=\"StreamQuery\"", "statement=\"sql\""];
    scrape.assert("rowstream_rows_sent_total", of, 3_000.0);
    scrape.assert("rowstream_row_bytes_sent_total", of, f64::from(i32::try_from(bytes).expect("few")));
    scrape.assert("rowstream_call_duration_seconds_count", of, 3.0);
    let way = &["method=\"StreamQuery\"", "strategy=\"cursor\"", "encoding=\"rows\""];
    scrape.assert("rowstream_reads_total", way, 3.0);
    assert_eq!(scrape.sum("rowstream_reads_total", &[]), 3.0, "of no other way");
    assert_eq!(ended(&scrape, "sql", "OK", "OK"), 3.0);
    assert!(scrape.sum("rowstream_batches_sent_total", of) >= 3.0);
    assert!(scrape.sum("rowstream_fetches_total", of.split_at(1).0) > 3.0);
    for phase in ["queue", "connection", "plan", "database", "encode", "client"] {
        let labels = ["method=\"StreamQuery\"", &format!("phase=\"{phase}\"")];
        scrape.assert("rowstream_call_phase_duration_seconds_count", &labels, 3.0);
    }
    scrape.assert("rowstream_first_row_duration_seconds_count", of.split_at(1).0, 3.0);
    scrape.assert("rowstream_plan_cache_lookups_total", &["result=\"miss\""], 1.0);
    scrape.assert("rowstream_plan_cache_lookups_total", &["result=\"hit\""], 2.0);
    scrape.assert("rowstream_plan_cache_entries", &[], 1.0);
    for gauge in ["rowstream_streams_open", "rowstream_queue_length", "rowstream_row_memory_bytes"] {
        scrape.assert(gauge, &[], 0.0);
    }
    scrape.assert("rowstream_pool_connections", &["pool=\"calls\"", "state=\"in_use\""], 0.0);
    scrape.assert("rowstream_pool_waiting", &["pool=\"calls\""], 0.0);
    scrape.assert("rowstream_database_up", &[], 1.0);
    scrape.assert("rowstream_build_info", &[concat!("version=\"", env!("CARGO_PKG_VERSION"), '"')], 1.0);
    assert_accepted_by_promtool(&scrape.0);
}

/// Prometheus's own tool, where there is one, has the last word.
fn assert_accepted_by_promtool(text: &str) {
    let command = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn();
    match command {
        Ok(mut promtool) => {
            promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
            assert!(promtool.wait().expect("it ends").success(), "promtool's objections are above");
        }
        Err(error) => eprintln!("not checked by promtool: {error}"),
    }
}

#[tokio::test]
async fn every_way_a_call_ends_counts_once_under_its_code_and_reason() {
    let server = Server::start(ADMIN).await;
    let admin = admin(&server.program).await;
    let mut client = server.client();

    let source = Some(Source::Query("no-such-query".to_owned()));
    let unknown = StreamQueryRequest {
        statement: Some(Statement { source, ..Statement::default() }),
        ..StreamQueryRequest::default()
    };
    client.stream_query(unknown).await.expect_err("there is no such query");

    let mut request = stream_of(ENDLESS);
    request.query_id = "mine".to_owned();
    let mut cancelled = client.stream_query(request).await.expect("headers").into_inner();
    client.cancel_query(CancelQueryRequest { query_id: "mine".to_owned() }).await.expect("cancelled");
    while let Ok(message) = cancelled.message().await {
        message.expect("not the end");
    }

    let late = client.stream_query(within(Duration::from_millis(300), stream_of("select pg_sleep(30)"))).await;
    let late = late.map(|_| ()).expect_err("too late");
    assert_eq!(outcome(&late), is(tonic::Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));

    drop(open(&client, ENDLESS).await);
    client.query_row(row_of("select 1 where false")).await.expect_err("no row");

    let expected = [
        ("none", "NOT_FOUND", "UNKNOWN_QUERY"),
        ("sql", "CANCELLED", "CANCEL_REQUESTED"),
        ("sql", "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
        ("sql", "CANCELLED", "CALLER_GONE"),
    ];
    eventually("every call has ended", PATIENCE, async || {
        let scrape = Scrape::of(admin);
        expected.iter().all(|(statement, code, reason)| ended(&scrape, statement, code, reason) > 0.0)
            && scrape.sum("rowstream_calls_in_flight", &[]) == 0.0
    })
    .await;
    let scrape = Scrape::of(admin);
    for (statement, code, reason) in expected {
        assert_eq!(ended(&scrape, statement, code, reason), 1.0, "{reason}");
    }
    assert_eq!(scrape.sum("rowstream_calls_total", &["method=\"StreamQuery\""]), 4.0);
    scrape.assert("rowstream_calls_total", &["method=\"QueryRow\"", "code=\"NOT_FOUND\"", "reason=\"NO_ROW\""], 1.0);
    scrape.assert("rowstream_calls_total", &["method=\"CancelQuery\"", "code=\"OK\""], 1.0);
    scrape.assert("rowstream_deadline_overshoot_seconds_count", &[], 1.0);
    assert!(scrape.sum("rowstream_cancel_duration_seconds_count", &["end=\"cancelled\""]) >= 1.0);
    assert!(!scrape.0.contains("no-such-query"), "a name that does not exist makes no series");
    scrape.assert("rowstream_streams_open", &[], 0.0);
}

#[tokio::test]
async fn what_is_open_and_what_waits_shows_while_it_does() {
    let flags = [ADMIN, &["--max-streams", "1", "--pool-max", "1"]].concat();
    let server = Server::start(&flags).await;
    let admin = admin(&server.program).await;
    let running = open(&server.client(), ENDLESS).await;
    let mut client = server.client();
    let waiting = tokio::spawn(async move { client.query_row(row_of("select 1")).await });
    eventually("one call waits", PATIENCE, async || Scrape::of(admin).sum("rowstream_queue_length", &[]) == 1.0).await;
    let scrape = Scrape::of(admin);
    scrape.assert("rowstream_streams_open", &[], 1.0);
    scrape.assert("rowstream_streams_limit", &[], 1.0);
    scrape.assert("rowstream_calls_in_flight", &["method=\"StreamQuery\""], 1.0);
    scrape.assert("rowstream_calls_in_flight", &["method=\"QueryRow\""], 1.0);
    scrape.assert("rowstream_pool_connections", &["pool=\"calls\"", "state=\"in_use\""], 1.0);
    assert!(scrape.sum("rowstream_rows_sent_total", &[]) > 0.0, "a stream is counted while it runs");
    drop(running);
    waiting.await.expect("no panic").expect("its turn");
    eventually("the queue is empty", PATIENCE, async || Scrape::of(admin).sum("rowstream_queue_length", &[]) == 0.0)
        .await;
}

#[tokio::test]
async fn named_queries_count_under_their_names_and_wrong_ones_show() {
    let folder = tempdir().expect("a folder");
    for (file, content) in
        [("good.sql", "select 1"), ("broken.sql", "select * from no_such_table"), ("wrong.sql", "-- max_rows: many")]
    {
        std::fs::write(folder.path().join(file), content).expect("written");
    }
    let flags = [ADMIN, &["--queries", folder.path().to_str().expect("UTF-8")]].concat();
    let server = Server::start(&flags).await;
    let admin = admin(&server.program).await;
    let queries = |state: &str| Scrape::of(admin).sum("rowstream_named_queries", &[&format!("state=\"{state}\"")]);
    eventually("both are found broken", PATIENCE, async || queries("broken") == 2.0).await;
    assert_eq!(queries("served"), 2.0, "PostgreSQL is asked again at each call of the one that it refuses");
    let checks =
        |labels: &[&str]| Scrape::of(admin).sum("rowstream_calls_total", &[labels, &["method=\"check\""]].concat());
    assert_eq!(checks(&["statement=\"good\"", "code=\"OK\""]), 1.0);
    assert_eq!(checks(&["statement=\"broken\"", "reason=\"QUERY_BROKEN\""]), 1.0);
}

#[tokio::test]
async fn readiness_follows_the_health_service_and_the_port_is_the_last_to_end() {
    let mut server = Server::start(ADMIN).await;
    let admin = admin(&server.program).await;
    eventually("it is ready", PATIENCE, async || get(admin, "/readyz") == (200, "ok\n".to_owned())).await;
    let stream = open(&server.client(), ENDLESS).await;
    server.program.signal("TERM");
    eventually("it drains", PATIENCE, async || get(admin, "/readyz").0 == 503).await;
    assert_eq!(get(admin, "/readyz").1, "draining\n");
    assert_eq!(get(admin, "/livez"), (200, "ok\n".to_owned()));
    let scrape = Scrape::of(admin);
    scrape.assert("rowstream_draining", &[], 1.0);
    scrape.assert("rowstream_streams_open", &[], 1.0);
    drop(stream);
    assert_eq!(server.program.end().await.status, Some(0));
    ask(admin, "GET /livez").expect_err("nobody listens any more");
}

#[tokio::test]
async fn without_postgresql_it_lives_and_is_not_ready() {
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let flags = [ADMIN, &["--database-url", url, "--listen", "127.0.0.1:0"]].concat();
    let mut program = Program::spawn(Program::command().args(flags));
    program.address().await;
    let admin = admin(&program).await;
    assert_eq!(get(admin, "/livez").0, 200);
    assert_eq!(get(admin, "/readyz"), (503, "PostgreSQL does not answer\n".to_owned()));
    eventually("the failed attempts show", PATIENCE, async || {
        Scrape::of(admin).sum("rowstream_pool_opens_total", &["pool=\"control\"", "outcome=\"failed\""]) > 0.0
    })
    .await;
    Scrape::of(admin).assert("rowstream_database_up", &[], 0.0);
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_clog_the_port() {
    let server = Server::start(ADMIN).await;
    let admin = admin(&server.program).await;
    // More than are served at a time.
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(admin).expect("connected")).collect();
    assert_eq!(get(admin, "/livez").0, 200);
    drop(silent);
    assert!(ask(admin, "POST /metrics").expect("an answer").starts_with("HTTP/1.1 405"));
    assert_eq!(get(admin, "/").0, 404);
    let long = format!("GET /livez?{}", "x".repeat(64 * 1024));
    assert!(ask(admin, &long).map_or(true, |answer| answer.starts_with("HTTP/1.1 4")), "a head that is too large");
    assert_eq!(get(admin, "/livez").0, 200);
}

#[tokio::test]
async fn an_admin_address_in_use_is_status_69() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let args = ["--database-url", url, "--listen", "127.0.0.1:0", "--admin-listen", &address];
    let ended = Program::run(&args).await;
    assert_eq!(ended.status, Some(69), "{ended:?}");
    assert!(ended.stderr.contains(&format!("--admin-listen {address}")), "{ended:?}");
}
