//! Rows into batches: a batch closes by bytes or by rows, and is never over the message limit unless
//! it is a single row. The encoders say how large it is.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rowstream_contract::rows::{Batch, Data};

use super::{Malformed, arrow::batch::ArrowEncoder, row::RawRow, rows::RowsEncoder};
use crate::plan::{Column, options::Encoding};

/// Room in a message for what is not rows: the event, the counts, the resume token (`stream::bookmark`).
const MESSAGE_OVERHEAD: usize = 5 * 1024;

/// After this many rows the time of encoding is taken from every sixteenth row: reading the clock
/// for each would cost as much as a short row.
const TIMED_ROWS: i64 = 64;
const SAMPLE: u32 = 16;

/// When a batch closes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    /// The size at which the first batch closes.
    pub(crate) first_bytes: usize,
    /// The size at which every further batch closes.
    pub(crate) bytes: usize,
    /// The number of rows at which a batch closes.
    pub(crate) rows: i64,
    /// The size that no message passes, unless a single row does.
    pub(crate) message_bytes: usize,
    /// The size that no row passes.
    pub(crate) row_bytes: usize,
}

/// Why a row cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RowError {
    TooLarge {
        row: i64,
        bytes: usize,
    },
    Malformed {
        row: i64,
        column: usize,
        kind: Malformed,
    },
    /// The Arrow type of its column cannot hold the value.
    Unrepresentable {
        row: i64,
        column: usize,
        /// What it is, and why it does not fit.
        value: String,
    },
    /// PostgreSQL sent another number of columns than the plan has.
    Shape,
    /// The record batch could not be written; what arrow says.
    Arrow(String),
}

/// Cuts a run of rows into batches: counts rows, and keeps what is ready to be sent.
#[derive(Debug)]
pub(crate) struct Cutter {
    pub(crate) limits: BatchLimits,
    rows: i64,
    first_row: i64,
    /// The number of the very first row.
    start: i64,
    closed: VecDeque<Batch>,
}

impl Cutter {
    fn new(limits: BatchLimits) -> Self {
        Self { limits, rows: 0, first_row: 0, start: 0, closed: VecDeque::new() }
    }

    /// Rows encoded so far, which is the number of the next one.
    pub(crate) fn row_count(&self) -> i64 {
        self.first_row + self.rows
    }

    /// Rows of the batch that has been begun.
    pub(crate) fn rows(&self) -> i64 {
        self.rows
    }

    /// The size at which it closes.
    pub(crate) fn target(&self) -> usize {
        if self.first_row == self.start { self.limits.first_bytes } else { self.limits.bytes }
    }

    /// Whether so large a batch would be over the message limit.
    pub(crate) fn is_over(&self, bytes: usize) -> bool {
        bytes > self.limits.message_bytes.saturating_sub(MESSAGE_OVERHEAD)
    }

    /// Whether the batch is full with so many rows more and of that size.
    pub(crate) fn would_be_full(&self, more: i64, bytes: usize) -> bool {
        bytes >= self.target() || self.rows + more >= self.limits.rows
    }

    /// Rows have been added. Answers whether the batch is full.
    pub(crate) fn added(&mut self, rows: usize, bytes: usize) -> bool {
        self.rows += i64::try_from(rows).unwrap_or(i64::MAX);
        self.would_be_full(0, bytes)
    }

    /// Closes the batch with what has been encoded.
    pub(crate) fn close(&mut self, data: Data) {
        self.closed.push_back(Batch { data, row_count: self.rows, first_row: self.first_row });
        self.first_row += self.rows;
        self.rows = 0;
    }

    /// Checks a value's size, as PostgreSQL sent it, into that of its row.
    #[inline]
    pub(crate) fn measure(&self, size: &mut usize, value: Option<&[u8]>) -> Result<(), RowError> {
        *size += value.map_or(0, <[u8]>::len);
        if *size > self.limits.row_bytes {
            return Err(RowError::TooLarge { row: self.row_count(), bytes: *size });
        }
        Ok(())
    }
}

