//! The binary format of COPY, message by message: PostgreSQL sends every row in one of its own, the first behind the
//! format's header, and a trailer in the last. Knows nothing of what the values mean.

use crate::encode::{
    Malformed,
    gather::{Gathered, Refused},
    prefixed,
    row::RawRow,
};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, and the length of the header's extension.
const HEADER: usize = 19;
/// Flags that a reader must know: there are none any more.
const CRITICAL: u32 = 0xffff_0000;
const TRAILER: i16 = -1;

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
    state: State,
    columns: usize,
}

/// One row: its values, each behind its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuple<'a> {
    columns: usize,
    values: &'a [u8],
}

impl Tuples {
    /// Every row must have so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self { state: State::Header, columns }
    }

    /// The row of a message; the last one has none.
    #[inline]
    pub(crate) fn read<'a>(&mut self, message: &'a [u8]) -> Result<Option<Tuple<'a>>, Broken> {
        let message = match self.state {
            State::Header => header(message)?,
            State::Rows => message,
            State::Ended => return Err(Broken("a message behind its trailer")),
        };
        self.state = State::Rows;
        let (count, values) = message.split_first_chunk().ok_or(Broken("a message that is no row"))?;
        match i16::from_be_bytes(*count) {
            TRAILER if values.is_empty() => {
                self.state = State::Ended;
                Ok(None)
            }
            TRAILER => Err(Broken("bytes behind its trailer")),
            count if usize::try_from(count) == Ok(self.columns) => Ok(Some(Tuple { columns: self.columns, values })),
            _ => Err(Broken("a row with another number of columns")),
        }
    }

    /// After the last message: whether they were the whole of it.
    pub(crate) fn finish(&self) -> Result<(), Broken> {
        if self.state == State::Ended { Ok(()) } else { Err(Broken("no trailer")) }
    }
}

/// What follows the header.
fn header(message: &[u8]) -> Result<&[u8], Broken> {
    let (header, rest) = message.split_first_chunk::<HEADER>().ok_or(Broken("a header cut short"))?;
    if !header.starts_with(SIGNATURE) {
        return Err(Broken("another signature"));
    }
    let [.., f0, f1, f2, f3, e0, e1, e2, e3] = *header;
    if u32::from_be_bytes([f0, f1, f2, f3]) & CRITICAL != 0 {
        return Err(Broken("flags that are not known"));
    }
    let extension = i32::from_be_bytes([e0, e1, e2, e3]);
    let extension = usize::try_from(extension).map_err(|_| Broken("a header of negative length"))?;
    rest.get(extension..).ok_or(Broken("a header cut short"))
}

