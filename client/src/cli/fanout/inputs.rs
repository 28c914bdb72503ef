//! Inputs made ready: read, held against the parameters, and those that cannot be used told apart.

use std::{io::BufRead, sync::Arc};

use super::{
    input::{InputColumns, InputFormat, Item, Reader, Record, Unreadable},
    mapping::{Mapping, Resolved},
};

/// A record whose values are in their places.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) record: Record,
    pub(crate) resolved: Arc<Resolved>,
}

/// A line that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: u64,
    pub(crate) problem: String,
    /// The line, as it stands in the input.
    pub(crate) text: String,
}

/// What comes of the next line.
#[derive(Debug)]
pub(crate) enum Checked {
    Usable(Ready),
    Unusable(Problem),
}

/// Reads inputs and checks them.
#[derive(Debug)]
pub(crate) struct Inputs<R> {
    reader: Reader<R>,
    format: InputFormat,
    mapping: Mapping,
    /// Whether a column that the first record has not is refused: CSV has the same columns in every line.
    same_columns: bool,
    /// The columns of the first record that belong to the output.
    first: Option<InputColumns>,
    /// Whether the order of the first record's columns was taken up.
    settled: bool,
    /// The mapping of the columns of the last record: most have the same.
    last: Option<(InputColumns, Arc<Resolved>)>,
}

impl<R: BufRead> Inputs<R> {
    pub(crate) fn new(reader: Reader<R>, format: InputFormat, mapping: Mapping, same_columns: bool) -> Self {
        Self { reader, format, mapping, same_columns, first: None, settled: false, last: None }
    }

    /// The next line. An error means that no line of this input can be used.
    pub(crate) fn next(&mut self) -> Result<Option<Checked>, Unreadable> {
        let Some(item) = self.reader.next()? else { return Ok(None) };
        let (line, outcome) = match item {
            Item::Broken { line, problem } => (line, Err(problem)),
            Item::Record(record) => {
                self.settle(&record)?;
                (record.line, self.check(record))
            }
        };
        Ok(Some(match outcome {
            Ok(ready) => Checked::Usable(ready),
            Err(problem) => Checked::Unusable(Problem { line, problem, text: self.reader.text() }),
        }))
    }

    /// The columns of the input that are in every line of a CSV output; none before the first record.
    pub(crate) fn first_columns(&self) -> InputColumns {
        self.first.clone().unwrap_or_else(|| Arc::from([]))
    }

    /// How values are bound, as it is known after the first record.
    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(crate) fn into_inner(self) -> R {
        self.reader.into_inner()
    }

    /// Takes up what the first record tells. CSV has its columns in the header: if they do not suit, no line does.
    fn settle(&mut self, record: &Record) -> Result<(), Unreadable> {
        if std::mem::replace(&mut self.settled, true) {
            return Ok(());
        }
        let malformed = |line| move |problem| Unreadable::Malformed { line, problem };
        match self.format {
            InputFormat::Csv => {
                self.mapping.settle(&record.columns, true).map_err(malformed(1))?;
                self.resolve(&record.columns).map_err(malformed(1))?;
            }
            InputFormat::Jsonl => self.mapping.settle(&record.columns, false).map_err(malformed(record.line))?,
        }
        Ok(())
    }

    fn check(&mut self, record: Record) -> Result<Ready, String> {
        let resolved = self.resolve(&record.columns)?;
        self.mapping.check(&resolved, &record)?;
        Ok(Ready { record, resolved })
    }

    fn resolve(&mut self, columns: &InputColumns) -> Result<Arc<Resolved>, String> {
        if let Some((known, resolved)) = &self.last
            && Arc::ptr_eq(known, columns)
        {
            return Ok(resolved.clone());
        }
        let resolved = Arc::new(self.mapping.resolve(columns)?);
        let mut shown = resolved.shown.iter().map(|at| &columns[*at]);
        match &self.first {
            Some(first) if self.same_columns => {
                if let Some(other) = shown.find(|column| !first.contains(*column)) {
                    return Err(format!(
                        "the first record has no column {other:?}, and CSV has the same columns in every line"
                    ));
                }
            }
            Some(_) => {}
            None => self.first = Some(shown.cloned().collect()),
        }
        self.last = Some((columns.clone(), resolved.clone()));
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fanout::testing::parameter;

    fn all(format: InputFormat, named: bool, same_columns: bool, text: &str) -> Result<Vec<String>, Unreadable> {
        let name = |name| if named { name } else { "" };
        let parameters = [parameter(1, name("id"), "int4", 23, true), parameter(2, name("since"), "date", 1082, false)];
        let mapping =
            Mapping::try_new(&parameters, named, &[], Some(super::super::mapping::ExtraColumns::Keep)).unwrap();
        let reader = Reader::new(format, text.as_bytes(), "");
        let mut inputs = Inputs::new(reader, format, mapping, same_columns);
        let mut all = Vec::new();
        while let Some(checked) = inputs.next()? {
            all.push(match checked {
                Checked::Usable(ready) => format!("{} ok", ready.record.position),
                Checked::Unusable(Problem { line, problem, text }) => format!("{line}: {problem} | {text}"),
            });
        }
        Ok(all)
    }

    #[test]
    fn lines_that_cannot_be_used_are_told_apart_and_keep_their_text() {
        let csv = "id,since\n1,2024-01-01\nabc,\n2,today\n3\n";
        let expected =
            ["0 ok", "3: column \"id\": \"abc\" is no int4 | abc,", "2 ok", "5: it has 1 field, and the header 2 | 3"];
        assert_eq!(all(InputFormat::Csv, true, false, csv).unwrap(), expected);
        let json = "{\"id\": 1}\nnull\n{\"since\":null,\"x\":1,\"id\":2}\n{\"x\":1}\n";
        let told = all(InputFormat::Jsonl, true, false, json).unwrap();
        assert_eq!((told[0].as_str(), told[2].as_str()), ("0 ok", "2 ok"));
        assert!(told[1].starts_with("2: ") && told[3].starts_with("4: no column for the parameter \"id\""), "{told:?}");
        let told = all(InputFormat::Jsonl, true, true, json).unwrap();
        assert!(told[2].starts_with("3: the first record has no column \"since\""), "{told:?}");
    }

    #[test]
    fn a_header_that_does_not_suit_ends_all() {
        for (named, csv, told) in
            [(true, "key,since\n1,\n", "no column for the parameter \"id\""), (false, "a\n1\n", "fewer columns")]
        {
            let error = all(InputFormat::Csv, named, false, csv).unwrap_err();
            assert!(
                matches!(&error, Unreadable::Malformed { line: 1, problem } if problem.contains(told)),
                "{error:?}"
            );
        }
        let error = all(InputFormat::Jsonl, false, false, "\n[1]\n").unwrap_err();
        assert!(matches!(&error, Unreadable::Malformed { line: 2, .. }), "{error:?}");
        assert_eq!(all(InputFormat::Jsonl, false, false, "[1, \"today\"]\n[2, null]\n").unwrap(), ["0 ok", "1 ok"]);
    }
}
