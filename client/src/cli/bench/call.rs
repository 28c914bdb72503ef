//! One call of the load, from its beginning to its end.

use std::{hint::black_box, sync::Arc};

use arrow_array::{Array as _, RecordBatch};
use arrow_data::ArrayData;
use clap::ValueEnum;
use rowstream_client::{Call, Error, RowBatch, Summary};
use serde::{Deserialize, Serialize};

use super::recorder::{Begun, Recorder, Watch};

/// How rows travel.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Encoding {
    /// Rows of values
    Rows,
    /// Arrow record batches
    Arrow,
}

/// What is done with what arrives.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Values {
    /// It is checked and counted. Of rows the library finds where each value lies, of Arrow it opens nothing.
    Counted,
    /// Every value is read.
    Read,
}

/// What every call of the load does.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) call: Call,
    pub(super) encoding: Encoding,
    pub(super) values: Values,
}

impl Work {
    /// Sends the call and takes all that comes. Dropped, it is cancelled, and counts as not finished.
    pub(super) async fn run(self: Arc<Self>, recorder: Recorder, begun: Begun) {
        let mut watch = recorder.begin(begun);
        let outcome = match (self.encoding, self.values) {
            (Encoding::Rows, _) => self.rows(&mut watch).await,
            (Encoding::Arrow, Values::Counted) => self.messages(&mut watch).await,
            (Encoding::Arrow, Values::Read) => self.record_batches(&mut watch).await,
        };
        watch.end(outcome);
    }

    async fn rows(&self, watch: &mut Watch) -> Result<Summary, Error> {
        let mut rows = self.call.stream().await?;
        watch.header(rows.header());
        while let Some(batch) = rows.next_batch().await? {
            watch.batch(rows.rows_received(), rows.bytes_received());
            if self.values == Values::Read {
                read_rows(&batch)?;
            }
        }
        complete(rows.summary(), rows.rows_received())
    }

    async fn messages(&self, watch: &mut Watch) -> Result<Summary, Error> {
        let mut messages = self.call.arrow_ipc().await?;
        watch.header(messages.header());
        while messages.next_message().await?.is_some() {
            watch.batch(messages.rows_received(), messages.bytes_received());
        }
        complete(messages.summary(), messages.rows_received())
    }

    async fn record_batches(&self, watch: &mut Watch) -> Result<Summary, Error> {
        let mut batches = self.call.record_batches().await?;
        watch.header(batches.header());
        while let Some(batch) = batches.next_batch().await? {
            watch.batch(batches.rows_received(), batches.bytes_received());
            read_record_batch(&batch);
        }
        complete(batches.summary(), batches.rows_received())
    }
}

fn complete(summary: Option<&Summary>, rows: u64) -> Result<Summary, Error> {
    summary.cloned().ok_or(Error::Truncated { rows, resume_token: None })
}

/// Has each value in hand, as its Rust type, as a program would that works with them.
fn read_rows(batch: &RowBatch) -> Result<(), Error> {
    for row in batch.iter() {
        for (position, value) in row.values().enumerate() {
            // What is no UTF-8 is told with its column by the way that has it.
            match value {
                Ok(value) => drop(black_box(value)),
                Err(_) => drop(row.value(position)?),
            }
        }
    }
    Ok(())
}

/// Passes over every byte of every column once, as a sum over them would.
fn read_record_batch(batch: &RecordBatch) {
    for column in batch.columns() {
        read_array(&column.to_data());
    }
}

fn read_array(data: &ArrayData) {
    for buffer in data.buffers() {
        black_box(buffer.iter().fold(0_u64, |sum, byte| sum.wrapping_add(u64::from(*byte))));
    }
    data.child_data().iter().for_each(read_array);
}
