//! Rows into the bytes of `RowBatch`.

use bytes::Bytes;
use rowstream_contract::rows::{Data, RowBatch};

use super::{
    batch::{Cutter, RowError},
    codec::Codec,
    row::RawRow,
    wire,
};

/// How far past its target a batch is expected to run, so that its buffer need not grow.
const SLACK: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct RowsEncoder {
    codecs: Vec<Codec>,
    buffer: Vec<u8>,
    row_length_guess: usize,
}

impl RowsEncoder {
    pub(super) fn new(codecs: Vec<Codec>) -> Self {
        Self { codecs, buffer: Vec::new(), row_length_guess: 1 }
    }

    pub(super) fn push(&mut self, row: &impl RawRow, cutter: &mut Cutter) -> Result<(), RowError> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(cutter.target() + SLACK);
        }
        let start = self.buffer.len();
        if let Err(error) = self.encode(row, cutter) {
            self.buffer.truncate(start);
            return Err(error);
        }
        if start > 0 && cutter.is_over(self.buffer.len()) {
            let alone = self.buffer.split_off(start);
            self.close(cutter);
            self.buffer = alone;
        }
        if cutter.added(1, self.buffer.len()) {
            self.close(cutter);
        }
        Ok(())
    }

    pub(super) fn close(&mut self, cutter: &mut Cutter) {
        cutter.close(Data::Rows(RowBatch(Bytes::from(std::mem::take(&mut self.buffer)))));
    }

    pub(super) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    fn encode(&mut self, row: &impl RawRow, cutter: &Cutter) -> Result<(), RowError> {
        if row.len() != self.codecs.len() {
            return Err(RowError::Shape);
        }
        let number = cutter.row_count();
        let open = wire::open_row(self.row_length_guess, &mut self.buffer);
        let mut size = 0;
        for ((column, codec), value) in self.codecs.iter().enumerate().zip(row.values()) {
            let malformed = |kind| RowError::Malformed { row: number, column, kind };
            let value = value.map_err(malformed)?;
            cutter.measure(&mut size, value)?;
            match value {
                Some(bytes) => codec.write(bytes, &mut self.buffer).map_err(malformed)?,
                None => wire::null(&mut self.buffer),
            }
        }
        self.row_length_guess = wire::close_row(open, self.row_length_guess, &mut self.buffer);
        Ok(())
    }
}
