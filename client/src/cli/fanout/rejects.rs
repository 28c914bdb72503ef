//! Lines of the input that cannot be used: written down where the user has named a place for them, or the reason to
//! run nothing.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use super::{input::Unreadable, inputs::Problem};
use crate::cli::failure::{Failure, Unusable};

/// How many lines a report names.
const NAMED: usize = 10;

/// Takes the lines that cannot be used.
#[derive(Debug)]
pub(crate) struct Rejects {
    input: String,
    file: Option<(PathBuf, BufWriter<File>)>,
    first: Vec<Problem>,
    pub(crate) count: u64,
}

impl Rejects {
    /// `path`: the file that they are set aside in.
    pub(crate) fn new(input: String, path: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| match File::create(path) {
            Ok(file) => Ok((path.to_owned(), BufWriter::new(file))),
            Err(source) => Err(Failure::output(Some(path.to_owned()), source)),
        };
        Ok(Self { input, file: path.map(open).transpose()?, first: Vec::new(), count: 0 })
    }

    /// Whether a line that cannot be used is the end.
    pub(crate) fn fatal(&self) -> bool {
        self.file.is_none()
    }

    /// Takes one.
    pub(crate) fn take(&mut self, problem: Problem) -> Result<(), Failure> {
        self.count += 1;
        if let Some((path, file)) = &mut self.file {
            let Problem { line, problem, text } = &problem;
            let json = serde_json::json!({ "line": line, "problem": problem, "text": text });
            return writeln!(file, "{json}").map_err(|source| Failure::output(Some(path.clone()), source));
        }
        if self.first.len() < NAMED {
            self.first.push(problem);
        }
        Ok(())
    }

    /// Ends: what was set aside is in its file, or there was nothing. `begun`: whether calls had begun by then.
    pub(crate) fn finish(&mut self, begun: bool) -> Result<(), Failure> {
        if let Some((path, file)) = &mut self.file {
            return file.flush().map_err(|source| Failure::output(Some(path.clone()), source));
        }
        if self.count == 0 {
            return Ok(());
        }
        let lines = self.first.drain(..).map(|Problem { line, problem, .. }| (line, problem)).collect();
        let (input, count) = (self.input.clone(), self.count);
        Err(Failure::Unusable(Unusable { input, lines, count, begun, can_reject: true }))
    }

    /// The input as a whole cannot be used.
    pub(crate) fn unreadable(&self, unreadable: Unreadable, begun: bool) -> Failure {
        let input = self.input.clone();
        match unreadable {
            Unreadable::Io(source) => Failure::Params { name: input, source },
            Unreadable::Malformed { line, problem } => {
                Failure::Unusable(Unusable { input, lines: vec![(line, problem)], count: 1, begun, can_reject: false })
            }
        }
    }
}

/// The input was changed by someone while it was read.
pub(crate) fn changed(name: String) -> Failure {
    Failure::Params { name, source: io::Error::other("it was changed while it was read") }
}
