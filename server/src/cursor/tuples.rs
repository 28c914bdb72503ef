//! The binary format of COPY, from bytes that arrive cut anywhere: a header, rows of values with their lengths, and a
//! trailer. Knows nothing of what the values mean.

use std::ops::Range;

use crate::encode::{Malformed, row::RawRow};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, and the length of the header's extension.
const HEADER: usize = 19;
/// Flags that a reader must know: there are none any more.
const CRITICAL: u32 = 0xffff_0000;
const TRAILER: i16 = -1;
const NULL: i32 = -1;

/// Bytes that are not of the format: what was found, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

/// The rows of one COPY.
#[derive(Debug)]
pub(crate) struct Tuples {
    /// What has come and is not yet read begins at `at`.
    buffer: Vec<u8>,
    at: usize,
    state: State,
    columns: usize,
    /// Where the values of the row at hand are.
    spans: Vec<Option<Range<usize>>>,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuple<'a> {
    buffer: &'a [u8],
    spans: &'a [Option<Range<usize>>],
}

impl Tuples {
    /// Every row must have so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self { buffer: Vec::new(), at: 0, state: State::Header, columns, spans: Vec::with_capacity(columns) }
    }

    /// Takes what has come next.
    pub(crate) fn feed(&mut self, data: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(data);
    }

    /// The next row that is there completely.
    pub(crate) fn next(&mut self) -> Result<Option<Tuple<'_>>, Broken> {
        if self.state == State::Header && !self.header()? {
            return Ok(None);
        }
        if self.state == State::Ended {
            return if self.at == self.buffer.len() { Ok(None) } else { Err(Broken("bytes after its trailer")) };
        }
        let mut rest = Rest { buffer: &self.buffer, at: self.at };
        let Some(count) = rest.int16() else { return Ok(None) };
        if count == TRAILER {
            (self.state, self.at) = (State::Ended, rest.at);
            return self.next();
        }
        if usize::try_from(count) != Ok(self.columns) {
            return Err(Broken("a row with another number of columns"));
        }
        self.spans.clear();
        for _ in 0..self.columns {
            match rest.value()? {
                Some(span) => self.spans.push(span),
                None => return Ok(None),
            }
        }
        self.at = rest.at;
        Ok(Some(Tuple { buffer: &self.buffer, spans: &self.spans }))
    }

    /// After the last bytes: whether they were the whole of it.
    pub(crate) fn finish(&mut self) -> Result<(), Broken> {
        match (self.next()?.is_some(), self.state) {
            (false, State::Ended) => Ok(()),
            _ => Err(Broken("no trailer")),
        }
    }

    /// Reads the header if it is there.
    fn header(&mut self) -> Result<bool, Broken> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER>() else { return Ok(false) };
        if !header.starts_with(SIGNATURE) {
            return Err(Broken("another signature"));
        }
        let [.., f0, f1, f2, f3, e0, e1, e2, e3] = *header;
        if u32::from_be_bytes([f0, f1, f2, f3]) & CRITICAL != 0 {
            return Err(Broken("flags that are not known"));
        }
        let extension = i32::from_be_bytes([e0, e1, e2, e3]);
        let extension = usize::try_from(extension).map_err(|_| Broken("a header of negative length"))?;
        if rest.len() < extension {
            return Ok(false);
        }
        (self.state, self.at) = (State::Rows, HEADER + extension);
        Ok(true)
    }
}

/// What is still to be read.
struct Rest<'a> {
    buffer: &'a [u8],
    at: usize,
}

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, _) = self.buffer.get(self.at..)?.split_first_chunk::<N>()?;
        self.at += N;
        Some(*head)
    }

    fn int16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    /// Where the next value is (`Some(None)` is NULL), if all of it is there.
    fn value(&mut self) -> Result<Option<Option<Range<usize>>>, Broken> {
        let Some(length) = self.take().map(i32::from_be_bytes) else { return Ok(None) };
        if length == NULL {
            return Ok(Some(None));
        }
        let length = usize::try_from(length).map_err(|_| Broken("a value of negative length"))?;
        let span = self.at..self.at.saturating_add(length);
        if span.end > self.buffer.len() {
            return Ok(None);
        }
        self.at = span.end;
        Ok(Some(Some(span)))
    }
}

