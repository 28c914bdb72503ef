//! What a fake server answers to one call: rows, an error or nothing, when, and how it ends.
//!
//! Which call gets which answer is in `script`; how an answer becomes messages is in `messages`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use rowstream_contract::{
    reason::{DOMAIN, Reason},
    v1,
};
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::rows::{self, IntoRow};
use crate::{Column, Columns};

/// The answer to a call. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use rowstream_client::{Code, Reason, testing::Answer};
///
/// let columns = [("id", "int8"), ("name", "text")];
/// let people = Answer::rows(columns, [(1, Some("Ada")), (2, None)]);
/// // A row a message, 10 ms from one to the next, and the connection is lost after the first.
/// let cut = people.clone().batch_rows(1).every(Duration::from_millis(10)).cut_after(1);
/// let full = Answer::error(Code::ResourceExhausted, Reason::QueueFull).retry_after(Duration::from_millis(250));
/// # let _ = (cut, full);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Answer {
    pub(super) delay: Duration,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Result(Rows),
    Error(Failure),
    Hang,
}

/// A stream of rows, and what is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) columns: Columns,
    /// Encoded, one by one.
    pub(super) rows: Arc<[Bytes]>,
    /// 0: all in one batch.
    pub(super) batch_rows: usize,
    pub(super) interval: Duration,
    pub(super) endless: bool,
    pub(super) truncated: bool,
    pub(super) damage: Option<Damage>,
    /// After so many batches this comes instead of the next message.
    pub(super) stop: Option<(usize, Stop)>,
}

#[derive(Clone, Debug)]
pub(super) enum Stop {
    Error(Failure),
    Cut,
    Hang,
}

/// A way in which a stream breaks the contract, to see that the code under test does not take it for a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Damage {
    /// It ends without any message.
    Empty,
    /// The header is missing.
    NoHeader,
    /// The header comes twice.
    SecondHeader,
    /// The first batch says that rows came before it.
    RowGap,
    /// The first batch is no rows.
    MalformedRows,
    /// It ends, with the status OK, without its summary.
    NoSummary,
    /// The summary counts a row too many.
    RowCount,
    /// The summary counts a byte too few.
    ByteCount,
    /// The summary's checksum is another.
    Checksum,
    /// The summary comes twice.
    AfterSummary,
}

/// An error in the making.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    code: Code,
    message: String,
    reason: Option<Reason>,
    info: HashMap<String, String>,
    retry_delay: Option<Duration>,
    pushback: Option<i64>,
}

impl Failure {
    pub(super) fn new(code: Code, reason: Option<Reason>) -> Self {
        let message = reason.map_or_else(|| "scripted".to_owned(), |reason| format!("scripted: {}", reason.as_str()));
        Self { code, message, reason, info: HashMap::new(), retry_delay: None, pushback: None }
    }

    pub(super) fn message(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// The status of the call of that id, with the details that rowstream-server gives.
    pub(super) fn status(&self, query_id: &str) -> Status {
        let mut details = ErrorDetails::new();
        if let Some(reason) = self.reason {
            let mut info = self.info.clone();
            info.entry(rowstream_contract::reason::metadata::QUERY_ID.to_owned())
                .or_insert_with(|| query_id.to_owned());
            details.set_error_info(reason.as_str(), DOMAIN, info);
        }
        if self.retry_delay.is_some() {
            details.set_retry_info(self.retry_delay);
        }
        let mut status = Status::with_error_details(self.code, self.message.clone(), details);
        if let Some(milliseconds) = self.pushback {
            status.metadata_mut().insert("grpc-retry-pushback-ms", MetadataValue::from(milliseconds));
        }
        status
    }
}

impl Answer {
    /// A complete result, in one batch: header, rows, and a summary that is right.
    ///
    /// # Panics
    /// If a row has not as many values as there are columns.
    pub fn rows(columns: impl IntoIterator<Item: Into<Column>>, rows: impl IntoIterator<Item: IntoRow>) -> Self {
        let columns: Columns = columns.into_iter().map(Into::into).collect();
        let encoded = rows.into_iter().enumerate().map(|(number, row)| {
            let values = row.into_values();
            let (found, expected) = (values.len(), columns.len());
            assert!(found == expected, "row {number} has {found} values, but there are {expected} columns");
            rows::encode(values)
        });
        let rows = encoded.collect();
        let interval = Duration::ZERO;
        let (batch_rows, endless, truncated, damage, stop) = (0, false, false, None, None);
        Self::of(Content::Result(Rows { columns, rows, batch_rows, interval, endless, truncated, damage, stop }))
    }

