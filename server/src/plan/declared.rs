//! A parameter as a named query's file declares it: `name type [= default] [-- description]`.
//!
//! The type is for PostgreSQL to read, and so is a default: NULL, a quoted string, or bare text in the type's
//! input form. Only a quoted default can hold `--` behind a blank.

/// A parameter as its file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    /// A type name for PostgreSQL to read.
    pub(crate) type_name: String,
    pub(crate) default: Option<Default>,
    /// What it means, for whoever calls the query.
    pub(crate) description: String,
    /// Where in the file, from 1.
    pub(crate) line: usize,
}

/// What is taken for a parameter that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    Null,
    /// In the type's input form.
    Text(String),
}

/// Whether a text can be the name of a query or of a parameter.
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    text.len() <= 63 && text.bytes().next().is_some_and(first) && text.bytes().all(inner)
}

impl Declared {
    /// Reads what stands behind `param:` on that line.
    pub(crate) fn parse(text: &str, line: usize) -> Result<Self, String> {
        let form = || format!("param {text:?} is not of the form: name type [= default] [-- description]");
        let (declaration, description) = split_description(text);
        let (declaration, default) = match declaration.split_once('=') {
            Some((declaration, default)) => (declaration, Some(read_default(default.trim())?)),
            None => (declaration, None),
        };
        let (name, type_name) = declaration.trim().split_once(char::is_whitespace).ok_or_else(form)?;
        if !is_name(name) {
            return Err(format!("parameter name {name:?} is not letters, digits, _ - . after a letter or _"));
        }
        Ok(Self {
            name: name.to_owned(),
            type_name: type_name.trim().to_owned(),
            default,
            description: description.to_owned(),
            line,
        })
    }
}

/// Splits at the first `--` that follows a blank and is in no quoted string.
fn split_description(text: &str) -> (&str, &str) {
    let (mut quoted, mut blank) = (false, false);
    for (at, character) in text.char_indices() {
        if character == '\'' {
            quoted = !quoted;
        } else if !quoted && blank && text[at..].starts_with("--") {
            return (text[..at].trim_end(), text[at + 2..].trim());
        }
        blank = character.is_whitespace();
    }
    (text, "")
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
        .ok_or_else(|| format!("the default {text} is not one quoted string; write a quote inside it twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_has_a_name_a_type_and_perhaps_a_default_and_a_description() {
        let text = |text: &str| Some(Default::Text(text.to_owned()));
        for (declaration, name, type_name, default, description) in [
            ("a bigint", "a", "bigint", None, ""),
            ("a bigint -- the customer's key", "a", "bigint", None, "the customer's key"),
            ("a timestamp with time zone = 1995-01-01", "a", "timestamp with time zone", text("1995-01-01"), ""),
            ("a text = 'x -- y' -- a note -- in parts", "a", "text", text("x -- y"), "a note -- in parts"),
            ("a text = 'it''s' -- it's", "a", "text", text("it's"), "it's"),
            ("a text = ''", "a", "text", text(""), ""),
            ("a int4range = [1,5)--x", "a", "int4range", text("[1,5)--x"), ""),
            ("a date = null --", "a", "date", Some(Default::Null), ""),
        ] {
            let expected = Declared {
                name: name.to_owned(),
                type_name: type_name.to_owned(),
                default,
                description: description.to_owned(),
                line: 7,
            };
            assert_eq!(Declared::parse(declaration, 7), Ok(expected), "{declaration}");
        }
    }
}
