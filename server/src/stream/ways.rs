//! The ways to read a statement behind one face. What each does is in `cursor`; which is taken, in `plan::strategy`.

use super::{calls::Call, pipeline::Pipeline};
use crate::{
    cursor::{
        bind::Bound,
        copy::Copy,
        portal::Portal,
        read::{Cursor, RowSink as _},
        session::Session,
    },
    error::Error,
    plan::{Described, strategy::Way},
    stop::Stop,
};

/// A read that is about to begin or under way.
#[derive(Debug)]
pub(super) enum Reader {
    Cursor(Cursor),
    Portal(Portal),
    Copy(Copy),
}

impl Reader {
    pub(super) async fn open(
        way: Way,
        session: Session,
        stop: &Stop,
        described: &Described,
        arguments: Bound,
        batch_bytes: usize,
    ) -> Result<Self, (Session, Error)> {
        Ok(match way {
            Way::Cursor => Self::Cursor(Cursor::open(session, stop, described, arguments, batch_bytes).await?),
            Way::Portal => Self::Portal(Portal::new(session, described, arguments)),
            Way::Copy => Self::Copy(Copy::new(session, described)),
        })
    }

    /// Reads all rows, or as many as are wanted.
    pub(super) async fn read(&mut self, pipeline: &mut Pipeline<'_>, call: &Call, one_row: bool) -> Result<(), Error> {
        let whole = match self {
            Self::Cursor(cursor) => return fetch_all(cursor, pipeline, call, one_row).await,
            Self::Portal(portal) => portal.read(&call.stop, pipeline).await,
            Self::Copy(copy) => copy.read(&call.stop, pipeline).await,
        };
        call.count.fetched(1);
        whole
    }

    /// Whether the connection turns out to have died while it was idle.
    pub(super) fn was_dead(&self) -> bool {
        match self {
            Self::Cursor(cursor) => cursor.was_dead(),
            Self::Portal(Portal { session, .. }) | Self::Copy(Copy { session, .. }) => session.was_dead(),
        }
    }

    /// The session, to ask something else in the same transaction.
    pub(super) fn session(&mut self) -> &mut Session {
        match self {
            Self::Cursor(cursor) => cursor.session(),
            Self::Portal(Portal { session, .. }) | Self::Copy(Copy { session, .. }) => session,
        }
    }

    /// Ends the transaction and gives the connection back.
    pub(super) async fn finish(self) {
        match self {
            Self::Cursor(cursor) => cursor.finish().await,
            Self::Portal(Portal { session, .. }) | Self::Copy(Copy { session, .. }) => session.finish().await,
        }
    }
}

async fn fetch_all(cursor: &mut Cursor, pipeline: &mut Pipeline<'_>, call: &Call, one_row: bool) -> Result<(), Error> {
    loop {
        let fetched = if one_row {
            cursor.fetch_one(&call.stop, pipeline).await?
        } else {
            let limit = pipeline.limit();
            cursor.fetch(&call.stop, limit, pipeline).await?
        };
        call.count.fetched(fetched.fetches);
        if fetched.rows > 0 {
            pipeline.end_of_fetch().await;
        }
        if fetched.done || one_row || pipeline.has_enough() {
            return Ok(());
        }
    }
}
