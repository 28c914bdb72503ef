//! Keeps the named queries as their files are: looks for changes, reads again on SIGHUP, has PostgreSQL check what is
//! new, and puts the outcome in service.

use std::{collections::BTreeMap, io, ops::ControlFlow, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, interval_at},
};

use super::{
    Folder, Queries,
    folder::{Contents, Look},
    versions::{Broken, Versions},
};
use crate::{
    error::Error,
    metrics::QueryCounts,
    plan::named::{BadFile, NamedQuery},
    reload::Hangups,
};

/// Between two looks at the folder.
const LOOK: Duration = Duration::from_secs(1);
/// How many looks in a row may differ before the files are read nevertheless: until then they are being written.
const UNSETTLED: usize = 10;
/// Between two questions to PostgreSQL about queries that have not passed.
const CHECK_AGAIN: Duration = Duration::from_secs(60);

/// The named queries, and what has to be known to bring them up to date.
#[derive(Debug)]
pub(crate) struct Follower {
    queries: Queries,
    folder: Folder,
    versions: Versions,
    /// As of when the files were read.
    read: Look,
    /// What was told already, by query name.
    told: BTreeMap<String, Broken>,
    folder_told: bool,
    metrics: QueryCounts,
}

/// Has PostgreSQL check one query. An error other than [`Error::QueryBroken`] says nothing about the query.
pub(crate) trait Check {
    fn check(&self, query: Arc<NamedQuery>) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Follower {
    /// Reads the folder for the first time. Files that are broken are reported in the log, and harm no others.
    ///
    /// # Errors
    /// Fails if the folder itself cannot be read.
    pub(crate) fn start(folder: Folder, metrics: QueryCounts) -> io::Result<Self> {
        let read = folder.look()?;
        let contents = Folder::read(&read);
        let (queries, versions) = (Queries::default(), Versions::default());
        let mut follower = Self { queries, folder, versions, read, told: BTreeMap::new(), folder_told: false, metrics };
        follower.versions.update(contents);
        follower.metrics.loaded();
        follower.serve();
        follower.tell_summary("named queries read");
        Ok(follower)
    }

    pub(crate) fn queries(&self) -> Queries {
        self.queries.clone()
    }

    /// Follows the files until it is dropped: at once on SIGHUP, and, if it is to `watch`, when they have changed and
    /// come to rest.
    pub(crate) async fn run(
        mut self,
        watch: bool,
        check: impl Check,
        mut hangups: Hangups,
        mut healthy: watch::Receiver<bool>,
    ) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checks = interval_at(Instant::now() + CHECK_AGAIN, CHECK_AGAIN);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rest = Rest::default();
        let answers = |healthy: &watch::Receiver<bool>| *healthy.borrow();
        loop {
            tokio::select! {
                () = hangups.next() => {
                    tracing::info!(folder = %self.folder.path().display(), "SIGHUP: reading the named queries again");
                    let checkable = answers(&healthy);
                    self.reload(&check, checkable).await;
                    self.tell_summary("named queries read again");
                }
                _ = looks.tick(), if watch => {
                    let checkable = answers(&healthy);
                    if self.has_come_to_rest(&mut rest).await && self.reload(&check, checkable).await {
                        self.tell_summary("named queries have changed");
                    }
                }
                changed = healthy.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if answers(&healthy) {
                        let _ = self.check(&check).await;
                        self.serve();
                    }
                }
                _ = checks.tick() => {
                    if answers(&healthy) {
                        let _ = self.check(&check).await;
                        self.serve();
                    }
                }
            }
        }
    }

    /// Whether the files differ from what was read and are not being written any more.
    async fn has_come_to_rest(&mut self, rest: &mut Rest) -> bool {
        let folder = self.folder.clone();
        match blocking(move || folder.look()).await {
            Ok(look) => {
                self.folder_told = false;
                rest.is_at(look, &self.read)
            }
            Err(error) => {
                self.tell_folder(&error);
                false
            }
        }
    }

    /// Reads the files, has PostgreSQL check what is new if it can, and puts the outcome in service. Answers whether
    /// anything has changed. If the folder cannot be read, what was read last stays.
    async fn reload(&mut self, check: &impl Check, healthy: bool) -> bool {
        let folder = self.folder.clone();
        let read = blocking(move || folder.look().map(|look| (Folder::read(&look), look))).await;
        let (contents, look): (Contents, Look) = match read {
            Ok(read) => read,
            Err(error) => {
                self.metrics.not_loaded();
                self.tell_folder(&error);
                return false;
            }
        };
        self.metrics.loaded();
        self.read = look;
        let changes = self.versions.update(contents);
        if healthy {
            // Before they serve, so that a broken version does not take the place of a good one.
            let _ = self.check(check).await;
        }
        self.serve();
        changes > 0
    }

    /// Has PostgreSQL check what it has not passed; breaks off if it cannot tell.
    async fn check(&mut self, check: &impl Check) -> ControlFlow<()> {
        for query in self.versions.to_check() {
            let name = query.name.clone();
            match check.check(query).await {
                Ok(()) => self.versions.judge(&name, Ok(())),
                Err(Error::QueryBroken { bad, .. }) => self.versions.judge(&name, Err(bad)),
                Err(error) => {
                    tracing::warn!(query = name, %error, "named queries cannot be checked now");
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Puts in service what is to serve, and tells what is broken once.
    fn serve(&mut self) {
        self.queries.replace(self.versions.settle());
        self.metrics.show(self.queries.counts());
        let broken: BTreeMap<_, _> =
            self.versions.broken().into_iter().map(|broken| (broken.name.clone(), broken)).collect();
        for (name, broken) in &broken {
            if self.told.get(name) != Some(broken) {
                self.tell_broken(broken);
            }
        }
        for name in self.told.keys().filter(|name| !broken.contains_key(*name)) {
            tracing::info!(query = name, "named query is mended, or gone");
        }
        self.told = broken;
    }

    fn tell_broken(&self, Broken { name, bad, earlier_serves }: &Broken) {
        let file = self.folder.file(name);
        let (file, BadFile { line, column, message: reason }) = (file.display(), bad);
        if *earlier_serves {
            tracing::warn!(%file, line, column, reason, "named query is broken; its last good version serves on");
        } else {
            tracing::error!(%file, line, column, reason, "named query is broken");
        }
    }

    fn tell_folder(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.folder_told, true) {
            let folder = self.folder.path().display();
            tracing::warn!(%folder, %error, "the folder of named queries cannot be read; what was read before serves on");
        }
    }

    fn tell_summary(&self, event: &str) {
        let counts = self.queries.counts();
        let folder = self.folder.path().display();
        tracing::info!(%folder, served = counts.served, broken = counts.broken, "{event}");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Waits until files that are being written are at rest: two looks in a row are the same.
#[derive(Debug, Default)]
struct Rest {
    last: Option<Look>,
    unsettled: usize,
}

impl Rest {
    /// Whether the files differ from those read and the look is the same as the last one, or they will not come to
    /// rest.
    fn is_at(&mut self, look: Look, read: &Look) -> bool {
        if look == *read {
            *self = Self::default();
            return false;
        }
        self.unsettled += 1;
        if self.last.as_ref() == Some(&look) || self.unsettled >= UNSETTLED {
            *self = Self::default();
            return true;
        }
        self.last = Some(look);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn look(size: u64) -> Look {
        Look::from([(PathBuf::from("a.sql"), Some((0, 0, size, (0, 0), (0, 0))))])
    }

    #[test]
    fn files_are_read_when_two_looks_are_the_same_or_after_a_bound() {
        let (read, mut rest) = (look(0), Rest::default());
        let mut see = |size| rest.is_at(look(size), &read);
        assert_eq!([0, 1, 2, 2, 0].map(&mut see), [false, false, false, true, false]);
        // Written and put back.
        assert_eq!([1, 0, 1, 1].map(&mut see), [false, false, false, true]);
        let without_end: Vec<bool> = (1..=UNSETTLED as u64).map(see).collect();
        assert_eq!(without_end.iter().position(|read| *read), Some(UNSETTLED - 1));
    }
}
