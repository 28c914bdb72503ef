//! The task that holds one snapshot: it keeps the transaction open until there is a reason to end it, and sees that it
//! still lives.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};

use super::{Ended, Orders};
use crate::{cursor::session::Session, db::Database, stop::Stop};

/// How often the transaction is looked after.
const LOOK: Duration = Duration::from_secs(5);
/// How long PostgreSQL has to answer then.
const ANSWER: Duration = Duration::from_secs(3);
/// How often in a row it may fail to before the snapshot counts as lost.
const SILENT: u32 = 3;

/// A transaction that is kept open.
pub(super) struct Holder {
    pub(super) session: Session,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) latest: Instant,
    /// How many transactions may have begun since the snapshot.
    pub(super) transactions: i64,
}

impl Holder {
    /// Holds until there is a reason to end, tells it, and then ends the transaction: from then on nobody may be told
    /// that the snapshot is there.
    pub(super) async fn run(mut self, database: &Database, tell: impl FnOnce(Ended)) -> Ended {
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = 0;
        let ended = loop {
            let Orders { until, end } = *self.orders.borrow_and_update();
            if let Some(ended) = end {
                break ended;
            }
            tokio::select! {
                changed = self.orders.changed() => if changed.is_err() { break Ended::Draining },
                () = sleep_until(until) => break if until >= self.latest { Ended::Aged } else { Ended::Expired },
                _ = look.tick() => match self.look(database).await {
                    Ok(None) => silent = 0,
                    Ok(Some(ended)) => break ended,
                    Err(()) if silent + 1 < SILENT => silent += 1,
                    Err(()) => break Ended::Lost,
                },
            }
        };
        tell(ended);
        self.session.finish().await;
        ended
    }

    /// Whether the transaction lives, and holds back no more than it may. `Err`: PostgreSQL did not say.
    async fn look(&mut self, database: &Database) -> Result<Option<Ended>, ()> {
        match timeout(ANSWER, database.control.transactions_since(self.session.pid())).await {
            Ok(Ok(None)) => return Ok(Some(Ended::Lost)),
            Ok(Ok(Some(since))) if since > self.transactions => return Ok(Some(Ended::Revoked)),
            Ok(Ok(Some(_))) => {}
            _ => return Err(()),
        }
        let stop = Stop::new(Instant::now() + ANSWER);
        match self.session.ready(&stop).await {
            Ok(()) => Ok(None),
            Err(error) if error.is_database_unavailable() => Ok(Some(Ended::Lost)),
            Err(_) => Err(()),
        }
    }
}
