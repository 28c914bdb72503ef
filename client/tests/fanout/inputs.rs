//! What goes in, and what is refused.

use std::{io::Write as _, process::Stdio};

use super::{Lab, records};
use crate::text;

#[test]
fn csv_json_lines_and_stdin_give_the_same_calls() {
    let lab = Lab::start();
    lab.write("ids.csv", "since,id\n2024-05-01,1\n,2\n");
    lab.write("ids.jsonl", "{\"id\": 1, \"since\": \"2024-05-01\"}\n{\"since\": null, \"id\": 2}\n");
    for (params, format, stdin) in [
        ("ids.csv", &[][..], None),
        ("ids.jsonl", &[], None),
        ("-", &["--params-format", "csv"], Some("ids.csv")),
        ("-", &["--params-format", "jsonl"], Some("ids.jsonl")),
        ("/dev/stdin", &["--params-format", "csv"], Some("ids.csv")),
    ] {
        let mut command = lab.command(&[&["--query", "user", "--params", params, "--ordered"], format].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let input = stdin.map(|name| lab.read(name)).unwrap_or_default();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{params}: {}", text(&output.stderr));
        assert_eq!(records(text(&output.stdout)).len(), 2);
        let calls = lab.fake.server.take_calls();
        let mut sent: Vec<_> = calls.iter().filter(|call| call.request.parameter("id").is_some()).collect();
        sent.sort_by_key(|call| call.request.parameter("id").unwrap().as_text().map(str::to_owned));
        let since = |at: usize| sent[at].request.parameter("since").unwrap().as_text().map(str::to_owned);
        assert_eq!((since(0).as_deref(), since(1)), (Some("2024-05-01"), None), "{params}");
    }
}

#[test]
fn a_column_left_out_leaves_the_parameter_to_its_default() {
    let lab = Lab::start();
    lab.write("ids.jsonl", "{\"id\": 1}\n{\"id\": 2, \"since\": \"today\"}\n");
    lab.expect(&["--query", "user", "--params", "ids.jsonl"], 0, "2 succeeded");
    let calls = lab.fake.server.take_calls();
    let given = calls.iter().filter(|call| call.request.parameter("since").is_some()).count();
    assert_eq!(given, 1);
}

#[test]
fn columns_are_mapped_and_those_of_sql_counted() {
    let lab = Lab::start();
    lab.write("users.csv", "user,note,id\n1,x,9\n2,y,9\n");
    let named = ["--query", "user", "--params", "users.csv", "--map", "user=id", "--ordered", "-q"];
    lab.expect(&named, 65, "the column \"note\" is for no parameter");
    for (extra, header) in [("keep", "user,note,id,id_2,event"), ("drop", "user,id,event")] {
        let output = lab.expect(&[&named[..], &["--extra-columns", extra, "--format", "rows-csv"]].concat(), 0, "");
        assert_eq!(text(&output.stdout).lines().next(), Some(header));
    }
    let sql = ["--sql", "select $1, $2", "--params", "users.csv", "--ordered", "-q", "--extra-columns", "drop"];
    let output = lab.expect(&sql, 0, "");
    assert_eq!(records(text(&output.stdout))[1]["input"], serde_json::json!({"user": "2", "note": "y"}));
    let output = lab.expect(&[&sql[..], &["--map", "id=1", "--map", "note=2"]].concat(), 0, "");
    assert_eq!(records(text(&output.stdout))[1]["rows"][0]["id"], 9);
    lab.write("pairs.jsonl", "[5, \"x\"]\n[6, null]\n");
    let output = lab.expect(&["--sql", "select $1, $2", "--params", "pairs.jsonl", "--ordered", "-q"], 0, "");
    assert_eq!(records(text(&output.stdout))[1]["input"], serde_json::json!({"$1": 6, "$2": null}));
}

#[test]
fn bad_lines_are_named_and_nothing_is_run() {
    let lab = Lab::start();
    lab.write("ids.csv", "id,since\n1,\nabc,\n3\n\"4,\n");
    let output = lab.expect(&["--query", "user", "--params", "ids.csv"], 65, "");
    assert_eq!(
        text(&output.stderr),
        "rowstream: 3 lines of ids.csv cannot be used; no call was run\n\
         line 3: column \"id\": \"abc\" is no int4\n\
         line 4: it has 1 field, and the header 2\n\
         line 5: a quote is not closed\n\
         hint: mend the input, or set such lines aside with --rejects FILE\n"
    );
    lab.write("many.csv", &format!("id\n{}", "x\n".repeat(50)));
    lab.expect(
        &["--query", "user", "--params", "many.csv"],
        65,
        "line 11: column \"id\": \"x\" is no int4\nand 40 more\n",
    );
    lab.write("key.csv", "key\n1\n");
    lab.expect(
        &["--query", "user", "--params", "key.csv"],
        65,
        "line 1: no column for the parameter \"id\" (int4); there is \"key\"",
    );
    lab.write("one.csv", "a\n1\n");
    lab.expect(&["--sql", "select $1, $2", "--params", "one.csv"], 65, "the SQL takes \"$1\", \"$2\"");
    lab.expect(&["--query", "user", "--params", "none.csv"], 74, "cannot read none.csv: No such file");
    lab.expect(&["--query", "user", "--params", "/dev/null", "--params-format", "csv"], 65, "the input is empty");
    lab.expect(&["--query", "user", "--params", "-"], 64, "--params-format csv or --params-format jsonl");
    lab.expect(&["--query", "user", "--params", "ids.csv", "--map", "a=b"], 64, "no parameter \"b\"");
    lab.expect(&["--query", "nobody", "--params", "ids.csv"], 66, "`rowstream queries` lists the named queries");
    assert_eq!(lab.calls(), 0);
}

#[test]
fn bad_lines_are_set_aside_when_asked_for() {
    let lab = Lab::start();
    lab.write("ids.csv", "id,since\n1,\nabc,\n3,\n4\n");
    let rejects = "{\"line\":3,\"problem\":\"column \\\"id\\\": \\\"abc\\\" is no int4\",\"text\":\"abc,\"}\n\
                   {\"line\":5,\"problem\":\"it has 1 field, and the header 2\",\"text\":\"4\"}\n";
    for params in [&["ids.csv"][..], &["/dev/stdin", "--params-format", "csv"]] {
        let mut command =
            lab.command(&[&["--query", "user", "--rejects", "rejects.jsonl", "--params"], params].concat());
        let output = command.stdin(std::fs::File::open(lab.path("ids.csv")).unwrap()).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("set aside: 2 lines"), "{stderr}");
        let indices: Vec<_> = records(text(&output.stdout)).iter().map(|record| record["index"].clone()).collect();
        assert_eq!(indices, [0, 2], "positions count every record");
        assert_eq!(lab.read("rejects.jsonl"), rejects);
    }
}

#[test]
fn a_bad_line_that_comes_later_on_stdin_lets_what_has_begun_end() {
    let lab = Lab::start();
    let mut command = lab.command(&["--query", "user", "--params", "-", "--params-format", "csv"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"id\n7\n8\nabc\n9\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert!(text(&output.stderr).contains("a line of stdin cannot be used; no further call has begun\nline 4: "));
    assert_eq!(records(text(&output.stdout)).len(), 2);
}
