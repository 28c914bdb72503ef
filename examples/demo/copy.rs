//! Rows that are generated here, loaded by COPY.

use std::{fmt::Display, io::Write as _, mem};

use sqlx::PgConnection;
use tokio::{sync::mpsc, task};

use crate::Result;

/// The size of one piece of COPY's input.
const CHUNK_BYTES: usize = 256 * 1024;

/// Loads one table while its rows are generated on another thread, and returns their number.
pub(crate) async fn copy<R>(database: &mut PgConnection, table: &str, rows: R) -> Result<u64>
where
    R: Iterator<Item: Display> + Send + 'static,
{
    let (chunks, mut next) = mpsc::channel(4);
    let generating = task::spawn_blocking(move || generate(rows, &chunks));
    let mut copy = database.copy_in_raw(&format!("COPY {table} FROM STDIN (FORMAT csv)")).await?;
    while let Some(chunk) = next.recv().await {
        copy.send(chunk).await?;
    }
    generating.await?;
    Ok(copy.finish().await?)
}

/// Writes rows as CSV until nobody takes them any more.
fn generate(rows: impl Iterator<Item: Display>, chunks: &mpsc::Sender<Vec<u8>>) {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    for row in rows {
        writeln!(chunk, "{row}").expect("a vector takes everything");
        if chunk.len() >= CHUNK_BYTES {
            let full = mem::replace(&mut chunk, Vec::with_capacity(CHUNK_BYTES));
            if chunks.blocking_send(full).is_err() {
                return;
            }
        }
    }
    // The receiver is gone only if COPY has failed, and that error is the one to tell.
    let _ = chunks.blocking_send(chunk);
}
