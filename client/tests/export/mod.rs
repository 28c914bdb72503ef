//! `rowstream export`, against the fake server: partition 2 of query `q` is scripted as `q#2`.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use rowstream_client::{
    Code, Reason,
    testing::{Answer, FakeServer},
};

use crate::{entries, fake::Fake, program, run, signal, text};

/// Partitions that can be read without their snapshot.
const BY_ID: [&str; 4] = ["--partition-strategy", "hash", "--partition-by", "id"];
const COLUMNS: [(&str, &str); 2] = [("id", "int8"), ("name", "text")];

fn answer(id: i64) -> Answer {
    Answer::rows(COLUMNS, [(id, "a"), (id + 100, "b\n\"c\"")])
}

fn script(server: &FakeServer) {
    server.on("q#1", answer(1)).on("q#2", answer(2));
}

/// So many rows that a partition has several files of a mebibyte.
fn large() -> Answer {
    Answer::rows(COLUMNS, (0..30_000).map(|id| (id, "x".repeat(100)))).batch_rows(500)
}

fn lost() -> Answer {
    Answer::error(Code::Aborted, Reason::SnapshotLost).message("the snapshot is gone")
}

fn export(fake: &Fake, directory: &Path, more: &[&str]) -> Output {
    let arguments = ["export", "--query", "q", "--partitions", "2", "-o", directory.to_str().unwrap()];
    run(&fake.endpoint, &[&arguments, more].concat())
}

/// Runs an export, and expects this exit code, with this somewhere on stderr, which it answers.
fn expect(fake: &Fake, directory: &Path, more: &[&str], code: i32, told: &str) -> String {
    let output = export(fake, directory, more);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{more:?}: {stderr}");
    assert!(stderr.contains(told), "{more:?}: {stderr}");
    stderr.to_owned()
}

fn verify(fake: &Fake, directory: &Path, code: i32, told: &str) {
    let output = run(&fake.endpoint, &["export", "--verify", directory.to_str().unwrap()]);
    let shown = [text(&output.stdout), text(&output.stderr)].concat();
    assert_eq!(output.status.code(), Some(code), "{shown}");
    assert!(shown.contains(told), "{shown}");
}

fn manifest(directory: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(directory.join("manifest.json")).unwrap()).unwrap()
}

fn sorted(directory: &Path) -> Vec<String> {
    let mut names = entries(directory);
    names.sort();
    names
}

#[test]
fn an_export_is_complete_in_every_format_and_what_is_changed_later_is_found() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    script(&fake.server);
    for (format, compress, extension) in [
        ("csv", "none", "csv"),
        ("csv", "zstd", "csv.zst"),
        ("jsonl", "gzip", "jsonl.gz"),
        ("jsonl", "none", "jsonl"),
        ("arrow", "none", "arrow"),
        ("parquet", "none", "parquet"),
    ] {
        let directory = directory.path().join(extension);
        let more = ["--format", format, "--compress", compress];
        expect(&fake, &directory, &more, 0, "4 rows");
        let names =
            ["manifest.json".to_owned(), format!("part-0001-0001.{extension}"), format!("part-0002-0001.{extension}")];
        assert_eq!(sorted(&directory), names);
        verify(&fake, &directory, 0, "complete: 2 files, 4 rows");
        expect(&fake, &directory, &more, 0, "is complete already");
        expect(
            &fake,
            &directory,
            &["--format", format, "--compress", compress, "-p", "a=1"],
            65,
            "--param was not given",
        );

        let file = directory.join(&names[2]);
        let whole = fs::read(&file).unwrap();
        let mut bytes = whole.clone();
        bytes[3] ^= 1;
        fs::write(&file, bytes).unwrap();
        verify(&fake, &directory, 65, "the checksum differs");
        fs::write(&file, &whole[1..]).unwrap();
        verify(&fake, &directory, 65, "bytes, and");
        fs::remove_file(&file).unwrap();
        verify(&fake, &directory, 65, "No such file");
        expect(&fake, &directory, &more, 65, "was complete, and is not as it was written");
        fs::write(&file, &whole).unwrap();
        // Somebody's own.
        fs::write(directory.join("part-0001-0001.sha256"), "").unwrap();
        verify(&fake, &directory, 0, "complete: 2 files, 4 rows");
        fs::write(directory.join(format!("part-0003-0001.{extension}")), "").unwrap();
        verify(&fake, &directory, 65, "not of this export");
    }
    let csv = fs::read_to_string(directory.path().join("csv/part-0001-0001.csv")).unwrap();
    assert_eq!(csv, "id,name\n1,a\n101,\"b\n\"\"c\"\"\"\n");
}

