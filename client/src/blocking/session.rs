//! Read sessions and their partitions.

use std::time::{Duration, SystemTime};

#[cfg(feature = "arrow")]
use super::RecordBatchStream;
use super::{ArrowIpcStream, Call, Client, RowStream, runtime::Runtime};
use crate::{ArrowOptions, Columns, Error, Partition, PartitionStrategy, PartitionToken, ResumeGuarantee, ResumeToken};

/// As [`crate::ReadSessionBuilder`]; started by [`Client::create_read_session`].
#[derive(Clone, Debug)]
#[must_use = "a session does not begin until it is created"]
pub struct ReadSessionBuilder {
    inner: crate::ReadSessionBuilder,
    runtime: Runtime,
}

impl ReadSessionBuilder {
    fn with(self, change: impl FnOnce(crate::ReadSessionBuilder) -> crate::ReadSessionBuilder) -> Self {
        Self { inner: change(self.inner), runtime: self.runtime }
    }

    /// As [`crate::ReadSessionBuilder::partitions`]: how many are wished for. Default: 1.
    pub fn partitions(self, partitions: u32) -> Self {
        self.with(|session| session.partitions(partitions))
    }

    /// As [`crate::ReadSessionBuilder::strategy`]: how the result is divided. Default: the server chooses.
    pub fn strategy(self, strategy: PartitionStrategy) -> Self {
        self.with(|session| session.strategy(strategy))
    }

    /// As [`crate::ReadSessionBuilder::partition_by`]: the columns to divide by.
    pub fn partition_by(self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.with(|session| session.partition_by(columns))
    }

    /// As [`crate::ReadSessionBuilder::time_to_live`]: how long the session lives unless it is renewed. Default: 5
    /// minutes.
    pub fn time_to_live(self, time: Duration) -> Self {
        self.with(|session| session.time_to_live(time))
    }

    /// As [`crate::ReadSessionBuilder::create`]: takes the snapshot.
    ///
    /// # Errors
    /// Any failure of the call.
    pub fn create(self) -> Result<ReadSession, Error> {
        let inner = self.runtime.wait(self.inner.create())?;
        Ok(ReadSession { inner, _runtime: self.runtime })
    }
}

/// As [`crate::ReadSession`]: renewed for as long as it is not dropped.
#[derive(Debug)]
pub struct ReadSession {
    inner: crate::ReadSession,
    /// It is renewed on this.
    _runtime: Runtime,
}

impl ReadSession {
    /// What [`Client::renew_read_session`] and [`Client::delete_read_session`] take.
    #[must_use]
    pub fn id(&self) -> &str {
        self.inner.id()
    }

    /// The columns of every partition, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        self.inner.columns()
    }

    /// The partitions: disjoint, and together complete.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        self.inner.partitions()
    }

    /// How the result was divided.
    #[must_use]
    pub fn strategy(&self) -> PartitionStrategy {
        self.inner.strategy()
    }

    /// Why so, for people.
    #[must_use]
    pub fn strategy_reason(&self) -> &str {
        self.inner.strategy_reason()
    }

    /// The columns that the result was divided by: one for ranges of a key, one or more for a hash; none else, and for a
    /// hash of all columns of a statement.
    #[must_use]
    pub fn partition_by(&self) -> &[String] {
        self.inner.partition_by()
    }

    /// Whether those are columns of the table's primary key: a row then stays in its partition whatever else of it is
    /// updated.
    #[must_use]
    pub fn is_partitioned_by_primary_key(&self) -> bool {
        self.inner.is_partitioned_by_primary_key()
    }

    /// PostgreSQL's name of the snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &str {
        self.inner.snapshot()
    }

    /// When it was taken, by PostgreSQL's clock.
    #[must_use]
    pub fn snapshot_time(&self) -> Option<SystemTime> {
        self.inner.snapshot_time()
    }

    /// What the resume tokens of its partitions promise.
    #[must_use]
    pub fn resume_guarantee(&self) -> ResumeGuarantee {
        self.inner.resume_guarantee()
    }
}

/// As [`crate::Renewal`]: renews a session until it is dropped.
#[derive(Debug)]
pub struct Renewal {
    _inner: crate::Renewal,
    _runtime: Runtime,
}