impl RawRow for Tuple<'_> {
    fn len(&self) -> usize {
        self.columns
    }

    /// Gives a value that is malformed where they end too soon, or do not end where they should.
    #[inline]
    fn values(&self) -> impl Iterator<Item = Result<Option<&[u8]>, Malformed>> {
        let (mut rest, mut left) = (self.values, self.columns);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let value = prefixed(&mut rest);
            Some(if left == 0 && !rest.is_empty() { Err(Malformed::Binary) } else { value })
        })
    }

    #[inline]
    fn gather(&self, gathered: &mut Gathered, limit: usize) -> Result<(), Refused> {
        gathered.add_prefixed(self.columns, self.values, limit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NULL: i32 = -1;

    type Row = Vec<Option<Vec<u8>>>;

    fn encode(row: &Row) -> Vec<u8> {
        let mut bytes = i16::try_from(row.len()).expect("few").to_be_bytes().to_vec();
        for value in row {
            let length = value.as_ref().map_or(NULL, |value| i32::try_from(value.len()).expect("short"));
            bytes.extend(length.to_be_bytes());
            bytes.extend(value.iter().flatten());
        }
        bytes
    }

    /// As PostgreSQL sends them: the header goes before the first row, or the trailer.
    fn messages(rows: &[Row], extension: usize) -> Vec<Vec<u8>> {
        let mut messages: Vec<_> = rows.iter().map(encode).collect();
        messages.push(TRAILER.to_be_bytes().to_vec());
        let mut header = SIGNATURE.to_vec();
        header.extend(0_u32.to_be_bytes());
        header.extend(i32::try_from(extension).expect("short").to_be_bytes());
        header.extend(vec![7; extension]);
        messages[0].splice(0..0, header);
        messages
    }

    /// What is wrong, if not with a single value.
    fn decode(columns: usize, messages: &[Vec<u8>]) -> Result<Vec<Result<Row, Malformed>>, Broken> {
        let mut tuples = Tuples::new(columns);
        let mut rows = Vec::new();
        for message in messages {
            if let Some(tuple) = tuples.read(message)? {
                assert_eq!(tuple.len(), columns);
                rows.push(tuple.values().map(|value| value.map(|bytes| bytes.map(<[u8]>::to_vec))).collect());
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
        assert_eq!(decode(0, &messages(&[vec![], vec![]], 0)), Ok(vec![Ok(vec![]), Ok(vec![])]));
        assert_eq!(decode(3, &messages(&[], 0)), Ok(vec![]));
    }

    #[test]
    fn what_is_not_of_the_format_is_told() {
        let good = messages(&rows(), 0);
        let changed = |at: usize, byte: u8| {
            let mut messages = good.clone();
            messages[0][at] = byte;
            decode(2, &messages)
        };
        assert_eq!(changed(0, b'p'), Err(Broken("another signature")));
        assert_eq!(changed(12, 1), Err(Broken("flags that are not known")));
        assert_eq!(changed(15, 0xff), Err(Broken("a header of negative length")));
        assert_eq!(changed(17, 0xff), Err(Broken("a header cut short")));
        assert_eq!(changed(20, 3), Err(Broken("a row with another number of columns")));
        assert_eq!(decode(2, &[&good[..], &[vec![0, 2]]].concat()), Err(Broken("a message behind its trailer")));
        assert_eq!(decode(2, &[&good[..2], &[vec![0xff, 0xff, 0]]].concat()), Err(Broken("bytes behind its trailer")));
        assert_eq!(decode(2, &[&good[..1], &[vec![0]]].concat()), Err(Broken("a message that is no row")));
        assert_eq!(decode(2, &good[..2]), Err(Broken("no trailer")));
        assert_eq!(decode(2, &[]), Err(Broken("no trailer")));
    }

    #[test]
    fn a_value_that_does_not_end_with_its_row_is_malformed() {
        let good = encode(&rows()[0]);
        let changed = |change: fn(&mut Vec<u8>)| {
            let mut messages = messages(&rows(), 0);
            messages[1].clone_from(&good);
            change(&mut messages[1]);
            decode(2, &messages).expect("the format itself is right").remove(1)
        };
        assert_eq!(changed(|_| {}), Ok(rows().remove(0)));
        assert_eq!(changed(|row| row.truncate(9)), Err(Malformed::Binary));
        assert_eq!(changed(|row| row.truncate(11)), Err(Malformed::Binary));
        assert_eq!(changed(|row| row.push(0)), Err(Malformed::Binary));
        assert_eq!(changed(|row| row[2] = 0x80), Err(Malformed::Binary));
    }

    proptest! {
        #[test]
        fn rows_come_out_as_they_went_in(
            rows in (0_usize..4).prop_flat_map(|columns| {
                let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
                let row = proptest::collection::vec(value, columns);
                (Just(columns), proptest::collection::vec(row, 0..20))
            }),
            extension in 0_usize..10,
        ) {
            let (columns, rows) = rows;
            let decoded = decode(columns, &messages(&rows, extension));
            prop_assert_eq!(decoded, Ok(rows.into_iter().map(Ok).collect()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            head in any::<bool>(),
            bytes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..5),
            columns in 0_usize..3,
        ) {
            let mut all = if head { messages(&[vec![]], 0) } else { Vec::new() };
            all.extend(bytes);
            let _ = decode(columns, &all);
        }
    }
}
