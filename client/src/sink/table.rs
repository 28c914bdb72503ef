//! A table for people, aligned as psql aligns one.
//!
//! Widths come from the first rows only, so that a result of any size prints in constant memory: a
//! later value that is wider moves the rest of its line.

use unicode_width::UnicodeWidthStr;

use super::{Sink, pgtext, write_visible};
use crate::{Column, Columns, DecodeError, RowBatch, decode::RowRef};

/// The rows that the widths are taken from, and the bytes they may take in memory.
const MEASURED_ROWS: usize = 200;
const MEASURED_BYTES: usize = 1 << 20;

/// Writes an aligned table.
#[derive(Debug, Default)]
pub struct TableSink {
    columns: Vec<Layout>,
    /// The first rows, held back until the widths are known.
    held: Vec<Vec<String>>,
    held_bytes: usize,
    begun: bool,
    rows: u64,
}

#[derive(Debug)]
struct Layout {
    name: String,
    width: usize,
    right: bool,
    float4: bool,
}

impl Sink for TableSink {
    fn begin(&mut self, columns: &Columns, _: &mut Vec<u8>) {
        self.columns = columns.iter().map(Layout::new).collect();
    }

    fn batch(&mut self, batch: &RowBatch, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        for row in batch.iter() {
            let cells = self.cells(row)?;
            self.rows += 1;
            if self.begun {
                self.write_row(&cells, out);
                continue;
            }
            self.held_bytes += cells.iter().map(String::len).sum::<usize>();
            self.held.push(cells);
            if self.held.len() == MEASURED_ROWS || self.held_bytes >= MEASURED_BYTES {
                self.write_held(out);
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.write_held(out);
        let footer = if self.rows == 1 { "(1 row)\n".to_owned() } else { format!("({} rows)\n", self.rows) };
        out.extend_from_slice(footer.as_bytes());
    }
}

impl Layout {
    fn new(column: &Column) -> Self {
        let mut name = String::new();
        write_visible(&column.name, &mut name);
        // int8, int2, int4, oid, float4, float8, money, numeric
        let right = matches!(column.type_oid, 20 | 21 | 23 | 26 | 700 | 701 | 790 | 1700);
        Self { width: name.width(), name, right, float4: column.is_float4() }
    }
}

impl TableSink {
    fn cells(&self, row: RowRef<'_>) -> Result<Vec<String>, DecodeError> {
        let mut text = Vec::new();
        let cell = |(index, value): (usize, Result<_, _>)| {
            text.clear();
            value
                .and_then(|value| pgtext::write_value(value, self.columns[index].float4, &mut text))
                .map_err(|error| DecodeError::value(&row.columns()[index], error))?;
            let mut cell = String::new();
            write_visible(&String::from_utf8_lossy(&text), &mut cell);
            Ok(cell)
        };
        row.values().enumerate().map(cell).collect()
    }

    /// Settles the widths and writes what waited for them.
    fn write_held(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        for cells in &held {
            for (column, cell) in self.columns.iter_mut().zip(cells) {
                column.width = column.width.max(cell.width());
            }
        }
        self.write_head(out);
        for cells in &held {
            self.write_row(cells, out);
        }
    }

    fn write_head(&self, out: &mut Vec<u8>) {
        if self.columns.is_empty() {
            return out.extend_from_slice(b"--\n");
        }
        for (index, column) in self.columns.iter().enumerate() {
            let space = column.width - column.name.width();
            out.extend_from_slice(if index > 0 { b"| " } else { b" " });
            pad(space / 2, b' ', out);
            out.extend_from_slice(column.name.as_bytes());
            pad(space - space / 2 + 1, b' ', out);
        }
        out.push(b'\n');
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(b'+');
            }
            pad(column.width + 2, b'-', out);
        }
        out.push(b'\n');
    }

    fn write_row(&self, cells: &[String], out: &mut Vec<u8>) {
        if cells.is_empty() {
            return;
        }
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            let space = column.width.saturating_sub(cell.width());
            out.extend_from_slice(if index > 0 { b" | " } else { b" " });
            if column.right {
                pad(space, b' ', out);
            }
            out.extend_from_slice(cell.as_bytes());
            if !column.right && index + 1 < self.columns.len() {
                pad(space, b' ', out);
            }
        }
        out.push(b'\n');
    }
}

fn pad(count: usize, byte: u8, out: &mut Vec<u8>) {
    out.resize(out.len() + count, byte);
}

#[cfg(test)]
mod tests {
    use rowstream_contract::v1::value::Kind;

    use super::{super::testing::*, *};

    #[test]
    fn a_table_looks_as_in_psql() {
        let columns = [column("id", 20), column("name", 25)];
        let rows =
            [vec![Some(Kind::Int64(1)), text("a")], vec![Some(Kind::Int64(-20)), None], vec![None, text("漢字 long")]];
        let expected = " id  |   name    \n-----+-----------\n   1 | a\n -20 | \n     | 漢字 long\n(3 rows)\n";
        assert_eq!(printed(TableSink::default(), &columns, &rows), expected);
    }

    #[test]
    fn an_empty_result_has_a_head_and_one_row_is_singular() {
        assert_eq!(printed(TableSink::default(), &[column("a", 23)], &[]), " a \n---\n(0 rows)\n");
        let one = [vec![Some(Kind::Int64(7))]];
        assert_eq!(printed(TableSink::default(), &[column("a", 23)], &one), " a \n---\n 7\n(1 row)\n");
        assert_eq!(printed(TableSink::default(), &[], &[vec![], vec![]]), "--\n(2 rows)\n");
    }

    #[test]
    fn data_and_names_cannot_drive_the_terminal() {
        let shown = printed(TableSink::default(), &[column("\u{1b}[2J", 25)], &[vec![text("\u{1b}]0;x\u{7}")]]);
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
    }

    #[test]
    fn a_row_behind_the_measured_ones_may_be_wider() {
        let rows: Vec<_> =
            (0..MEASURED_ROWS).map(|_| vec![text("a"), text("b")]).chain([vec![text("wider"), text("b")]]).collect();
        let shown = printed(TableSink::default(), &[column("x", 25), column("y", 25)], &rows);
        assert!(shown.contains("\n a | b\n wider | b\n(201 rows)\n"), "{shown}");
    }
}