impl RawRow for Tuple<'_> {
    fn len(&self) -> usize {
        self.spans.len()
    }

    #[inline]
    fn value(&self, column: usize) -> Result<Option<&[u8]>, Malformed> {
        match self.spans.get(column) {
            Some(Some(span)) => self.buffer.get(span.clone()).map(Some).ok_or(Malformed::Binary),
            Some(None) => Ok(None),
            None => Err(Malformed::Binary),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Row = Vec<Option<Vec<u8>>>;

    fn encode(rows: &[Row], extension: usize) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(0_u32.to_be_bytes());
        bytes.extend(i32::try_from(extension).expect("short").to_be_bytes());
        bytes.extend(vec![7; extension]);
        for row in rows {
            bytes.extend(i16::try_from(row.len()).expect("few").to_be_bytes());
            for value in row {
                let length = value.as_ref().map_or(NULL, |value| i32::try_from(value.len()).expect("short"));
                bytes.extend(length.to_be_bytes());
                bytes.extend(value.iter().flatten());
            }
        }
        bytes.extend(TRAILER.to_be_bytes());
        bytes
    }

    fn decode<'a>(columns: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Row>, Broken> {
        let mut tuples = Tuples::new(columns);
        let mut rows = Vec::new();
        for piece in pieces {
            tuples.feed(piece);
            while let Some(tuple) = tuples.next()? {
                let value = |column| tuple.value(column).expect("a column").map(<[u8]>::to_vec);
                rows.push((0..tuple.len()).map(value).collect());
            }
        }
        tuples.finish()?;
        Ok(rows)
    }

    fn rows() -> Vec<Row> {
        vec![vec![Some(b"abc".to_vec()), None], vec![Some(Vec::new()), Some(vec![0; 300])]]
    }

    #[test]
    fn a_row_of_no_columns_and_a_result_of_no_rows_are_read() {
        assert_eq!(decode(0, [encode(&[vec![], vec![]], 0).as_slice()]), Ok(vec![vec![], vec![]]));
        assert_eq!(decode(3, [encode(&[], 0).as_slice()]), Ok(vec![]));
    }

    #[test]
    fn what_is_not_of_the_format_is_told() {
        let good = encode(&rows(), 0);
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            decode(2, [bytes.as_slice()])
        };
        assert_eq!(changed(0, b'p'), Err(Broken("another signature")));
        assert_eq!(changed(12, 1), Err(Broken("flags that are not known")));
        assert_eq!(changed(15, 0xff), Err(Broken("a header of negative length")));
        assert_eq!(changed(20, 3), Err(Broken("a row with another number of columns")));
        assert_eq!(changed(21, 0x80), Err(Broken("a value of negative length")));
        assert_eq!(decode(2, [good.as_slice(), b"x"]), Err(Broken("bytes after its trailer")));
        assert_eq!(decode(2, [&good[..good.len() - 1]]), Err(Broken("no trailer")));
        assert_eq!(decode(2, []), Err(Broken("no trailer")));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(
            rows in (0_usize..4).prop_flat_map(|columns| {
                let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
                let row = proptest::collection::vec(value, columns);
                (Just(columns), proptest::collection::vec(row, 0..20))
            }),
            extension in 0_usize..10,
            sizes in proptest::collection::vec(1_usize..30, 1..50),
        ) {
            let (columns, rows) = rows;
            let bytes = encode(&rows, extension);
            let mut sizes = sizes.into_iter().cycle();
            let mut rest = bytes.as_slice();
            let pieces = std::iter::from_fn(|| {
                let (piece, after) = rest.split_at(sizes.next()?.min(rest.len()));
                rest = after;
                (!piece.is_empty()).then_some(piece)
            });
            prop_assert_eq!(decode(columns, pieces.collect::<Vec<_>>()), Ok(rows));
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            head in any::<bool>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            columns in 0_usize..3,
            cut in 0_usize..200,
        ) {
            let mut all = if head { encode(&[], 0)[..HEADER].to_vec() } else { Vec::new() };
            all.extend(bytes);
            let (one, two) = all.split_at(cut.min(all.len()));
            let _ = decode(columns, [one, two]);
        }
    }
}
