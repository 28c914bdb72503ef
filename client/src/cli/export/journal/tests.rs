//! The journal and its directory, through what interrupts an export.

use serde_json::{Value, json};

use super::*;

/// A table whose name has characters of several bytes, for a crash to cut.
fn asked() -> Value {
    json!({
        "table": "täble €", "query": null, "sql": null, "param": [], "null": [],
        "columns": [], "column": [], "where": [], "filter": [], "order-by": [], "limit": null,
        "partitions": 2, "partition-strategy": "auto", "partition-by": [],
        "format": "csv", "compress": "none", "file-size": 1 << 20,
        "arrow-compression": null, "null-unrepresentable": false, "arrays-as-text": false, "row-group-bytes": null,
    })
}

fn begun(session: &str) -> Begun {
    let begun = json!({
        "version": 1, "asked": asked(), "session": session, "snapshot": { "id": "1", "taken": null },
        "columns": [], "strategy": "ctid", "strategy_reason": "",
        "partitions": [{ "token": "YQ==", "estimated_rows": 1 }, { "token": "Yg==", "estimated_rows": null }],
    });
    serde_json::from_value(begun).expect("a first line")
}

fn as_asked() -> Asked {
    serde_json::from_value(asked()).expect("what is asked")
}

fn try_open(directory: &Path) -> Result<Journal, Failure> {
    Journal::open(directory, &as_asked()).map(|journal| journal.expect("an export that is not complete"))
}

fn open(directory: &Path) -> Journal {
    try_open(directory).expect("a journal")
}

/// A directory, and a journal with a session.
fn start() -> (tempfile::TempDir, Journal) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = open(directory.path());
    journal.begin(journal.round(), begun("first")).expect("begun");
    (directory, journal)
}

fn parts_of(directory: &Path) -> Vec<String> {
    parts(directory, &as_asked()).expect("a directory")
}

fn name(partition: usize, number: usize) -> String {
    format!("part-{partition:04}-{number:04}.csv")
}

/// Writes a file of a partition, and asks for its name.
fn write(journal: &mut Journal, partition: usize, number: usize, token: &[u8]) -> io::Result<()> {
    write_in(journal, journal.round(), partition, number, token)
}

fn write_in(journal: &mut Journal, round: Round, partition: usize, number: usize, token: &[u8]) -> io::Result<()> {
    let (file, text) = (name(partition, number), b"id\n1\n");
    let staged = Journal::staged(&journal.directory, round, &file);
    create(staged.parent().expect("a parent"))?;
    fs::write(staged, text)?;
    let entry = FileEntry { file, partition, rows: 1, bytes: text.len() as u64, sha256: String::new(), live: false };
    let token = (!token.is_empty()).then(|| ResumeToken::from(token.to_vec()));
    journal.file(round, entry, token.as_ref())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("one").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn what_a_reading_brings_that_was_given_up_is_refused() {
    type End = fn(&mut Journal) -> io::Result<()>;
    let ends: [(&str, End); 4] = [
        ("another snapshot", |journal| journal.begin(journal.round(), begun("second"))),
        ("no snapshot", |journal| journal.go_live(journal.round())),
        ("an interrupt", Journal::give_up),
        ("the end", |journal| journal.complete(b"{}")),
    ];
    for (what, end) in ends {
        let (directory, mut journal) = start();
        let round = journal.round();
        write(&mut journal, 1, 1, b"t").expect("the first");
        end(&mut journal).expect(what);
        let before = fs::read(directory.path().join(NAME)).ok();
        let files = parts_of(directory.path());
        assert!(write_in(&mut journal, round, 1, 2, b"t").is_err(), "{what}: a file");
        assert!(journal.whole_partition(round, 1, false).is_err(), "{what}: a whole partition");
        assert!(journal.place(round, 1).is_err(), "{what}: a beginning");
        assert!(journal.begin(round, begun("third")).is_err(), "{what}: a session");
        assert!(journal.go_live(round).is_err(), "{what}: no session");
        assert_eq!(fs::read(directory.path().join(NAME)).ok(), before, "{what}: no line");
        assert_eq!(parts_of(directory.path()), files, "{what}: no name");
    }
}

#[test]
fn only_names_as_an_export_makes_them_are_its_own() {
    for (name, partition) in [
        ("part-0001-0001.csv", Some(1)),
        ("part-1000-12345.csv", Some(1000)),
        ("part-1-1.csv", None),
        ("part-01000-0001.csv", None),
        ("part-+001-0001.csv", None),
        ("part-0001.csv", None),
        ("part-0001-0001", None),
        ("part-0001-000x.csv", None),
        ("part-0001-0001.csv.sha256", None),
        ("part-0001-0001.csv.gz", None),
        ("part-0001-0001.parquet", None),
        ("part-of-mine.txt", None),
        ("manifest.json", None),
    ] {
        assert_eq!(as_asked().partition_of(name), partition, "{name}");
    }
}

#[test]
fn a_journal_that_could_not_be_mended_after_a_failed_write_takes_no_further_line() {
    let (directory, mut journal) = start();
    let path = directory.path().join(NAME);
    let before = fs::read(&path).expect("read");
    let writable = std::mem::replace(&mut journal.file, File::open(&path).expect("opened"));
    assert!(write(&mut journal, 1, 1, b"t").is_err());
    journal.file = writable;
    let refused = write(&mut journal, 1, 2, b"t").expect_err("refused").to_string();
    assert!(refused.contains("a part of a line"), "{refused}");
    assert_eq!(fs::read(&path).expect("read"), before);
}

#[test]
fn a_partition_goes_on_behind_its_last_file_also_if_that_was_the_last() {
    let (directory, mut journal) = start();
    write(&mut journal, 1, 1, b"one").expect("written");
    write(&mut journal, 1, 2, b"two").expect("written");
    drop(journal);
    let mut journal = open(directory.path());
    assert!(journal.mend().expect("mended").is_empty());
    let place = journal.place(journal.round(), 1).expect("a place");
    assert_eq!((place.files, place.rows, place.token), (2, 2, Some(ResumeToken::from(b"two".to_vec()))));
    // Without a token there is nothing to go on from.
    write(&mut journal, 1, 3, b"").expect("written");
    let place = journal.place(journal.round(), 1).expect("a place");
    assert_eq!((place.files, place.rows, place.token), (0, 0, None));
    assert_eq!(names(directory.path()), [".rowstream-export", NAME]);
}

#[test]
fn a_file_that_is_not_as_it_was_written_costs_its_partition() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 2] = [
        ("No such file", |file| fs::remove_file(file).expect("removed")),
        ("has 2 bytes, and 5 were written", |file| fs::write(file, "id").expect("written")),
    ];
    for (told, damage) in damages {
        let (directory, mut journal) = start();
        for partition in [1, 2] {
            write(&mut journal, partition, 1, b"t").expect("written");
            write(&mut journal, partition, 2, b"t").expect("written");
            journal.whole_partition(journal.round(), partition, false).expect("whole");
        }
        drop(journal);
        damage(&directory.path().join(name(2, 2)));
        let mut journal = open(directory.path());
        let problems = journal.mend().expect("mended");
        assert!(problems[0].contains(told) && problems[0].contains("partition 2 is read again"), "{problems:?}");
        assert!(journal.is_whole(1) && !journal.is_whole(2));
        assert_eq!(journal.files().iter().map(|file| file.partition).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(names(directory.path()), [NAME.to_owned(), name(1, 1), name(1, 2)]);
        drop(journal);
        assert!(!open(directory.path()).is_whole(2), "it is known to the next one, too");
    }
}

