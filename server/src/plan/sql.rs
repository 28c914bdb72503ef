//! The SQL texts that are made around a caller's statement. Pure string work.
//!
//! A caller's text is never edited but for a trailing `;`, which becomes a blank, and it always
//! stands on lines of its own, so that a comment at its end swallows nothing of ours.

use std::sync::Arc;

use super::{composite::Composite, table::name::quoted};
use crate::error::CallerText;

/// A statement of ours with the caller's text in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrapped {
    pub(crate) sql: String,
    pub(crate) text: CallerText,
}

impl Wrapped {
    fn new(before: &str, caller: &str, after: &str) -> Self {
        let text = CallerText { before: before.chars().count(), length: caller.chars().count() };
        Self { sql: [before, caller, after].concat(), text }
    }

    /// A statement with nothing of the caller's in it.
    pub(crate) fn ours(sql: String) -> Self {
        Self { sql, text: CallerText::NONE }
    }

    /// Puts one more text in front.
    pub(crate) fn after(&self, before: &str) -> Self {
        let moved = CallerText { before: self.text.before + before.chars().count(), ..self.text };
        Self { sql: [before, &self.sql].concat(), text: moved }
    }
}

/// The cursor that every stream reads from.
pub(crate) const CURSOR: &str = "rowstream";

/// `DECLARE ... CURSOR FOR` a query: as something to parse, an exact test that the text is one
/// row-returning statement; as something to run, the beginning of a read.
///
/// `parameters` are the OIDs of the bound parameters. They stand in a comment, because sqlx keys its
/// prepared statements by text alone, and the same text may be bound with other types.
pub(crate) fn declare(query: &Wrapped, parameters: &[u32]) -> Wrapped {
    let types = parameters.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    query.after(&format!("DECLARE {CURSOR} BINARY NO SCROLL CURSOR /*{types}*/ FOR\n"))
}

/// A query to be run by itself; `parameters` as in [`declare`].
pub(crate) fn whole(query: &Wrapped, parameters: &[u32]) -> Wrapped {
    let types = parameters.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    query.after(&format!("/*{types}*/\n"))
}

/// A query as a COPY.
pub(crate) fn copy(query: &Wrapped) -> Wrapped {
    let copy = query.after("COPY (\n");
    Wrapped { sql: [&copy.sql, ") TO STDOUT (FORMAT binary)"].concat(), text: copy.text }
}

/// The caller's statement as it is.
pub(crate) fn plain(caller: &str) -> Wrapped {
    Wrapped::new("", &without_trailing_semicolons(caller), "\n")
}

/// How a column becomes what its type's output function prints, or a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    /// `::text`, for a type that has no cast to text of its own.
    Text,
    /// The same for one that has, such as `inet`: its cast may print something else.
    Output,
    /// An array as `text[]`; its elements are printed by their output function.
    Array,
    /// A composite as `record_send` gives it, a `bytea`.
    Record(Arc<Composite>),
    /// An array of a plain one as `array_send` gives it, a `bytea`.
    Records(Arc<Composite>),
}

impl Cast {
    pub(crate) fn of(&self, column: &str) -> String {
        match self {
            Self::Text => format!("{column}::text"),
            // Only arrays of it are printed by the output function, and read back as arrays of text.
            Self::Output => format!("(ARRAY[{column}]::text::text[])[1]"),
            Self::Array => format!("{column}::text::text[]"),
            Self::Record(composite) => format!("pg_catalog.record_send({})", composite.expression(column)),
            Self::Records(_) => format!("pg_catalog.array_send({column})"),
        }
    }
}

/// The caller's statement inside a query that casts some of its columns: `casts` holds, for each
/// column, whether and how.
pub(crate) fn casting(caller: &str, casts: &[Option<&Cast>]) -> Wrapped {
    let columns: Vec<_> = casts.iter().enumerate().map(|(i, cast)| shown(i, *cast)).collect();
    around(caller, &columns.join(", "), casts.len(), "")
}

/// What `rest` has of the caller's statement, such as the rows that meet a condition; it refers to the columns as
/// [`column()`] does. The columns keep their names; one that has a cast is cast.
pub(crate) fn selecting(caller: &str, columns: &[(&str, Option<&Cast>)], rest: &str) -> Wrapped {
    let named = |(i, (name, cast)): (usize, &(&str, Option<&Cast>))| format!("{} AS {}", shown(i, *cast), quoted(name));
    let list: Vec<_> = columns.iter().enumerate().map(named).collect();
    around(caller, &list.join(", "), columns.len(), rest)
}

/// One column of the caller's statement, of those rows that meet a condition.
pub(crate) fn column_of(caller: &str, columns: usize, index: usize, condition: &str) -> Wrapped {
    around(caller, &column(index), columns, &format!("WHERE {condition}\n"))
}

/// How a column of the caller's statement is referred to outside of it.
pub(crate) fn column(index: usize) -> String {
    format!("q.c{index}")
}

fn shown(index: usize, cast: Option<&Cast>) -> String {
    let column = column(index);
    cast.map_or(column.clone(), |cast| cast.of(&column))
}

/// A list of so many columns of the caller's statement, and what comes behind it.
fn around(caller: &str, list: &str, columns: usize, rest: &str) -> Wrapped {
    let aliases: Vec<_> = (0..columns).map(|i| format!("c{i}")).collect();
    let (before, after) = (format!("SELECT {list} FROM (\n"), format!("\n) AS q({})\n{rest}", aliases.join(", ")));
    Wrapped::new(&before, &without_trailing_semicolons(caller), &after)
}

