//! TLS between server and client: trust, names, time; certificates replaced under live streams; callers that speak
//! the wrong thing, or nothing. Certificates are made here.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path};

use futures_util::future::join_all;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rowstream_client::{Client, ClientBuilder, Error, Health};
use rowstream_server::{Config, ServeError, serve};
use rowstream_testkit::{Database, Postgres, Program, eventually};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::harness::PATIENCE;

/// Rows for minutes, of which a batch holds a few.
const ENDLESS: &str = "select i, repeat('x', 20000), pg_sleep(0.001) from generate_series(1, 1000000) i";

/// A certificate authority of a test's own.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        // A name of its own: a certificate's issuer is found by name.
        params.distinguished_name.push(DnType::CommonName, format!("{:x?}", &key.public_key_raw()[..8]));
        Self { certificate: params.self_signed(&key).expect("signed"), issuer: Issuer::new(params, key) }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Puts a certificate for a name, valid in these years, and its key into a folder.
    fn issue(&self, name: &str, years: (i32, i32), folder: &Path) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(years.0, 1, 1), rcgen::date_time_ymd(years.1, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        fs::write(folder.join("tls.key"), key.serialize_pem()).expect("written");
        fs::write(folder.join("tls.crt"), certificate.pem()).expect("written");
    }
}

const NOW: (i32, i32) = (2000, 3000);

/// A certificate and its key in a folder as Kubernetes mounts a secret: links to a link to a folder.
struct Secret {
    folder: TempDir,
    versions: u32,
}

impl Secret {
    fn new(fill: impl FnOnce(&Path)) -> Self {
        let folder = TempDir::new().expect("a folder");
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("data/{name}"), folder.path().join(name)).expect("linked");
        }
        let mut secret = Self { folder, versions: 0 };
        secret.replace(fill);
        secret
    }

    /// Swaps the link, so that both files change at one moment.
    fn replace(&mut self, fill: impl FnOnce(&Path)) {
        self.versions += 1;
        let version = self.folder.path().join(self.versions.to_string());
        fs::create_dir(&version).expect("made");
        fill(&version);
        let new = self.folder.path().join("new");
        symlink(self.versions.to_string(), &new).expect("linked");
        fs::rename(&new, self.folder.path().join("data")).expect("swapped");
    }

    fn flags(&self) -> [String; 4] {
        let file = |name| self.folder.path().join(name).to_str().expect("UTF-8").to_owned();
        ["--tls-cert".to_owned(), file("tls.crt"), "--tls-key".to_owned(), file("tls.key")]
    }
}

/// A server with TLS.
struct Secure {
    secret: Secret,
    address: SocketAddr,
    shutdown: CancellationToken,
    server: JoinHandle<Result<(), ServeError>>,
    _database: Database,
}

impl Secure {
    async fn start(authority: &Authority, name: &str, years: (i32, i32), flags: &[&str]) -> Self {
        let secret = Secret::new(|folder| authority.issue(name, years, folder));
        let database = Postgres::shared().create_database().expect("a database");
        let fixed = ["--database-url", &database.url(), "--allow-sql"].map(ToOwned::to_owned);
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        let config = Config::try_from_args(fixed.into_iter().chain(secret.flags()).chain(flags)).expect("valid");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(config, listener, shutdown.clone()));
        Self { secret, address, shutdown, server, _database: database }
    }

    fn https(&self) -> String {
        https(self.address)
    }

    fn client(&self, authority: &Authority) -> Client {
        client(self.address, authority)
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.server.await.expect("no panic").expect("a clean end");
    }
}

fn https(address: SocketAddr) -> String {
    format!("https://localhost:{}", address.port())
}

/// A client with a connection of its own.
fn client(address: SocketAddr, authority: &Authority) -> Client {
    build(Client::builder([https(address)]).ca_certificate(authority.pem()))
}

fn build(builder: ClientBuilder) -> Client {
    builder.connections_per_endpoint(1).build().expect("valid settings")
}

async fn until_serving(client: &Client) {
    eventually("the server serves", PATIENCE, async || matches!(client.health().await, Ok(Health::Serving))).await;
}

/// The error and the hint of a client that cannot connect.
async fn refusal(client: &Client) -> (Error, String) {
    let error = client.health().await.expect_err("refused");
    let hint = error.hint().expect("a hint");
    (error, hint)
}