#[test]
fn a_manifest_that_counts_other_rows_than_there_are_is_found() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    script(&fake.server);
    for format in ["csv", "jsonl", "arrow", "parquet"] {
        let directory = directory.path().join(format);
        expect(&fake, &directory, &["--format", format], 0, "");
        let path = directory.join("manifest.json");
        let honest = fs::read_to_string(&path).unwrap();
        fs::write(&path, honest.replace("\"rows\": 2", "\"rows\": 3").replace("\"rows\": 4", "\"rows\": 6")).unwrap();
        verify(&fake, &directory, 65, "2 rows, and 3 were written");
        fs::write(&path, honest.replace("\"rows\": 4", "\"rows\": 5")).unwrap();
        verify(&fake, &directory, 65, "totals");
    }
}

#[test]
fn an_export_that_failed_midway_goes_on_and_keeps_what_is_complete() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    script(&fake.server);
    fake.server.on("q#2", answer(2).batch_rows(1).error_after(1, Code::Internal, None).message("boom"));
    expect(&fake, directory, &["--format", "csv", "--concurrency", "1"], 70, "boom");
    assert_eq!(sorted(directory), ["export.journal", "part-0001-0001.csv"]);
    verify(&fake, directory, 65, "the export is not complete");
    expect(&fake, directory, &["--format", "jsonl"], 65, "--format was \"csv\" and is now \"jsonl\"");
    script(&fake.server);
    let calls = fake.server.calls().len();
    expect(&fake, directory, &["--format", "csv"], 0, "1 of 2 partitions are complete");
    let again = fake.server.calls().split_off(calls);
    assert!(again.iter().all(|call| call.request.query != "q#1"), "what is complete is not read again");
    verify(&fake, directory, 0, "complete: 2 files, 4 rows");
}

#[test]
fn a_partition_that_cannot_be_resumed_is_read_again_as_a_whole() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    fake.server.on("q#1", large()).on("q#2", large().error_after(50, Code::Internal, None));
    let more = ["--format", "csv", "--file-size", "1MiB"];
    expect(&fake, directory, &[&more[..], &["--concurrency", "1"]].concat(), 70, "");
    let cut: Vec<_> = sorted(directory).into_iter().filter(|name| name.starts_with("part-0002")).collect();
    assert!(!cut.is_empty(), "a file was complete");
    fake.server.on("q#2", large());
    expect(&fake, directory, &more, 0, "60,000 rows");
    verify(&fake, directory, 0, "60000 rows");
    assert!(manifest(directory)["files"].as_array().unwrap().len() > 4);
}

#[test]
fn a_failure_that_may_pass_is_tried_again() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    script(&fake.server);
    let tries = std::sync::atomic::AtomicU32::new(0);
    fake.server.on_request("q#2", move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => Answer::error(Code::Unavailable, Reason::DatabaseUnavailable),
        1 => answer(2).batch_rows(1).error_after(1, Code::Unavailable, None),
        _ => answer(2),
    });
    expect(&fake, directory.path(), &["--format", "csv"], 0, "4 rows");
    verify(&fake, directory.path(), 0, "4 rows");
}

