//! Tests of where settings come from: precedence, messages, the printed file, and the samples in the repository.

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use clap::CommandFactory as _;
use tempfile::TempDir;

use super::{
    Args, Config, ConfigError,
    sources::{Kind, Setting, resolve},
};

const URL: &str = "postgres://u:hush-hush@h/d";
const SAMPLE: &str = include_str!("../../../deploy/rowstream-server.toml");

/// Reads flags, variables and a file's content. In messages the file is called FILE.
fn read(flags: &[&str], variables: &[(&str, &str)], content: &str) -> Result<Config, ConfigError> {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("settings.toml");
    fs::write(&file, content).expect("written");
    let file = file.to_str().expect("UTF-8");
    let arguments = ["rowstream-server", "--config", file].iter().chain(flags).map(Into::into).collect();
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Config::read(arguments, |name| variables.get(name).map(OsString::from)).map_err(|error| match error {
        ConfigError::Value(message) => ConfigError::Value(message.replace(file, "FILE")),
        usage => usage,
    })
}

fn refusal(flags: &[&str], variables: &[(&str, &str)], content: &str) -> String {
    let error = read(flags, variables, content).expect_err(content);
    assert!(matches!(error, ConfigError::Value(_)), "{error}");
    error.to_string()
}

/// All settings with their defaults.
fn settings() -> Vec<Setting> {
    let arguments = vec!["rowstream-server".into(), "--database-url".into(), URL.into()];
    resolve(arguments, |_| None).expect("valid").1.settings
}

#[test]
fn a_flag_counts_more_than_a_variable_more_than_the_file_more_than_the_default() {
    let content =
        format!("database_url = \"{URL}\"\npool_max = 20\nmax_queue = 20\nmax_streams = 20\nallow_sql = true");
    let config = read(
        &["--pool-max", "40"],
        &[("ROWSTREAM_POOL_MAX", "30"), ("ROWSTREAM_MAX_QUEUE", "30"), ("ROWSTREAM_ALLOW_SQL", "0")],
        &content,
    );
    let args = config.expect("valid").args;
    assert_eq!((args.pool_max, args.max_queue, args.max_streams, args.pool_min), (40, 30, 20, 1));
    assert!(!args.allow_sql, "the variable switches off what the file switches on");
}

#[test]
fn the_variable_names_the_file_unless_the_flag_does() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("a.toml");
    fs::write(&file, format!("database_url = '{URL}'\npool_max = 33")).expect("written");
    let variable = |name: &str| (name == "ROWSTREAM_CONFIG").then(|| file.clone().into());
    assert_eq!(Config::read(vec!["rowstream-server".into()], variable).expect("valid").args.pool_max, 33);
    let flags = ["rowstream-server", "--config", "/nowhere/b.toml"].map(OsString::from);
    let error = Config::read(flags.into(), variable).expect_err("not there").to_string();
    assert!(error.contains("--config /nowhere/b.toml: No such file"), "{error}");
}

