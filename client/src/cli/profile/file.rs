//! The file of profiles: strict TOML. An unknown key or a value of the wrong type is an error with its
//! line, never ignored.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use clap::ValueEnum as _;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

use crate::cli::formats::Format;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The profile that counts when none is asked for.
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) profiles: BTreeMap<String, Settings>,
}

/// What one profile may set: each key is the flag of that name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) endpoint: Endpoints,
    /// As written; a relative one is meant against the file's folder.
    pub(super) cacert: Option<PathBuf>,
    pub(super) server_name: Option<String>,
    #[serde(deserialize_with = "duration")]
    pub(super) deadline: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(super) connect_timeout: Option<Duration>,
    #[serde(deserialize_with = "format")]
    pub(super) format: Option<Format>,
    #[serde(deserialize_with = "max_rows")]
    pub(super) max_rows: Option<u64>,
}

/// One endpoint or a list of them.
#[derive(Debug, Default)]
pub(super) struct Endpoints(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Endpoints;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"http://HOST:PORT\" or a list of such")
            }

            fn visit_str<E: de::Error>(self, endpoint: &str) -> Result<Endpoints, E> {
                Ok(Endpoints(vec![endpoint.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Endpoints, A::Error> {
                let mut endpoints = Vec::new();
                while let Some(endpoint) = seq.next_element()? {
                    endpoints.push(endpoint);
                }
                Ok(Endpoints(endpoints))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map(Some).map_err(|error| {
        de::Error::custom(format!("{text:?} is no duration ({error}); write it like \"30s\" or \"5m\""))
    })
}

fn format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Format>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Format::from_str(&text, false).map(Some).map_err(|_| {
        let names = Format::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
        let names: Vec<_> = names.map(|value| value.get_name().to_owned()).collect();
        de::Error::custom(format!("{text:?} is no format; write one of {}", names.join(", ")))
    })
}

fn max_rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match i64::deserialize(deserializer)? {
        rows @ 1.. => Ok(Some(rows.cast_unsigned())),
        rows => Err(de::Error::custom(format!("{rows} is no limit; write 1 or more, or leave it out"))),
    }
}

/// Reads the file; a problem begins with the number of its line, to be put behind the file's name.
pub(super) fn parse(text: &str) -> Result<File, String> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
        format!(":{line}: {}", error.message().lines().collect::<Vec<_>>().join("; "))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn everything_that_may_stand_in_the_file_is_read() {
        let file = parse(
            "default = \"local\"\n[profiles.local]\nendpoint = \"http://a:1\"\n\
             [profiles.all]\nendpoint = [\"http://a:1\", \"http://b:1\"]\ndeadline = \"30s\"\n\
             connect_timeout = \"500ms\"\nformat = \"jsonl\"\nmax_rows = 7\n\
             cacert = \"ca.crt\"\nserver_name = \"rows.internal\"\n",
        )
        .unwrap();
        assert_eq!(file.default.as_deref(), Some("local"));
        assert_eq!(file.profiles["local"].endpoint.0, ["http://a:1"]);
        let all = &file.profiles["all"];
        assert_eq!(all.endpoint.0, ["http://a:1", "http://b:1"]);
        assert_eq!(
            (all.deadline, all.connect_timeout),
            (Some(Duration::from_secs(30)), Some(Duration::from_millis(500)))
        );
        assert_eq!((all.format, all.max_rows), (Some(Format::Jsonl), Some(7)));
        assert_eq!(all.cacert.as_deref(), Some(Path::new("ca.crt")));
        assert_eq!(all.server_name.as_deref(), Some("rows.internal"));
        assert!(parse("").unwrap().profiles.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_would_be_right() {
        for (text, told) in [
            ("[profiles.a]\nendpont = \"x\"", &[":2: ", "endpont", "`endpoint`"][..]),
            ("\n\nprofile = 1", &[":3: ", "profile", "`profiles`"]),
            ("default = 1", &[":1: ", "string"]),
            ("[profiles.a]\n\ndeadline = 30", &[":3: ", "string"]),
            ("[profiles.a]\ndeadline = \"soon\"", &[":2: ", "soon", "30s"]),
            ("[profiles.a]\nformat = \"xml\"", &[":2: ", "xml", "table, csv, jsonl"]),
            ("[profiles.a]\nmax_rows = 0", &[":2: ", "0 is no limit", "1 or more"]),
            ("[profiles.a]\nendpoint = 5", &[":2: ", "http://HOST:PORT"]),
            ("[profiles.a]\nendpoint = [5]", &[":2: ", "string"]),
            ("[profiles.a]\ncacert = true", &[":2: ", "path"]),
            ("[profiles.a]\nserver_name = 1", &[":2: ", "string"]),
            ("[profiles.a]\nformat = \"csv\"\nformat = \"csv\"", &[":3: ", "duplicate key"]),
            ("[profiles.a", &[":1: "]),
        ] {
            let problem = parse(text).unwrap_err();
            for told in told {
                assert!(problem.contains(told), "{text:?}: {problem}");
            }
        }
    }
}