#[test]
fn ctrl_c_leaves_complete_files_only_and_the_same_command_goes_on() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    fake.server.on("q#1", answer(1)).on("q#2", answer(2).batch_rows(1).hang_after(1));
    let arguments =
        ["export", "--query", "q", "--partitions", "2", "-f", "csv", "-c", "1", "-o", directory.to_str().unwrap()];
    let child = program(&fake.endpoint, &arguments).stderr(std::process::Stdio::piped()).spawn().unwrap();
    fake.wait_until_sent("q#2", 1);
    // Another one is kept away meanwhile.
    expect(&fake, directory, &["-f", "csv"], 75, "another process exports into");
    signal(&child, "-INT");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    assert!(text(&ended.stderr).contains("1 of 2 partitions are complete, 1 files stay"), "{}", text(&ended.stderr));
    assert_eq!(sorted(directory), ["export.journal", "part-0001-0001.csv"]);
    fake.wait_until_idle();
    script(&fake.server);
    expect(&fake, directory, &["-f", "csv", "-c", "1"], 0, "goes on in the same snapshot");
    verify(&fake, directory, 0, "4 rows");
}

#[test]
fn a_lost_snapshot_ends_an_export_or_begins_it_anew_or_is_given_up_as_was_said() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    fake.server.on("q#1", answer(1)).on("q#2", lost()).on("q#2 live", answer(2));
    let csv = [&["--format", "csv", "--concurrency", "1"][..], &BY_ID].concat();
    expect(&fake, directory, &csv, 75, "restart begins anew; continue-live reads what is missing");
    assert_eq!(sorted(directory), ["export.journal", "part-0001-0001.csv"]);

    let live = [&csv[..], &["--on-snapshot-lost", "continue-live"]].concat();
    let calls = fake.server.calls().len();
    expect(&fake, directory, &live, 0, "is read at the present state");
    let read: Vec<_> = fake.server.calls().split_off(calls).into_iter().map(|call| call.request.query).collect();
    assert_eq!(read, ["q#2", "q#2 live"], "what is complete stays");
    verify(&fake, directory, 0, "1 of the files are not of the snapshot");
    let files = &manifest(directory)["files"];
    assert_eq!((&files[0]["live"], &files[1]["live"]), (&serde_json::Value::Null, &true.into()));

    let other = directory.join("restart");
    let first = std::sync::atomic::AtomicBool::new(true);
    fake.server.on_request("q#2", move |_| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) { lost() } else { answer(2) }
    });
    let calls = fake.server.calls().len();
    expect(&fake, &other, &[&csv[..], &["--on-snapshot-lost", "restart"]].concat(), 0, "from a new snapshot");
    let read: Vec<_> = fake.server.calls().split_off(calls).into_iter().map(|call| call.request.query).collect();
    assert_eq!(read, ["q#1", "q#2", "q#1", "q#2"], "everything is exported anew");
    verify(&fake, &other, 0, "complete: 2 files, 4 rows, ");
}

#[test]
fn a_snapshot_that_is_lost_again_and_again_ends_an_export() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    fake.server.on("q#1", answer(1)).on("q#2", lost());
    expect(
        &fake,
        directory.path(),
        &["-f", "csv", "--on-snapshot-lost", "restart"],
        75,
        "it was begun anew again and again",
    );
    let other = directory.path().join("live");
    fake.server.on("q#1 live", lost()).on("q#2 live", lost());
    let live = [&["-f", "csv", "--on-snapshot-lost", "continue-live"][..], &BY_ID].concat();
    for _ in 0..2 {
        let stderr = expect(&fake, &other, &live, 75, "restart begins anew");
        assert!(stderr.contains("the snapshot of the export is gone"), "{stderr}");
        assert!(!stderr.contains("continue-live reads"), "it has tried: {stderr}");
    }
}

#[test]
fn streams_that_see_a_lost_snapshot_end_and_nothing_more_is_begun_in_it() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let first = std::sync::atomic::AtomicBool::new(true);
    let slow = || answer(2).batch_rows(1).every(Duration::from_millis(300));
    fake.server.on_request("q#1", move |_| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) { lost() } else { answer(1) }
    });
    fake.server.on("q#2", slow()).on("q#3", answer(3));
    let three = ["-f", "csv", "--partitions", "3", "-c", "2"];
    let export = |name: &str, what| {
        let directory = directory.path().join(name);
        let calls = fake.server.calls().len();
        let output = run(
            &fake.endpoint,
            &[
                &["export", "--query", "q", "-o", directory.to_str().unwrap(), "--on-snapshot-lost", what][..],
                &three,
                &BY_ID,
            ]
            .concat(),
        );
        let read: Vec<_> = fake.server.calls().split_off(calls).into_iter().map(|call| call.request.query).collect();
        (output.status.code(), read, sorted(&directory))
    };
    let (code, mut read, names) = export("fail", "fail");
    read.sort();
    assert_eq!((code, read), (Some(75), vec!["q#1".to_owned(), "q#2".to_owned()]));
    assert_eq!(names, ["export.journal", "part-0002-0001.csv"]);
    let (code, read, names) = export("fail", "continue-live");
    assert_eq!((code, read.len(), names.len()), (Some(0), 2, 4), "what has ended is not read again");
}