#[test]
fn what_a_file_has_wrong_is_told_with_its_line_its_value_and_what_would_be_right() {
    for (content, told) in [
        ("pool_max = 1\n\npol_max = 2", "FILE:3: there is no setting pol_max; did you mean pool_max?"),
        ("pool-max = 2", "FILE:1: there is no setting pool-max; did you mean pool_max?"),
        ("zzzz = 2", "FILE:1: there is no setting zzzz; docs/configuration.md has them all"),
        ("config = 'x'", "FILE:1: there is no setting config"),
        ("print_config = true", "FILE:1: there is no setting print_config"),
        ("[server]\nlisten = '127.0.0.1:1'", "FILE:1: there is no setting server"),
        ("pool_max = \"10\"", "FILE:1: pool_max = \"10\": write a whole number, without quotes"),
        ("pool_max = 1.5", "FILE:1: pool_max = 1.5: write a whole number"),
        ("pool_max = -1", "FILE:1: pool_max = -1: invalid digit found in string; write a whole number"),
        ("allow_sql = \"yes\"", "FILE:1: allow_sql = \"yes\": write true or false, without quotes"),
        ("allow_sql = 1", "FILE:1: allow_sql = 1: write true or false"),
        ("listen = 50051", "FILE:1: listen = 50051: write text, in quotes"),
        ("listen = 'here'", "FILE:1: listen = 'here': invalid socket address syntax"),
        ("queries = ['a', 'b']", "FILE:1: queries = ['a', 'b']: write text, in quotes"),
        ("stall_timeout = '5 parsecs'", "write it like 30s, 5m or 1h"),
        ("max_row_bytes = 'big'", "write it like 64KiB or 4MiB"),
        ("log_format = 'xml'", "FILE:1: log_format = 'xml': write one of auto, text, json"),
        ("pool_max = 1\npool_max = 2", "FILE:2: pool_max is set a second time"),
        ("database_url = 7", "FILE:1: database_url: write text, in quotes"),
        ("pool_max 1", "FILE:1: not TOML"),
        // What can be read but not used.
        ("pool_max = 0", "pool_max (FILE:1) 0 would serve nobody"),
        ("\npool_min = 11", "pool_min (FILE:2) 11 is more than --pool-max 10"),
        ("database_url = 'mysql://u:hush-hush@h/d'", "database_url (FILE:1) is not of the form postgres://"),
    ] {
        let message = refusal(&[], &[], content);
        assert!(message.contains(told), "{content}\n{message}");
        assert!(!message.contains("hush-hush"), "{message}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let message = refusal(&[], &[("ROWSTREAM_LISTEN", "x")], "pool_max = 'a'\nb = 1");
    assert_eq!(message.lines().count(), 3, "{message}");
}

#[test]
fn what_a_variable_has_wrong_is_told_with_its_name() {
    for (variable, value, told) in [
        ("ROWSTREAM_POOL_MAX", "many", "ROWSTREAM_POOL_MAX=many: invalid digit found in string; write a whole number"),
        ("ROWSTREAM_ALLOW_SQL", "yes", "ROWSTREAM_ALLOW_SQL=yes: write true, false, 1 or 0"),
        ("ROWSTREAM_ALLOW_SQL", "", "ROWSTREAM_ALLOW_SQL=: write true, false, 1 or 0"),
        ("ROWSTREAM_LOG_FORMAT", "xml", "ROWSTREAM_LOG_FORMAT=xml: write one of auto, text, json"),
        ("ROWSTREAM_POOL_MIN", "11", "ROWSTREAM_POOL_MIN 11 is more than --pool-max 10"),
        ("DATABASE_URL", "u:hush-hush@h/d", "DATABASE_URL is not of the form postgres://"),
    ] {
        let message = refusal(&[], &[(variable, value)], "");
        assert!(message.contains(told), "{message}");
        assert!(!message.contains("hush-hush"), "{message}");
    }
}

#[test]
fn a_value_on_the_command_line_that_cannot_be_read_is_a_usage_error() {
    for flags in [&["--pool-max", "many"][..], &["--no-such-flag"], &["--pool-max", "1", "--pool-max", "2"], &[]] {
        let error = read(flags, &[], "").expect_err("refused");
        assert!(matches!(error, ConfigError::Usage(_)), "{error}");
    }
}

#[test]
fn the_url_can_come_from_a_file_of_its_own() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("url");
    let path = file.to_str().expect("UTF-8");
    for (content, fine) in [(format!("{URL}\n"), true), ("hush-hush".to_owned(), false)] {
        fs::write(&file, content).expect("written");
        let read = read(&["--database-url-file", path], &[], "");
        assert_eq!(read.is_ok(), fine);
        let told = read.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(!told.contains("hush-hush"), "{told}");
    }
}

#[test]
fn what_is_printed_can_be_read_again_and_tells_where_each_value_is_from_but_no_password() {
    let content = "log = \"a \\\"b\\\" \\\\ \\u0007\"\nmax_message_bytes = 1048576\nallow_sql = true";
    let variables = [("DATABASE_URL", "postgres://u:hush-hush@h/d?password=hush-hush&sslmode=require")];
    let printed = read(&["--pool-max", "20"], &variables, content).expect("valid").print();
    assert!(!printed.contains("hush-hush"), "{printed}");
    for told in [
        "database_url = \"postgres://u@h/d?sslmode=require\" # variable DATABASE_URL; the password is left out",
        "pool_max = 20",
        "# flag --pool-max",
        "settings.toml:2",
        "# default",
        "#queries = \"DIR\"",
        "# not set",
    ] {
        assert!(printed.contains(told), "{told}\n{printed}");
    }
    let again = read(&[], &[], &printed).expect("what was printed is valid").args;
    assert_eq!((again.pool_max, again.log.as_str(), again.allow_sql), (20, "a \"b\" \\ \u{7}", true));
    assert_eq!(again.max_message_bytes.as_u64(), 1 << 20);
    assert_eq!(again.database_url.as_deref(), Some("postgres://u@h/d?sslmode=require"));
}

#[test]
fn every_setting_has_a_flag_and_a_variable_by_the_same_rule() {
    for setting in settings() {
        let rule = format!("ROWSTREAM_{}", setting.key().to_uppercase());
        let expected = if setting.flag == "database-url" { "DATABASE_URL".to_owned() } else { rule };
        assert_eq!(setting.variable, expected);
    }
}

/// What the sample must say of a setting.
fn block(setting: &Setting) -> String {
    let command = Args::command();
    let key = setting.key();
    let arg = command.get_arguments().find(|arg| arg.get_id() == key.as_str()).expect("a setting is an argument");
    let help = arg.get_help().expect("every flag has help");
    let first = setting.values.first().filter(|_| setting.flag != "database-url");
    let value = |value: &OsString| value.to_str().expect("UTF-8").to_owned();
    let line = match (first, setting.kind) {
        (None, Kind::List) => format!("{key} = []"),
        (None, _) => format!("#{key} = \"{}\"", setting.placeholder),
        (Some(text), Kind::Switch | Kind::Boolean | Kind::Integer | Kind::Number) => format!("{key} = {}", value(text)),
        (Some(text), _) => format!("{key} = \"{}\"", value(text)),
    };
    format!("# {help}.\n{line}\n")
}

#[test]
fn the_sample_file_has_every_setting_at_its_default_and_nothing_else() {
    let lacking: Vec<_> = settings().iter().map(block).filter(|block| !SAMPLE.contains(block)).collect();
    assert!(lacking.is_empty(), "deploy/rowstream-server.toml lacks\n{}", lacking.join("\n"));
    let sample = read(&["--database-url", URL], &[], SAMPLE).expect("the sample is valid");
    let lines = SAMPLE
        .lines()
        .filter(|line| line.trim_start_matches('#').split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')));
    assert_eq!(lines.count(), settings().len());
    let plain = read(&["--database-url", URL], &[], "").expect("valid");
    for (sample, plain) in sample.sources.settings.iter().zip(&plain.sources.settings) {
        assert_eq!(sample.values, plain.values, "{}", sample.flag);
    }
}

#[test]
fn every_sample_of_toml_in_the_documents_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut samples = 0;
    for entry in fs::read_dir(folder).expect("docs/").map(|entry| entry.expect("an entry").path()) {
        let Ok(text) = fs::read_to_string(&entry) else { continue };
        for fence in text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            // A reader's Cargo.toml and the program's profiles are no files of settings.
            if fence.contains("[dependencies]") || fence.contains("[profiles") {
                continue;
            }
            let url = if fence.contains("database_url") { &[][..] } else { &["--database-url", URL] };
            // Files that a sample names need not be there.
            match read(url, &[], fence) {
                Err(ConfigError::Value(message)) if message.ends_with("(os error 2)") => {}
                read => drop(read.unwrap_or_else(|error| panic!("{}: {error}", entry.display()))),
            }
            samples += 1;
        }
    }
    assert!(samples > 0, "docs/configuration.md has one");
}
