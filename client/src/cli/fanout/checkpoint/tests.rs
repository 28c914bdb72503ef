//! Crashes at every point, made by cutting the files as a crash leaves them.

use std::{collections::BTreeMap, fs};

use super::*;
use crate::cli::fanout::input::Fingerprint;

const INPUTS: u64 = 40;

/// A folder with a checkpoint and its output.
struct Folder {
    directory: tempfile::TempDir,
    head: &'static [u8],
}

impl Folder {
    fn new(head: &'static [u8]) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), head }
    }

    fn checkpoint(&self) -> PathBuf {
        self.directory.path().join("checkpoint")
    }

    fn output(&self) -> PathBuf {
        self.directory.path().join("out.jsonl")
    }

    fn open(&self, only_failed: bool) -> Result<Checkpoint, Refused> {
        self.open_with(&header("jsonl"), only_failed)
    }

    fn open_with(&self, header: &Header, only_failed: bool) -> Result<Checkpoint, Refused> {
        let (checkpoint, output) = (self.checkpoint(), self.output());
        Checkpoint::open(&Place { checkpoint: &checkpoint, output: &output, head: self.head }, header, only_failed)
    }

    /// Runs at most so many of the inputs that are missing, and answers how many there were. `fails` says which fail:
    /// their records say so, and every seventh leaves nothing.
    fn run(&self, most: usize, only_failed: bool, fails: impl Fn(u64) -> bool) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (log, earlier) = self.open(only_failed).unwrap().into_log().unwrap();
            for position in (0..INPUTS).filter(|position| !earlier.done.contains(*position)).take(most) {
                assert!(log.append(position, !fails(position), record(position, fails(position))).await);
            }
            log.finish().await.unwrap();
            INPUTS - earlier.done.len()
        })
    }

    /// What a crash leaves: some of the journal, at least its output, and some of what came after that.
    fn crash(&self, random: &mut fastrand::Rng) {
        let journal = fs::read(self.checkpoint()).unwrap();
        let output = fs::read(self.output()).unwrap();
        let first_line = journal.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let kept = random.usize(first_line..=journal.len());
        fs::write(self.checkpoint(), &journal[..kept]).unwrap();
        let mut entries = Entries::new(&journal[first_line..kept], 0, length(self.head));
        let mut end = 0;
        while let Some((_, part)) = entries.next().unwrap() {
            end = part.end;
        }
        let kept = random.usize(usize::try_from(end).unwrap()..=output.len());
        fs::write(self.output(), &output[..kept]).unwrap();
    }

    /// The positions in the output, with how often each is there.
    fn positions(&self) -> BTreeMap<u64, usize> {
        let output = fs::read_to_string(self.output()).unwrap();
        let body = output.strip_prefix(std::str::from_utf8(self.head).unwrap()).unwrap();
        let mut positions = BTreeMap::new();
        for line in body.lines() {
            *positions.entry(line.split(' ').next().unwrap().parse().unwrap()).or_default() += 1;
        }
        positions
    }
}

fn header(format: &str) -> Header {
    let settings = BTreeMap::from([("--format".to_owned(), format.to_owned())]);
    Header::new("/out.jsonl".to_owned(), Fingerprint { bytes: 1, sha256: "aa".to_owned() }, settings)
}

fn record(position: u64, failed: bool) -> Vec<u8> {
    let outcome = if failed { "failed" } else { "ok" };
    let length = usize::try_from(position % 7).unwrap();
    if length == 0 { Vec::new() } else { format!("{position} {outcome}{}\n", "x".repeat(length)).into_bytes() }
}

/// Every input that leaves a record, once.
fn each_once() -> BTreeMap<u64, usize> {
    (0..INPUTS).filter(|position| position % 7 != 0).map(|position| (position, 1)).collect()
}

#[test]
fn whatever_a_crash_leaves_each_input_is_in_the_output_once() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = Folder::new(if seed % 2 == 0 { b"" } else { b"id,name\n" });
        for _ in 0..4 {
            folder.run(random.usize(0..20), false, |position| position % 5 == 0);
            folder.crash(&mut random);
        }
        folder.run(usize::MAX, false, |position| position % 5 == 0);
        assert_eq!(folder.positions(), each_once(), "seed {seed}");
        assert_eq!(folder.run(usize::MAX, false, |_| true), 0, "nothing is missing");
        assert_eq!(folder.open(false).unwrap().earlier.failed, 8);
    }
}

