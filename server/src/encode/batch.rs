//! Rows into batches: a batch closes by bytes or by rows, and is never over the message limit unless
//! it is a single row.

use std::collections::VecDeque;

use bytes::Bytes;
use rowstream_contract::rows::{Batch, Data, RowBatch};

use super::{Malformed, codec::Codec, row::RawRow, wire};

/// Room in a message for what is not rows: the event, the counts, the resume token to come.
const MESSAGE_OVERHEAD: usize = 1024;
/// How far past its target a batch is expected to run, so that its buffer need not grow.
const SLACK: usize = 8 * 1024;

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
    /// PostgreSQL sent another number of columns than the plan has.
    Shape,
}

/// Encodes rows and cuts them into batches.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    codecs: Vec<Codec>,
    limits: BatchLimits,
    buffer: Vec<u8>,
    rows: i64,
    first_row: i64,
    row_length_guess: usize,
    closed: VecDeque<Batch>,
}

impl BatchBuilder {
    pub(crate) fn new(codecs: Vec<Codec>, limits: BatchLimits) -> Self {
        Self { codecs, limits, buffer: Vec::new(), rows: 0, first_row: 0, row_length_guess: 1, closed: VecDeque::new() }
    }

    /// Encodes one row. Closed batches then wait in [`next_closed`](Self::next_closed).
    pub(crate) fn push(&mut self, row: &impl RawRow) -> Result<(), RowError> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(self.target() + SLACK);
        }
        let start = self.buffer.len();
        if let Err(error) = self.encode(row) {
            self.buffer.truncate(start);
            return Err(error);
        }
        if start > 0 && self.buffer.len() > self.limits.message_bytes.saturating_sub(MESSAGE_OVERHEAD) {
            let alone = self.buffer.split_off(start);
            self.close();
            self.buffer = alone;
        }
        self.rows += 1;
        if self.buffer.len() >= self.target() || self.rows >= self.limits.rows {
            self.close();
        }
        Ok(())
    }

    /// A batch that is ready to be sent.
    pub(crate) fn next_closed(&mut self) -> Option<Batch> {
        self.closed.pop_front()
    }

    /// Closes what there is, however little.
    pub(crate) fn close(&mut self) {
        if self.rows > 0 {
            let rows = RowBatch(Bytes::from(std::mem::take(&mut self.buffer)));
            self.closed.push_back(Batch { data: Data::Rows(rows), row_count: self.rows, first_row: self.first_row });
            self.first_row += self.rows;
            self.rows = 0;
        }
    }

    /// Whether [`next_closed`](Self::next_closed) has one.
    pub(crate) fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Whether a batch has been begun.
    pub(crate) fn is_building(&self) -> bool {
        self.rows > 0
    }

    /// The size of the batch that has been begun.
    pub(crate) fn building_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Rows encoded so far.
    pub(crate) fn row_count(&self) -> i64 {
        self.first_row + self.rows
    }

    fn target(&self) -> usize {
        if self.first_row == 0 { self.limits.first_bytes } else { self.limits.bytes }
    }

    fn encode(&mut self, row: &impl RawRow) -> Result<(), RowError> {
        if row.len() != self.codecs.len() {
            return Err(RowError::Shape);
        }
        let number = self.row_count();
        let open = wire::open_row(self.row_length_guess, &mut self.buffer);
        let mut size = 0;
        for (column, codec) in self.codecs.iter().enumerate() {
            let malformed = |kind| RowError::Malformed { row: number, column, kind };
            let Some(bytes) = row.value(column).map_err(malformed)? else {
                wire::null(&mut self.buffer);
                continue;
            };
            size += bytes.len();
            if size > self.limits.row_bytes {
                return Err(RowError::TooLarge { row: number, bytes: size });
            }
            codec.write(bytes, &mut self.buffer).map_err(malformed)?;
        }
        self.row_length_guess = wire::close_row(open, self.row_length_guess, &mut self.buffer);
        Ok(())
    }
}