#[test]
fn a_journal_that_a_crash_has_cut_anywhere_tells_what_was_before() {
    let (directory, mut journal) = start();
    write(&mut journal, 1, 1, b"t").expect("written");
    journal.whole_partition(journal.round(), 1, true).expect("whole");
    drop(journal);
    let path = directory.path().join(NAME);
    let whole = fs::read(&path).expect("read");
    assert!(whole.windows(2).any(|bytes| bytes == "ä".as_bytes()));
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).expect("cut");
        let journal = open(directory.path());
        let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        let told = usize::from(journal.begun().is_some()) + journal.files().len() + journal.whole();
        assert_eq!(told, lines, "cut at {cut}");
        let end = whole[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        assert_eq!(fs::read(&path).expect("read"), whole[..end], "cut at {cut}");
    }
}

#[test]
fn a_journal_of_another_version_or_of_something_else_stays_as_it_is() {
    for (text, told) in [
        ("{\"version\":2,\"new\":{}}\n", "version 2"),
        ("{}\n", "a line that cannot be read"),
        ("\u{0}\n", "a line that cannot be read"),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        fs::write(&path, text.to_owned() + "cut").expect("written");
        let Err(Failure::Export { problems, .. }) = try_open(directory.path()) else { panic!("{text}") };
        assert!(problems[0].contains(told), "{problems:?}");
        assert_eq!(fs::read_to_string(&path).expect("read"), text.to_owned() + "cut");
    }
}

#[test]
fn files_are_in_the_order_in_which_they_were_written_however_many_there_are() {
    let (_directory, mut journal) = start();
    for number in [1, 2, 9_999, 10_000, 10_001] {
        write(&mut journal, 2, number, b"t").expect("written");
    }
    write(&mut journal, 1, 1, b"t").expect("written");
    let files: Vec<_> = journal.files().into_iter().map(|file| file.file).collect();
    assert_eq!(files, [(1, 1), (2, 1), (2, 2), (2, 9_999), (2, 10_000), (2, 10_001)].map(|(p, n)| name(p, n)));
}

#[test]
fn nothing_but_the_files_and_the_manifest_is_left_and_what_others_put_there() {
    let (directory, mut journal) = start();
    let others = [".rowstream-query.partial", "notes.txt", "part-0001-0001.csv.sha256"];
    for other in others {
        fs::write(directory.path().join(other), "").expect("written");
    }
    write(&mut journal, 1, 1, b"t").expect("written");
    fs::write(Journal::staged(directory.path(), journal.round(), &name(1, 2)), "half").expect("written");
    // Somebody has removed the journal already.
    fs::remove_file(directory.path().join(NAME)).expect("removed");
    journal.complete(b"{}").expect("complete");
    assert!(journal.is_complete());
    let expected = [others[0], "manifest.json", others[1], &name(1, 1), others[2]];
    assert_eq!(names(directory.path()), expected);
}
