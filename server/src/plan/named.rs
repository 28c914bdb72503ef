//! A named query: one `.sql` file with a comment header.
//!
//! ```sql
//! -- description: Orders of one customer, newest first
//! -- param: customer_id bigint
//! -- param: since date = '1995-01-01'
//! -- max_deadline: 30s
//! -- max_rows: 10000
//! SELECT ... WHERE o_custkey = $1 AND o_orderdate >= $2
//! ```
//!
//! The header is the run of `--` lines at the top; a line of the form `-- key: value` must have one of
//! the keys above, any other comment is free text. `param` lines stand in the order of $1, $2, ... and
//! give a name, a PostgreSQL type and, after `=`, a default: NULL, a quoted string, or bare text in
//! the type's input form. A parameter without a default is required.
//!
//! Reading the files is `queries`; this is the format alone.

use std::time::Duration;

use super::MAX_SQL_BYTES;

/// A query that the operator has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedQuery {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) parameters: Vec<Declared>,
    pub(crate) max_deadline: Option<Duration>,
    pub(crate) max_rows: Option<i64>,
    /// The whole file: positions in errors are positions in the file.
    pub(crate) sql: String,
}

/// A parameter as its file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    /// A type name for PostgreSQL to read.
    pub(crate) type_name: String,
    pub(crate) default: Option<Default>,
}

/// What is taken for a parameter that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    Null,
    /// In the type's input form.
    Text(String),
}

/// What is wrong with a file, and on which line (from 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(crate) struct BadFile {
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// Whether a text can be the name of a query or of a parameter.
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    text.len() <= 63 && text.bytes().next().is_some_and(first) && text.bytes().all(inner)
}

impl NamedQuery {
    /// Reads a file's content.
    pub(crate) fn parse(name: &str, content: &str) -> Result<Self, BadFile> {
        let bad = |line, message: &str| BadFile { line, message: message.to_owned() };
        if content.len() > MAX_SQL_BYTES {
            return Err(bad(1, "the file is larger than 1 MiB"));
        }
        if content.contains('\0') {
            return Err(bad(1, "the file has a NUL byte"));
        }
        let mut query = Self {
            name: name.to_owned(),
            description: String::new(),
            parameters: Vec::new(),
            max_deadline: None,
            max_rows: None,
            sql: content.to_owned(),
        };
        for (i, line) in content.lines().enumerate() {
            let Some(comment) = line.trim().strip_prefix("--") else {
                if line.trim().is_empty() { continue } else { break }
            };
            if let Some((key, value)) = key_value(comment) {
                query.set(key, value).map_err(|message| BadFile { line: i + 1, message })?;
            }
        }
        Ok(query)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "description" if !self.description.is_empty() => {
                self.description.push('\n');
                self.description.push_str(value);
            }
            "description" => value.clone_into(&mut self.description),
            "param" => self.declare(value)?,
            "max_deadline" => {
                let duration = humantime::parse_duration(value).ok().filter(|d| !d.is_zero());
                self.max_deadline =
                    Some(duration.ok_or_else(|| format!("max_deadline {value:?} is not like 30s or 5m"))?);
            }
            "max_rows" => {
                let rows = value.parse().ok().filter(|rows| *rows > 0);
                self.max_rows = Some(rows.ok_or_else(|| format!("max_rows {value:?} is not a number above 0"))?);
            }
            _ => return Err(format!("{key:?} is not one of description, param, max_deadline, max_rows")),
        }
        Ok(())
    }

    fn declare(&mut self, value: &str) -> Result<(), String> {
        let form = || format!("param {value:?} is not of the form: name type [= default]");
        let (declaration, default) = match value.split_once('=') {
            Some((declaration, default)) => (declaration, Some(read_default(default.trim())?)),
            None => (value, None),
        };
        let (name, type_name) = declaration.trim().split_once(char::is_whitespace).ok_or_else(form)?;
        if !is_name(name) {
            return Err(format!("parameter name {name:?} is not letters, digits, _ - . after a letter or _"));
        }
        if self.parameters.iter().any(|parameter| parameter.name == name) {
            return Err(format!("parameter {name:?} is declared twice"));
        }
        self.parameters.push(Declared { name: name.to_owned(), type_name: type_name.trim().to_owned(), default });
        Ok(())
    }
}

/// `key: value`, where the key is one lower-case word: other comments are free text.
fn key_value(comment: &str) -> Option<(&str, &str)> {
    let (key, value) = comment.split_once(':')?;
    let key = key.trim();
    let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_key.then(|| (key, value.trim()))
}

fn read_default(text: &str) -> Result<Default, String> {
    if text.eq_ignore_ascii_case("null") {
        return Ok(Default::Null);
    }
    let Some(quoted) = text.strip_prefix('\'') else {
        return if text.is_empty() {
            Err("the default after = is missing; write NULL, '' or a value".to_owned())
        } else {
            Ok(Default::Text(text.to_owned()))
        };
    };
    let inner = quoted.strip_suffix('\'').filter(|inner| !inner.replace("''", "").contains('\''));
    inner
        .map(|inner| Default::Text(inner.replace("''", "'")))
        .ok_or_else(|| format!("the default {text} is not one quoted string"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
-- Two lines of free text: with a colon after several words.
-- description: Orders of one customer
-- param: customer_id bigint
-- param: since timestamp with time zone = '1995-01-01'
-- param: note text = NULL
-- param: limit int = 10
-- max_deadline: 30s
-- max_rows: 10000

SELECT 1 -- max_rows: not in the header
";

    #[test]
    fn the_header_is_read_up_to_the_first_line_of_sql() {
        let query = NamedQuery::parse("orders", FILE).expect("a good file");
        assert_eq!(query.description, "Orders of one customer");
        assert_eq!(query.max_deadline, Some(Duration::from_secs(30)));
        assert_eq!(query.max_rows, Some(10_000));
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
        for (content, line, message) in [
            ("-- descripton: x", 1, "\"descripton\" is not one of description, param, max_deadline, max_rows"),
            ("\n-- param: x", 2, "param \"x\" is not of the form: name type [= default]"),
            ("-- param: 1x int", 1, "parameter name \"1x\" is not letters, digits, _ - . after a letter or _"),
            ("-- param: x int\n-- param: x int", 2, "parameter \"x\" is declared twice"),
            ("-- param: x int =", 1, "the default after = is missing; write NULL, '' or a value"),
            ("-- param: x int = 'a'b'", 1, "the default 'a'b' is not one quoted string"),
            ("-- max_rows: many", 1, "max_rows \"many\" is not a number above 0"),
            ("-- max_deadline: soon", 1, "max_deadline \"soon\" is not like 30s or 5m"),
            ("select '\0'", 1, "the file has a NUL byte"),
        ] {
            let expected = BadFile { line, message: message.to_owned() };
            assert_eq!(NamedQuery::parse("q", content), Err(expected), "{content}");
        }
    }
}
