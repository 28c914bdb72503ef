//! Values as PostgreSQL's send functions write them.

use rowstream_server::bench::BinaryRow;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const EPOCH_DAYS: i32 = 10_957;
const TEXT: u32 = 25;

/// A row in the making.
#[derive(Default)]
pub(crate) struct Row(BinaryRow);

impl From<Row> for BinaryRow {
    fn from(row: Row) -> Self {
        row.0
    }
}

impl Row {
    fn value(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.push(Some(bytes));
        self
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.0.push(None);
        self
    }

    pub(crate) fn int8(&mut self, value: i64) -> &mut Self {
        self.value(&value.to_be_bytes())
    }

    pub(crate) fn int4(&mut self, value: i32) -> &mut Self {
        self.value(&value.to_be_bytes())
    }

    pub(crate) fn float8(&mut self, value: f64) -> &mut Self {
        self.value(&value.to_be_bytes())
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.value(value.as_bytes())
    }

    /// A date, in days since 1970-01-01.
    pub(crate) fn date(&mut self, days: i32) -> &mut Self {
        self.int4(days - EPOCH_DAYS)
    }

    /// An instant, in microseconds since 2000-01-01.
    pub(crate) fn timestamptz(&mut self, micros: i64) -> &mut Self {
        self.int8(micros)
    }

    pub(crate) fn jsonb(&mut self, text: &str) -> &mut Self {
        self.value(&[&[1], text.as_bytes()].concat())
    }

    /// A `numeric(15, 2)` that is not negative: digits of base 10,000, without zeros at either end.
    pub(crate) fn numeric_cents(&mut self, cents: i64) -> &mut Self {
        let mut digits = vec![cents % 100 * 100];
        let mut whole = cents / 100;
        while whole > 0 {
            digits.insert(0, whole % 10_000);
            whole /= 10_000;
        }
        let mut weight = i16::try_from(digits.len()).unwrap_or(i16::MAX) - 2;
        while digits.last() == Some(&0) {
            digits.pop();
        }
        while digits.first() == Some(&0) {
            digits.remove(0);
            weight -= 1;
        }
        if digits.is_empty() {
            weight = 0;
        }
        let short = |value: i64| i16::try_from(value).unwrap_or(i16::MAX).to_be_bytes();
        let count = i16::try_from(digits.len()).unwrap_or(i16::MAX);
        let mut bytes = [count.to_be_bytes(), weight.to_be_bytes(), short(0), short(2)].concat();
        bytes.extend(digits.into_iter().flat_map(short));
        self.value(&bytes)
    }

    /// A `text[]` of one dimension, without NULLs.
    pub(crate) fn text_array(&mut self, elements: &[&str]) -> &mut Self {
        let length = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let mut bytes = [1, 0, TEXT, length(elements.len()), 1].map(u32::to_be_bytes).concat();
        for element in elements {
            bytes.extend_from_slice(&length(element.len()).to_be_bytes());
            bytes.extend_from_slice(element.as_bytes());
        }
        self.value(&bytes)
    }
}