#[test]
fn failures_are_repeated_when_asked_for_and_take_the_place_of_their_records() {
    let folder = Folder::new(b"head\n");
    folder.run(30, false, |position| position % 3 == 0);
    assert_eq!(folder.run(0, false, |_| false), 10, "failures are final");
    assert_eq!(folder.run(2, true, |_| false), 20, "ten failures are out, and ten were never run");
    assert_eq!(folder.run(usize::MAX, true, |_| false), 18, "no failure is left to repeat");
    assert_eq!(folder.positions(), each_once());
    assert!(!fs::read_to_string(folder.output()).unwrap().contains("failed"));
    assert_eq!(fs::read_dir(folder.directory.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn a_crash_between_the_new_checkpoint_and_the_new_output_loses_nothing() {
    let folder = Folder::new(b"head\n");
    folder.run(usize::MAX, false, |position| position % 3 == 0);
    let old = fs::read(folder.output()).unwrap();
    drop(folder.open(true).unwrap());
    // As if the output had not yet got its name.
    let waiting = folder.directory.path().join(".rowstream-out.jsonl.1");
    fs::rename(folder.output(), &waiting).unwrap();
    fs::write(folder.output(), &old).unwrap();
    // And one that never came to count.
    fs::write(folder.directory.path().join(".rowstream-out.jsonl.2"), "half").unwrap();
    assert_eq!(folder.run(usize::MAX, false, |_| false), 14);
    assert_eq!(folder.positions(), each_once());
    assert_eq!(fs::read_dir(folder.directory.path()).unwrap().count(), 2);
}

#[test]
fn what_does_not_belong_together_is_refused_with_the_reason() {
    let told = |folder: &Folder, header: &Header| match folder.open_with(header, false).unwrap_err() {
        Refused::Unfit { problem, .. } => problem,
        other => panic!("{other:?}"),
    };
    let folder = Folder::new(b"");
    folder.run(20, false, |_| false);
    let (journal, output) = (fs::read(folder.checkpoint()).unwrap(), fs::read(folder.output()).unwrap());
    assert_eq!(told(&folder, &header("rows-csv")), "--format has changed: jsonl then, rows-csv now");

    let changed = [&output[..output.len() - 2], b"?\n"].concat();
    fs::write(folder.output(), changed).unwrap();
    assert!(told(&folder, &header("jsonl")).contains("was changed by someone else"));
    fs::remove_file(folder.output()).unwrap();
    assert!(told(&folder, &header("jsonl")).contains("out.jsonl is gone"));
    fs::create_dir(folder.output()).unwrap();
    assert!(told(&folder, &header("jsonl")).contains("is no file"));
    fs::remove_dir(folder.output()).unwrap();
    fs::write(folder.output(), &output).unwrap();

    fs::write(folder.checkpoint(), [&journal[..], b"what\n"].concat()).unwrap();
    assert!(told(&folder, &header("jsonl")).contains("line 22 is damaged"));
    fs::write(folder.checkpoint(), "some other file").unwrap();
    assert_eq!(told(&folder, &header("jsonl")), "it is no checkpoint of a fan-out");
    fs::remove_file(folder.checkpoint()).unwrap();
    assert!(told(&folder, &header("jsonl")).contains("there is none yet, but its output"));
    assert_eq!(fs::read(folder.output()).unwrap(), output, "and nothing is touched");
}

#[test]
fn an_output_that_was_cut_is_filled_up_again() {
    let folder = Folder::new(b"head\n");
    folder.run(usize::MAX, false, |_| false);
    let output = fs::read(folder.output()).unwrap();
    fs::write(folder.output(), &output[..output.len() / 2]).unwrap();
    folder.run(usize::MAX, false, |_| false);
    assert_eq!(folder.positions(), each_once());
}

#[test]
fn one_process_at_a_time_has_it() {
    let folder = Folder::new(b"");
    let first = folder.open(false).unwrap();
    assert!(matches!(folder.open(false), Err(Refused::Busy(_))));
    drop(first);
    folder.run(usize::MAX, false, |_| true);
    let first = folder.open(true).unwrap();
    assert!(matches!(folder.open(false), Err(Refused::Busy(_))), "also after the file was replaced");
    drop(first);
    assert!(folder.open(false).is_ok());
}
