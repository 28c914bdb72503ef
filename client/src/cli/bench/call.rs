//! One call of the load, from its beginning to its end.

use std::{hint::black_box, sync::Arc};

use rowstream_client::{Call, Error, RowBatch, Summary};
use serde::{Deserialize, Serialize};

use super::recorder::{Begun, Recorder, Watch};

/// What is done with the rows that arrive.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Values {
    /// They are checked and counted: the library finds where each value lies, and nobody reads it.
    Counted,
    /// Every value of every row is read.
    Read,
}

/// Sends the call and takes all that comes. Dropped, it is cancelled, and counts as not finished.
pub(super) async fn run(call: Arc<Call>, values: Values, recorder: Recorder, begun: Begun) {
    let mut watch = recorder.begin(begun);
    let outcome = read(&call, values, &mut watch).await;
    watch.end(outcome);
}

async fn read(call: &Call, values: Values, watch: &mut Watch) -> Result<Summary, Error> {
    let mut rows = call.stream().await?;
    watch.header();
    while let Some(batch) = rows.next_batch().await? {
        watch.batch(rows.rows_received(), rows.bytes_received());
        if values == Values::Read {
            read_values(&batch)?;
        }
    }
    rows.summary().cloned().ok_or_else(|| Error::Truncated { rows: rows.rows_received() })
}

/// Has each value in hand, as its Rust type, as a program would that works with them.
fn read_values(batch: &RowBatch) -> Result<(), Error> {
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
