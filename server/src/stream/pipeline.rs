//! Rows from the cursor, through the encoder, into the outbox; and the measures of all that.

use std::{sync::Arc, time::Duration};

use rowstream_contract::{
    rows::Batch,
    v1::{self, stream_query_response::Event},
};
use tokio::time::Instant;

use super::{
    bookmark::{Bookmark, Passed},
    calls::Call,
    outbox::{Message, Outbox},
};
use crate::{
    admission::{Admission, Memory},
    cursor::read::RowSink,
    encode::{
        Malformed,
        batch::{BatchBuilder, RowError},
        row::{RawRow, WithoutLast},
    },
    error::Error,
    plan::{Described, options::ReadOptions},
    stop::Cause,
};

/// Rows that have waited this long are sent although their batch is not full.
const LINGER: Duration = Duration::from_millis(100);

/// What has been sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
    pub(crate) checksum: u32,
}

pub(crate) struct Pipeline<'a> {
    builder: BatchBuilder,
    described: Arc<Described>,
    header: Option<v1::Header>,
    outbox: &'a mut Outbox,
    admission: &'a Admission,
    call: &'a Call,
    bookmark: Bookmark<'a>,
    max_rows: i64,
    row_limit: usize,
    /// Memory for the batch that is being built.
    memory: Option<Memory>,
    batch_bytes: usize,
    bytes: i64,
    last_sent: Instant,
    pub(crate) sent: Sent,
    pub(crate) truncated: bool,
    /// All rows of the result have come.
    complete: bool,
    pub(crate) error: Option<Error>,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        described: Arc<Described>,
        mut header: v1::Header,
        options: &ReadOptions,
        admission: &'a Admission,
        call: &'a Call,
        outbox: &'a mut Outbox,
        bookmark: Bookmark<'a>,
    ) -> Self {
        let builder = BatchBuilder::new(&described.columns, options.encoding, options.limits);
        let builder = builder.starting_at(bookmark.rows_before());
        header.arrow_schema = builder.arrow_schema();
        header.set_resume_guarantee(bookmark.guarantee());
        Self {
            builder,
            described,
            header: Some(header),
            outbox,
            admission,
            call,
            bookmark,
            max_rows: options.max_rows.unwrap_or(i64::MAX),
            row_limit: options.limits.row_bytes,
            memory: None,
            batch_bytes: options.limits.bytes,
            bytes: 0,
            last_sent: Instant::now(),
            sent: Sent::default(),
            truncated: false,
            complete: false,
            error: None,
        }
    }

    /// How many rows may still come; one more than may be sent tells whether there are more.
    pub(crate) fn limit(&self) -> Option<i64> {
        let seam = i64::from(self.bookmark.awaits_seam());
        (self.max_rows < i64::MAX).then(|| (self.max_rows - self.builder.row_count()).max(0) + 1 + seam)
    }

    /// Whether nothing has gone to the caller yet.
    pub(crate) fn untouched(&self) -> bool {
        self.header.is_some()
    }

    /// Whether this attempt has failed and another one may do better, if nothing of it is sent.
    fn is_for_another_attempt(&self) -> bool {
        matches!(self.error, Some(Error::SchemaChanged)) && self.untouched()
    }

    /// After a fetch: sends what is there if it is the first, or has waited for long.
    pub(crate) async fn end_of_fetch(&mut self) {
        if self.is_for_another_attempt() {
            return;
        }
        if self.untouched() || self.last_sent.elapsed() > LINGER {
            self.close();
        }
        self.drain().await;
    }

    fn close(&mut self) {
        if let Err(error) = self.builder.close() {
            self.fail(error);
        }
    }

    /// Sends everything that is left, the header if there was no row, and the summary. Answers whether that was handed
    /// over: a caller who has it may be gone at once, and the call has ended well.
    pub(crate) async fn finish(&mut self, mut summary: v1::Summary, started: Instant) -> bool {
        self.close();
        if self.error.is_some() {
            return false;
        }
        self.drain().await;
        self.send_header().await;
        summary.row_count = self.sent.rows;
        summary.byte_count = self.sent.bytes;
        summary.checksum = self.sent.checksum;
        summary.truncated = self.truncated;
        summary.encode = duration(self.encoding());
        summary.client_wait = duration(self.outbox.waited);
        summary.database = duration(self.database_time(started));
        let resume_token = self.bookmark.behind(self.builder.row_count());
        self.outbox.send(Message { event: Event::Summary(summary), resume_token }, None).await
    }

    pub(crate) fn encoding(&self) -> Duration {
        self.builder.encoding
    }

    /// What was neither encoding nor waiting for the caller.
    pub(crate) fn database_time(&self, started: Instant) -> Duration {
        started.elapsed().saturating_sub(self.encoding() + self.outbox.waited)
    }

    async fn send_header(&mut self) {
        if let Some(header) = self.header.take() {
            let resume_token = self.bookmark.at_start();
            self.outbox.send(Message { event: Event::Header(header), resume_token }, None).await;
        }
    }

    async fn send_batch(&mut self, batch: Batch) {
        let body = batch.data.bytes();
        let (rows, bytes) = (batch.row_count, body.len());
        self.sent.checksum = crc32c::crc32c_append(self.sent.checksum, body);
        // A row that is larger than a batch takes more of the budget than was set aside.
        let memory = match self.memory.take() {
            Some(memory) if bytes <= self.batch_bytes * 2 => Some(memory),
            smaller => {
                drop(smaller);
                self.memory_for(bytes).await
            }
        };
        let resume_token = self.bookmark.behind(batch.first_row + rows);
        self.outbox.send(Message { event: Event::Batch(batch), resume_token }, memory).await;
        self.call.count.batch(rows, bytes, self.sent.rows == 0);
        self.sent.rows += rows;
        self.sent.bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
        self.last_sent = Instant::now();
    }

    async fn memory_for(&self, bytes: usize) -> Option<Memory> {
        self.call.stop.unless_stopped(self.admission.memory(bytes)).await.ok().flatten()
    }

    fn column_name(&self, column: usize) -> String {
        self.described.columns.get(column).map_or_else(String::new, |column| column.name.clone())
    }

    /// Whether the row is to be sent.
    fn pass(&mut self, row: &impl RawRow) -> bool {
        if self.builder.row_count() >= self.bookmark.limit() {
            self.complete = true;
            return false;
        }
        let number = self.builder.row_count();
        match self.bookmark.pass(row) {
            Ok(Passed::Taken) => return true,
            Ok(Passed::Seam) => {}
            Ok(Passed::OutOfPlace) => {
                self.error = Some(Error::Internal(format!("row {number} does not lie behind the one before it")));
                self.call.stop.stop(Cause::Failed);
            }
            Ok(Passed::NotUnique) => {
                self.error = Some(Error::ResumeKeyNotUnique { row: number });
                self.call.stop.stop(Cause::Failed);
            }
            Err(kind) => self.fail(RowError::Malformed { row: number, column: 0, kind }),
        }
        false
    }

    /// The first error is what the caller is told.
    fn fail(&mut self, error: RowError) {
        let error = match error {
            RowError::TooLarge { row, .. } => Error::RowTooLarge { row, limit: self.row_limit },
            RowError::Shape => Error::SchemaChanged,
            RowError::Arrow(cause) => Error::Internal(cause),
            RowError::Unrepresentable { row, column, value } => {
                Error::Unrepresentable { row, column: self.column_name(column), value }
            }
            RowError::Malformed { row, column, kind } => {
                let name = self.column_name(column);
                match kind {
                    Malformed::Utf8 => Error::InvalidEncoding { row, column: name },
                    Malformed::Binary => Error::Internal(format!("row {row}, column {name:?}: unexpected binary form")),
                }
            }
        };
        self.error.get_or_insert(error);
        // Described anew, the statement may be read well: then the call goes on.
        if !self.is_for_another_attempt() {
            self.call.stop.stop(Cause::Failed);
        }
    }
}