/// As [`crate::ReadPartition`]; started by [`Client::read_partition`].
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until it is sent"]
pub struct ReadPartition {
    inner: crate::ReadPartition,
    runtime: Runtime,
}

impl ReadPartition {
    fn with(self, change: impl FnOnce(crate::ReadPartition) -> crate::ReadPartition) -> Self {
        Self { inner: change(self.inner), runtime: self.runtime }
    }

    /// As [`crate::ReadPartition::live`]: reads the database as it is now. Default: false.
    pub fn live(self, live: bool) -> Self {
        self.with(|read| read.live(live))
    }

    /// As [`crate::ReadPartition::deadline`]: how long the whole read may take.
    pub fn deadline(self, timeout: Duration) -> Self {
        self.with(|read| read.deadline(timeout))
    }

    /// As [`crate::ReadPartition::resume_from`]: goes on behind the row boundary of a token.
    pub fn resume_from(self, token: ResumeToken) -> Self {
        self.with(|read| read.resume_from(token))
    }

    /// As [`crate::ReadPartition::arrow_options`]: what becomes of values in Arrow.
    pub fn arrow_options(self, options: ArrowOptions) -> Self {
        self.with(|read| read.arrow_options(options))
    }

    /// As [`crate::ReadPartition::stream`]: the rows.
    ///
    /// # Errors
    /// ABORTED, reason SNAPSHOT_LOST, if the snapshot is gone; whatever else ended the call before its first row.
    pub fn stream(&self) -> Result<RowStream, Error> {
        let stream = self.runtime.wait(self.inner.stream())?;
        Ok(RowStream::new(stream, self.runtime.clone()))
    }

    /// As [`crate::ReadPartition::record_batches`]: the same in Arrow, as record batches.
    ///
    /// # Errors
    /// As of [`stream`](Self::stream).
    #[cfg(feature = "arrow")]
    pub fn record_batches(&self) -> Result<RecordBatchStream, Error> {
        let stream = self.runtime.wait(self.inner.record_batches())?;
        Ok(RecordBatchStream::new(stream, self.runtime.clone()))
    }

    /// As [`crate::ReadPartition::arrow_ipc`]: the same in Arrow, as the messages of its IPC format.
    ///
    /// # Errors
    /// As of [`stream`](Self::stream).
    pub fn arrow_ipc(&self) -> Result<ArrowIpcStream, Error> {
        let stream = self.runtime.wait(self.inner.arrow_ipc())?;
        Ok(ArrowIpcStream::new(stream, self.runtime.clone()))
    }
}

impl Client {
    /// As [`crate::Client::create_read_session`]: one snapshot, read in several streams.
    pub fn create_read_session(&self, call: Call) -> ReadSessionBuilder {
        ReadSessionBuilder { inner: self.inner.create_read_session(call.inner), runtime: self.runtime.clone() }
    }

    /// As [`crate::Client::read_partition`]: reads one partition of a session.
    pub fn read_partition(&self, partition: impl Into<PartitionToken>) -> ReadPartition {
        ReadPartition { inner: self.inner.read_partition(partition), runtime: self.runtime.clone() }
    }

    /// As [`crate::Client::renew_read_session`]: puts off a session's end to that time from now.
    ///
    /// # Errors
    /// ABORTED, reason SNAPSHOT_LOST, or FAILED_PRECONDITION, reason SESSION_EXPIRED, if it is gone.
    pub fn renew_read_session(&self, id: &str, time_to_live: Duration) -> Result<(), Error> {
        self.runtime.wait(self.inner.renew_read_session(id, time_to_live))
    }

    /// As [`crate::Client::keep_read_session`]: renews a session until the answer is dropped.
    ///
    /// # Errors
    /// As of [`renew_read_session`](Self::renew_read_session).
    pub fn keep_read_session(&self, id: &str, time_to_live: Duration) -> Result<Renewal, Error> {
        let inner = self.runtime.wait(self.inner.keep_read_session(id, time_to_live))?;
        Ok(Renewal { _inner: inner, _runtime: self.runtime.clone() })
    }

    /// As [`crate::Client::delete_read_session`]: ends a session. Answers whether a server held its snapshot.
    ///
    /// # Errors
    /// Any failure of the call.
    pub fn delete_read_session(&self, id: &str) -> Result<bool, Error> {
        self.runtime.wait(self.inner.delete_read_session(id))
    }
}
