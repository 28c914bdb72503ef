//! Running SQL through psql: synchronous, and independent of the code under test.

use std::{
    env,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
};

use super::backends::{self, Backend};
use crate::Error;

/// Where a cluster's programs and server are.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) bin: PathBuf,
    pub(crate) port: u16,
}

impl Access {
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL, statement by statement, and returns the rows: `|` between columns, a line a row, no last line break.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String, Error> {
        let output = self.run(database, &["--no-align", "--tuples-only", "--quiet"], sql)?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// What `COPY (sql) TO STDOUT (FORMAT csv, HEADER)` prints, to the byte.
    pub(crate) fn csv(&self, database: &str, sql: &str) -> Result<Vec<u8>, Error> {
        let copy = format!("COPY (\n{sql}\n) TO STDOUT (FORMAT csv, HEADER);");
        Ok(self.run(database, &["--quiet"], &copy)?.stdout)
    }

    pub(crate) fn backends(&self, database: &str) -> Result<Vec<Backend>, Error> {
        // Asked from another database, so that the asking backend is not in the list.
        backends::parse(&self.psql("postgres", &backends::query(database))?)
    }

    fn run(&self, database: &str, options: &[&str], sql: &str) -> Result<Output, Error> {
        let mut command = self.command();
        command.args(["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file=-"]).args(options).arg(database);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(Error::io("run psql"))?;
        let mut pipe = process.stdin.take().expect("stdin is a pipe");
        let output = thread::scope(|scope| {
            // psql may end before it has read everything; what it says then tells why.
            scope.spawn(move || pipe.write_all(sql.as_bytes()).ok());
            process.wait_with_output()
        })
        .map_err(Error::io("run psql"))?;
        if output.status.success() {
            return Ok(output);
        }
        Err(Error::Failed {
            program: "psql".to_owned(),
            output: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        without_settings(&mut command);
        command.env("PGCLIENTENCODING", "UTF8");
        command.args(["--host=127.0.0.1", "--username=postgres"]).arg(format!("--port={}", self.port));
        command
    }
}

/// Keeps PGOPTIONS, PGTZ and their like, which belong to the user's own databases, out of a program.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
}
