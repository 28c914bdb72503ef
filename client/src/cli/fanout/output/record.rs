//! One JSON object a call:
//! `{"index":0,"input":{...},"rows":[...],"attempts":1,"latency_ms":1.5,"endpoint":"..."}`, or `"error":{...}` in
//! place of the rows.

use std::io::Write as _;

use rowstream_client::{
    DecodeError, Error,
    sink::{JsonLinesSink, Sink as _},
};
use rowstream_contract::code;

use super::{Answer, Facts, Input, write_cell, write_string};

#[derive(Debug)]
pub(crate) struct RecordFormat;

impl RecordFormat {
    pub(super) fn answer(
        &self,
        input: Input<'_>,
        answer: Answer<'_>,
        facts: Facts<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        write_input(input, out);
        out.extend_from_slice(b",\"rows\":[");
        let start = out.len();
        let mut sink = JsonLinesSink::default();
        sink.begin(answer.columns, out);
        for batch in answer.batches {
            sink.batch(batch, out)?;
        }
        // A line end inside a value is always escaped, so each one ends a row.
        for byte in &mut out[start..] {
            if *byte == b'\n' {
                *byte = b',';
            }
        }
        if out.len() > start {
            out.pop();
        }
        out.push(b']');
        if answer.truncated {
            out.extend_from_slice(b",\"truncated\":true");
        }
        write_facts(facts, out);
        Ok(())
    }

    pub(super) fn failure(&self, input: Input<'_>, error: &Error, facts: Facts<'_>, out: &mut Vec<u8>) {
        write_input(input, out);
        write_error(error, out);
        write_facts(facts, out);
    }
}

fn write_input(input: Input<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"index\":");
    out.extend_from_slice(input.record.position.to_string().as_bytes());
    out.extend_from_slice(b",\"input\":{");
    for (number, (name, cell)) in input.cells().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write_cell(cell, out);
    }
    out.push(b'}');
}

fn write_error(error: &Error, out: &mut Vec<u8>) {
    let server = error.server();
    let message = server.map_or_else(|| error.to_string(), |server| server.message().to_owned());
    out.extend_from_slice(b",\"error\":{\"code\":");
    write_string(code::name(error.code()), out);
    for (key, value) in [
        ("reason", server.and_then(|server| server.reason_name())),
        ("message", Some(message.as_str())),
        ("sqlstate", server.and_then(|server| server.sqlstate())),
        ("phase", server.and_then(|server| server.phase())),
        ("query_id", server.and_then(|server| server.query_id())),
    ] {
        let Some(value) = value else { continue };
        out.push(b',');
        write_string(key, out);
        out.push(b':');
        write_string(value, out);
    }
    out.push(b'}');
}

fn write_facts(facts: Facts<'_>, out: &mut Vec<u8>) {
    let Facts { attempts, hedged, latency, endpoint } = facts;
    // Writing to a Vec does not fail.
    let _ = write!(out, ",\"attempts\":{attempts}");
    if hedged {
        out.extend_from_slice(b",\"hedged\":true");
    }
    let micros = latency.as_micros();
    let _ = write!(out, ",\"latency_ms\":{}.{:03}", micros / 1000, micros % 1000);
    if let Some(endpoint) = endpoint {
        out.extend_from_slice(b",\"endpoint\":");
        write_string(endpoint, out);
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};
    use crate::cli::fanout::{
        input::Cell,
        output::{Formatter, OutputFormat},
        testing::{batch, columns, failure},
    };

    #[test]
    fn a_call_is_one_line_with_its_input_and_its_rows() {
        let columns = columns(&[("id", "int8", 20), ("name", "text", 25)]);
        let mut formatter = Formatter::new(OutputFormat::Jsonl, &["id".to_owned()].into(), &columns);
        assert_eq!(formatter.head(), b"");
        let mut record = record(&["id", "note", "gone"], &[Some("7"), None, Some("x")]);
        let batches = [batch(&columns, &[&["1", "a\nb"]]), batch(&columns, &[&["2", "c"], &["3", "d"]])];
        assert_eq!(
            answered(&mut formatter, &record, &[0, 1], &columns, &batches),
            "{\"index\":7,\"input\":{\"id\":\"7\",\"note\":null},\"rows\":[{\"id\":\"1\",\"name\":\"a\\nb\"},\
             {\"id\":\"2\",\"name\":\"c\"},{\"id\":\"3\",\"name\":\"d\"}],\
             \"attempts\":1,\"latency_ms\":1.500,\"endpoint\":\"http://h:1\"}\n"
        );
        record.cells[0] = Cell::Json("1.50".into());
        assert_eq!(
            answered(&mut formatter, &record, &[0], &columns, &[]),
            "{\"index\":7,\"input\":{\"id\":1.50},\"rows\":[],\
             \"attempts\":1,\"latency_ms\":1.500,\"endpoint\":\"http://h:1\"}\n"
        );
    }

    #[test]
    fn a_failed_call_has_its_error_in_place_of_rows() {
        let columns = columns(&[]);
        let formatter = Formatter::new(OutputFormat::Jsonl, &[].into(), &columns);
        let record = record(&["id"], &[Some("7")]);
        let mut out = Vec::new();
        let facts = Facts { attempts: 4, hedged: true, endpoint: None, ..FACTS };
        formatter.failure(Input { record: &record, shown: &[0] }, &failure(), facts, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"index\":7,\"input\":{\"id\":\"7\"},\"error\":{\"code\":\"INTERNAL\",\
             \"message\":\"the server broke the protocol: boom\"},\
             \"attempts\":4,\"hedged\":true,\"latency_ms\":1.500}\n"
        );
    }
}