#[tokio::test]
async fn calls_health_and_lists_work_over_tls_like_without() {
    let authority = Authority::new();
    let server = Secure::start(&authority, "localhost", NOW, &[]).await;
    let client = server.client(&authority);
    until_serving(&client).await;
    let row = client.sql("select $1::int + 1").bind(41).query_row().await.expect("a row");
    assert_eq!(row.get::<i32>(0).expect("a number"), 42);
    let mut rows =
        client.sql("select i, repeat('x', 1000) from generate_series(1, 20000) i").stream().await.expect("rows");
    while rows.next_batch().await.expect("a batch").is_some() {}
    assert_eq!(rows.summary().expect("a summary").row_count, 20_000);
    assert!(client.list_queries().await.expect("a list").is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_refused_with_the_reason_and_what_to_do() {
    let authority = Authority::new();
    for (name, years, trusted, told, hint) in [
        ("localhost", NOW, false, "UnknownIssuer", "--cacert"),
        ("localhost", (1990, 2000), true, "expired", "has expired"),
        ("localhost", (2900, 3000), true, "not valid yet", "clock"),
        ("elsewhere.test", NOW, true, "elsewhere.test", "--server-name"),
    ] {
        let server = Secure::start(&authority, name, years, &[]).await;
        let stranger = Authority::new();
        let client = server.client(if trusted { &authority } else { &stranger });
        let (error, hinted) = refusal(&client).await;
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.to_string().contains(told), "{told}: {error}");
        assert!(hinted.contains(hint), "{error}: {hinted}");
        server.stop().await;
    }
}

#[tokio::test]
async fn the_systems_authorities_count_only_where_none_is_given_and_a_name_can_be_given() {
    let authority = Authority::new();
    let server = Secure::start(&authority, "db.internal.test", NOW, &[]).await;
    let named = Client::builder([server.https()]).ca_certificate(authority.pem()).server_name("db.internal.test");
    until_serving(&build(named)).await;
    match Client::builder([server.https()]).server_name("db.internal.test").build() {
        Ok(client) => assert!(refusal(&client).await.0.to_string().contains("UnknownIssuer")),
        // A machine without any certificate authority.
        Err(error) => assert!(error.to_string().contains("--cacert"), "{error}"),
    }
    server.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_served_to_new_connections_and_streams_under_way_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut server = Secure::start(&old, "localhost", NOW, &["--grace-period", "1s"]).await;
    let connected = server.client(&old);
    until_serving(&connected).await;
    let mut rows = connected.sql(ENDLESS).stream().await.expect("rows");
    rows.next_batch().await.expect("a batch").expect("rows");

    server.secret.replace(|folder| new.issue("localhost", NOW, folder));
    until_serving(&server.client(&new)).await;
    assert!(refusal(&server.client(&old)).await.0.to_string().contains("UnknownIssuer"));

    // More than all buffers between the two hold.
    for _ in 0..30 {
        rows.next_batch().await.expect("the stream goes on").expect("rows");
    }
    connected.sql("select 1").query_row().await.expect("and so does its connection");
    drop(rows);
    server.stop().await;
}

#[tokio::test]
async fn a_new_pair_that_cannot_be_served_is_logged_and_the_old_one_stays_until_it_is_mended() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut secret = Secret::new(|folder| old.issue("localhost", NOW, folder));
    let database = Postgres::shared().create_database().expect("a database");
    let fixed = ["--database-url", &database.url(), "--listen", "127.0.0.1:0"].map(ToOwned::to_owned);
    let mut program = Program::spawn(Program::command().args(fixed).args(secret.flags()));
    let address = program.address().await;
    until_serving(&client(address, &old)).await;

    let other_key = |folder: &Path| {
        new.issue("localhost", NOW, folder);
        fs::write(folder.join("tls.key"), KeyPair::generate().expect("a key").serialize_pem()).expect("written");
    };
    secret.replace(other_key);
    until_refused(&program, "it is not the key of the certificate", 1).await;
    // A person who asks is answered, also if nothing has changed.
    program.signal("HUP");
    until_refused(&program, "it is not the key of the certificate", 2).await;
    client(address, &old).health().await.expect("the old certificate");
    secret.replace(|folder| new.issue("localhost", (1990, 2000), folder));
    until_refused(&program, "the certificate expired at", 1).await;
    secret.replace(|_| ());
    until_refused(&program, "No such file", 1).await;
    client(address, &old).health().await.expect("the old certificate");

    secret.replace(|folder| new.issue("localhost", NOW, folder));
    program.signal("HUP");
    program.until_logged("TLS certificate read again").await;
    client(address, &new).health().await.expect("the new certificate");
    assert_eq!(program.terminate().await.status, Some(0));
}

/// Waits until the program has refused a new pair so often for this reason.
async fn until_refused(program: &Program, reason: &str, times: usize) {
    eventually(reason, PATIENCE, async || {
        let log = program.log();
        let refused = log.iter().filter(|line| line.message().starts_with("the new TLS certificate cannot be served"));
        refused.filter(|line| line.text("reason").contains(reason)).count() == times
    })
    .await;
}

#[tokio::test]
async fn a_caller_without_tls_is_told_to_use_https_and_one_with_tls_on_a_plain_port_not_to() {
    let authority = Authority::new();
    let server = Secure::start(&authority, "localhost", NOW, &[]).await;
    until_serving(&server.client(&authority)).await;
    let plain = build(Client::builder([format!("http://{}", server.address)]));
    let (error, hint) = refusal(&plain).await;
    assert!(error.to_string().contains("this port speaks TLS"), "{error}");
    assert_eq!(hint, format!("write https://{} instead", server.address));
    server.stop().await;

    let pair = crate::harness::Pair::start().await;
    let secure = Client::builder([pair.url.replacen("http:", "https:", 1)]).ca_certificate(authority.pem());
    let (error, hint) = refusal(&build(secure)).await;
    assert!(hint.contains("If not, write http:// instead of https://"), "{error}: {hint}");
    pair.stop().await;
}

#[tokio::test]
async fn handshakes_that_never_come_hold_up_nobody_and_count_in_the_bound_on_connections() {
    let authority = Authority::new();
    let server = Secure::start(&authority, "localhost", NOW, &["--max-connections", "60"]).await;
    let client = server.client(&authority);
    until_serving(&client).await;
    let mut crowd = join_all((0..50).map(|_| TcpStream::connect(server.address))).await;
    // Half of them say nothing, the others begin a handshake and stop.
    for stream in crowd.iter_mut().take(25) {
        stream.as_mut().expect("connected").write_all(b"\x16\x03\x01\x02\x00\x01").await.expect("room");
    }
    until_serving(&server.client(&authority)).await;
    client.sql("select 1").query_row().await.expect("who is connected is served");

    // Beyond the bound connections wait, until handshakes have run out of time.
    crowd.extend(join_all((0..20).map(|_| TcpStream::connect(server.address))).await);
    until_serving(&server.client(&authority)).await;
    drop(crowd);
    server.stop().await;
}
