//! Counts what a stream delivers, and holds it against the summary.

use rowstream_contract::v1;

use crate::{Error, Summary};

/// Rows, bytes and CRC-32C of what has arrived so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// The number of the first row.
    pub(crate) first_row: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    checksum: u32,
}

impl Tally {
    /// Counts a batch, which must begin where the one before ended.
    pub(crate) fn add(&mut self, body: &[u8], rows: usize, row_count: i64, first_row: i64) -> Result<(), Error> {
        let rows = rows as u64;
        if u64::try_from(row_count) != Ok(rows) || rows == 0 {
            return Err(Error::protocol(format!("a batch of {rows} rows says that it has {row_count}")));
        }
        if u64::try_from(first_row) != Ok(self.first_row + self.rows) {
            let expected = self.first_row + self.rows;
            return Err(Error::protocol(format!("a batch begins at row {first_row}, where {expected} comes next")));
        }
        self.rows += rows;
        self.bytes += body.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, body);
        Ok(())
    }

    /// An empty one for what comes next.
    pub(crate) fn next_piece(&self) -> Self {
        Self { first_row: self.first_row + self.rows, ..Self::default() }
    }

    /// This and what comes next, as if it had been counted by one.
    pub(crate) fn and(&self, next: &Self) -> Self {
        let length = usize::try_from(next.bytes).unwrap_or(usize::MAX);
        Self {
            first_row: self.first_row,
            rows: self.rows + next.rows,
            bytes: self.bytes + next.bytes,
            checksum: crc32c::crc32c_combine(self.checksum, next.checksum, length),
        }
    }

    /// The server's account of the last piece as one of all of them.
    pub(crate) fn whole(&self, last: Summary) -> Summary {
        Summary { row_count: self.rows, byte_count: self.bytes, checksum: self.checksum, ..last }
    }

    /// The summary of what was counted.
    #[cfg(feature = "testing")]
    pub(crate) fn summary(&self) -> v1::Summary {
        let figure = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        let (row_count, byte_count) = (figure(self.rows), figure(self.bytes));
        v1::Summary { row_count, byte_count, checksum: self.checksum, ..v1::Summary::default() }
    }

    /// Whether all that was sent has arrived unchanged.
    pub(crate) fn check(&self, summary: &v1::Summary) -> Result<(), Error> {
        let figure =
            |figure: i64| u64::try_from(figure).map_err(|_| Error::protocol("a negative figure in the summary"));
        for (quantity, sent, received) in [
            ("row count", figure(summary.row_count)?, self.rows),
            ("byte count", figure(summary.byte_count)?, self.bytes),
            ("checksum", summary.checksum.into(), self.checksum.into()),
        ] {
            if sent != received {
                return Err(Error::Checksum { quantity, sent, received });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(row_count: i64, byte_count: i64, checksum: u32) -> v1::Summary {
        v1::Summary { row_count, byte_count, checksum, ..v1::Summary::default() }
    }

    #[test]
    fn the_checksum_does_not_depend_on_where_batches_end() {
        let mut tally = Tally::default();
        tally.add(b"12345", 2, 2, 0).unwrap();
        tally.add(b"6789", 1, 1, 2).unwrap();
        // The check value of CRC-32C in the catalogue of CRC algorithms: the nine digits.
        tally.check(&summary(3, 9, 0xe306_9283)).unwrap();
    }

    #[test]
    fn pieces_are_together_what_they_are_as_one() {
        let (mut one, mut pieces) = (Tally::default(), Tally::default());
        for (first_row, body) in [&b"12345"[..], b"", b"6789", b"the rest"].into_iter().enumerate() {
            let first_row = i64::try_from(first_row).unwrap();
            one.add(body, 1, 1, first_row).unwrap();
            let mut piece = pieces.next_piece();
            piece.add(body, 1, 1, first_row).unwrap();
            pieces = pieces.and(&piece);
        }
        assert_eq!((pieces.first_row, pieces.rows, pieces.bytes, pieces.checksum), (0, 4, 17, one.checksum));
        assert_eq!((one.rows, one.bytes), (4, 17));
    }

    #[test]
    fn every_figure_that_differs_is_named() {
        let mut tally = Tally::default();
        tally.add(b"123456789", 3, 3, 0).unwrap();
        for (summary, quantity) in [
            (summary(4, 9, 0xe306_9283), "row count"),
            (summary(3, 8, 0xe306_9283), "byte count"),
            (summary(3, 9, 1), "checksum"),
        ] {
            assert!(tally.check(&summary).unwrap_err().to_string().contains(quantity));
        }
        assert!(matches!(tally.check(&summary(-1, 9, 0)), Err(Error::Protocol(_))));
    }

    #[test]
    fn a_batch_that_does_not_continue_the_count_is_refused() {
        let mut tally = Tally::default();
        for (rows, row_count, first_row) in [(1, 1, 1), (1, 2, 0), (1, -1, 0), (0, 0, 0), (1, 1, -1)] {
            assert!(tally.add(b"", rows, row_count, first_row).is_err());
        }
    }
}
