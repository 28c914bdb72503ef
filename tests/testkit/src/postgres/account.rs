//! Which account PostgreSQL runs as: it refuses to be root.

use std::{os::unix::process::CommandExt as _, path::Path, process::Command};

use crate::Error;

/// The account to become, if this process is root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// `None` if PostgreSQL can run as the account of this process.
    pub(crate) fn find() -> Result<Option<Self>, Error> {
        if id(&["-u"])? != Some(0) {
            return Ok(None);
        }
        match (id(&["-u", "postgres"])?, id(&["-g", "postgres"])?) {
            (Some(user), Some(group)) => Ok(Some(Self { user, group })),
            _ => Err(Error::NoAccount),
        }
    }

    /// Gives a file or folder to this account.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        std::os::unix::fs::chown(path, Some(self.user), Some(self.group))
            .map_err(Error::io(format!("give {} to user postgres", path.display())))
    }

    /// Makes a command run as this account.
    pub(crate) fn run(self, command: &mut Command) {
        command.gid(self.group).uid(self.user);
    }
}

/// What `id` prints; `None` if it knows no such account.
fn id(arguments: &[&str]) -> Result<Option<u32>, Error> {
    let output = Command::new("id").args(arguments).output().map_err(Error::io("run id"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}
