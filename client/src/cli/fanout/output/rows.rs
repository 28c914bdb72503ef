//! The rows of all calls, one after the other, each behind the columns of its input, as JSON lines or CSV.
//!
//! A result's column that has the name of an earlier one, be it of the input, gets a suffix: `id`, `id_2`.

use rowstream_client::{
    Column, Columns, DecodeError,
    sink::{CsvSink, JsonLinesSink, Sink, unique_names, write_csv_field},
};

use super::{Answer, Input, write_cell, write_string};
use crate::cli::fanout::input::{Cell, InputColumns};

#[derive(Debug)]
pub(crate) struct RowsFormat {
    shape: Shape,
    /// What is written for the rows of one call before its input is put to each.
    scratch: Vec<u8>,
    /// What stands before each row.
    lead: Vec<u8>,
}

#[derive(Debug)]
enum Shape {
    JsonLines,
    /// Every line has these columns of the input, and then those of the result.
    Csv {
        input: InputColumns,
        head: Vec<u8>,
    },
}

impl RowsFormat {
    pub(super) fn json_lines() -> Self {
        Self { shape: Shape::JsonLines, scratch: Vec::new(), lead: Vec::new() }
    }

    pub(super) fn csv(input: InputColumns, columns: &Columns) -> Self {
        let mut head = Vec::new();
        let result = columns.iter().map(|column| column.name.as_str());
        for (number, name) in unique_names(input.iter().map(String::as_str).chain(result)).iter().enumerate() {
            if number > 0 {
                head.push(b',');
            }
            write_csv_field(Some(name), &mut head);
        }
        head.push(b'\n');
        Self { shape: Shape::Csv { input, head }, scratch: Vec::new(), lead: Vec::new() }
    }

    pub(super) fn head(&self) -> Vec<u8> {
        match &self.shape {
            Shape::JsonLines => Vec::new(),
            Shape::Csv { head, .. } => head.clone(),
        }
    }

    pub(super) fn answer(
        &mut self,
        input: Input<'_>,
        answer: Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        match &self.shape {
            Shape::JsonLines => self.json_answer(input, answer, out),
            Shape::Csv { .. } => self.csv_answer(input, answer, out),
        }
    }

    fn json_answer(&mut self, input: Input<'_>, answer: Answer<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let mut names = input.cells().map(|(name, _)| name).collect::<Vec<_>>();
        let inputs = names.len();
        names.extend(answer.columns.iter().map(|column| column.name.as_str()));
        let names = unique_names(names);
        self.lead.clear();
        for (name, (_, cell)) in names.iter().zip(input.cells()) {
            self.lead.push(if self.lead.is_empty() { b'{' } else { b',' });
            write_string(name, &mut self.lead);
            self.lead.push(b':');
            write_cell(cell, &mut self.lead);
        }
        let columns: Columns = answer.columns.iter().zip(&names[inputs..]).map(renamed).collect();
        print(JsonLinesSink::default(), &columns, answer, &mut self.scratch)?;
        for row in self.scratch.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(&self.lead);
            // The row's own brace gives way to the input, and to a comma if there is anything behind it.
            match (inputs, columns.is_empty()) {
                (0, _) => out.extend_from_slice(row),
                (_, true) => out.extend_from_slice(&row[1..]),
                (_, false) => {
                    out.push(b',');
                    out.extend_from_slice(&row[1..]);
                }
            }
        }
        Ok(())
    }

    fn csv_answer(&mut self, input: Input<'_>, answer: Answer<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let Shape::Csv { input: columns, .. } = &self.shape else { return Ok(()) };
        self.lead.clear();
        for name in columns.iter() {
            let cell = input.cells().find(|(column, _)| column == name).map_or(&Cell::Null, |(_, cell)| cell);
            write_csv_field(cell.text(), &mut self.lead);
            self.lead.push(b',');
        }
        if answer.columns.is_empty() {
            self.lead.pop();
        }
        print(CsvSink::default(), answer.columns, answer, &mut self.scratch)?;
        // The first is the sink's header.
        for row in Lines(&self.scratch).skip(1) {
            out.extend_from_slice(&self.lead);
            out.extend_from_slice(row);
        }
        Ok(())
    }
}

