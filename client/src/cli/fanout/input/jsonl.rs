//! JSON lines: an object a line, whose keys are the columns, or an array, whose columns are $1, $2, ...
//!
//! Values other than strings stay as they were written: a number is never read as a float and printed
//! again.

use std::{
    fmt,
    io::{BufRead, Read as _},
    sync::Arc,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Cell, InputColumns, Item, MAX_RECORD_BYTES, Record, Unreadable, repeated, too_long};

#[derive(Debug)]
pub(crate) struct JsonLinesReader<R> {
    input: R,
    raw: Vec<u8>,
    /// The columns of the last record: most have the same.
    columns: InputColumns,
    position: u64,
    lines: u64,
}

impl<R: BufRead> JsonLinesReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, raw: Vec::new(), columns: Arc::from([]), position: 0, lines: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<Item>, Unreadable> {
        while self.line()? {
            if self.raw.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let (position, line) = (self.position, self.lines);
            self.position += 1;
            let item = match self.parse() {
                Ok(cells) => Item::Record(Record { position, line, columns: self.columns.clone(), cells }),
                Err(problem) => Item::Broken { line, problem },
            };
            return Ok(Some(item));
        }
        Ok(None)
    }

    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(super) fn into_inner(self) -> R {
        self.input
    }

    /// Reads a line; answers whether there was one.
    fn line(&mut self) -> Result<bool, Unreadable> {
        self.raw.clear();
        let limit = u64::try_from(MAX_RECORD_BYTES).unwrap_or(u64::MAX) + 1;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.raw)?;
        self.lines += 1;
        if self.raw.len() > MAX_RECORD_BYTES {
            return Err(too_long(self.lines));
        }
        if self.lines == 1 && self.raw.starts_with(b"\xef\xbb\xbf") {
            self.raw.drain(..3);
        }
        Ok(read > 0)
    }

    fn parse(&mut self) -> Result<Vec<Cell>, String> {
        let text = std::str::from_utf8(&self.raw).map_err(|_| "it is not valid UTF-8".to_owned())?;
        let Line { names, cells } = serde_json::from_str(text.trim_end()).map_err(|error| broken(&error))?;
        if let Some(name) = repeated(&names) {
            return Err(format!("it has the key {name:?} twice"));
        }
        if *self.columns != *names {
            self.columns = Arc::from(names);
        }
        Ok(cells)
    }
}

/// What serde_json says, with the place in the line only.
fn broken(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let told = told.split_once(" at line ").map_or(told.as_str(), |(told, _)| told);
    match error.classify() {
        serde_json::error::Category::Data => told.to_owned(),
        _ => format!("it is not JSON: {told} at column {}", error.column()),
    }
}

/// One line, its values in the order they stand in.
struct Line {
    names: Vec<String>,
    cells: Vec<Cell>,
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOrArray;

        impl<'de> Visitor<'de> for ObjectOrArray {
            type Value = Line;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, or an array of values for $1, $2, ...")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
                let mut line = Line { names: Vec::new(), cells: Vec::new() };
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    line.names.push(name);
                    line.cells.push(value.try_into().map_err(A::Error::custom)?);
                }
                Ok(line)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Line, A::Error> {
                let mut line = Line { names: Vec::new(), cells: Vec::new() };
                while let Some(value) = seq.next_element::<&RawValue>()? {
                    line.cells.push(value.try_into().map_err(A::Error::custom)?);
                    line.names.push(format!("${}", line.cells.len()));
                }
                Ok(line)
            }
        }

        deserializer.deserialize_any(ObjectOrArray)
    }
}

impl TryFrom<&RawValue> for Cell {
    type Error = serde_json::Error;

    /// Fails for a string that is no text: one with half a surrogate pair.
    fn try_from(value: &RawValue) -> serde_json::Result<Self> {
        match value.get() {
            "null" => Ok(Self::Null),
            string if string.starts_with('"') => serde_json::from_str(string).map(Self::Text),
            json => Ok(Self::Json(json.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &[u8]) -> Vec<Item> {
        let mut reader = JsonLinesReader::new(text);
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    #[test]
    fn values_keep_every_digit_and_keys_their_order() {
        let all = items(
            b"\xef\xbb\xbf{\"b\": 12345678901234567890.10, \"a\": \"x\\n\\u00e9\"}\n\n  \n\
              {\"b\":null,\"a\":[1, \"two\"]}\r\n[true,{\"k\": 1}]",
        );
        let json = |text: &str| Cell::Json(text.into());
        let record = |position, line, columns: &[&str], cells: &[Cell]| {
            let columns = columns.iter().map(|name| (*name).to_owned()).collect();
            Item::Record(Record { position, line, columns, cells: cells.to_vec() })
        };
        assert_eq!(
            all,
            [
                record(0, 1, &["b", "a"], &[json("12345678901234567890.10"), Cell::Text("x\né".into())]),
                record(1, 4, &["b", "a"], &[Cell::Null, json("[1, \"two\"]")]),
                record(2, 5, &["$1", "$2"], &[json("true"), json("{\"k\": 1}")]),
            ]
        );
        let [Item::Record(first), Item::Record(second), _] = &all[..] else { panic!("{all:?}") };
        assert!(Arc::ptr_eq(&first.columns, &second.columns), "neighbours share their columns");
    }

    #[test]
    fn a_broken_line_says_what_is_wrong_and_the_next_is_read() {
        for (line, told) in [
            ("{\"a\": }", "it is not JSON: expected value at column 7"),
            ("{\"a\": 1", "it is not JSON: EOF while parsing an object at column 7"),
            ("{\"a\": 1} x", "it is not JSON: trailing characters at column 10"),
            ("7", "expected an object, or an array of values"),
            ("\"text\"", "expected an object, or an array of values"),
            ("{\"a\": \"\\ud800\"}", "hex escape"),
            ("{\"a\": 1, \"a\": 2}", "it has the key \"a\" twice"),
        ] {
            let all = items(format!("{line}\n{{\"a\":1}}\n").as_bytes());
            assert!(matches!(&all[0], Item::Broken { line: 1, problem } if problem.contains(told)), "{:?}", all[0]);
            assert!(matches!(&all[1], Item::Record(Record { position: 1, line: 2, .. })), "{:?}", all[1]);
        }
        assert!(matches!(&items(b"\xff\n")[0], Item::Broken { problem, .. } if problem.contains("UTF-8")));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut reader = JsonLinesReader::new(std::io::BufReader::new(std::io::repeat(b'x')));
        assert!(matches!(reader.next(), Err(Unreadable::Malformed { line: 1, .. })));
    }
}
