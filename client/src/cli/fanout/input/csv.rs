//! CSV with a header, as `rowstream query --format csv` and COPY write it: an unquoted empty field (or what
//! --null says) is NULL, a quoted one is text.
//!
//! Fields are cut by csv-core. It does not tell whether a field was quoted, but takes the input field by
//! field, so that the byte each begins with is seen here.

use std::{
    io::{BufRead, ErrorKind},
    sync::Arc,
};

use csv_core::ReadFieldResult;

use super::{Cell, InputColumns, Item, MAX_RECORD_BYTES, Record, Unreadable, repeated, too_long};

/// How much room a field gets at a time.
const FIELD_ROOM: usize = 1024;

#[derive(Debug)]
pub(crate) struct CsvReader<R> {
    input: R,
    parser: csv_core::Reader,
    null: String,
    columns: Option<InputColumns>,
    /// The bytes of the record, as they stand in the input.
    raw: Vec<u8>,
    fields: Vec<Field>,
    position: u64,
    /// Line ends that were passed.
    lines: u64,
    /// Whether a quote was open at the end: nothing can follow.
    unclosed: bool,
}

#[derive(Debug, Default)]
struct Field {
    bytes: Vec<u8>,
    quoted: bool,
}

/// How far a record was read.
enum Scanned {
    Whole,
    /// The input ended inside quotes.
    Unclosed,
    End,
}

