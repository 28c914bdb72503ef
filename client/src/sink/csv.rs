//! CSV exactly as PostgreSQL's `COPY ... TO STDOUT (FORMAT csv, HEADER)` writes it, which is RFC 4180
//! with LF line ends: NULL is an empty field, an empty string is `""`.

use super::{Sink, pgtext};
use crate::{
    Columns, DecodeError, RowBatch,
    decode::{InvalidUtf8, RawValue},
};

/// Writes CSV with a header line.
#[derive(Debug, Default)]
pub struct CsvSink {
    float4: Vec<bool>,
    /// Where an array is printed before it is quoted.
    scratch: Vec<u8>,
}

impl Sink for CsvSink {
    fn begin(&mut self, columns: &Columns, out: &mut Vec<u8>) {
        self.float4 = columns.iter().map(crate::Column::is_float4).collect();
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            // A name is a String: its UTF-8 is beyond doubt.
            let written = write_field(column.name.as_bytes(), columns.len() == 1, out);
            debug_assert!(written.is_ok());
        }
        out.push(b'\n');
    }

    fn batch(&mut self, batch: &RowBatch, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        out.reserve(batch.body().len());
        for row in batch.iter() {
            for (index, value) in row.raw_values().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                self.write_value(value, index, out)
                    .map_err(|error| DecodeError::value(&batch.columns()[index], error))?;
            }
            out.push(b'\n');
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

impl CsvSink {
    #[inline]
    fn write_value(&mut self, value: RawValue<'_>, column: usize, out: &mut Vec<u8>) -> Result<(), InvalidUtf8> {
        match value {
            RawValue::Null => {}
            RawValue::Bool(value) => out.push(if value { b't' } else { b'f' }),
            RawValue::Int64(value) => pgtext::write_int(value, out),
            RawValue::Double(value) => pgtext::write_float(value, self.float4[column], out),
            RawValue::Bytes(bytes) => pgtext::write_bytea(bytes, out),
            RawValue::Text(text) | RawValue::Numeric(text) => write_field(text, self.float4.len() == 1, out)?,
            RawValue::List(list) => {
                self.scratch.clear();
                pgtext::write_array(list, self.float4[column], &mut self.scratch)?;
                write_field(&self.scratch, self.float4.len() == 1, out)?;
            }
        }
        Ok(())
    }
}

/// Appends a field as [`CsvSink`] writes one: nothing for NULL, and quotes where the text needs them.
pub fn write_csv_field(text: Option<&str>, out: &mut Vec<u8>) {
    if let Some(text) = text {
        // A str is UTF-8 beyond doubt.
        let written = write_field(text.as_bytes(), false, out);
        debug_assert!(written.is_ok());
    }
}

/// Appends a field, in quotes where it needs them. `alone`: it is the only one of its line, where COPY
/// quotes `\.` as well, since that would end its input.
#[inline]
fn write_field(field: &[u8], alone: bool, out: &mut Vec<u8>) -> Result<(), InvalidUtf8> {
    // One pass without an early exit, so that it compiles to vector instructions.
    let (mut special, mut union) = (false, 0);
    for byte in field {
        special |= matches!(byte, b',' | b'"' | b'\n' | b'\r');
        union |= byte;
    }
    if union >= 0x80 && std::str::from_utf8(field).is_err() {
        return Err(InvalidUtf8);
    }
    if special || field.is_empty() || (alone && field == b"\\.") {
        write_quoted(field, out);
    } else {
        out.extend_from_slice(field);
    }
    Ok(())
}

fn write_quoted(field: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for piece in field.split_inclusive(|byte| *byte == b'"') {
        out.extend_from_slice(piece);
        if piece.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use rowstream_contract::v1::value::Kind;

    use super::{super::testing::*, *};

    // The right-hand sides are what psql 15 prints for the same values.
    #[test]
    fn values_are_printed_as_copy_prints_them() {
        let float4 = Kind::Double(f64::from(0.1_f32));
        for (oid, value, printed_as) in [
            (25, None, ""),
            (25, text(""), "\"\""),
            (25, text("plain text"), "plain text"),
            (25, text("a,b"), "\"a,b\""),
            (25, text("say \"hi\""), "\"say \"\"hi\"\"\""),
            (25, text("two\nlines\r"), "\"two\nlines\r\""),
            (25, text("\\."), "\\."),
            (16, Some(Kind::Bool(true)), "t"),
            (20, Some(Kind::Int64(i64::MIN)), "-9223372036854775808"),
            (700, Some(float4), "0.1"),
            (701, Some(Kind::Double(1e15)), "1e+15"),
            (701, Some(Kind::Double(f64::NEG_INFINITY)), "-Infinity"),
            (1700, Some(Kind::Numeric("-12.3400".to_owned())), "-12.3400"),
            (17, Some(Kind::Bytes(vec![0, 255].into())), "\\x00ff"),
        ] {
            let columns = [column("a", oid), column("b", 23)];
            let rows = [vec![value, Some(Kind::Int64(1))]];
            assert_eq!(printed(CsvSink::default(), &columns, &rows), format!("a,b\n{printed_as},1\n"));
        }
    }

    #[test]
    fn arrays_are_printed_as_array_out_prints_them() {
        let float4 = |value: f32| Some(Kind::Double(value.into()));
        for (oid, value, printed_as) in [
            (1009, list([]), "{}"),
            (1009, list([text("a"), None, text("null"), text("")]), r#""{a,NULL,""null"",""""}""#),
            (
                1009,
                list([text("a b"), text("x\"y"), text("p\\q"), text("{")]),
                r#""{""a b"",""x\""y"",""p\\q"",""{""}""#,
            ),
            (1016, list([list([Some(Kind::Int64(1))]), list([None])]), r#""{{1},{NULL}}""#),
            (1021, list([float4(0.1), float4(f32::NAN)]), r#""{0.1,NaN}""#),
            (1001, list([Some(Kind::Bytes(vec![1].into()))]), r#""{""\\x01""}""#),
            (1000, list([Some(Kind::Bool(false)), Some(Kind::Bool(true))]), r#""{f,t}""#),
        ] {
            assert_eq!(printed(CsvSink::default(), &[column("a", oid)], &[vec![value]]), format!("a\n{printed_as}\n"));
        }
    }

    #[test]
    fn the_end_of_data_mark_is_quoted_where_it_stands_alone() {
        assert_eq!(printed(CsvSink::default(), &[column("a", 25)], &[vec![text("\\.")]]), "a\n\"\\.\"\n");
    }

    #[test]
    fn a_header_is_quoted_as_a_value_is_and_no_columns_are_empty_lines() {
        let columns = [column("x,y", 25), column("", 25)];
        assert_eq!(printed(CsvSink::default(), &columns, &[]), "\"x,y\",\"\"\n");
        assert_eq!(printed(CsvSink::default(), &[], &[vec![], vec![]]), "\n\n\n");
    }
}
