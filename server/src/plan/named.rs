//! A named query: one `.sql` file with a comment header.
//!
//! ```sql
//! -- description: Orders of one customer, newest first
//! -- param: customer_id bigint -- as in the customer table
//! -- param: since date = '1995-01-01'
//! -- max_deadline: 30s
//! -- max_rows: 10000
//! SELECT ... WHERE o_custkey = $1 AND o_orderdate >= $2
//! ```
//!
//! The header is the run of `--` lines at the top; a line of the form `-- key: value` must have one of
//! the keys above or `max_batch_bytes`, any other comment is free text. `param` lines stand in the order
//! of $1, $2, ...; their form is `declared`. A parameter without a default is required.
//!
//! Reading the files is `queries`; this is the format alone.

use std::{fmt, time::Duration};

use bytesize::ByteSize;

use super::{MAX_SQL_BYTES, declared::Declared};

/// A query that the operator has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedQuery {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) parameters: Vec<Declared>,
    pub(crate) max_deadline: Option<Duration>,
    pub(crate) max_rows: Option<i64>,
    pub(crate) max_batch_bytes: Option<usize>,
    /// The whole file: positions in errors are positions in the file.
    pub(crate) sql: String,
}

/// What is wrong with a file, and where in it (from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadFile {
    pub(crate) line: usize,
    /// In characters, where it is known.
    pub(crate) column: Option<usize>,
    pub(crate) message: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl BadFile {
    pub(crate) fn at_line(line: usize, message: impl Into<String>) -> Self {
        Self { line, column: None, message: message.into() }
    }

    /// At a position of PostgreSQL's: in characters, from 1.
    pub(crate) fn at_position(content: &str, position: usize, message: impl Into<String>) -> Self {
        let (mut line, mut column) = (1, 1);
        for character in content.chars().take(position.saturating_sub(1)) {
            if character == '\n' {
                (line, column) = (line + 1, 1);
            } else {
                column += 1;
            }
        }
        Self { line, column: Some(column), message: message.into() }
    }
}

impl NamedQuery {
    /// Reads a file's content.
    pub(crate) fn parse(name: &str, content: &str) -> Result<Self, BadFile> {
        if content.len() > MAX_SQL_BYTES {
            return Err(BadFile::at_line(1, "the file is larger than 1 MiB"));
        }
        if let Some(at) = content.find('\0') {
            let position = content[..at].chars().count() + 1;
            return Err(BadFile::at_position(content, position, "the file has a NUL byte"));
        }
        let mut query = Self {
            name: name.to_owned(),
            description: String::new(),
            parameters: Vec::new(),
            max_deadline: None,
            max_rows: None,
            max_batch_bytes: None,
            sql: content.to_owned(),
        };
        let mut lines = 0;
        for (i, line) in content.lines().enumerate() {
            lines = i + 1;
            let Some(comment) = line.trim().strip_prefix("--") else {
                if line.trim().is_empty() { continue } else { return Ok(query) }
            };
            if let Some((key, value)) = key_value(comment) {
                query.set(key, value, i + 1).map_err(|message| BadFile::at_line(i + 1, message))?;
            }
        }
        Err(BadFile::at_line(lines.max(1), "the file has no statement"))
    }

    /// The line on which the header ends and the statement begins.
    pub(crate) fn statement_line(&self) -> usize {
        let is_header = |line: &&str| line.trim().is_empty() || line.trim().starts_with("--");
        self.sql.lines().take_while(is_header).count() + 1
    }

    fn set(&mut self, key: &str, value: &str, line: usize) -> Result<(), String> {
        match key {
            "description" if !self.description.is_empty() => {
                self.description.push('\n');
                self.description.push_str(value);
            }
            "description" => value.clone_into(&mut self.description),
            "param" => {
                let declared = Declared::parse(value, line)?;
                if self.parameters.iter().any(|parameter| parameter.name == declared.name) {
                    return Err(format!("parameter {:?} is declared twice", declared.name));
                }
                self.parameters.push(declared);
            }
            "max_deadline" => {
                let duration = humantime::parse_duration(value).ok().filter(|d| !d.is_zero());
                let duration = duration.ok_or_else(|| format!("max_deadline {value:?} is not like 30s or 5m"))?;
                once(key, self.max_deadline.replace(duration))?;
            }
            "max_rows" => {
                let rows = value.parse().ok().filter(|rows| *rows > 0);
                let rows = rows.ok_or_else(|| format!("max_rows {value:?} is not a number above 0"))?;
                once(key, self.max_rows.replace(rows))?;
            }
            "max_batch_bytes" => {
                let size = value.parse::<ByteSize>().ok().and_then(|size| usize::try_from(size.as_u64()).ok());
                let size = size.filter(|size| BATCH_BYTES.contains(size));
                let size = size.ok_or_else(|| {
                    format!("max_batch_bytes {value:?} is not a size like 64KiB, from 1KiB up to 1GiB")
                })?;
                once(key, self.max_batch_bytes.replace(size))?;
            }
            _ => return Err(format!("{key:?} is not one of {KEYS}")),
        }
        Ok(())
    }
}

