//! `--format arrow` and `--format parquet`: what is in the files, and that nothing is where a file is not whole.

use std::{
    fs::{self, File},
    io::Cursor,
    path::Path,
};

use arrow_array::{Array as _, RecordBatch, cast::AsArray as _, types::Int64Type};
use arrow_ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{entries, expect, fake::Fake, run, text};

/// The three rows of the fake server's `rows`.
fn assert_rows(batches: impl Iterator<Item = RecordBatch>) {
    let mut rows = Vec::new();
    for batch in batches {
        let (ids, names) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
        let name = |row: usize| names.is_valid(row).then(|| names.value(row).to_owned());
        rows.extend((0..batch.num_rows()).map(|row| (ids.value(row), name(row))));
    }
    assert_eq!(rows, [(1, Some("a".to_owned())), (2, Some("b,c".to_owned())), (3, None)]);
}

fn parquet(path: &Path) -> impl Iterator<Item = RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap)
}

#[test]
fn the_name_of_a_file_tells_its_format_and_what_is_in_it_reads_back() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, more: &[&str]| {
        let path = directory.path().join(name);
        let arguments = [&["query", "--query", "rows", "-o", path.to_str().unwrap()], more].concat();
        expect(&fake.endpoint, &arguments, 0, "3 rows, ");
        path
    };
    let file = File::open(write("rows.arrow", &[])).unwrap();
    assert_rows(FileReader::try_new(file, None).unwrap().map(Result::unwrap));
    let stream = File::open(write("rows.arrows", &[])).unwrap();
    assert_rows(StreamReader::try_new(stream, None).unwrap().map(Result::unwrap));
    assert_rows(parquet(&write("rows.parquet", &[])));
    assert_rows(parquet(&write("no_extension", &["--format", "parquet"])));
    assert!(fs::read_to_string(write("rows.jsonl", &[])).unwrap().starts_with("{\"id\":1,"));
    assert!(fs::read_to_string(write("csv.parquet", &["--format", "csv"])).unwrap().starts_with("id,name\n"));
}

#[test]
fn a_pipe_gets_arrows_streaming_format_and_parquet_too() {
    let fake = Fake::start();
    let output = run(&fake.endpoint, &["query", "--query", "rows", "--format", "arrow"]);
    assert_rows(StreamReader::try_new(Cursor::new(output.stdout), None).unwrap().map(Result::unwrap));
    let output = run(&fake.endpoint, &["query", "--query", "rows", "--format", "parquet"]);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(output.stdout)).unwrap();
    assert_rows(reader.build().unwrap().map(Result::unwrap));
}

#[test]
fn a_result_that_is_not_whole_leaves_no_file_and_the_old_one_stays() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().unwrap();
    for format in ["arrow", "parquet"] {
        let path = directory.path().join(format!("rows.{format}"));
        for (query, told) in [
            ("no_summary", "cut off after 3 rows"),
            ("wrong_checksum", "summary says checksum"),
            ("wrong_count", "summary says row count 4, but 3"),
            ("gap", "a batch begins at row 7"),
            ("garbage", "malformed Arrow"),
            ("fails_midway", "boom (INTERNAL)"),
        ] {
            expect(&fake.endpoint, &["query", "--query", query, "-o", path.to_str().unwrap()], 70, told);
            assert_eq!(entries(directory.path()), [""; 0], "{format} {query}");
        }
    }
    let path = directory.path().join("rows.parquet");
    fs::write(&path, "before").unwrap();
    expect(&fake.endpoint, &["query", "--query", "fails_midway", "-o", path.to_str().unwrap()], 70, "boom");
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), entries(directory.path()).len()), ("before", 1));
}

#[test]
fn a_full_disk_is_told() {
    let fake = Fake::start();
    for format in ["arrow", "parquet"] {
        let arguments = ["query", "--query", "rows", "--format", format, "-o", "/dev/full"];
        expect(&fake.endpoint, &arguments, 74, "cannot write /dev/full: No space left");
    }
}

#[test]
fn binary_formats_do_not_go_to_a_terminal() {
    let fake = Fake::start();
    for format in ["arrow", "parquet"] {
        // script(1) gives the program a terminal.
        let program = env!("CARGO_BIN_EXE_rowstream");
        let command = format!("{program} query --query rows --format {format} --endpoint {}", fake.endpoint);
        let output = std::process::Command::new("script").args(["-qec", &command, "/dev/null"]).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let told = format!("--format {format} is binary, and stdout is a terminal: name a file with -o, or use a pipe");
        assert!(text(&output.stdout).contains(&told), "{}", text(&output.stdout));
    }
    assert!(fake.server.calls().is_empty());
}

#[test]
fn what_has_no_meaning_in_a_format_is_refused_and_the_rest_reaches_the_server() {
    let fake = Fake::start();
    let refused = ["query", "--query", "rows", "--arrays-as-text"];
    expect(&fake.endpoint, &refused, 64, "--arrays-as-text has no meaning for --format csv");
    let refused = ["query", "--query", "rows", "--format", "parquet", "--arrow-compression", "lz4"];
    expect(&fake.endpoint, &refused, 64, "--arrow-compression has no meaning for --format parquet");
    assert!(fake.server.calls().is_empty());

    let asked = ["query", "--query", "rows", "--strategy", "portal", "--grpc-compression", "zstd", "-v"];
    expect(&fake.endpoint, &asked, 0, "strategy cursor");
    let request = fake.server.calls().pop().unwrap().request;
    assert_eq!(request.strategy, rowstream_client::Strategy::Portal);
    assert_eq!(request.metadata.get("rowstream-compression").map(String::as_str), Some("zstd"));
}