/// Encodes rows and cuts them into batches.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    cutter: Cutter,
    encoder: Encoder,
    /// Time spent so far.
    pub(crate) encoding: Duration,
}

#[derive(Debug)]
enum Encoder {
    Rows(RowsEncoder),
    Arrow(Box<ArrowEncoder>),
}

impl BatchBuilder {
    pub(crate) fn new(columns: &[Column], encoding: Encoding, limits: BatchLimits) -> Self {
        let encoder = match encoding {
            Encoding::Rows => Encoder::Rows(RowsEncoder::new(columns.iter().map(|column| column.codec).collect())),
            Encoding::Arrow(options) => Encoder::Arrow(Box::new(ArrowEncoder::new(columns, options))),
        };
        Self { cutter: Cutter::new(limits), encoder, encoding: Duration::ZERO }
    }

    /// Has rows counted from here on.
    pub(crate) fn starting_at(mut self, row: i64) -> Self {
        (self.cutter.first_row, self.cutter.start) = (row, row);
        self
    }

    /// What the header says of the batches; empty but for Arrow.
    pub(crate) fn arrow_schema(&self) -> Bytes {
        match &self.encoder {
            Encoder::Rows(_) => Bytes::new(),
            Encoder::Arrow(encoder) => encoder.schema(),
        }
    }

    /// Encodes one row. Closed batches then wait in [`next_closed`](Self::next_closed).
    #[inline]
    pub(crate) fn push(&mut self, row: &impl RawRow) -> Result<(), RowError> {
        let weight = match self.row_count() {
            ..TIMED_ROWS => 1,
            row if row % i64::from(SAMPLE) == 0 => SAMPLE,
            _ => 0,
        };
        let start = (weight > 0).then(Instant::now);
        let settle = match &mut self.encoder {
            Encoder::Rows(encoder) => encoder.push(row, &mut self.cutter).map(|()| false),
            Encoder::Arrow(encoder) => encoder.push(row, &self.cutter),
        };
        self.encoding += start.map_or(Duration::ZERO, |start| start.elapsed() * weight);
        if settle? { self.settle() } else { Ok(()) }
    }

    /// Encodes the rows that wait for others.
    fn settle(&mut self) -> Result<(), RowError> {
        let Encoder::Arrow(encoder) = &mut self.encoder else { return Ok(()) };
        let start = Instant::now();
        let settled = encoder.settle(&mut self.cutter);
        self.encoding += start.elapsed();
        settled
    }

    /// A batch that is ready to be sent.
    pub(crate) fn next_closed(&mut self) -> Option<Batch> {
        self.cutter.closed.pop_front()
    }

    /// Closes what there is, however little.
    pub(crate) fn close(&mut self) -> Result<(), RowError> {
        self.settle()?;
        match &mut self.encoder {
            _ if self.cutter.rows == 0 => Ok(()),
            Encoder::Rows(encoder) => {
                encoder.close(&mut self.cutter);
                Ok(())
            }
            Encoder::Arrow(encoder) => encoder.close(&mut self.cutter),
        }
    }

    /// Whether [`next_closed`](Self::next_closed) has one.
    pub(crate) fn has_closed(&self) -> bool {
        !self.cutter.closed.is_empty()
    }

    /// Whether a batch has been begun.
    pub(crate) fn is_building(&self) -> bool {
        self.cutter.rows + self.pending_rows() > 0
    }

    fn pending_rows(&self) -> i64 {
        match &self.encoder {
            Encoder::Rows(_) => 0,
            Encoder::Arrow(encoder) => encoder.pending_rows(),
        }
    }

    /// The size of the batch that has been begun.
    pub(crate) fn building_bytes(&self) -> usize {
        match &self.encoder {
            Encoder::Rows(encoder) => encoder.bytes(),
            Encoder::Arrow(encoder) => encoder.bytes(),
        }
    }

    /// Rows taken so far.
    pub(crate) fn row_count(&self) -> i64 {
        self.cutter.row_count() + self.pending_rows()
    }
}
