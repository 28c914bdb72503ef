//! The first line of a checkpoint: what it is the checkpoint of. A run goes on only if all of it is the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cli::fanout::input::Fingerprint;

/// The layout of this version.
const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    rowstream_fanout_checkpoint: u32,
    /// How many times the output was written anew, without the failures.
    pub(super) generation: u64,
    /// The output, as an absolute path.
    pub(crate) output: String,
    pub(crate) input: Fingerprint,
    /// What else decides on the output, by the flag that says it.
    pub(crate) settings: BTreeMap<String, String>,
}

impl Header {
    pub(crate) fn new(output: String, input: Fingerprint, settings: BTreeMap<String, String>) -> Self {
        Self { rowstream_fanout_checkpoint: VERSION, generation: 0, output, input, settings }
    }

    pub(super) fn next_generation(&self) -> Self {
        Self { generation: self.generation + 1, ..self.clone() }
    }

    pub(super) fn line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Reads a line, or says why it is none of ours.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Any {
            rowstream_fanout_checkpoint: u32,
        }
        match serde_json::from_slice::<Any>(line) {
            Ok(Any { rowstream_fanout_checkpoint: VERSION }) => {
                serde_json::from_slice(line).map_err(|error| format!("its first line is damaged: {error}"))
            }
            Ok(Any { rowstream_fanout_checkpoint: version }) => {
                Err(format!("it has layout {version}, and this program knows layout {VERSION}"))
            }
            Err(_) => Err("it is no checkpoint of a fan-out".to_owned()),
        }
    }

    /// Says what differs from the run that wants to go on, if anything does.
    pub(super) fn refuses(&self, wanted: &Self) -> Option<String> {
        let Self { input, output, settings, .. } = self;
        if *output != wanted.output {
            return Some(format!("its output is {output}, and not {}", wanted.output));
        }
        if *input != wanted.input {
            let (was, is) = (input.bytes, wanted.input.bytes);
            let how = if was == is { "other bytes".to_owned() } else { format!("{was} bytes then, {is} now") };
            return Some(format!("the input has changed: {how}"));
        }
        let keys = settings.keys().chain(wanted.settings.keys());
        let differs = keys.into_iter().find(|key| settings.get(*key) != wanted.settings.get(*key))?;
        let shown = |settings: &BTreeMap<_, String>| settings.get(differs).cloned().unwrap_or("not given".to_owned());
        Some(format!("{differs} has changed: {} then, {} now", shown(settings), shown(&wanted.settings)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(output: &str, bytes: u64, sha256: &str, format: Option<&str>) -> Header {
        let settings = format.map(|format| ("--format".to_owned(), format.to_owned())).into_iter().collect();
        Header::new(output.to_owned(), Fingerprint { bytes, sha256: sha256.to_owned() }, settings)
    }

    #[test]
    fn what_differs_is_named() {
        let ours = header("/o", 7, "aa", Some("jsonl"));
        assert_eq!(ours.refuses(&ours.next_generation()), None);
        for (wanted, told) in [
            (header("/p", 7, "aa", Some("jsonl")), "its output is /o, and not /p"),
            (header("/o", 8, "aa", Some("jsonl")), "the input has changed: 7 bytes then, 8 now"),
            (header("/o", 7, "bb", Some("jsonl")), "the input has changed: other bytes"),
            (header("/o", 7, "aa", Some("rows-csv")), "--format has changed: jsonl then, rows-csv now"),
            (header("/o", 7, "aa", None), "--format has changed: jsonl then, not given now"),
        ] {
            assert_eq!(ours.refuses(&wanted).as_deref(), Some(told));
        }
    }

    #[test]
    fn a_line_reads_back_and_others_are_told_apart() {
        let ours = header("/o", 7, "aa", Some("jsonl"));
        assert_eq!(Header::parse(&ours.line().unwrap()), Ok(ours));
        for (line, told) in [
            (&b"id,name\n"[..], "no checkpoint of a fan-out"),
            (b"{}\n", "no checkpoint of a fan-out"),
            (b"{\"rowstream_fanout_checkpoint\":2,\"x\":1}\n", "it has layout 2, and this program knows layout 1"),
            (b"{\"rowstream_fanout_checkpoint\":1}\n", "damaged: missing field"),
        ] {
            let problem = Header::parse(line).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