#[test]
fn what_was_changed_is_exported_anew_if_that_was_said() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    let changed = Answer::error(Code::Aborted, Reason::SchemaChanged).message("table t has other columns");
    fake.server.on("q#1", answer(1)).on("q#2", changed);
    let csv = [&["-f", "csv", "-c", "1"][..], &BY_ID].concat();
    for what in ["fail", "continue-live"] {
        let told = expect(&fake, directory, &[&csv[..], &["--on-snapshot-lost", what]].concat(), 75, "has changed");
        assert!(told.contains("restart begins anew") && !told.contains("continue-live reads"), "{told}");
    }
    let first = std::sync::atomic::AtomicBool::new(true);
    fake.server.on_request("q#2", move |_| match first.swap(false, std::sync::atomic::Ordering::Relaxed) {
        true => Answer::error(Code::Aborted, Reason::SchemaChanged),
        false => answer(2),
    });
    let restart = [&csv[..], &["--on-snapshot-lost", "restart", "--quiet"]].concat();
    expect(&fake, directory, &restart, 0, "has changed: everything is exported from a new snapshot");
    verify(&fake, directory, 0, "4 rows");
}

#[test]
fn a_snapshot_that_lives_too_short_is_not_taken_again_and_a_server_of_other_keys_is_told() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    let restart = ["-f", "csv", "-c", "1", "--on-snapshot-lost", "restart"];
    let ended = |how: &str| Answer::error(Code::FailedPrecondition, Reason::SessionExpired).info("session_end", how);
    fake.server.on("q#1", answer(1)).on("q#2", ended("aged"));
    expect(&fake, directory, &restart, 75, "raise rowstream-server's --max-snapshot-age");
    assert_eq!(sorted(directory), ["export.journal", "part-0001-0001.csv"]);
    // What is found so by a later run is begun anew.
    let first = std::sync::atomic::AtomicBool::new(true);
    let unknown = || Answer::error(Code::InvalidArgument, Reason::InvalidToken);
    fake.server.on_request("q#2", move |_| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) { unknown() } else { answer(2) }
    });
    expect(&fake, directory, &restart, 0, "from a new snapshot");
    verify(&fake, directory, 0, "4 rows");
    fake.server.on("q#2", unknown());
    expect(&fake, &directory.join("other"), &restart, 65, "the same --token-keys");
    // One that nobody could renew in time is taken again.
    let first = std::sync::atomic::AtomicBool::new(true);
    fake.server.on_request("q#2", move |_| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) { ended("not_renewed") } else { answer(2) }
    });
    expect(&fake, &directory.join("third"), &restart, 0, "from a new snapshot");
}

#[test]
fn a_result_that_was_cut_is_told_however_quiet_it_is() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    fake.server.on("q#1", answer(1).truncated()).on("q#2", answer(2));
    let told = "a limit on the server cut the result: more rows exist";
    expect(&fake, directory.path(), &["-f", "csv", "--quiet"], 0, told);
    verify(&fake, directory.path(), 0, told);
}