impl<R: BufRead> CsvReader<R> {
    pub(super) fn new(input: R, null: &str) -> Self {
        Self {
            input,
            parser: csv_core::Reader::new(),
            null: null.to_owned(),
            columns: None,
            raw: Vec::new(),
            fields: Vec::new(),
            position: 0,
            lines: 0,
            unclosed: false,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Item>, Unreadable> {
        let columns = self.header()?;
        let Some((line, scanned)) = self.record()? else { return Ok(None) };
        let position = self.position;
        self.position += 1;
        let cells = match scanned {
            Scanned::Unclosed => Err("a quote is not closed".to_owned()),
            _ => self.cells(&columns),
        };
        Ok(Some(match cells {
            Ok(cells) => Item::Record(Record { position, line, columns, cells }),
            Err(problem) => Item::Broken { line, problem },
        }))
    }

    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(super) fn into_inner(self) -> R {
        self.input
    }

    /// The columns, which the first record names.
    fn header(&mut self) -> Result<InputColumns, Unreadable> {
        if let Some(columns) = &self.columns {
            return Ok(columns.clone());
        }
        let malformed = |line, problem: &str| Unreadable::Malformed { line, problem: problem.to_owned() };
        self.skip_mark()?;
        let Some((line, scanned)) = self.record()? else {
            return Err(malformed(1, "the input is empty: CSV begins with a header of column names"));
        };
        if let Scanned::Unclosed = scanned {
            return Err(malformed(line, "a quote of the header is not closed"));
        }
        let names =
            self.fields.iter().map(|field| String::from_utf8(field.bytes.clone())).collect::<Result<Vec<_>, _>>();
        let names = names.map_err(|_| malformed(line, "the header is not valid UTF-8"))?;
        if let Some(name) = repeated(&names) {
            return Err(malformed(line, &format!("the header has the column {name:?} twice")));
        }
        let columns: InputColumns = Arc::from(names);
        self.columns = Some(columns.clone());
        Ok(columns)
    }

    /// Drops the byte order mark that some programs begin a file with.
    fn skip_mark(&mut self) -> Result<(), Unreadable> {
        if self.buffer()?.starts_with(b"\xef\xbb\xbf") {
            self.input.consume(3);
        }
        Ok(())
    }

    fn cells(&mut self, columns: &InputColumns) -> Result<Vec<Cell>, String> {
        if self.fields.len() != columns.len() {
            let plural = if self.fields.len() == 1 { "field" } else { "fields" };
            return Err(format!("it has {} {plural}, and the header {}", self.fields.len(), columns.len()));
        }
        let cell = |(field, name): (&mut Field, &String)| {
            let text = String::from_utf8(std::mem::take(&mut field.bytes))
                .map_err(|_| format!("column {name:?} is not valid UTF-8"))?;
            Ok(if !field.quoted && text == self.null { Cell::Null } else { Cell::Text(text) })
        };
        self.fields.iter_mut().zip(columns.iter()).map(cell).collect()
    }

    /// Reads one record into `fields`, and answers the line it begins on.
    fn record(&mut self) -> Result<Option<(u64, Scanned)>, Unreadable> {
        self.fields.clear();
        self.raw.clear();
        if self.unclosed {
            return Ok(None);
        }
        self.skip_empty_lines()?;
        let line = self.lines + 1;
        loop {
            let mut field = Field { quoted: self.buffer()?.first() == Some(&b'"'), ..Field::default() };
            let (scanned, last) = self.field(&mut field, line)?;
            if let Scanned::End = scanned {
                return Ok(None);
            }
            self.fields.push(field);
            self.unclosed = matches!(scanned, Scanned::Unclosed);
            if last {
                return Ok(Some((line, scanned)));
            }
        }
    }

    /// Reads one field, and answers whether it is the record's last.
    fn field(&mut self, field: &mut Field, line: u64) -> Result<(Scanned, bool), Unreadable> {
        let mut used = 0;
        loop {
            if field.bytes.len() < used + FIELD_ROOM {
                field.bytes.resize((used + FIELD_ROOM).max(2 * used), 0);
            }
            let buffer = fill(&mut self.input)?;
            let at_end = buffer.is_empty();
            // At the end, a line end closes whatever is open, except quotes; nothing at all says that it is the end.
            let nothing = at_end && used == 0 && self.fields.is_empty() && !field.quoted;
            let given = if at_end && !nothing { b"\n" } else { buffer };
            let (result, read, written) = self.parser.read_field(given, &mut field.bytes[used..]);
            used += written;
            if !at_end {
                self.raw.extend_from_slice(&given[..read]);
                self.lines += given[..read].iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
                self.input.consume(read);
            }
            let outcome = match result {
                ReadFieldResult::Field { record_end } => (Scanned::Whole, record_end),
                ReadFieldResult::End => (Scanned::End, true),
                ReadFieldResult::InputEmpty if at_end => (Scanned::Unclosed, true),
                _ if self.raw.len() > MAX_RECORD_BYTES => return Err(too_long(line)),
                _ => continue,
            };
            field.bytes.truncate(used);
            return Ok(outcome);
        }
    }

    /// Line ends before a record: the second half of the last one's, and lines with nothing on them.
    fn skip_empty_lines(&mut self) -> Result<(), Unreadable> {
        while let Some(byte @ (b'\r' | b'\n')) = self.buffer()?.first() {
            self.lines += u64::from(*byte == b'\n');
            self.input.consume(1);
        }
        Ok(())
    }

    fn buffer(&mut self) -> Result<&[u8], Unreadable> {
        fill(&mut self.input)
    }
}

/// The bytes that come next; none at the end. An interrupted read is tried again.
fn fill<R: BufRead>(input: &mut R) -> Result<&[u8], Unreadable> {
    while let Err(error) = input.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(error.into());
        }
    }
    Ok(input.fill_buf()?)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Every item: cells as `NULL` or in Rust's quotes, with the line.
    fn read(csv: &[u8], buffer: usize) -> Result<Vec<String>, Unreadable> {
        let mut reader = CsvReader::new(BufReader::with_capacity(buffer, csv), "");
        let mut items = Vec::new();
        while let Some(item) = reader.next()? {
            items.push(match item {
                Item::Record(Record { position, line, cells, .. }) => {
                    let cells: Vec<_> = cells
                        .iter()
                        .map(|cell| cell.text().map_or("NULL".to_owned(), |text| format!("{text:?}")))
                        .collect();
                    format!("{position}@{line} {}", cells.join(" "))
                }
                Item::Broken { line, problem } => format!("broken@{line} {problem}"),
            });
        }
        Ok(items)
    }

