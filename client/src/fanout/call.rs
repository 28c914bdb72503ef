//! What a fan-out runs: calls of this crate, or any function of a client.

use std::time::Duration;

use crate::{Call, Client, Columns, Error, Header, Row, RowBatch, Summary};

/// One call of a fan-out, of which several attempts may be made.
///
/// Implemented for [`Call`], whose output is the whole [`ResultSet`], for [`OneRow`], and for functions from a
/// [`Client`] to a future. Implement it for a type of your own to find it again in the
/// [`Outcome`](super::Outcome):
///
/// ```
/// # use rowstream_client::{Client, Error, fanout::FanoutCall};
/// struct Balance {
///     customer: i64,
/// }
///
/// impl FanoutCall for Balance {
///     type Output = String;
///
///     async fn attempt(&self, client: Client) -> Result<String, Error> {
///         let call = client.query("balance").bind_named("customer", self.customer);
///         Ok(call.query_row().await?.get("balance")?)
///     }
/// }
/// ```
pub trait FanoutCall: Send + Sync + 'static {
    /// What a successful attempt brings.
    type Output: Send + 'static;

    /// One attempt. What is called through this client goes to the server that was chosen for the attempt, under the
    /// deadline of the call; once a row has come through it, the call is not tried again.
    fn attempt(&self, client: Client) -> impl Future<Output = Result<Self::Output, Error>> + Send;

    /// The call's own deadline, from when it begins. Default: none.
    fn deadline(&self) -> Option<Duration> {
        None
    }
}

impl FanoutCall for Call {
    type Output = ResultSet;

    async fn attempt(&self, client: Client) -> Result<ResultSet, Error> {
        let mut stream = self.stream_through(&client).await?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next_batch().await? {
            batches.push(batch);
        }
        let summary =
            stream.summary().cloned().ok_or(Error::Truncated { rows: stream.rows_received(), resume_token: None })?;
        Ok(ResultSet { header: stream.header().clone(), batches, summary })
    }

    fn deadline(&self) -> Option<Duration> {
        Self::deadline_option(self)
    }
}

/// A call for its first row only; made by [`Call::one_row`]. No row is an error: NOT_FOUND, reason NO_ROW.
#[derive(Clone, Debug)]
pub struct OneRow(pub(crate) Call);

impl FanoutCall for OneRow {
    type Output = Row;

    async fn attempt(&self, client: Client) -> Result<Row, Error> {
        self.0.query_row_through(&client).await
    }

    fn deadline(&self) -> Option<Duration> {
        self.0.deadline_option()
    }
}

impl<F, R, T> FanoutCall for F
where
    F: Fn(Client) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, Error>> + Send,
    T: Send + 'static,
{
    type Output = T;

    fn attempt(&self, client: Client) -> impl Future<Output = Result<T, Error>> + Send {
        self(client)
    }
}

/// All rows of a call, in memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResultSet {
    /// What the server said before the first row.
    pub header: Header,
    /// The rows, as they came.
    pub batches: Vec<RowBatch>,
    /// The server's account of the whole.
    pub summary: Summary,
}

impl ResultSet {
    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.header.columns
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batches.iter().map(RowBatch::len).sum()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, one by one.
    pub fn into_rows(self) -> impl Iterator<Item = Row> {
        self.batches.into_iter().flat_map(RowBatch::into_rows)
    }
}
