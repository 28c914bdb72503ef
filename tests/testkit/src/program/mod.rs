//! A program of this workspace as a process: its arguments and environment, its signals, its end, and what it takes
//! of the machine.

mod log;
mod output;

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub use self::log::Line;
use self::output::Output;
use crate::{bin, eventually};

/// Long enough for anything that is going to happen at all on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running program, by default `rowstream-server`. Dropped, it is killed.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// What a program that has ended leaves behind.
#[derive(Debug)]
pub struct Ended {
    /// `None` if a signal ended it.
    pub status: Option<i32>,
    /// All it wrote there.
    pub stdout: String,
    /// All it wrote there.
    pub stderr: String,
}

impl Program {
    /// The built `rowstream-server` without arguments, and with none of this process's settings for it or for
    /// PostgreSQL.
    ///
    /// # Panics
    ///
    /// If it has not been built.
    #[must_use]
    pub fn command() -> Command {
        without_settings(Command::new(bin("rowstream-server")))
    }

    /// The same with at most so many open files.
    ///
    /// # Panics
    ///
    /// If it has not been built.
    #[must_use]
    pub fn with_open_files(limit: u32) -> Command {
        let mut shell = without_settings(Command::new("sh"));
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script]).arg(bin("rowstream-server"));
        shell
    }

    /// The same, where whoever reads its stderr goes away once it has said where it listens.
    ///
    /// # Panics
    ///
    /// If it has not been built.
    #[must_use]
    pub fn with_lost_stderr() -> Command {
        let mut shell = without_settings(Command::new("bash"));
        // grep ends at the first such line, and hands it on.
        let script = r#"exec "$0" "$@" 2> >(exec grep -m 1 '"listening"' >&2)"#;
        shell.args(["-c", script]).arg(bin("rowstream-server"));
        shell
    }

    /// Starts a command; its output is collected.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = Output::of(child.stdout.take().expect("stdout is a pipe"));
        let stderr = Output::of(child.stderr.take().expect("stderr is a pipe"));
        Self { child, stdout, stderr }
    }

    /// Runs `rowstream-server` to its end.
    pub async fn run(args: &[&str]) -> Ended {
        Self::spawn(Self::command().args(args)).end().await
    }

    /// Where it listens, as its log says.
    ///
    /// # Panics
    ///
    /// If it ends instead, or says nothing within [`PATIENCE`].
    pub async fn address(&mut self) -> SocketAddr {
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
    ///
    /// # Panics
    ///
    /// If a line is not: a panic's message, for instance.
    #[must_use]
    pub fn log(&self) -> Vec<Line> {
        log::parse(&self.stderr.text())
    }

    /// Whether its stderr contains a text.
    #[must_use]
    pub fn has_written(&self, text: &str) -> bool {
        self.stderr.contains(text)
    }

    /// Waits until a line of the log has this message.
    pub async fn until_logged(&self, message: &str) {
        eventually(message, PATIENCE, async || self.log().iter().any(|line| line.message() == message)).await;
    }

    /// Sends a signal: `TERM`, `KILL`, ...
    ///
    /// # Panics
    ///
    /// If there is no such signal, or the process has ended and been waited for.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success(), "kill -s {name} {pid}: {sent}");
    }

    /// Whether the process has ended.
    ///
    /// # Panics
    ///
    /// Never, for a child of this process.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of this process").is_some()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    ///
    /// If it has not within [`PATIENCE`].
    pub async fn end(&mut self) -> Ended {
        eventually("the program ends", PATIENCE, async || self.has_ended()).await;
        let status = self.child.wait().expect("a child of this process").code();
        Ended { status, stdout: self.stdout.rest(), stderr: self.stderr.rest() }
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(&mut self) -> Ended {
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
    /// As [`Program::log`].
    ///
    /// # Panics
    ///
    /// As [`Program::log`].
    #[must_use]
    pub fn log(&self) -> Vec<Line> {
        log::parse(&self.stderr)
    }
}

/// What Linux tells of a process.
#[cfg(target_os = "linux")]
impl Program {
    /// Resident memory now, in bytes.
    ///
    /// # Panics
    ///
    /// If the process has ended.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory so far, in bytes.
    ///
    /// # Panics
    ///
    /// If the process has ended.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// How many files and sockets are open.
    ///
    /// # Panics
    ///
    /// If the process has ended.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the process runs").count()
    }

    /// Whether one of its sockets has this port on its side (IPv4).
    ///
    /// # Panics
    ///
    /// If the process has ended.
    #[must_use]
    pub fn owns_port(&self, port: u16) -> bool {
        let id = self.child.id();
        let table = std::fs::read_to_string(format!("/proc/{id}/net/tcp")).expect("the process runs");
        // Local address, and nine columns on the socket's inode.
        let of_port = table.lines().filter_map(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let ours = columns.get(1)?.ends_with(&format!(":{port:04X}"));
            columns.get(9).filter(|_| ours).map(|inode| format!("socket:[{inode}]"))
        });
        let sockets: Vec<_> = of_port.collect();
        let mut files = std::fs::read_dir(format!("/proc/{id}/fd")).expect("the process runs").flatten();
        files.any(|file| {
            let target = std::fs::read_link(file.path()).unwrap_or_default();
            sockets.iter().any(|socket| target.as_os_str() == socket.as_str())
        })
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field is there");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
    }
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