/// A text as an SQL string literal, whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''").replace('\\', "\\\\");
    if doubled.contains('\\') { format!("E'{doubled}'") } else { format!("'{doubled}'") }
}

/// Blanks the semicolons that end the statement: positions stay what they were.
fn without_trailing_semicolons(sql: &str) -> String {
    let mut text = sql.to_owned();
    for at in trailing_semicolons(sql) {
        text.replace_range(at..=at, " ");
    }
    text
}

/// Where the semicolons are that only white space, comments and more semicolons follow.
fn trailing_semicolons(sql: &str) -> Vec<usize> {
    let bytes = sql.as_bytes();
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        match bytes[at] {
            b';' => found.push(at),
            b if b.is_ascii_whitespace() => {}
            _ if is_comment(bytes, at) => {}
            _ => found.clear(),
        }
        at = skip_token(bytes, at);
    }
    found
}

fn is_comment(bytes: &[u8], at: usize) -> bool {
    bytes[at..].starts_with(b"--") || bytes[at..].starts_with(b"/*")
}

/// The end of the token that begins at `at`, as PostgreSQL's lexer sees it, as far as quoting and
/// comments go; anything else is one byte long.
fn skip_token(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let identifier_before = at > 0 && is_identifier_byte(bytes[at - 1]);
    match rest[0] {
        b'-' if rest.starts_with(b"--") => at + line_end(rest),
        b'/' if rest.starts_with(b"/*") => at + block_comment_end(rest),
        b'\'' => at + quoted_end(rest, b'\'', identifier_before && matches!(bytes[at - 1], b'e' | b'E')),
        b'"' => at + quoted_end(rest, b'"', false),
        b'$' if !identifier_before => at + dollar_quote_end(rest),
        _ => at + 1,
    }
}

fn is_identifier_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

fn line_end(rest: &[u8]) -> usize {
    rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len())
}

fn block_comment_end(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < rest.len() && depth > 0 {
        let step = match rest[at..] {
            [b'/', b'*', ..] => 1,
            [b'*', b'/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
    }
    at
}

/// A doubled quote is read as the end of one string and the start of the next: the same for us.
fn quoted_end(rest: &[u8], quote: u8, backslash_escapes: bool) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' if backslash_escapes => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn dollar_quote_end(rest: &[u8]) -> usize {
    let Some(tag_end) = rest[1..].iter().position(|b| *b == b'$').map(|i| i + 2) else { return 1 };
    let tag = &rest[..tag_end];
    let name = &tag[1..tag_end - 1];
    let is_tag = name.iter().all(|b| is_identifier_byte(*b)) && !name.first().is_some_and(u8::is_ascii_digit);
    if !is_tag {
        return 1;
    }
    let close = rest[tag_end..].windows(tag_end).position(|window| window == tag);
    close.map_or(rest.len(), |i| tag_end + i + tag_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_semicolon_that_ends_the_statement_is_blanked() {
        for (sql, expected) in [
            ("select 1", "select 1"),
            ("select 1;", "select 1 "),
            ("select 1; -- done; really", "select 1  -- done; really"),
            ("select 1 /* a /* ; */ b */ ; ", "select 1 /* a /* ; */ b */   "),
            ("select ';'", "select ';'"),
            ("select 'it''s;';", "select 'it''s;' "),
            (r"select e'\';';", r"select e'\';' "),
            ("select \"a;b\";", "select \"a;b\" "),
            ("select $$;$$;", "select $$;$$ "),
            ("select $x$ $$;$y$ $x$;", "select $x$ $$;$y$ $x$ "),
            ("select $1; ", "select $1  "),
            ("select a$b;", "select a$b "),
            ("select 1; select 2;", "select 1; select 2 "),
            ("select 1;;", "select 1  "),
            ("select 'ä;' ;\n", "select 'ä;'  \n"),
            ("", ""),
            (";", " "),
        ] {
            assert_eq!(without_trailing_semicolons(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_callers_text_is_found_again_in_every_statement_of_ours() {
        let caller = "select ä, b from t; -- end";
        for wrapped in [
            plain(caller),
            casting(caller, &[None, Some(&Cast::Text)]),
            declare(&plain(caller), &[20, 25]),
            copy(&plain(caller)),
            selecting(caller, &[("ä", None), ("b", Some(&Cast::Text))], "WHERE q.c0 > 1\n"),
            column_of(caller, 2, 1, "TRUE"),
        ] {
            let text: String = wrapped.sql.chars().skip(wrapped.text.before).take(wrapped.text.length).collect();
            assert_eq!(text, "select ä, b from t  -- end");
        }
    }

    #[test]
    fn a_cast_names_its_columns_by_position() {
        let wrapped = casting("table t;", &[None, Some(&Cast::Array)]);
        assert_eq!(wrapped.sql, "SELECT q.c0, q.c1::text::text[] FROM (\ntable t \n) AS q(c0, c1)\n");
    }

    #[test]
    fn what_is_selected_of_it_keeps_the_names_of_its_columns() {
        let wrapped = selecting("table t;", &[("a", None), ("B \"", Some(&Cast::Text))], "WHERE q.c1 IS NULL\n");
        let expected =
            "SELECT q.c0 AS \"a\", q.c1::text AS \"B \"\"\" FROM (\ntable t \n) AS q(c0, c1)\nWHERE q.c1 IS NULL\n";
        assert_eq!(wrapped.sql, expected);
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(literal("plain"), "'plain'");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }
}