impl RowSink for Pipeline<'_> {
    fn push(&mut self, row: &impl RawRow) -> bool {
        if self.error.is_some() || self.call.stop.now().is_some() {
            return false;
        }
        if !self.pass(row) {
            return false;
        }
        if self.builder.row_count() >= self.max_rows {
            self.truncated = true;
            return false;
        }
        let result = match self.described.places {
            None => self.builder.push(row),
            Some(_) => self.builder.push(&WithoutLast(row)),
        };
        if let Err(error) = result {
            self.fail(error);
        }
        self.builder.has_closed() || self.memory.is_none()
    }

    async fn drain(&mut self) {
        if self.is_for_another_attempt() {
            return;
        }
        while let Some(batch) = self.builder.next_closed() {
            self.bytes += i64::try_from(batch.data.bytes().len()).unwrap_or(i64::MAX);
            self.send_header().await;
            self.send_batch(batch).await;
        }
        if self.memory.is_none() && self.builder.is_building() && self.call.stop.now().is_none() {
            self.memory = self.memory_for(self.batch_bytes).await;
        }
    }

    async fn flush(&mut self) {
        self.end_of_fetch().await;
    }

    fn has_enough(&self) -> bool {
        self.truncated || self.complete || self.error.is_some()
    }

    fn bytes(&self) -> i64 {
        self.bytes + i64::try_from(self.builder.building_bytes()).unwrap_or(i64::MAX)
    }
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}
