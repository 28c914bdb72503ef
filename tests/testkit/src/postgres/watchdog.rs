//! The process between us and PostgreSQL, which ends the server when we end.
//!
//! Destructors do not run for statics, for `exit`, or after `kill -9`; the end of a pipe is seen in every
//! case. So a small shell (`watchdog.sh`) is the server's parent, and holds on to our pipe.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::{account::Account, ready};
use crate::Error;

const SCRIPT: &str = include_str!("watchdog.sh");

/// A running watchdog. Dropped, it stops the server and removes the cluster's folder, unless that is kept.
#[derive(Debug)]
pub(crate) struct Watchdog {
    process: Child,
    folder: PathBuf,
    /// Taken only to close it.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Watchdog {
    /// Makes a cluster in `folder`, which it owns from now on, and starts its server: a new one, or a standby of the
    /// one at port `primary`. With `keep`, the cluster that is there already, which stays when the server ends.
    pub(crate) fn start(
        bin: &Path,
        folder: PathBuf,
        keep: bool,
        account: Option<Account>,
        primary: Option<u16>,
        settings: &[String],
    ) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watchdog"]).arg(bin).arg(&folder).arg(if keep { "keep" } else { "" });
        command.arg(primary.map_or_else(String::new, |port| port.to_string())).args(settings);
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C at a terminal goes to the whole group: the watchdog must outlive us to clean up.
        command.process_group(0);
        super::access::without_settings(&mut command);
        if let Some(account) = account {
            account.run(&mut command);
        }
        let mut process = command.spawn().map_err(Error::io("run sh"))?;
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("stdout is a pipe"));
        let mut watchdog = Self { process, commands, answers, folder };
        watchdog.wait_until_ready(0)?;
        Ok(watchdog)
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        ready::log(&self.folder)
    }

    /// Stops the server by a signal, and waits until its process has ended.
    pub(crate) fn stop(&mut self, signal: &str) -> Result<(), Error> {
        self.send(&format!("stop {signal}"))?;
        self.expect("stopped").map(drop)
    }

    /// Starts the server again, on the same port, after stopping it if it runs.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        // Stopped first, so that what it logs in stopping is not taken for a failed start.
        self.stop("INT")?;
        let logged = self.log().len();
        self.send("start")?;
        self.wait_until_ready(logged)
    }

    /// Waits for a server whose part of the log begins at `log_start`.
    fn wait_until_ready(&mut self, log_start: usize) -> Result<(), Error> {
        let pid = self.expect("started")?;
        ready::wait(&self.folder, &pid, log_start)
    }

    fn send(&mut self, command: &str) -> Result<(), Error> {
        let pipe = self.commands.as_mut().expect("the pipe is open until drop");
        writeln!(pipe, "{command}").map_err(Error::io("talk to PostgreSQL's watchdog"))
    }

    /// Reads one answer, and returns what follows its first word.
    fn expect(&mut self, answer: &str) -> Result<String, Error> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(Error::io("listen to PostgreSQL's watchdog"))?;
        match line.trim_end().strip_prefix(answer) {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(Error::Failed { program: "initdb or its watchdog".to_owned(), output: self.log() }),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Nothing sensible can be done about a failure here, and the process is not ours to kill.
        let _ = self.process.wait();
    }
}
