//! `rowstream fanout` as a process.

mod checkpoints;
mod endings;
mod inputs;
mod outputs;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rowstream_client::{
    Code, Reason,
    testing::{Answer, FakeQuery, Request},
};
use serde_json::Value as Json;

use crate::{fake::Fake, program, text};

/// A folder with an input, a server, and the program between them.
struct Lab {
    fake: Fake,
    directory: tempfile::TempDir,
}

impl Lab {
    /// A server whose query `user` takes `id int4` and `since date`, and gives two rows, or what the id asks for.
    fn start() -> Self {
        let fake = Fake::start();
        let columns = [("id", "int8"), ("event", "text")];
        let described = |name: &str| {
            FakeQuery::new(name).required("id", "int4").optional("since", "date", "2024-01-01").columns(columns)
        };
        fake.server.query(described("user")).on_request("user", answer);
        let sql = FakeQuery::new("select $1, $2").required("a", "int4").required("b", "text").columns(columns);
        fake.server.query(sql).on_request("select $1, $2", answer);
        Self { fake, directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The program with these arguments, in the folder.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&self.fake.endpoint, &["fanout"]);
        command.args(arguments).current_dir(self.directory.path());
        command
    }

    /// Runs, and expects this exit code, with this somewhere on stderr.
    fn expect(&self, arguments: &[&str], code: i32, told: &str) -> Output {
        let output = self.command(arguments).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
        output
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// How many calls of the query have come.
    fn calls(&self) -> usize {
        let calls = self.fake.server.take_calls();
        calls.iter().filter(|call| call.request.method == rowstream_client::testing::Method::StreamQuery).count()
    }
}

/// By the last three digits of the id: 404 is no user, 503 is away, 999 never answers, 007 answers late.
fn answer(request: &Request) -> Answer {
    let id = request.parameter("id").or_else(|| request.parameter("1"));
    let id: i64 = id.and_then(|id| id.as_text()?.parse().ok()).unwrap_or_default();
    let rows = Answer::rows([("id", "int8"), ("event", "text")], [(id, "login"), (id, "log,out")]);
    match id % 1000 {
        404 => Answer::error(Code::NotFound, Reason::NoRow).message("no such user"),
        503 => Answer::error(Code::Unavailable, Reason::DatabaseUnavailable).message("away"),
        999 => Answer::hang(),
        7 => rows.after(Duration::from_millis(50)),
        100 => Answer::rows([("id", "int8"), ("event", "text")], Vec::<(i64, &str)>::new()),
        _ => rows,
    }
}

/// The records of an output, in the order of the input.
fn records(text: &str) -> Vec<Json> {
    let mut records: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    records.sort_by_key(|record| record["index"].as_u64());
    records
}

fn entries(directory: &Path) -> Vec<String> {
    let mut entries = crate::entries(directory);
    entries.sort();
    entries
}
