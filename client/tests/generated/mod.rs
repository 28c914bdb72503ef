//! What the program makes of its own definition and of the contract: completions, manual pages, and
//! the .proto files.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use prost::Message as _;

use crate::{entries, expect, program, text};

/// No server is there: none of this may need one.
const NOWHERE: &str = "http://127.0.0.1:1";

#[test]
fn bash_completes_commands_flags_and_fixed_values() {
    let script = expect(NOWHERE, &["completions", "bash"], 0, "");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rowstream.bash");
    fs::write(&path, &script.stdout).unwrap();
    for (words, expected) in [
        (&["rowstream", "que"][..], "query queries"),
        (&["rowstream", "query", "--for"], "--format"),
        (&["rowstream", "query", "--format", ""], "table csv jsonl arrow parquet"),
        (&["rowstream", "completions", "po"], "powershell"),
        (&["rowstream", "--print-p"], "--print-proto"),
    ] {
        assert_eq!(completed_by_bash(&path, words), expected, "{words:?}");
    }
}

/// What bash offers for the last of the words.
fn completed_by_bash(script: &Path, words: &[&str]) -> String {
    let complete = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                    _rowstream \"$1\" \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[*]}\"";
    // Without startup files; "-" is $0.
    let output =
        Command::new("bash").args(["--noprofile", "--norc", "-c", complete, "-"]).arg(script).args(words).output();
    let Output { stdout, stderr, .. } = output.unwrap();
    assert_eq!(text(&stderr), "");
    text(&stdout).trim_end().to_owned()
}

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = expect(NOWHERE, &["completions", shell], 0, "");
        for word in ["describe", "profiles-file", "query-id"] {
            assert!(text(&script.stdout).contains(word), "{shell}: {word}");
        }
    }
    expect(NOWHERE, &["completions", "tcsh"], 64, "powershell");
}

#[test]
fn there_is_a_manual_page_for_every_command_which_man_takes_without_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("new").join("man1");
    expect(NOWHERE, &["man", pages.to_str().unwrap()], 0, "");
    let help = expect(NOWHERE, &["--help"], 0, "");
    let commands = text(&help.stdout).lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty()).map(|line| line.split_whitespace().next().unwrap());
    let mut expected: Vec<_> =
        commands.filter(|command| *command != "help").map(|command| format!("rowstream-{command}.1")).collect();
    assert!(expected.len() >= 8, "{expected:?}");
    // `bench compare` is a command below one.
    expected.extend(["rowstream.1", "rowstream-bench-compare.1"].map(str::to_owned));
    expected.sort();
    let mut found = entries(&pages);
    found.sort();
    assert_eq!(found, expected);

    let query = fs::read_to_string(pages.join("rowstream-query.1")).unwrap();
    for told in ["\\-\\-max\\-rows", ".SH NOTES", "customer=42"] {
        assert!(query.contains(told), "{told}: {query}");
    }
    for page in expected {
        // A machine without man is no reason to fail; CI has it.
        let man =
            Command::new("man").args(["-l", "--warnings"]).arg(pages.join(&page)).env("LC_ALL", "C.UTF-8").output();
        if let Ok(man) = man {
            assert!(man.status.success() && man.stderr.is_empty(), "{page}: {}", text(&man.stderr));
        }
    }
    expect(NOWHERE, &["man", "/dev/null/x"], 74, "cannot write /dev/null/x");
}

#[test]
fn the_printed_contract_compiles_to_the_one_that_is_spoken() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("protos");
    expect(NOWHERE, &["--print-proto", folder.to_str().unwrap()], 0, "");
    let files = entries(&folder.join("rowstream").join("v1"));
    assert!(files.contains(&"query_service.proto".to_owned()), "{files:?}");
    let paths = files.iter().map(|name| format!("rowstream/v1/{name}"));
    let mut compiled = protox::compile(paths, [&folder]).unwrap();
    for file in &mut compiled.file {
        file.source_code_info = None;
    }
    let spoken = prost_types::FileDescriptorSet::decode(rowstream_contract::FILE_DESCRIPTOR_SET).unwrap();
    let sorted = |mut set: prost_types::FileDescriptorSet| {
        set.file.sort_by(|a, b| a.name.cmp(&b.name));
        set.file
    };
    assert_eq!(sorted(compiled), sorted(spoken));

    let printed = expect(NOWHERE, &["--print-proto"], 0, "");
    for name in files {
        let path = format!("rowstream/v1/{name}");
        let file = fs::read_to_string(folder.join(&path)).unwrap();
        assert!(text(&printed.stdout).contains(&format!("// ---- {path}\n{file}")), "{path}");
    }
}

#[test]
fn the_contract_is_printed_without_a_command_and_not_beside_one() {
    expect(NOWHERE, &["--print-proto", "x", "health"], 64, "without a command");
    expect(NOWHERE, &["--endpoint", NOWHERE], 64, "give a command");
    let none = program(NOWHERE, &[]).output().unwrap();
    assert_eq!(none.status.code(), Some(64));
    expect(NOWHERE, &["--print-proto", "/dev/null/x"], 74, "cannot write /dev/null/x/rowstream/v1/");
}
