//! The program as a process: its arguments and environment, its output, its signals, its end.

use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rowstream_testkit::eventually;
use serde_json::Value;

use crate::harness::PATIENCE;

/// A running program. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// What a program that has ended leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// One line of the log.
#[derive(Debug)]
pub(crate) struct Line(Value);

impl Program {
    /// The program without arguments, and with none of this process's settings for it or for PostgreSQL.
    pub(crate) fn command() -> Command {
        without_settings(Command::new(env!("CARGO_BIN_EXE_rowstream-server")))
    }

    /// The program with at most so many open files.
    pub(crate) fn with_open_files(limit: u32) -> Command {
        let mut shell = without_settings(Command::new("sh"));
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_rowstream-server")]);
        shell
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = Output::of(child.stdout.take().expect("stdout is a pipe"));
        let stderr = Output::of(child.stderr.take().expect("stderr is a pipe"));
        Self { child, stdout, stderr }
    }

    /// Runs the program to its end.
    pub(crate) async fn run(args: &[&str]) -> Ended {
        Self::spawn(Self::command().args(args)).end().await
    }

    /// Where it listens, as its log says.
    pub(crate) async fn address(&mut self) -> SocketAddr {
        let mut address = None;
        eventually("the program listens", PATIENCE, async || {
            assert!(!self.has_ended(), "the program ended:\n{}", self.stderr.text());
            address = self.log().iter().find(|line| line.message() == "listening").map(|line| line.text("address"));
            address.is_some()
        })
        .await;
        address.expect("found").parse().expect("an address")
    }

    /// The log so far: stderr, of which every line must be JSON.
    pub(crate) fn log(&self) -> Vec<Line> {
        parse_log(&self.stderr.text())
    }

    /// Whether its stderr contains a text.
    pub(crate) fn has_written(&self, text: &str) -> bool {
        self.stderr.text().contains(text)
    }

    /// Waits until a line of the log has this message.
    pub(crate) async fn until_logged(&self, message: &str) {
        eventually(message, PATIENCE, async || self.log().iter().any(|line| line.message() == message)).await;
    }

    /// Sends a signal: `TERM`, `KILL`, ...
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success(), "kill -s {name} {pid}: {sent}");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of this process").is_some()
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn end(&mut self) -> Ended {
        eventually("the program ends", PATIENCE, async || self.has_ended()).await;
        let status = self.child.wait().expect("a child of this process").code();
        Ended { status, stdout: self.stdout.rest(), stderr: self.stderr.rest() }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> Ended {
        self.signal("TERM");
        self.end().await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    pub(crate) fn log(&self) -> Vec<Line> {
        parse_log(&self.stderr)
    }
}

impl Line {
    pub(crate) fn message(&self) -> &str {
        self.0["message"].as_str().unwrap_or_default()
    }

    /// A field that is text.
    pub(crate) fn text(&self, field: &str) -> String {
        self.0[field].as_str().unwrap_or_else(|| panic!("no text {field:?} in {}", self.0)).to_owned()
    }

    /// A field that counts.
    pub(crate) fn count(&self, field: &str) -> i64 {
        self.0[field].as_i64().unwrap_or_else(|| panic!("no count {field:?} in {}", self.0))
    }

    /// A field that is a number, and not negative.
    pub(crate) fn number(&self, field: &str) -> f64 {
        let number = self.0[field].as_f64().filter(|number| *number >= 0.0);
        number.unwrap_or_else(|| panic!("no number {field:?} in {}", self.0))
    }
}

fn parse_log(text: &str) -> Vec<Line> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the log line {line}"));
    text.lines().map(parse).map(Line).collect()
}

/// Keeps the user's own DATABASE_URL, ROWSTREAM_*, PG* and RUST_LOG out of a program.
fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["DATABASE_URL", "ROWSTREAM_", "PG", "RUST_LOG"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// What comes out of a pipe, line by line.
#[derive(Debug)]
struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let lines = text.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut text = lines.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
            }
        });
        Self { text, reader: Some(reader) }
    }

    /// The complete lines so far.
    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything, once the program has ended.
    fn rest(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reading thread does not panic");
        }
        self.text()
    }
}

/// What Linux tells of a process.
#[cfg(target_os = "linux")]
impl Program {
    /// Resident memory now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// How many files and sockets are open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the process runs").count()
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field is there");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
    }
}
