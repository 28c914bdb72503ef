//! Processes that have been stopped in the middle of what they do.

use std::process::Command;

use crate::Error;

/// Stopped processes. Dropped, they go on.
#[derive(Debug)]
pub struct Frozen(pub(super) Vec<String>);

impl Frozen {
    /// Stops one process, a backend for instance.
    ///
    /// # Errors
    ///
    /// With what kill says.
    pub fn process(pid: i32) -> Result<Self, Error> {
        let frozen = Self(vec![pid.to_string()]);
        frozen.signal("STOP")?;
        Ok(frozen)
    }

    /// Which.
    #[must_use]
    pub fn pids(&self) -> &[String] {
        &self.0
    }

    pub(super) fn signal(&self, name: &str) -> Result<(), Error> {
        let output = Command::new("kill").args(["-s", name]).args(&self.0).output().map_err(Error::io("run kill"))?;
        if output.status.success() {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        Err(Error::Failed { program: "kill".to_owned(), output })
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Some may have ended meanwhile; the others are told nevertheless.
        let _ = self.signal("CONT");
    }
}
