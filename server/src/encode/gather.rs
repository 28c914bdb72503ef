//! A few rows as PostgreSQL sent them, kept together, so that they can be encoded column by column: one look at a
//! column's type then serves for all of them.

use super::{Malformed, prefixed};

/// So many rows are worth the trouble, and their bytes are still in the cache.
pub(crate) const ROWS: usize = 64;
const BYTES: usize = 32 * 1024;

/// Rows that are not encoded yet.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    bytes: Vec<u8>,
    /// Where each value lies, row by row.
    spans: Vec<Span>,
    columns: usize,
    rows: usize,
}

/// Where a value begins, and its length; that of NULL is negative.
type Span = (u32, i32);

const NULL: Span = (0, -1);

/// Why a row was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Malformed {
        column: usize,
        kind: Malformed,
    },
    /// It has more bytes than a row may have; how many at least.
    TooLarge(usize),
}

impl Gathered {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Takes a row of at most `limit` bytes, one value after another; after an error none of it.
    pub(crate) fn add<'a>(
        &mut self,
        values: impl Iterator<Item = Result<Option<&'a [u8]>, Malformed>>,
        limit: usize,
    ) -> Result<(), Refused> {
        let start = self.bytes.len();
        let added = values.take(self.columns).enumerate().try_for_each(|(column, value)| {
            let value = value.map_err(|kind| Refused::Malformed { column, kind })?;
            let size = self.bytes.len() - start + value.map_or(0, <[u8]>::len);
            if size > limit {
                return Err(Refused::TooLarge(size));
            }
            self.spans.push(value.map_or(NULL, |value| span(self.bytes.len(), value.len())));
            self.bytes.extend_from_slice(value.unwrap_or_default());
            Ok(())
        });
        self.end_row(start, added)
    }

    /// As [`add`](Self::add), for so many values that each follow their length, as COPY sends them.
    #[inline]
    pub(crate) fn add_prefixed(&mut self, count: usize, values: &[u8], limit: usize) -> Result<(), Refused> {
        /// Of a length.
        const PREFIX: usize = 4;
        let size = values.len().saturating_sub(count * PREFIX);
        if size > limit {
            return Err(Refused::TooLarge(size));
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(values);
        self.spans.reserve(self.columns);
        let mut rest = values;
        let added = (0..self.columns).try_for_each(|column| {
            let value = prefixed(&mut rest);
            match value {
                Ok(value) if column + 1 < count || rest.is_empty() => {
                    let end = self.bytes.len() - rest.len();
                    self.spans.push(value.map_or(NULL, |value| span(end - value.len(), value.len())));
                    Ok(())
                }
                _ => Err(Refused::Malformed { column, kind: Malformed::Binary }),
            }
        });
        self.end_row(start, added)
    }

    fn end_row(&mut self, start: usize, added: Result<(), Refused>) -> Result<(), Refused> {
        match added {
            Ok(()) => self.rows += 1,
            Err(_) => {
                self.bytes.truncate(start);
                self.spans.truncate(self.rows * self.columns);
            }
        }
        added
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many bytes they are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether they should be encoded now.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= ROWS || self.bytes.len() >= BYTES
    }

    /// The values of a column, from the first row on; `None` is NULL.
    #[inline]
    pub(crate) fn column(&self, column: usize) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        let spans = self.spans.get(column..).unwrap_or_default();
        spans.iter().step_by(self.columns.max(1)).map(|span| self.value(*span))
    }

    /// The values of a row.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = Option<&[u8]>> {
        let spans = self.spans.get(row * self.columns..(row + 1) * self.columns).unwrap_or_default();
        spans.iter().map(|span| self.value(*span))
    }

    #[inline]
    fn value(&self, (start, length): Span) -> Option<&[u8]> {
        let (start, length) = (start as usize, usize::try_from(length).ok()?);
        self.bytes.get(start..start + length)
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        // A large row has made it as large.
        self.bytes.shrink_to(2 * BYTES);
        self.spans.clear();
        self.rows = 0;
    }
}

