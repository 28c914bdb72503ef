//! Names as callers and operators write them: `schema.table`, quoted where they need it, and the patterns of
//! `--tables`.

use std::fmt;

/// The schema of a name that has none.
const DEFAULT_SCHEMA: &str = "public";
/// The longest text of a name: two names of 63 bytes with every byte a doubled quote fit easily.
const MAX_BYTES: usize = 512;

/// A table's name, letter by letter as in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TableName {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl TableName {
    /// Reads `schema.table` or `table`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split(text)?;
        let (schema, name) = match parts.len() {
            1 => (DEFAULT_SCHEMA.to_owned(), parts.remove(0).text),
            _ => (parts.remove(0).text, parts.remove(0).text),
        };
        Ok(Self { schema, name })
    }
}

impl fmt::Display for TableName {
    /// As [`parse`](Self::parse) reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", shown(&self.schema), shown(&self.name))
    }
}

/// A part of a name, in quotes where it would not be read as it is.
fn shown(part: &str) -> String {
    let plain = !part.is_empty() && !part.contains(['.', '"', '*']);
    if plain { part.to_owned() } else { quoted(part) }
}

/// A name in double quotes, for SQL: nothing in it can end them.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// One part of a dotted name.
struct Part {
    text: String,
    in_quotes: bool,
}

/// One or two parts.
fn split(text: &str) -> Result<Vec<Part>, String> {
    if text.is_empty() {
        return Err("is empty; give \"schema.table\", or \"table\" in schema public".to_owned());
    }
    if text.len() > MAX_BYTES {
        return Err(format!("is longer than {MAX_BYTES} bytes"));
    }
    if text.contains('\0') {
        return Err("has a NUL character".to_owned());
    }
    let (mut parts, mut rest) = (Vec::new(), text);
    loop {
        let (part, tail) = part(rest)?;
        parts.push(part);
        match tail.strip_prefix('.') {
            None if tail.is_empty() => break,
            None => return Err(format!("{text:?} has something behind a closing quote")),
            Some(_) if parts.len() == 2 => {
                return Err(format!(
                    "{text:?} has more than two parts; put a part with a dot in it into double quotes"
                ));
            }
            Some(tail) => rest = tail,
        }
    }
    Ok(parts)
}

fn part(text: &str) -> Result<(Part, &str), String> {
    let (name, tail, in_quotes) = match quoted_prefix(text) {
        Some(Ok((name, tail))) => (name, tail, true),
        Some(Err(message)) => return Err(message),
        None => {
            let end = text.find('.').unwrap_or(text.len());
            (text[..end].to_owned(), &text[end..], false)
        }
    };
    if name.is_empty() {
        return Err("has an empty part; give \"schema.table\", or \"table\" in schema public".to_owned());
    }
    if !in_quotes && name.contains('"') {
        return Err("has a quote inside a name; put the name into double quotes and double the quote".to_owned());
    }
    Ok((Part { text: name, in_quotes }, tail))
}

/// A name in double quotes at the beginning of a text, and what follows; `None` if there is no quote.
pub(crate) fn quoted_prefix(text: &str) -> Option<Result<(String, &str), String>> {
    let mut rest = text.strip_prefix('"')?;
    let mut name = String::new();
    loop {
        let Some(end) = rest.find('"') else { return Some(Err(format!("{text:?} has no closing quote"))) };
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(tail) => {
                name.push('"');
                rest = tail;
            }
            None => return Some(Ok((name, rest))),
        }
    }
}

/// Tables that the operator opens: `schema.table`, where `*` in either part stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    schema: Glob,
    name: Glob,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    /// For SQL's LIKE.
    like: String,
    /// Stands for one name only.
    exact: bool,
}

impl Glob {
    fn new(part: &Part) -> Self {
        let wild = !part.in_quotes && part.text.contains('*');
        let mut like = String::new();
        for character in part.text.chars() {
            match character {
                '*' if wild => like.push('%'),
                '%' | '_' | '\\' => like.extend(['\\', character]),
                _ => like.push(character),
            }
        }
        Self { like, exact: !wild }
    }
}

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = split(text)?;
        let [schema, name] = &parts[..] else {
            return Err(format!("{text:?} has no schema; write public.{text}, or *.{text} for every schema"));
        };
        Ok(Self { schema: Glob::new(schema), name: Glob::new(name) })
    }

    /// For LIKE on the schema's name, and on the table's.
    pub(crate) fn likes(&self) -> (&str, &str) {
        (&self.schema.like, &self.name.like)
    }

    /// Whether it names one table: only so is a system catalog opened.
    pub(crate) fn is_exact(&self) -> bool {
        self.schema.exact && self.name.exact
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_name_is_taken_letter_by_letter() {
        for (text, expected) in [
            ("orders", name("public", "orders")),
            ("Sales.Orders", name("Sales", "Orders")),
            ("my schema.a table", name("my schema", "a table")),
            ("\"a.b\".\"c\"\"d\"", name("a.b", "c\"d")),
            ("\"a*\".t*", name("a*", "t*")),
            ("ä.select", name("ä", "select")),
            (" t", name("public", " t")),
        ] {
            assert_eq!(TableName::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        for (text, message) in [
            ("", "is empty"),
            (".t", "an empty part"),
            ("t.", "an empty part"),
            ("\"\".t", "an empty part"),
            ("a.b.c", "more than two parts"),
            ("\"a", "no closing quote"),
            ("\"a\"b", "behind a closing quote"),
            ("a\"b", "a quote inside"),
            ("a\0", "NUL"),
            (&"x".repeat(513), "longer than 512"),
        ] {
            let refused = TableName::parse(text).expect_err(text);
            assert!(refused.contains(message), "{text:?}: {refused}");
        }
    }

    #[test]
    fn a_pattern_becomes_what_like_understands() {
        for (text, likes, exact) in [
            ("public.*", ("public", "%"), false),
            ("*.lineitem", ("%", "lineitem"), false),
            ("sales.or_ders", ("sales", "or\\_ders"), true),
            ("\"a.*\".t", ("a.*", "t"), true),
            ("s.100%\\*", ("s", "100\\%\\\\%"), false),
        ] {
            let pattern = Pattern::parse(text).expect(text);
            assert_eq!((pattern.likes(), pattern.is_exact()), (likes, exact), "{text}");
        }
        assert!(Pattern::parse("orders").expect_err("no schema").contains("write public.orders"));
    }

    proptest! {
        #[test]
        fn every_name_is_read_back_as_it_is_shown(schema in "[^\0]{1,20}", table in "[^\0]{1,20}") {
            let name = name(&schema, &table);
            prop_assert_eq!(TableName::parse(&name.to_string()), Ok(name));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = (TableName::parse(&text), Pattern::parse(&text));
        }
    }
}
