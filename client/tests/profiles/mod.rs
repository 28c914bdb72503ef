//! The profiles file: where it is, what wins over what, and what is said when it is wrong.

use std::{fs, path::PathBuf, process::Output};

use tempfile::TempDir;

use crate::{fake::Fake, program, text};

/// A place for the file, as the program finds it by itself.
struct Home {
    directory: TempDir,
}

impl Home {
    fn with(file: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir_all(home.path().parent().unwrap()).unwrap();
        fs::write(home.path(), file).unwrap();
        home
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("rowstream").join("config.toml")
    }

    /// Runs without any endpoint but the file's.
    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = program("", arguments);
        command.env_remove("ROWSTREAM_ENDPOINT").env("XDG_CONFIG_HOME", self.directory.path());
        command.envs(environment.iter().copied()).output().unwrap()
    }

    fn expect(&self, arguments: &[&str], environment: &[(&str, &str)], code: i32, told: &str) -> Output {
        let output = self.run(arguments, environment);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
        output
    }
}

const ROWS: [&str; 3] = ["query", "--query", "rows"];
const NOWHERE: &str = "http://127.0.0.1:1";

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_profile() {
    let fake = Fake::start();
    let home = Home::with(&format!("default = \"here\"\n[profiles.here]\nendpoint = \"{}\"\n", fake.endpoint));
    home.expect(&ROWS, &[], 0, "");
    home.expect(&ROWS, &[("ROWSTREAM_ENDPOINT", NOWHERE)], 69, NOWHERE);
    let flag = [&ROWS[..], &["--endpoint", &fake.endpoint]].concat();
    home.expect(&flag, &[("ROWSTREAM_ENDPOINT", NOWHERE)], 0, "");
}

#[test]
fn the_profile_is_the_flags_then_the_environments_then_the_files_default() {
    let fake = Fake::start();
    let home = Home::with(&format!(
        "default = \"nowhere\"\n[profiles.nowhere]\nendpoint = \"{NOWHERE}\"\n[profiles.here]\nendpoint = [\"{}\"]\n",
        fake.endpoint
    ));
    home.expect(&ROWS, &[], 69, NOWHERE);
    home.expect(&ROWS, &[("ROWSTREAM_PROFILE", "here")], 0, "");
    home.expect(&["query", "--query", "rows", "--profile", "nowhere"], &[("ROWSTREAM_PROFILE", "here")], 69, NOWHERE);
    let listed = home.expect(&["profiles"], &[("ROWSTREAM_PROFILE", "here")], 0, "");
    assert_eq!(text(&listed.stdout), format!("* here     {}\n  nowhere  {NOWHERE}\n", fake.endpoint));
}

#[test]
fn every_key_has_the_meaning_of_its_flag_and_yields_to_it() {
    let fake = Fake::start();
    let keys = "format = \"jsonl\"\ndeadline = \"50ms\"\nconnect_timeout = \"5s\"\nmax_rows = 3\n";
    let home = Home::with(&format!("[profiles.p]\nendpoint = \"{}\"\n{keys}", fake.endpoint));
    let with = |arguments: &[&'static str]| [&["--profile", "p"], arguments].concat();
    home.expect(&with(&["query", "--query", "silent"]), &[], 124, "the deadline of 50ms passed");
    home.expect(&with(&["query", "--query", "silent", "--deadline", "60ms"]), &[], 124, "the deadline of 60ms passed");
    // With max_rows of one's own, a result of as many rows is not noted as cut.
    let truncated = with(&["query", "--query", "truncated", "--deadline", "30s"]);
    let output = home.expect(&truncated, &[], 0, "");
    assert!(text(&output.stdout).starts_with("{\"id\":1,"), "{}", text(&output.stdout));
    assert_eq!(text(&output.stderr), "");
    let csv = home.expect(&[&truncated[..], &["-f", "csv", "--max-rows", "9"]].concat(), &[], 0, "more rows exist");
    assert!(text(&csv.stdout).starts_with("id,name\n"));
}

#[test]
fn a_profile_trusts_what_lies_beside_its_file_under_the_name_it_gives() {
    let home = Home::with(
        "default = \"tls\"\n[profiles.tls]\nendpoint = \"https://127.0.0.1:1\"\ncacert = \"ca.crt\"\n\
         [profiles.absolute]\nendpoint = \"https://127.0.0.1:1\"\ncacert = \"/no/such.crt\"\n\
         [profiles.name]\nendpoint = \"https://127.0.0.1:1\"\nserver_name = \"no name\"\n",
    );
    let beside = home.path().with_file_name("ca.crt");
    home.expect(&["health"], &[], 78, &format!("the profile's cacert {}: No such file", beside.display()));
    home.expect(&["health", "--profile", "absolute"], &[], 78, "the profile's cacert /no/such.crt: No such file");
    fs::write(&beside, "no certificate").unwrap();
    home.expect(&["health"], &[], 64, "the CA certificate cannot be used");
    home.expect(&["health", "--cacert", "/flag.crt"], &[], 64, "--cacert /flag.crt: No such file");
    home.expect(&["health"], &[("ROWSTREAM_CACERT", "/env.crt")], 64, "--cacert /env.crt: No such file");

    let name = ["health", "--profile", "name"];
    home.expect(&name, &[], 64, "\"no name\" is neither a DNS name nor an IP address");
    home.expect(&[&name[..], &["--server-name", "rows.internal"]].concat(), &[], 69, "https://127.0.0.1:1");
}

#[test]
fn what_is_wrong_in_the_file_is_told_with_its_place_and_exits_with_78() {
    let home = Home::with("[profiles.a]\nendpont = \"http://h:1\"\n");
    let place = format!("{}:2: ", home.path().display());
    for arguments in [&["health"][..], &["profiles"]] {
        home.expect(arguments, &[], 78, &place);
        home.expect(arguments, &[], 78, "`endpoint`");
    }
    let home = Home::with("default = \"b\"\n[profiles.a]\n");
    home.expect(&["health"], &[], 78, "default: no profile \"b\"");
    home.expect(&["health", "--profile", "c"], &[], 78, "it has a");
}

#[test]
fn a_missing_file_matters_only_to_those_who_ask_for_it() {
    let home = Home::with("");
    fs::remove_file(home.path()).unwrap();
    // Nothing listens at the default endpoint's port, or something that is not asked to matter here.
    assert_ne!(home.run(&["query", "--query", "q", "--endpoint", NOWHERE], &[]).status.code(), Some(78));
    assert_eq!(text(&home.expect(&["profiles"], &[], 0, "").stdout), "");
    home.expect(&["health", "--profile", "a"], &[], 78, "cannot read ");
    home.expect(&["health", "--profiles-file", "/no/such/file"], &[], 78, "cannot read /no/such/file");
    home.expect(&["health"], &[("ROWSTREAM_PROFILES_FILE", "/no/such/file")], 78, "cannot read /no/such/file");
}

#[test]
fn a_file_that_is_named_is_taken_instead_of_the_usual_one() {
    let fake = Fake::start();
    let home = Home::with("this is not TOML");
    let other = home.directory.path().join("other.toml");
    fs::write(&other, format!("[profiles.x]\nendpoint = \"{}\"\n", fake.endpoint)).unwrap();
    home.expect(&ROWS, &[], 78, "config.toml:1: ");
    let named = [&ROWS[..], &["--profiles-file", other.to_str().unwrap(), "--profile", "x"]].concat();
    home.expect(&named, &[], 0, "");
}