/// Both fit: PostgreSQL's values are below 1 GiB, and few rows come together.
#[inline]
fn span(start: usize, length: usize) -> Span {
    (u32::try_from(start).unwrap_or(u32::MAX), i32::try_from(length).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixed(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in values {
            let length = value.map_or(-1, |value| i32::try_from(value.len()).expect("short"));
            bytes.extend(length.to_be_bytes());
            bytes.extend(value.unwrap_or_default());
        }
        bytes
    }

    #[test]
    fn both_ways_of_adding_give_the_same_rows() {
        let rows: [[Option<&[u8]>; 3]; 3] =
            [[Some(b"a"), None, Some(b"")], [None, None, None], [Some(b"bc"), Some(&[0; 9]), None]];
        let (mut one, mut other) = (Gathered::new(3), Gathered::new(3));
        for row in &rows {
            one.add(row.iter().map(|value| Ok(*value)), 100).expect("a row");
            other.add_prefixed(3, &prefixed(row), 100).expect("a row");
        }
        for gathered in [one, other] {
            assert_eq!(gathered.rows(), 3);
            for (i, row) in rows.iter().enumerate() {
                assert_eq!(gathered.row(i).collect::<Vec<_>>(), row);
            }
            for column in 0..3 {
                assert_eq!(gathered.column(column).collect::<Vec<_>>(), rows.map(|row| row[column]));
            }
        }
    }

    #[test]
    fn a_row_that_is_refused_leaves_nothing_behind() {
        let good = prefixed(&[Some(b"abc"), Some(b"de")]);
        let mut gathered = Gathered::new(2);
        gathered.add_prefixed(2, &good, 5).expect("just so large");
        let malformed = |column| Err(Refused::Malformed { column, kind: Malformed::Binary });
        assert_eq!(gathered.add_prefixed(2, &good, 4), Err(Refused::TooLarge(5)));
        assert_eq!(gathered.add_prefixed(2, &good[..9], 5), malformed(1));
        assert_eq!(gathered.add_prefixed(2, &good[..12], 5), malformed(1));
        assert_eq!(gathered.add_prefixed(2, &[&good[..], b"x"].concat(), 9), malformed(1));
        assert_eq!(gathered.add_prefixed(2, &[&[0x80], &good[1..]].concat(), 5), malformed(0));
        let values = [Ok(Some(&b"abc"[..])), Ok(Some(b"de"))];
        assert_eq!(gathered.add(values.into_iter(), 4), Err(Refused::TooLarge(5)));
        let values = [Ok(Some(&b"abc"[..])), Err(Malformed::Binary)];
        assert_eq!(gathered.add(values.into_iter(), 9), malformed(1));
        assert_eq!((gathered.rows(), gathered.bytes()), (1, good.len()));
        assert_eq!(gathered.row(0).collect::<Vec<_>>(), [Some(&b"abc"[..]), Some(b"de")]);
        assert_eq!(gathered.column(1).collect::<Vec<_>>(), [Some(&b"de"[..])]);
    }

    #[test]
    fn of_longer_rows_only_the_first_values_are_taken() {
        let row: [Option<&[u8]>; 3] = [Some(b"abc"), None, Some(b"place")];
        let mut gathered = Gathered::new(2);
        gathered.add_prefixed(3, &prefixed(&row), 100).expect("a row");
        gathered.add(row.iter().map(|value| Ok(*value)), 100).expect("a row");
        for i in 0..2 {
            assert_eq!(gathered.row(i).collect::<Vec<_>>(), row[..2]);
        }
    }

    #[test]
    fn rows_of_no_columns_are_counted() {
        let mut gathered = Gathered::new(0);
        gathered.add_prefixed(0, &[], 0).expect("a row");
        gathered.add(std::iter::empty(), 0).expect("a row");
        assert_eq!((gathered.rows(), gathered.column(0).len(), gathered.row(1).count()), (2, 0, 0));
    }
}