fn print(mut sink: impl Sink, columns: &Columns, answer: Answer<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    out.clear();
    sink.begin(columns, out);
    for batch in answer.batches {
        sink.batch(batch, out)?;
    }
    Ok(())
}

fn renamed((column, name): (&Column, &String)) -> Column {
    Column { name: name.clone(), ..column.clone() }
}

/// The records of CSV that a sink has written, with their line ends: one that is inside quotes ends none.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut quoted = false;
        let end = self.0.iter().position(|byte| {
            quoted ^= *byte == b'"';
            *byte == b'\n' && !quoted
        })?;
        let (record, rest) = self.0.split_at(end + 1);
        self.0 = rest;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use crate::cli::fanout::{
        output::{Facts, Formatter, OutputFormat},
        testing::{batch, columns, failure},
    };

    #[test]
    fn each_row_stands_behind_its_input_and_names_are_unique() {
        let columns = columns(&[("id", "int8", 20), ("name", "text", 25)]);
        let record = record(&["id", "note"], &[Some("7"), None]);
        let rows = [batch(&columns, &[&["1", "a\nb"], &["2", "say \"x,y\""]])];
        for (format, head, expected) in [
            (
                OutputFormat::RowsJsonl,
                "",
                "{\"id\":\"7\",\"note\":null,\"id_2\":\"1\",\"name\":\"a\\nb\"}\n\
                 {\"id\":\"7\",\"note\":null,\"id_2\":\"2\",\"name\":\"say \\\"x,y\\\"\"}\n",
            ),
            (OutputFormat::RowsCsv, "id,note,id_2,name\n", "7,,1,\"a\nb\"\n7,,2,\"say \"\"x,y\"\"\"\n"),
        ] {
            let mut formatter = Formatter::new(format, &record.columns, &columns);
            assert_eq!(String::from_utf8(formatter.head()).unwrap(), head);
            assert_eq!(answered(&mut formatter, &record, &[0, 1], &columns, &rows), expected);
            assert_eq!(answered(&mut formatter, &record, &[0, 1], &columns, &[]), "");
            let mut out = Vec::new();
            let facts = Facts { attempts: 2, ..FACTS };
            formatter.failure(super::Input { record: &record, shown: &[0] }, &failure(), facts, &mut out);
            assert_eq!(out, b"", "rows alone: a failure has none");
        }
    }

    #[test]
    fn either_side_may_have_no_columns() {
        let (none, one) = (columns(&[]), columns(&[("a", "text", 25)]));
        let record = record(&["id"], &[Some("7")]);
        for (format, without_result, without_input) in
            [(OutputFormat::RowsJsonl, "{\"id\":\"7\"}\n", "{\"a\":\"x\"}\n"), (OutputFormat::RowsCsv, "7\n", "x\n")]
        {
            let mut formatter = Formatter::new(format, &record.columns, &none);
            assert_eq!(answered(&mut formatter, &record, &[0], &none, &[batch(&none, &[&[]])]), without_result);
            let mut formatter = Formatter::new(format, &[].into(), &one);
            assert_eq!(answered(&mut formatter, &record, &[], &one, &[batch(&one, &[&["x"]])]), without_input);
        }
    }

    #[test]
    fn a_csv_line_has_the_columns_of_the_first_input_whatever_its_own_are() {
        let columns = columns(&[("a", "text", 25)]);
        let mut formatter = Formatter::new(OutputFormat::RowsCsv, &["x".to_owned(), "y".to_owned()].into(), &columns);
        let record = record(&["y"], &[Some("1")]);
        let rows = [batch(&columns, &[&["r"]])];
        assert_eq!(answered(&mut formatter, &record, &[0], &columns, &rows), ",1,r\n");
    }
}