#[test]
fn what_was_begun_live_goes_on_live_or_begins_anew_as_is_said_then() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let internal = || answer(2).batch_rows(1).error_after(1, Code::Internal, None).message("boom");
    for (again, code, told) in [
        ("fail", 75, "continue-live reads what is missing"),
        ("continue-live", 0, "4 rows"),
        ("restart", 0, "everything is exported from a new snapshot"),
    ] {
        let directory = directory.path().join(again);
        fake.server.on("q#1", answer(1)).on("q#2", lost()).on("q#2 live", internal());
        let how = |what| [&["-f", "csv", "-c", "1", "--on-snapshot-lost", what][..], &BY_ID].concat();
        expect(&fake, &directory, &how("continue-live"), 70, "boom");
        assert_eq!(sorted(&directory), ["export.journal", "part-0001-0001.csv"]);
        fake.server.on("q#2", answer(2)).on("q#2 live", answer(2));
        let calls = fake.server.calls().len();
        expect(&fake, &directory, &how(again), code, told);
        let read: Vec<_> = fake.server.calls().split_off(calls).into_iter().map(|call| call.request.query).collect();
        match again {
            "fail" => assert!(read.is_empty(), "{read:?}"),
            "restart" => assert_eq!(read, ["q#1", "q#2"]),
            _ => assert_eq!(read, ["q#2 live"]),
        }
        if code == 0 {
            let told =
                if again == "restart" { "as they were written\n" } else { "1 of the files are not of the snapshot" };
            verify(&fake, &directory, 0, told);
        }
    }
}

#[test]
fn partitions_that_rows_may_leave_are_not_read_live() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    fake.server.on("t#1", answer(1)).on("t#2", lost());
    let table = |more: &[&str]| {
        let all = ["export", "--table", "t", "--partitions", "2", "-f", "csv", "-c", "1", "-o"];
        run(&fake.endpoint, &[&all[..], &[directory.to_str().unwrap(), "--partition-strategy", "ctid"], more].concat())
    };
    let output = table(&[]);
    assert_eq!(output.status.code(), Some(75));
    assert!(!text(&output.stderr).contains("continue-live"), "{}", text(&output.stderr));
    let before = sorted(directory);
    assert_eq!(before, ["export.journal", "part-0001-0001.csv"]);
    assert_eq!(table(&["--on-snapshot-lost", "continue-live"]).status.code(), Some(64));
    assert_eq!(sorted(directory), before, "nothing is lost");
    // The fake's tables have no primary key.
    fake.server.on("t#2 live", answer(2));
    let other = directory.join("other");
    let live = ["export", "--table", "t", "-f", "csv", "--on-snapshot-lost", "continue-live", "-o"];
    let live = |more: &[&str]| run(&fake.endpoint, &[&live[..], &[other.to_str().unwrap()], more].concat());
    let output = live(&["--partitions", "2"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("no primary key"), "{}", text(&output.stderr));
    assert_eq!(sorted(&other), ["export.journal"], "nothing is read");
    let named = live(&["--partitions", "2", "--partition-strategy", "hash", "--partition-by", "id"]);
    assert_eq!(named.status.code(), Some(0), "{}", text(&named.stderr));
    fake.server.on("t#2", answer(2));
    assert_eq!(table(&["--on-snapshot-lost", "restart"]).status.code(), Some(0));
    verify(&fake, directory, 0, "complete: 2 files, 4 rows");
}

#[test]
fn each_partition_is_tried_again_as_often_as_was_said() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    for (retries, code) in [("11", 69), ("12", 0)] {
        for number in [1, 2] {
            let tries = std::sync::atomic::AtomicU32::new(0);
            fake.server.on_request(format!("q#{number}"), move |_| {
                match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                    0..12 => Answer::error(Code::Unavailable, Reason::DatabaseUnavailable).retry_after(Duration::ZERO),
                    _ => answer(number),
                }
            });
        }
        let directory = directory.path().join(retries);
        expect(&fake, &directory, &["-f", "csv", "--retries", retries], code, "");
    }
}

#[test]
fn a_partition_has_all_the_time_that_the_server_lets_it_have() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    script(&fake.server);
    fake.server.on("q#2", answer(2).batch_rows(1).error_after(1, Code::DeadlineExceeded, None));
    let directory = directory.path();
    expect(&fake, directory, &["-f", "csv"], 124, "took longer than the server lets any call take (--max-deadline)");
    let reads = fake.server.calls().into_iter().filter(|call| call.request.query.contains('#'));
    let asked: Vec<_> = reads.map(|call| call.request.timeout).collect();
    assert!(asked.len() >= 2 && asked.iter().all(|asked| asked.is_some_and(|asked| asked > Duration::from_secs(3600))));
    script(&fake.server);
    expect(&fake, directory, &["-f", "csv"], 0, "4 rows");
}

