//! A table, what an undisturbed read of it delivers, and whether a disturbed one delivered the same rows (I3).

use rowstream_contract::v1::StreamQueryRequest;
use rowstream_testkit::Database;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::calls::{Client, MARKER, Reading, is, outcome, read_all, stream_of};

/// Rows in their order, as they travel.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) rows: usize,
    encoded: Vec<u8>,
}

impl Reference {
    /// Makes the table `numbered` with so many rows. It is there after a crash too: clusters here do not wait for their
    /// log by default.
    pub(crate) fn create(database: &Database, rows: usize) {
        let sql = format!(
            "set synchronous_commit = on; create table numbered as select i, md5(i::text) || '{MARKER}' as t from generate_series(1, {rows}) i"
        );
        database.psql(&sql).expect("created");
    }

    pub(crate) const SQL: &str = "select i, t from numbered order by i";

    pub(crate) fn request() -> StreamQueryRequest {
        stream_of(Self::SQL)
    }

    /// Reads the table while nothing disturbs.
    pub(crate) async fn read(client: &Client, rows: usize) -> Self {
        let mut events = client.clone().stream_query(Self::request()).await.expect("headers").into_inner();
        let mut encoded = Vec::new();
        while let Some(message) = events.message().await.expect("no error") {
            if let Some(rowstream_contract::v1::stream_query_response::Event::Batch(batch)) = message.event {
                encoded.extend_from_slice(batch.data.bytes());
            }
        }
        let reference = Self { rows, encoded };
        reference.check(&read_all(client, Self::request()).await).expect("a summary");
        reference
    }

    /// Holds a read of the table against it: all rows, or the first ones and an error, which is given back.
    pub(crate) fn check(&self, reading: &Reading) -> Result<(), Status> {
        let same = crc32c::crc32c(&self.encoded[..reading.bytes]);
        assert_eq!(reading.checksum, same, "what was delivered are the first rows, in their order");
        match &reading.ended {
            Ok(summary) => {
                assert_eq!(usize::try_from(summary.row_count), Ok(self.rows), "a summary means all rows");
                Ok(())
            }
            Err(status) => Err(status.clone()),
        }
    }

    /// The same, where the only error allowed is that the database was lost.
    pub(crate) fn check_complete_or_lost(&self, reading: &Reading) -> bool {
        self.check(reading).map_err(|status| assert_lost(&status)).is_ok()
    }
}

/// Asserts what a caller is told when its database is lost: UNAVAILABLE, and when to try again.
pub(crate) fn assert_lost(status: &Status) {
    assert_eq!(outcome(status), is(Code::Unavailable, "DATABASE_UNAVAILABLE"), "{status:?}");
    assert!(status.get_details_retry_info().is_some_and(|retry| retry.retry_delay.is_some()), "{status:?}");
}
