//! JSON lines: one object a row, its keys in the order of the columns.
//!
//! Numbers keep every digit: int and numeric are JSON numbers as PostgreSQL prints them, floats the
//! shortest digits that read back; NaN and the infinities, which JSON has not, are strings. json and
//! jsonb are embedded as they are, with line breaks between tokens replaced by spaces. bytea is a
//! string `"\\x..."`, an array a JSON array, and everything else the string that PostgreSQL prints.
//!
//! A column whose name an earlier one has already gets a suffix: `a`, `a_2`, `a_3`.

use std::collections::HashSet;

use super::{Sink, pgtext};
use crate::{
    Columns, DecodeError, RowBatch,
    decode::{InvalidUtf8, ValueRef},
};

/// Writes JSON lines.
#[derive(Debug, Default)]
pub struct JsonLinesSink {
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    /// `{"name":` or `,"name":`.
    lead: Vec<u8>,
    float4: bool,
    json: bool,
}

impl Sink for JsonLinesSink {
    fn begin(&mut self, columns: &Columns, _: &mut Vec<u8>) {
        let names = unique_names(columns.iter().map(|column| column.name.as_str()));
        self.fields = names
            .iter()
            .zip(columns.iter())
            .enumerate()
            .map(|(index, (name, column))| {
                let mut lead = vec![if index == 0 { b'{' } else { b',' }];
                write_string(name, &mut lead);
                lead.push(b':');
                Field { lead, float4: column.is_float4(), json: column.is_json() }
            })
            .collect();
    }

    fn batch(&mut self, batch: &RowBatch, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        for row in batch.iter() {
            for (index, (field, value)) in self.fields.iter().zip(row.values()).enumerate() {
                out.extend_from_slice(&field.lead);
                value
                    .and_then(|value| write_value(value, field, out))
                    .map_err(|error| DecodeError::value(&batch.columns()[index], error))?;
            }
            out.extend_from_slice(if self.fields.is_empty() { b"{}\n" } else { b"}\n" });
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

/// The names, each made different from all before it by a suffix: `a`, `a_2`, `a_3`.
#[must_use]
pub fn unique_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<_> = names.into_iter().collect();
    let mut taken: HashSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut seen = HashSet::new();
    let mut unique = |name: &str| {
        if seen.insert(name.to_owned()) {
            return name.to_owned();
        }
        let free = (2..).map(|suffix| format!("{name}_{suffix}")).find(|name| !taken.contains(name));
        let name = free.unwrap_or_default();
        taken.insert(name.clone());
        name
    };
    names.into_iter().map(&mut unique).collect()
}

fn write_value(value: ValueRef<'_>, field: &Field, out: &mut Vec<u8>) -> Result<(), InvalidUtf8> {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        ValueRef::Int64(value) => pgtext::write_int(value, out),
        ValueRef::Double(value) if is_finite(value, field.float4) => pgtext::write_float(value, field.float4, out),
        ValueRef::Numeric(digits) if is_json_number(digits) => out.extend_from_slice(digits.as_bytes()),
        ValueRef::Double(_) | ValueRef::Bytes(_) => {
            let mut text = Vec::new();
            pgtext::write_value(value, field.float4, &mut text)?;
            write_string(&String::from_utf8_lossy(&text), out);
        }
        ValueRef::Text(document) if field.json => write_document(document, out),
        ValueRef::Text(text) | ValueRef::Numeric(text) => write_string(text, out),
        ValueRef::List(list) => {
            out.push(b'[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(element?, field, out)?;
            }
            out.push(b']');
        }
    }
    Ok(())
}

/// Whether it is printed as a number: a float4 out of a float4's range, which no PostgreSQL has sent, is an infinity.
fn is_finite(value: f64, float4: bool) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "to the nearest, or to an infinity")]
    let single = value as f32;
    value.is_finite() && (!float4 || single.is_finite())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing to a Vec does not fail, and neither does serializing a string.
    let written = serde_json::to_writer(&mut *out, text);
    debug_assert!(written.is_ok());
}

/// Inside the strings of a JSON document a line break is always escaped, so every bare one is between
/// tokens.
fn write_document(document: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(document.as_bytes());
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// PostgreSQL prints numerics without exponent; NaN and the infinities are no numbers to JSON.
fn is_json_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(whole, rest)| (whole, Some(rest)));
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use rowstream_contract::v1::value::Kind;

    use super::{super::testing::*, *};

    #[test]
    fn every_kind_has_its_json_form() {
        let numeric = |digits: &str| Some(Kind::Numeric(digits.to_owned()));
        for (oid, value, json) in [
            (25, None, "null"),
            (25, text("a\"b\n\u{1}é"), r#""a\"b\n\u0001é""#),
            (16, Some(Kind::Bool(false)), "false"),
            (20, Some(Kind::Int64(i64::MAX)), "9223372036854775807"),
            (1700, numeric("-12.3400"), "-12.3400"),
            (1700, numeric("0.10"), "0.10"),
            (1700, numeric("NaN"), "\"NaN\""),
            (1700, numeric("-Infinity"), "\"-Infinity\""),
            (701, Some(Kind::Double(1e300)), "1e+300"),
            (701, Some(Kind::Double(f64::INFINITY)), "\"Infinity\""),
            (700, Some(Kind::Double(f64::from(0.1_f32))), "0.1"),
            (700, Some(Kind::Double(-1e300)), "\"-Infinity\""),
            (17, Some(Kind::Bytes(vec![10].into())), r#""\\x0a""#),
            (114, text("{\"a\":\r\n [1]}"), "{\"a\":   [1]}"),
            (1007, list([Some(Kind::Int64(1)), None, list([])]), "[1,null,[]]"),
            (3807, list([text("{\"a\":1}")]), "[{\"a\":1}]"),
        ] {
            let line = printed(JsonLinesSink::default(), &[column("a", oid)], &[vec![value]]);
            assert_eq!(line, format!("{{\"a\":{json}}}\n"));
            assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn names_are_made_unique_and_keep_their_order() {
        let columns = ["a", "a", "a_2", "a", "\"q\""].map(|name| column(name, 23));
        let row = (1..6).map(|value| Some(Kind::Int64(value))).collect();
        let line = printed(JsonLinesSink::default(), &columns, &[row]);
        assert_eq!(line, "{\"a\":1,\"a_3\":2,\"a_2\":3,\"a_4\":4,\"\\\"q\\\"\":5}\n");
        assert_eq!(printed(JsonLinesSink::default(), &[], &[vec![]]), "{}\n");
    }
}