    #[test]
    fn fields_are_read_as_copy_reads_them_wherever_the_buffer_ends() {
        for (csv, items) in [
            (&b"a,b\n1,x\n"[..], &["0@2 \"1\" \"x\""][..]),
            (b"a,b\r\n1,\r\n\"\",2", &["0@2 \"1\" NULL", "1@3 \"\" \"2\""]),
            (
                b"\xef\xbb\xbf\"a\",b\n\"x,\"\"y\"\"\nz\",\"\"\n3,4\n",
                &["0@2 \"x,\\\"y\\\"\\nz\" \"\"", "1@4 \"3\" \"4\""],
            ),
            (b"a,b\n\n1,2\n\n\n3,4\n\n", &["0@3 \"1\" \"2\"", "1@6 \"3\" \"4\""]),
            (
                b"a,b\n1\n1,2,3\n4,5\n",
                &[
                    "broken@2 it has 1 field, and the header 2",
                    "broken@3 it has 3 fields, and the header 2",
                    "2@4 \"4\" \"5\"",
                ],
            ),
            (b"a,b\n1,\"two\n3,4\n", &["broken@2 a quote is not closed"]),
            (b"a,b\n1,\"", &["broken@2 a quote is not closed"]),
            (b"a,b\n1,", &["0@2 \"1\" NULL"]),
            (b"a,b\n1,\"\"", &["0@2 \"1\" \"\""]),
            (b"a,b\n\xff,1\n", &["broken@2 column \"a\" is not valid UTF-8"]),
            (b"a,b\n5\" disk,2\n", &["0@2 \"5\\\" disk\" \"2\""]),
            (b"a\n\"\"\n", &["0@2 \"\""]),
            (b"a,b\n", &[]),
            (b"a,b", &[]),
        ] {
            for buffer in [1, 2, 3, 5, 8192] {
                assert_eq!(read(csv, buffer).unwrap(), items, "{:?} {buffer}", String::from_utf8_lossy(csv));
            }
        }
    }

    #[test]
    fn what_is_no_csv_at_all_is_told_with_its_line() {
        for (csv, told) in [
            (&b""[..], "the input is empty"),
            (b"\n\n", "the input is empty"),
            (b"a,a\n", "\"a\" twice"),
            (b"\"a", "header is not closed"),
            (b"\xff\n", "not valid UTF-8"),
        ] {
            let error = read(csv, 64).unwrap_err();
            assert!(matches!(&error, Unreadable::Malformed { problem, .. } if problem.contains(told)), "{error:?}");
        }
        let endless = [&b"a\n\""[..], &vec![b'x'; MAX_RECORD_BYTES + 1]].concat();
        let error = read(&endless, 8192).unwrap_err();
        assert!(
            matches!(&error, Unreadable::Malformed { line: 2, problem } if problem.contains("16 MiB")),
            "{error:?}"
        );
    }

    #[test]
    fn long_fields_and_the_text_of_a_line_are_kept_whole() {
        let long = "x".repeat(5000);
        let csv = format!("a,b\n\"{long}\",\"{long}\"\n1,\"two\nlines\"\n");
        let mut reader = super::super::Reader::new(super::super::InputFormat::Csv, csv.as_bytes(), "");
        let Some(Item::Record(record)) = reader.next().unwrap() else { panic!("no record") };
        assert_eq!(record.cells, [Cell::Text(long.clone()), Cell::Text(long)]);
        reader.next().unwrap();
        assert_eq!(reader.text(), "1,\"two\nlines\"");
    }

    #[test]
    fn what_is_null_can_be_chosen() {
        let mut reader = CsvReader::new(&b"a,b,c\nNULL,\"NULL\",\n"[..], "NULL");
        let Some(Item::Record(record)) = reader.next().unwrap() else { panic!("no record") };
        assert_eq!(record.cells, [Cell::Null, Cell::Text("NULL".into()), Cell::Text(String::new())]);
    }
}