const KEYS: &str = "description, param, max_deadline, max_rows, max_batch_bytes";
/// What `max_batch_bytes` can be.
const BATCH_BYTES: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 30;

fn once<T>(key: &str, before: Option<T>) -> Result<(), String> {
    before.map_or(Ok(()), |_| Err(format!("{key} is given twice")))
}

/// `key: value`, where the key is one lower-case word: other comments are free text.
fn key_value(comment: &str) -> Option<(&str, &str)> {
    let (key, value) = comment.split_once(':')?;
    let key = key.trim();
    let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_key.then(|| (key, value.trim()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::declared::Default;

    const FILE: &str = "\
-- Two lines of free text: with a colon after several words.
-- description: Orders of one customer
-- param: customer_id bigint
-- param: since timestamp with time zone = '1995-01-01'
-- param: note text = NULL
-- param: limit int = 10
-- max_deadline: 30s
-- max_rows: 10000
-- max_batch_bytes: 64KiB

SELECT 1 -- max_rows: not in the header
";

    #[test]
    fn the_header_is_read_up_to_the_first_line_of_sql() {
        let query = NamedQuery::parse("orders", FILE).expect("a good file");
        assert_eq!(query.description, "Orders of one customer");
        assert_eq!(query.max_deadline, Some(Duration::from_secs(30)));
        assert_eq!(query.max_rows, Some(10_000));
        assert_eq!(query.max_batch_bytes, Some(65_536));
        assert_eq!(query.statement_line(), 11);
        let declared: Vec<_> =
            query.parameters.iter().map(|p| (p.name.as_str(), p.type_name.as_str(), p.default.clone())).collect();
        assert_eq!(
            declared,
            [
                ("customer_id", "bigint", None),
                ("since", "timestamp with time zone", Some(Default::Text("1995-01-01".to_owned()))),
                ("note", "text", Some(Default::Null)),
                ("limit", "int", Some(Default::Text("10".to_owned()))),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (content, told) in [
            ("-- descripton: x\nselect 1", format!("line 1: \"descripton\" is not one of {KEYS}")),
            ("\n-- param: x", "line 2: param \"x\" is not of the form: name type [= default] [-- description]".into()),
            (
                "-- param: 1x int",
                "line 1: parameter name \"1x\" is not letters, digits, _ - . after a letter or _".into(),
            ),
            ("-- param: x int\n-- param: x int", "line 2: parameter \"x\" is declared twice".into()),
            ("-- param: x int =", "line 1: the default after = is missing; write NULL, '' or a value".into()),
            (
                "-- param: x int = 'a'b'",
                "line 1: the default 'a'b' is not one quoted string; write a quote inside it twice".into(),
            ),
            ("-- max_rows: many", "line 1: max_rows \"many\" is not a number above 0".into()),
            ("-- max_rows: 1\n-- max_rows: 1", "line 2: max_rows is given twice".into()),
            ("-- max_deadline: soon", "line 1: max_deadline \"soon\" is not like 30s or 5m".into()),
            (
                "-- max_batch_bytes: 0",
                "line 1: max_batch_bytes \"0\" is not a size like 64KiB, from 1KiB up to 1GiB".into(),
            ),
            ("-- ä\nselect 'ä\0'", "line 2, column 10: the file has a NUL byte".into()),
            ("-- description: x\n\n-- nothing more", "line 3: the file has no statement".into()),
            ("", "line 1: the file has no statement".into()),
        ] {
            let told_us = NamedQuery::parse("q", content).map_err(|bad| bad.to_string());
            assert_eq!(told_us, Err(told), "{content}");
        }
    }

    #[test]
    fn a_position_is_told_as_line_and_column_in_characters() {
        for (position, place) in [(1, "line 1, column 1: x"), (4, "line 2, column 1: x"), (99, "line 2, column 3: x")] {
            assert_eq!(BadFile::at_position("äö\nüß", position, "x").to_string(), place);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_query_or_is_refused_with_a_line_that_it_has(content in any_file()) {
            match NamedQuery::parse("q", &content) {
                Ok(query) => prop_assert_eq!(query.sql, content),
                Err(bad) => prop_assert!((1..=content.lines().count().max(1)).contains(&bad.line), "{}", bad),
            }
        }
    }

    /// Texts that get past the first check now and then.
    fn any_file() -> impl Strategy<Value = String> {
        let key = "(-- )?(param|description|max_rows|max_deadline|max_batch_bytes|x)?:?";
        let line = (key, "[ a-z0-9='-]{0,20}|\\PC{0,20}").prop_map(|(key, rest)| format!("{key} {rest}"));
        prop_oneof![proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n")), "(?s).{0,80}"]
    }
}
