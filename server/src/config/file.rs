//! The file of settings: TOML, one key a setting, no sections.
//!
//! Here text becomes entries, each with its line. Which keys there are, and of which kind, is the business of
//! `sources`.

use std::{fs, ops::Range, path::Path};

use toml::{Spanned, de::DeTable, de::DeValue};

/// How much of a value is shown in a message.
const SHOWN: usize = 60;

/// One `key = value`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) value: Value,
    /// The value as it is written.
    pub(super) written: String,
}

/// A value of the kinds that settings have.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    /// Without a sign or with one, without `_`, in decimal.
    Integer(String),
    Float(String),
    Boolean(bool),
    List(Vec<Value>),
    /// A table, a date or a time: no setting is one.
    Other,
}

/// Reads a file.
///
/// # Errors
/// Says what is wrong, with the file's name and the line.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("--config {}: {error}", path.display()))?;
    parse(&text).map_err(|(line, problem)| format!("{}:{line}: {problem}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let line_of = |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        (line_of(span.start), problem(error.message(), text.get(span).unwrap_or_default()))
    })?;
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| Entry {
        key: String::from(&**AsRef::<std::borrow::Cow<'_, str>>::as_ref(key)),
        line: line_of(key.span().start),
        value: value_of(value.get_ref()),
        written: written(text, value.span()),
    };
    let mut entries: Vec<_> = table.get_ref().iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// What the parser says, in a sentence that names the key.
fn problem(message: &str, at: &str) -> String {
    if message.contains("duplicate key") {
        format!("{at} is set a second time; keep one of the two")
    } else if at.trim().is_empty() {
        format!("not TOML: {message}")
    } else {
        format!("not TOML: {message}, at {:?}", at.chars().take(SHOWN).collect::<String>())
    }
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number.to_string()),
            Err(_) => Value::Other,
        },
        DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
        DeValue::Boolean(is) => Value::Boolean(*is),
        DeValue::Array(values) => Value::List(values.iter().map(|value| value_of(value.get_ref())).collect()),
        DeValue::Datetime(_) | DeValue::Table(_) => Value::Other,
    }
}

fn written(text: &str, span: Range<usize>) -> String {
    let line = text.get(span).unwrap_or_default().lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_comes_with_its_line_and_as_it_is_written() {
        let text =
            "# a comment\na = \"x\" # y\n\nb = 1_000\nc = 0x10\nd = 1.5\ne = [\n  \"p\",\n  \"q\",\n]\nf = true\n[g]\n";
        let entries = parse(text).expect("TOML");
        let told: Vec<_> =
            entries.iter().map(|entry| (entry.key.as_str(), entry.line, entry.written.as_str())).collect();
        assert_eq!(told[..4], [("a", 2, "\"x\""), ("b", 4, "1_000"), ("c", 5, "0x10"), ("d", 6, "1.5")]);
        assert_eq!(
            told[4..].iter().map(|(key, line, _)| (*key, *line)).collect::<Vec<_>>(),
            [("e", 7), ("f", 11), ("g", 12)]
        );
        let text = |text: &str| Value::Text(text.to_owned());
        let values: Vec<_> = entries.into_iter().map(|entry| entry.value).collect();
        assert_eq!(values[..3], [text("x"), Value::Integer("1000".to_owned()), Value::Integer("16".to_owned())]);
        assert_eq!(values[3], Value::Float("1.5".to_owned()));
        assert_eq!(values[4..], [Value::List(vec![text("p"), text("q")]), Value::Boolean(true), Value::Other]);
    }

    #[test]
    fn what_is_not_toml_is_refused_with_its_line() {
        for (text, line, told) in [
            ("a = 1\na = 2\n", 2, "a is set a second time"),
            ("a = 1\n\nb = \n", 3, "not TOML"),
            ("a = 1\nb 2\n", 2, "not TOML"),
            ("a = \"x\n", 1, "not TOML"),
        ] {
            let (at, problem) = parse(text).expect_err("refused");
            assert_eq!(at, line, "{text:?}: {problem}");
            assert!(problem.contains(told), "{text:?}: {problem}");
        }
    }
}
