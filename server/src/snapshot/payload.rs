//! What the tokens of read sessions and partitions hold. Any replica with the same keys and the same database can serve
//! a partition by its token alone.

use std::time::{Duration, SystemTime};

use rowstream_contract::v1;
use uuid::Uuid;

use crate::{
    cursor::snapshot::SnapshotName,
    error::{Error, SessionEnd},
    plan::partition::Part,
};

/// A session, as its id and the tokens of its partitions hold it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SessionPayload {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    snapshot: String,
    #[prost(string, tag = "3")]
    state: String,
    /// Who created it; empty as long as callers are not authenticated.
    #[prost(string, tag = "4")]
    caller: String,
    /// When it ends however often it is renewed, in seconds since 1970.
    #[prost(uint64, tag = "5")]
    latest: u64,
    /// How long it lives after a renewal that does not say, in milliseconds.
    #[prost(uint64, tag = "6")]
    live: u64,
}

/// A partition.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PartitionPayload {
    #[prost(message, required, tag = "1")]
    pub(crate) session: SessionPayload,
    /// As the caller sent it.
    #[prost(message, required, tag = "2")]
    pub(crate) statement: v1::Statement,
    #[prost(message, required, tag = "3")]
    pub(crate) part: Part,
    /// Of the statement's text and its columns: other ones now are another statement.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) shape: Vec<u8>,
}

impl SessionPayload {
    pub(crate) fn new(id: Uuid, snapshot: &SnapshotName, caller: &str, latest: SystemTime, live: Duration) -> Self {
        Self {
            id: id.as_bytes().to_vec(),
            snapshot: snapshot.id.clone(),
            state: snapshot.state.clone(),
            caller: caller.to_owned(),
            latest: latest.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            live: u64::try_from(live.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Whether it is this caller's, as long as it lives and after.
    pub(crate) fn check_caller(&self, caller: &str, field: &'static str) -> Result<(), Error> {
        if self.caller == caller { Ok(()) } else { Err(Error::OtherCaller(field)) }
    }

    /// Whether this caller may use it now; `field` is where the token came in.
    pub(crate) fn check(&self, caller: &str, field: &'static str, now: SystemTime) -> Result<(), Error> {
        self.check_caller(caller, field)?;
        let passed = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()) > self.latest;
        if passed { Err(Error::SessionExpired(SessionEnd::Aged)) } else { Ok(()) }
    }

    pub(crate) fn id(&self) -> Uuid {
        Uuid::from_slice(&self.id).unwrap_or_default()
    }

    pub(crate) fn snapshot(&self) -> SnapshotName {
        SnapshotName { id: self.snapshot.clone(), state: self.state.clone() }
    }

    pub(crate) fn live(&self) -> Duration {
        Duration::from_millis(self.live)
    }

    /// How long it may live at most from now on.
    pub(crate) fn left(&self, now: SystemTime) -> Duration {
        let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(self.latest);
        latest.duration_since(now).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_callers_own_and_ends_at_its_latest_time() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let snapshot = SnapshotName { id: "00000003-0000001B-1".to_owned(), state: "10:20:".to_owned() };
        let latest = start + Duration::from_secs(60);
        let session = SessionPayload::new(Uuid::from_u128(7), &snapshot, "ada", latest, Duration::from_millis(1500));
        assert_eq!(
            (session.id(), session.snapshot(), session.live()),
            (Uuid::from_u128(7), snapshot, Duration::from_millis(1500))
        );
        assert!(session.check("ada", "partition", start).is_ok());
        assert!(matches!(session.check("eve", "partition", start), Err(Error::OtherCaller("partition"))));
        let late = start + Duration::from_secs(61);
        assert!(matches!(session.check("ada", "partition", late), Err(Error::SessionExpired(_))));
        assert_eq!((session.left(start), session.left(late)), (Duration::from_secs(60), Duration::ZERO));
    }
}