#[test]
fn a_file_that_is_missing_is_read_again() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let directory = directory.path();
    script(&fake.server);
    fake.server.on("q#2", answer(2).batch_rows(1).error_after(1, Code::Internal, None));
    expect(&fake, directory, &["-f", "csv", "-c", "1"], 70, "");
    fs::remove_file(directory.join("part-0001-0001.csv")).unwrap();
    script(&fake.server);
    expect(&fake, directory, &["-f", "csv", "-c", "1"], 0, "partition 1 is read again");
    verify(&fake, directory, 0, "complete: 2 files, 4 rows");
}

#[test]
fn a_full_disk_costs_the_file_that_was_being_written_and_no_other() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let small = directory.path().join("small");
    fs::create_dir(&small).unwrap();
    fake.server.on("q#1", answer(1)).on("q#2", large());
    // A disk of its own, seen by this shell alone.
    let script = "mount -t tmpfs -o size=2m none \"$1\" || exit 99
        \"$2\" export --query q --partitions 2 -c 1 -f csv -o \"$1/out\"; code=$?
        ls -A \"$1/out\"
        mount -o remount,size=64m \"$1\"
        \"$2\" export --query q --partitions 2 -c 1 -f csv -o \"$1/out\" || exit 98
        \"$2\" export --verify \"$1/out\" || exit 97
        exit $code";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh", small.to_str().unwrap()]);
    let output =
        command.arg(env!("CARGO_BIN_EXE_rowstream")).env("ROWSTREAM_ENDPOINT", &fake.endpoint).output().unwrap();
    // Of the mount, and of unshare itself.
    let refused = output.status.code() == Some(99) || text(&output.stderr).contains("unshare");
    if refused {
        eprintln!("not run: no file system can be mounted here: {}", text(&output.stderr));
        return;
    }
    assert_eq!(output.status.code(), Some(74), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("No space left on device"), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.starts_with("export.journal\npart-0001-0001.csv\ncomplete: 2 files, 30002 rows"), "{stdout}");
}

#[test]
fn an_empty_partition_has_a_file_with_the_columns() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let empty = Answer::rows(COLUMNS, Vec::<(i64, &str)>::new());
    fake.server.on("q#1", empty.clone()).on("q#2", empty);
    for format in ["csv", "parquet", "arrow", "jsonl"] {
        let directory = directory.path().join(format);
        expect(&fake, &directory, &["-f", format], 0, "0 rows");
        verify(&fake, &directory, 0, "complete: 2 files, 0 rows");
    }
    assert_eq!(fs::read_to_string(directory.path().join("csv/part-0002-0001.csv")).unwrap(), "id,name\n");
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_sent_or_written() {
    let (fake, directory) = (Fake::start(), tempfile::tempdir().unwrap());
    let out = directory.path().join("out");
    for (more, told) in [
        (&["-f", "table"][..], "--format table is for people"),
        (&["-f", "parquet", "--compress", "zstd"], "--compress has no meaning for --format parquet"),
        (&["-f", "csv", "--arrays-as-text"], "--arrays-as-text has no meaning for --format csv"),
        (&["--partition-strategy", "ctid", "--on-snapshot-lost", "continue-live"], "use key-range"),
        (&["--on-snapshot-lost", "continue-live"], "--partition-by with columns that do not change"),
        (&["--partition-strategy", "hash", "--on-snapshot-lost", "continue-live"], "with --partition-by"),
        (&["--partition-strategy", "key-range", "--on-snapshot-lost", "continue-live"], "with --partition-by"),
        (&["-p", "novalue"], "-p name=value"),
    ] {
        expect(&fake, &out, more, 64, told);
    }
    assert!(!out.exists() && fake.server.calls().is_empty());
    verify(&fake, directory.path(), 65, "there is no manifest.json");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("part-0001-0001.parquet"), "someone's").unwrap();
    expect(&fake, &out, &[], 65, "neither its journal nor its manifest");
    assert_eq!(fs::read_to_string(out.join("part-0001-0001.parquet")).unwrap(), "someone's");
}
