//! Waits until a server accepts connections, by the file that PostgreSQL itself tells it in.
//!
//! Asking the port would not do: another server may hold it.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::Error;

/// How long a server may take.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// How far a server is that accepts connections, or will not accept any: a standby may be told not to.
const READY: [&str; 2] = ["ready", "standby"];

/// What PostgreSQL logs when another server took the port first.
const PORT_TAKEN: &str = "Address already in use";

/// Waits for the server that runs as process `pid` and whose part of the log begins at `log_start`.
pub(crate) fn wait(folder: &Path, pid: &str, log_start: usize) -> Result<(), Error> {
    let start = Instant::now();
    let logged = || log(folder).split_off(log_start);
    while start.elapsed() < LIMIT {
        match status(folder) {
            Some((owner, status)) if owner == pid && READY.contains(&status.as_str()) => return Ok(()),
            // Clients that come too early are told so in the log as well, once the file is this server's.
            Some((owner, _)) if owner == pid => {}
            _ if logged().contains("FATAL:") => break,
            _ => {}
        }
        thread::sleep(PAUSE);
    }
    let log = logged();
    if log.contains(PORT_TAKEN) { Err(Error::PortTaken) } else { Err(Error::NotReady { log }) }
}

/// What PostgreSQL has logged in a cluster's folder.
pub(crate) fn log(folder: &Path) -> String {
    String::from_utf8_lossy(&fs::read(folder.join("log")).unwrap_or_default()).into_owned()
}

/// The first line of postmaster.pid, the process, and the eighth, how far it is; `None` if no server holds it.
fn status(folder: &Path) -> Option<(String, String)> {
    let text = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.trim().to_owned();
    let status = lines.nth(6).unwrap_or_default().trim().to_owned();
    Some((pid, status))
}
