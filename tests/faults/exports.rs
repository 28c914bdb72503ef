//! `rowstream export` killed, its servers killed and its backends killed, while others write to what it exports: what
//! is in its files in the end is what its snapshot saw, each row once.

use std::{
    ffi::OsStr,
    io::Read,
    net::{SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use arrow_array::{RecordBatch, cast::AsArray as _, types::Int32Type};
use arrow_ipc::reader::FileReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rowstream_testkit::{Database, PATIENCE, Postgres, Program, bin, eventually};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::size::{Size, figure};

const ROWS: usize = 24_000;
const PARTITIONS: usize = 8;

/// The flags of an export's files and partitions. By a hash, a partition cannot be resumed within.
const FORMS: [&[&str]; 4] = [
    &["-f", "csv"],
    &["-f", "parquet"],
    &["-f", "csv", "--compress", "zstd", "--partition-strategy", "hash"],
    &["-f", "arrow", "--partition-strategy", "key-range"],
];

/// A row, as COPY writes it.
type Rows = Vec<String>;

/// Servers of one database with the same keys, the files of an export, and somebody who writes all the time.
struct Scene {
    servers: Vec<Server>,
    flags: Vec<String>,
    database: Database,
    directory: tempfile::TempDir,
    stop: CancellationToken,
    writers: Vec<tokio::task::JoinHandle<u64>>,
}

struct Server {
    program: Program,
    address: SocketAddr,
}

impl Scene {
    async fn start(servers: usize) -> Self {
        Self::with(servers, ROWS, &[]).await
    }

    /// With so many rows, and these flags for its servers.
    async fn with(servers: usize, rows: usize, flags: &[&str]) -> Self {
        let database = Postgres::shared().create_database().expect("a database");
        let create = format!(
            "create table goods (id int primary key, t text, v int);
            insert into goods select i, repeat(md5(i::text), 12), i from generate_series(1, {rows}) i;
            analyze goods"
        );
        database.psql(&create).expect("created");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("keys"), "0123456789abcdef".repeat(4)).expect("written");
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        let stop = CancellationToken::new();
        let mut scene = Self { servers: Vec::new(), flags, database, directory, stop, writers: Vec::new() };
        for _ in 0..servers {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
            let server = scene.server(port).await;
            scene.servers.push(server);
        }
        scene.writers = (0..2).map(|number| scene.writer(number)).collect();
        scene
    }

    async fn server(&self, listen: SocketAddr) -> Server {
        let mut command = Program::command();
        let keys = self.directory.path().join("keys");
        command.args(["--listen", &listen.to_string(), "--tables", "public.*", "--token-keys"]).arg(keys);
        command.args(["--database-url", &self.database.url(), "--pool-max", "10"]).args(&self.flags);
        let mut program = Program::spawn(&mut command);
        let address = program.address().await;
        Server { program, address }
    }

    /// Inserts, updates and deletes rows of its own, so that they move and come and go; answers how often.
    fn writer(&self, number: u32) -> tokio::task::JoinHandle<u64> {
        let (stop, name) = (self.stop.clone(), self.database.name().to_owned());
        spawn_blocking(move || {
            let mut random = fastrand::Rng::with_seed(number.into());
            let mut times = 0;
            while !stop.is_cancelled() {
                let own = 2 * random.usize(0..50) + number as usize;
                let new = 1_000_000 * (number as usize + 1) + times;
                let write = format!(
                    "update goods set v = v + 1, t = t || '.' where id % 100 = {own} and id < 1000000;
                    delete from goods where id % 500 = {own};
                    insert into goods values ({new}, 'new', 0)"
                );
                Postgres::shared().psql(&name, &write).expect("written");
                times += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            times as u64
        })
    }

    fn out(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn export(&self, form: &[&str], out: &Path, more: &[&str]) -> Child {
        self.export_in(PARTITIONS, form, out, more)
    }

    fn export_in(&self, partitions: usize, form: &[&str], out: &Path, more: &[&str]) -> Child {
        let mut command = Command::new(bin("rowstream"));
        let endpoints: Vec<_> = self.servers.iter().map(|server| format!("http://{}", server.address)).collect();
        command.args(["export", "--endpoint", &endpoints.join(","), "--table", "goods", "-o"]).arg(out).args(form);
        command.args(["--partitions", &partitions.to_string(), "--concurrency", "4", "--file-size", "1MiB"]);
        command.args(["--retries", "100"]).args(more).env("XDG_CONFIG_HOME", "/nonexistent");
        command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started")
    }

    /// Waits until an export has a snapshot, and reads with psql what that sees.
    async fn seen(&self, out: &Path) -> Rows {
        self.seen_in_another(out, "").await.1
    }

    /// The same of another snapshot than that one; with its name.
    async fn seen_in_another(&self, out: &Path, than: &str) -> (String, Rows) {
        let mut name = None;
        eventually("the export has a session", PATIENCE, async || {
            name = snapshot(out).filter(|name| name != than);
            name.is_some()
        })
        .await;
        let name = name.expect("a snapshot");
        let begin = format!("begin isolation level repeatable read; set transaction snapshot '{name}';");
        let rows = self.rows(&begin);
        (name, rows)
    }

    /// The rows as COPY has them, sorted, in a transaction that begins so.
    fn rows(&self, begin: &str) -> Rows {
        let copied = self.database.psql(&format!("{begin} copy goods to stdout (format csv); commit")).expect("copied");
        let mut rows: Vec<_> = copied.lines().filter(|line| line.contains(',')).map(str::to_owned).collect();
        rows.sort_unstable();
        rows
    }

    fn verify(&self, out: &Path) {
        let output = Command::new(bin("rowstream")).args(["export", "--verify"]).arg(out).output().expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A complete export has what was seen, and is removed.
    fn check(&self, out: &Path, seen: &[String]) {
        self.verify(out);
        same(&exported(out), seen);
        std::fs::remove_dir_all(out).expect("removed");
    }

    /// Runs an export until it is complete, however often it has to be begun again; answers how often it ended early.
    async fn until_complete(&self, form: &[&str], out: &Path) -> u32 {
        let mut early = 0;
        loop {
            let (status, told) = ended(self.export(form, out, &[])).await;
            match status.code() {
                Some(0) => return early,
                // Lost all of its servers, or one of them while it asked.
                Some(69 | 75) if early < 100 => early += 1,
                _ => panic!("{status:?}: {told}"),
            }
        }
    }

    async fn kill(&mut self, index: usize) {
        let program = &mut self.servers[index].program;
        program.signal("KILL");
        eventually("the program has ended", PATIENCE, async || program.has_ended()).await;
    }

    /// The server that holds the snapshot of the last session: the one whose socket its backend talks to.
    async fn holder(&self) -> usize {
        let mut holder = None;
        eventually("a server holds the snapshot", PATIENCE, async || {
            let sql = "select client_port from pg_stat_activity where application_name like 'rowstream session %'
                       and datname = current_database() order by xact_start desc limit 1";
            let port = self.database.psql(sql).expect("asked").trim().parse().unwrap_or(0);
            holder = self.servers.iter().position(|server| server.program.owns_port(port));
            holder.is_some()
        })
        .await;
        holder.expect("a holder")
    }

    /// The servers that read partitions just now.
    fn reading(&self) -> Vec<usize> {
        let ports = self.database.psql(&format!("select client_port from {BUSY}")).expect("asked");
        let ports: Vec<u16> = ports.lines().filter_map(|port| port.trim().parse().ok()).collect();
        let reads = |server: &Server| ports.iter().any(|port| server.program.owns_port(*port));
        (0..self.servers.len()).filter(|index| reads(&self.servers[*index])).collect()
    }

    async fn end(self) -> u64 {
        self.stop.cancel();
        let mut writes = 0;
        for writer in self.writers {
            writes += writer.await.expect("wrote");
        }
        writes
    }
}

/// Backends that read partitions, not those that hold snapshots.
const BUSY: &str = "pg_stat_activity where state <> 'idle' and datname = current_database()
    and application_name like 'rowstream %' and application_name not like 'rowstream session %'";

/// The name of an export's snapshot, once it has one.
fn snapshot(out: &Path) -> Option<String> {
    let text = std::fs::read_to_string(out.join("export.journal")).ok()?;
    let first = text.split_inclusive('\n').next().filter(|line| line.ends_with('\n'))?;
    let begun: serde_json::Value = serde_json::from_str(first).ok()?;
    Some(begun["snapshot"]["id"].as_str()?.to_owned())
}

/// What a complete export has in its files, sorted.
fn exported(out: &Path) -> Rows {
    let files = std::fs::read_dir(out).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut rows = Vec::new();
    for path in files {
        let file = std::fs::File::open(&path).expect("opened");
        match path.extension().and_then(OsStr::to_str) {
            Some("csv") => rows.extend(lines(file)),
            Some("zst") => rows.extend(lines(zstd::Decoder::new(file).expect("compressed"))),
            Some("parquet") => {
                let batches = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|reader| reader.build());
                rows.extend(batches.expect("Parquet").flat_map(|batch| values(&batch.expect("a batch"))));
            }
            Some("arrow") => {
                let batches = FileReader::try_new_buffered(file, None).expect("Arrow");
                rows.extend(batches.flat_map(|batch| values(&batch.expect("a batch"))));
            }
            _ => assert_eq!(path.file_name(), Some(OsStr::new("manifest.json"))),
        }
    }
    rows.sort_unstable();
    rows
}

/// Below the header.
fn lines(mut text: impl Read) -> Rows {
    let mut read = String::new();
    text.read_to_string(&mut read).expect("read");
    read.lines().skip(1).map(str::to_owned).collect()
}

fn values(batch: &RecordBatch) -> Rows {
    let (ids, texts, numbers) = (
        batch.column(0).as_primitive::<Int32Type>(),
        batch.column(1).as_string::<i32>(),
        batch.column(2).as_primitive::<Int32Type>(),
    );
    let row = |row| format!("{},{},{}", ids.value(row), texts.value(row), numbers.value(row));
    (0..batch.num_rows()).map(row).collect()
}

async fn ended(child: Child) -> (ExitStatus, String) {
    let output = spawn_blocking(|| child.wait_with_output()).await.expect("waited").expect("ended");
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn same(exported: &[String], seen: &[String]) {
    assert!(seen.len() > ROWS / 2, "{} rows", seen.len());
    assert_eq!(exported.len(), seen.len(), "0 lost, 0 doubled");
    assert!(exported == seen, "0 of another snapshot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_killed_again_and_again_has_each_row_of_its_snapshot_once() {
    let asked = Size::asked().count(50, 1_000);
    let scene = Scene::start(1).await;
    let (mut kills, mut exports) = (0, 0);
    while kills < asked {
        exports += 1;
        let (out, form) = (scene.out(&format!("export-{exports}")), FORMS[exports % FORMS.len()]);
        // So slow that its snapshot is there when it is looked at.
        let mut running = scene.export(form, &out, &["--rate", "3/s"]);
        let seen = scene.seen(&out).await;
        let (status, told) = loop {
            // Shorter and longer than an export takes in all.
            sleep(Duration::from_millis(fastrand::u64(0..300) * fastrand::u64(1..9))).await;
            if kills < asked {
                running.kill().expect("killed");
            }
            let (status, told) = ended(running).await;
            if status.signal().is_none() {
                break (status, told);
            }
            kills += 1;
            running = scene.export(form, &out, &["--rate", "8/s"]);
        };
        assert!(status.success(), "{told}");
        scene.check(&out, &seen);
    }
    let writes = scene.end().await;
    figure(
        6,
        writes > 0,
        format!(
            "{kills} times kill -9 of {exports} exports, {writes} writes beside: 0 rows lost, doubled or of another snapshot"
        ),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_backends_that_are_killed_cost_an_export_no_row() {
    let asked = Size::asked().count(50, 500);
    let mut scene = Scene::start(3).await;
    let (mut kills, mut exports, mut early) = (0, 0, 0);
    while kills < asked {
        exports += 1;
        let (out, form) = (scene.out(&format!("export-{exports}")), FORMS[exports % FORMS.len()]);
        let mut running = scene.export(form, &out, &["--rate", "3/s"]);
        let seen = scene.seen(&out).await;
        let holder = scene.holder().await;
        while running.try_wait().expect("asked").is_none() && kills < asked {
            if kills % 2 == 0 {
                let victims: Vec<_> = scene.reading().into_iter().filter(|index| *index != holder).collect();
                let Some(victim) = fastrand::choice(victims) else {
                    sleep(Duration::from_millis(20)).await;
                    continue;
                };
                scene.kill(victim).await;
                let address = scene.servers[victim].address;
                scene.servers[victim] = scene.server(address).await;
            } else {
                let sql = format!("select count(*) filter (where pg_terminate_backend(pid)) from {BUSY}");
                let ended = scene.database.psql(&sql).expect("terminated");
                sleep(Duration::from_millis(fastrand::u64(0..200))).await;
                if ended.trim() == "0" {
                    continue;
                }
            }
            kills += 1;
        }
        let (status, told) = ended(running).await;
        if !status.success() {
            assert!(matches!(status.code(), Some(69 | 75)), "{told}");
            early += 1 + scene.until_complete(form, &out).await;
        }
        scene.check(&out, &seen);
    }
    let writes = scene.end().await;
    figure(
        6,
        writes > 0,
        format!(
            "{kills} kills of servers and of all busy backends in {exports} exports over three servers, {writes} writes \
             beside: 0 rows lost, doubled or of another snapshot; begun again {early} times"
        ),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_takes_longer_than_its_server_lets_a_call_take() {
    // Read in some seconds.
    let scene = Scene::with(1, 6 * ROWS, &["--max-deadline", "500ms", "--default-deadline", "500ms"]).await;
    let cuts = || {
        let log = scene.servers[0].program.log();
        let cut = log.iter().filter(|line| line.message() == "call" && line.text("outcome") == "DEADLINE_EXCEEDED");
        cut.count()
    };
    for (partitions, form) in [(1, FORMS[0]), (2, FORMS[1])] {
        let (out, before) = (scene.out(form[1]), cuts());
        let running = scene.export_in(partitions, form, &out, &[]);
        let seen = scene.seen(&out).await;
        let (status, told) = ended(running).await;
        assert!(status.success(), "{told}");
        assert!(cuts() > before, "{form:?}: it was too fast");
        scene.check(&out, &seen);
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_server_that_holds_the_snapshot_is_killed_an_export_does_as_it_was_told() {
    for what in ["fail", "restart", "continue-live"] {
        let mut scene = Scene::start(3).await;
        let out = scene.out(what);
        let mut running = scene.export(FORMS[0], &out, &["--rate", "2/s", "--on-snapshot-lost", what]);
        let (first, seen) = scene.seen_in_another(&out, "").await;
        let holder = scene.holder().await;
        eventually("two partitions are complete", PATIENCE, async || {
            let journal = std::fs::read_to_string(out.join("export.journal")).unwrap_or_default();
            assert!(running.try_wait().expect("asked").is_none(), "it ended too soon");
            journal.lines().filter(|line| line.contains("\"whole\"")).count() >= 2
        })
        .await;
        scene.kill(holder).await;
        if what == "continue-live" {
            eventually("what is left is read live", PATIENCE, async || {
                assert!(running.try_wait().expect("asked").is_none(), "it ended too soon");
                std::fs::read_to_string(out.join("export.journal")).is_ok_and(|journal| journal.contains("\"live\"\n"))
            })
            .await;
            sleep(Duration::from_millis(fastrand::u64(0..1500))).await;
            running.kill().expect("killed");
            let (status, _) = ended(running).await;
            assert_eq!(status.signal(), Some(9));
            running = scene.export(FORMS[0], &out, &["--rate", "8/s", "--on-snapshot-lost", what]);
        }
        let again = match what {
            "restart" => scene.seen_in_another(&out, &first).await.1,
            _ => Rows::new(),
        };
        let (status, told) = ended(running).await;
        match what {
            "fail" => {
                assert_eq!(status.code(), Some(75), "{told}");
                assert!(told.contains("the snapshot of the export is gone"), "{told}");
                assert!(!out.join("manifest.json").exists());
            }
            "restart" => {
                assert!(status.success() && told.contains("from a new snapshot"), "{told}");
                assert!(again != seen, "the second snapshot saw what was written since the first");
                scene.check(&out, &again);
            }
            _ => {
                assert!(status.success(), "{told}");
                scene.verify(&out);
                let manifest = std::fs::read(out.join("manifest.json")).expect("a manifest");
                let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
                let files = manifest["files"].as_array().expect("files");
                let live = files.iter().filter(|file| file["live"] == true).count();
                assert!(live > 0 && live < files.len(), "{live} of {} files", files.len());
                assert_eq!(manifest["partition_strategy"], "key-range");
                // Keys do not change here, so no row is lost between two states, and none doubled.
                let ids = |rows: &[String]| rows.iter().map(|row| row.split(',').next().map(str::to_owned)).collect();
                let (before, after): (Vec<_>, Vec<_>) = (ids(&seen), ids(&scene.rows("begin;")));
                let got: Vec<_> = ids(&exported(&out));
                assert!(got.iter().collect::<std::collections::BTreeSet<_>>().len() == got.len(), "0 doubled");
                let stayed = before.iter().filter(|id| after.binary_search(id).is_ok());
                assert!(stayed.clone().all(|id| got.contains(id)), "0 lost");
            }
        }
        scene.end().await;
    }
}