    /// An error before the first row. The reason is `None` for what something between client and server would say.
    pub fn error(code: Code, reason: impl Into<Option<Reason>>) -> Self {
        Self::of(Content::Error(Failure::new(code, reason.into())))
    }

    /// No answer at all, until the caller gives up.
    pub fn hang() -> Self {
        Self::of(Content::Hang)
    }

    fn of(content: Content) -> Self {
        Self { delay: Duration::ZERO, content }
    }

    /// Lets this time pass before the answer begins.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// An error's message, for people.
    pub fn message(self, message: impl Into<String>) -> Self {
        self.failure("message", |failure| failure.message = message.into())
    }

    /// Adds to an error's metadata (`sqlstate`, `position`, `phase`: [`rowstream_contract::reason::metadata`]).
    pub fn info(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.failure("info", |failure| drop(failure.info.insert(key.into(), value.into())))
    }

    /// Asks, with an error, to try again no earlier (`RetryInfo`).
    pub fn retry_after(self, delay: Duration) -> Self {
        self.failure("retry_after", |failure| failure.retry_delay = Some(delay))
    }

    /// Pushes back, with an error: when to try again, as `grpc-retry-pushback-ms` tells it. Negative: not at all.
    pub fn pushback_ms(self, milliseconds: i64) -> Self {
        self.failure("pushback_ms", |failure| failure.pushback = Some(milliseconds))
    }

    /// Sends the rows in batches of so many. Default: all in one.
    pub fn batch_rows(self, rows: usize) -> Self {
        self.result("batch_rows", |result| result.batch_rows = rows)
    }

    /// Lets this time pass between one batch and the next.
    pub fn every(self, interval: Duration) -> Self {
        self.result("every", |result| result.interval = interval)
    }

    /// Repeats its rows for ever, as fast as they are taken.
    pub fn endless(self) -> Self {
        self.result("endless", |result| result.endless = !result.rows.is_empty())
    }

    /// Says in the summary that a limit cut the result short, as it does anyway for a call whose `max_rows` did.
    pub fn truncated(self) -> Self {
        self.result("truncated", |result| result.truncated = true)
    }

    /// Breaks the contract in this way.
    pub fn damaged(self, damage: Damage) -> Self {
        self.result("damaged", |result| result.damage = Some(damage))
    }

    /// Ends with an error after so many batches; 0 for after the header.
    pub fn error_after(self, batches: usize, code: Code, reason: impl Into<Option<Reason>>) -> Self {
        self.stop("error_after", batches, Stop::Error(Failure::new(code, reason.into())))
    }

    /// Cuts the connection after so many batches, with every other call on it, as a server that is killed.
    pub fn cut_after(self, batches: usize) -> Self {
        self.stop("cut_after", batches, Stop::Cut)
    }

    /// Falls silent after so many batches, until the caller gives up.
    pub fn hang_after(self, batches: usize) -> Self {
        self.stop("hang_after", batches, Stop::Hang)
    }

    fn stop(self, method: &str, batches: usize, stop: Stop) -> Self {
        self.result(method, |result| result.stop = Some((batches, stop)))
    }

    fn result(mut self, method: &str, change: impl FnOnce(&mut Rows)) -> Self {
        match &mut self.content {
            Content::Result(result) => change(result),
            _ => panic!("{method} has a meaning for Answer::rows only"),
        }
        self
    }

    fn failure(mut self, method: &str, change: impl FnOnce(&mut Failure)) -> Self {
        match &mut self.content {
            Content::Error(failure) | Content::Result(Rows { stop: Some((_, Stop::Error(failure))), .. }) => {
                change(failure)
            }
            _ => panic!("{method} has a meaning for Answer::error and error_after only"),
        }
        self
    }
}

impl Rows {
    pub(super) fn wire_columns(&self) -> Vec<v1::Column> {
        self.columns.iter().cloned().map(Column::into_wire).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "row 1 has 1 values, but there are 2 columns")]
    fn a_row_that_does_not_fit_the_columns_is_refused_when_it_is_scripted() {
        let _ = Answer::rows([("a", "int8"), ("b", "int8")], [vec![1, 2], vec![3]]);
    }

    #[test]
    #[should_panic(expected = "batch_rows has a meaning for Answer::rows only")]
    fn a_setting_without_a_meaning_is_refused_when_it_is_scripted() {
        let _ = Answer::hang().batch_rows(1);
    }
}
