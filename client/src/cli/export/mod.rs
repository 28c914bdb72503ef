//! `rowstream export`: one snapshot of the database into the files of a directory.
//!
//! The way of an export: `args` become a `job`, which has a read session made; the session's partitions are the calls of
//! a fan-out, each of which `part` writes into files; `journal` notes each file that is complete, and so the same command
//! goes on after whatever has ended it; `manifest`, written last, makes the export complete. Rate, concurrency and retries
//! are the fan-out's, and going on where a stream was cut is the stream's.

mod args;
mod job;
mod journal;
mod manifest;
mod part;
mod progress;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use rowstream_client::{
    Client, Code, Error, ReadSession, Reason, ServerError,
    fanout::{Concurrency, RetryPolicy},
    sink::Visible,
};

pub(crate) use self::args::Export;
use self::{
    args::OnSnapshotLost,
    job::Job,
    journal::{Begun, Journal},
    manifest::Manifest,
    part::{Part, Shared},
    progress::{Counts, Progress},
};
use super::{
    failure::{Failure, Remedies, Restart},
    interrupt::Interrupts,
};

/// How many partitions are read at once, if nobody says.
const CONCURRENCY: usize = 8;
/// How often the progress is shown anew.
const TICK: Duration = Duration::from_millis(200);
/// How often one run begins anew because a snapshot was lost.
const RESTARTS: u32 = 3;
/// How a session has ended that can be renewed no longer.
const AGED: &str = "aged";
/// What is told where an export begins again.
const ANEW: &str = "everything is exported from a new snapshot";
/// What is told of a result that is not all there is.
const CUT: &str = "a limit on the server cut the result: more rows exist";

/// How many connections an export has to each server.
pub(crate) fn connections(export: &Export) -> usize {
    export.at_once().min(CONCURRENCY)
}

impl Export {
    fn at_once(&self) -> usize {
        let most = usize::try_from(self.division.partitions).unwrap_or(usize::MAX);
        self.limits.concurrency.map_or(CONCURRENCY, usize::from).min(most)
    }
}

pub(crate) async fn run(
    client: &Client,
    deadline: Option<Duration>,
    export: Export,
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    let at_once = export.at_once();
    let job = Arc::new(Job::resolve(client, deadline, export)?);
    let mut progress = Progress::new(job.limits.quiet);
    let Some(journal) = Journal::open(&job.directory, &job.asked)? else {
        progress.note(format_args!("{} is complete already", Visible(&job.directory.to_string_lossy())));
        return Ok(());
    };
    let journal = Arc::new(Mutex::new(journal));
    let mut running = Running { client, job: &job, journal: &journal, progress: &mut progress, at_once, restarts: 0 };
    let outcome = tokio::select! {
        outcome = running.run() => outcome,
        signal = interrupts.next() => Err(Failure::Interrupted { signal, rows: None }),
    };
    running.progress.clear();
    if let Err(failure) = &outcome {
        let interrupted = matches!(failure, Failure::Interrupted { .. });
        tokio::select! {
            // What cannot be removed now is when the export goes on.
            _ = running.noted(Journal::give_up) => if interrupted { running.tell_what_stays() },
            // Who is in a hurry does not wait for a disk.
            _ = interrupts.next() => {}
        }
    }
    outcome.map_err(|failure| failure.of_sql(job.sql.clone()))
}

/// Holds the files of a complete export against its manifest, and says what they are.
pub(crate) fn verify(directory: &Path) -> Result<(), Failure> {
    let totals = manifest::verify(directory)?;
    let live = match totals.live {
        0 => String::new(),
        files => format!("; {files} of the files are not of the snapshot, which was lost"),
    };
    let cut = if totals.truncated { format!("; {CUT}") } else { String::new() };
    let (files, rows, bytes) = (totals.files, totals.rows, totals.bytes);
    super::print(&format!("complete: {files} files, {rows} rows, {bytes} bytes, all as they were written{live}{cut}\n"))
}

/// An export under way.
struct Running<'a> {
    client: &'a Client,
    job: &'a Arc<Job>,
    journal: &'a Arc<Mutex<Journal>>,
    progress: &'a mut Progress,
    at_once: usize,
    /// How often this run has begun anew.
    restarts: u32,
}

impl Running<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        for problem in self.noted(Journal::mend).await? {
            self.progress.warn(Visible(&problem));
        }
        let mut kept = self.session().await;
        loop {
            let own = matches!(&kept, Ok(Some(Kept { own: true, .. })));
            let error = match kept {
                Ok(kept) => match self.read(kept.is_none(), own).await {
                    Err(Failure::Call { error, .. }) if is_lost(&error, own) => error,
                    Ok(counts) => return self.complete(kept.as_ref(), &counts).await,
                    Err(failure) => return Err(failure),
                },
                Err(Failure::Call { error, .. }) if is_lost(&error, own) => error,
                Err(failure) => return Err(failure),
            };
            let (told, remedies) = (lost_as(&error), self.remedies(&error, own));
            kept = match self.job.limits.on_snapshot_lost {
                OnSnapshotLost::Restart if remedies.restart == Restart::Helps => {
                    self.restarts += 1;
                    let error = Visible(&error.to_string()).to_string();
                    self.progress.warn(format_args!("{told}: {ANEW} ({error})"));
                    self.begin().await.map(Some)
                }
                OnSnapshotLost::ContinueLive if remedies.continue_live => {
                    let error = Visible(&error.to_string()).to_string();
                    self.progress
                        .warn(format_args!("{told}: what is not complete is read at the present state ({error})"));
                    let round = self.locked().round();
                    self.noted(move |journal| journal.go_live(round)).await.map(|()| None)
                }
                _ => return Err(self.lost(Some(error), remedies)),
            };
        }
    }

    /// What helps where a snapshot was lost so.
    fn remedies(&self, error: &Error, own: bool) -> Remedies {
        let reason = error.server().and_then(ServerError::reason);
        let journal = self.locked();
        Remedies {
            restart: match self.restarts {
                RESTARTS => Restart::Tried,
                // The next one lives no longer than one of this run.
                _ if own && error.server().and_then(ServerError::session_end) == Some(AGED) => Restart::TooShort,
                _ => Restart::Helps,
            },
            // Not if the server does not know the partitions, or they are others by now, or rows move between them. If
            // they are read so already, it is a server that cannot.
            continue_live: !matches!(reason, Some(Reason::InvalidToken | Reason::SchemaChanged))
                && !journal.is_live()
                && journal.begun().is_some_and(|begun| self.job.asked.can_be_read_live(begun).is_ok()),
        }
    }

    fn lost(&self, error: Option<Error>, remedies: Remedies) -> Failure {
        Failure::SnapshotLost { error, directory: self.job.directory.clone(), remedies }
    }

    /// The journal's session, kept alive; a new one, if there is none. Nothing, if the export goes on without.
    async fn session(&self) -> Result<Option<Kept>, Failure> {
        let (session, live) = {
            let journal = self.locked();
            (journal.begun().map(|begun| begun.session.clone()), journal.is_live())
        };
        match (session, self.job.limits.on_snapshot_lost) {
            (None, _) => self.begin().await.map(Some),
            (Some(_), OnSnapshotLost::ContinueLive) if live => Ok(None),
            (Some(_), OnSnapshotLost::Restart) if live => {
                self.progress.warn(format_args!("the snapshot is gone: {ANEW}"));
                self.begin().await.map(Some)
            }
            (Some(_), OnSnapshotLost::Fail) if live => {
                Err(self.lost(None, Remedies { restart: Restart::Helps, continue_live: true }))
            }
            (Some(id), _) => {
                let renewal = self.client.keep_read_session(&id, self.job.limits.time_to_live).await?;
                self.progress.note(format_args!("goes on in the same snapshot: {}", self.reached()));
                Ok(Some(Kept { id, own: false, _alive: Box::new(renewal) }))
            }
        }
    }

    /// A new session, and with it a new journal.
    async fn begin(&self) -> Result<Kept, Failure> {
        let (round, before) = {
            let journal = self.locked();
            (journal.round(), journal.begun().map(|begun| begun.session.clone()))
        };
        let session = self.create().await?;
        let begun = Begun::new(&self.job.asked, &session);
        let kept = Kept { id: session.id().to_owned(), own: true, _alive: Box::new(session) };
        let fit = match self.job.limits.on_snapshot_lost {
            OnSnapshotLost::ContinueLive => self.job.asked.can_be_read_live(&begun).map_err(Failure::Usage),
            OnSnapshotLost::Fail | OnSnapshotLost::Restart => Ok(()),
        };
        let noted = match fit {
            Ok(()) => self.noted(move |journal| journal.begin(round, begun)).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = noted {
            kept.delete(self.client).await;
            return Err(failure);
        }
        if let Some(before) = before {
            // A server may hold its snapshot still. If not, all the better.
            let _ = self.client.delete_read_session(&before).await;
        }
        Ok(kept)
    }

    /// In the first way to divide that is possible.
    async fn create(&self) -> Result<ReadSession, Error> {
        let (first, otherwise) = self.job.divisions();
        let created = self.job.session(self.client, first).create().await;
        match (created, otherwise) {
            (Err(error), Some(way)) if error.code() == Code::InvalidArgument => {
                self.job.session(self.client, way).create().await
            }
            (created, _) => created,
        }
    }

    /// Reads what is not complete. When the snapshot is lost, streams that see it go on to their end, unless what they
    /// bring is not wanted.
    async fn read(&mut self, live: bool, own: bool) -> Result<Arc<Counts>, Failure> {
        let (shared, missing) = {
            let journal = self.locked();
            let partitions = journal.begun().map(|begun| begun.partitions.clone()).unwrap_or_default();
            let counts = Arc::new(Counts::new(&partitions));
            let missing: Vec<usize> = (0..partitions.len()).filter(|index| !journal.is_whole(index + 1)).collect();
            for file in journal.files() {
                if journal.is_whole(file.partition) {
                    counts.done_before(file.partition - 1, file.rows);
                }
            }
            let round = journal.round();
            let (client, job, journal) = (self.client.clone(), self.job.clone(), self.journal.clone());
            let lost = AtomicBool::new(false);
            (Arc::new(Shared { client, job, journal, round, partitions, live, own, counts, lost }), missing)
        };
        let calls = missing.into_iter().map(|index| Part { shared: shared.clone(), index });
        let calls = calls.take_while(|part| !part.shared.lost.load(Relaxed));
        let mut fanout = self.client.fanout().concurrency(Concurrency::fixed(self.at_once)).retry(self.policy());
        if let Some(rate) = self.job.limits.rate {
            fanout = fanout.rate(rate);
        }
        let mut outcomes = fanout.stream(calls);
        let mut ticks = tokio::time::interval(TICK);
        let mut loss = None;
        loop {
            tokio::select! {
                outcome = outcomes.next() => match outcome.map(|outcome| outcome.result.map_err(Failure::from).flatten()) {
                    None => return loss.map_or_else(|| Ok(shared.counts.clone()), Err),
                    Some(Ok(())) => {}
                    Some(Err(Failure::Call { error, .. })) if is_lost(&error, own) && self.others_count(live) => {
                        loss.get_or_insert(error.into());
                    }
                    Some(Err(failure)) => return Err(failure),
                },
                _ = ticks.tick() => self.progress.update(&shared.counts),
            }
        }
    }

    /// Whether what other streams bring counts still when the snapshot is lost.
    fn others_count(&self, live: bool) -> bool {
        !live && self.job.limits.on_snapshot_lost != OnSnapshotLost::Restart
    }

    fn policy(&self) -> RetryPolicy {
        RetryPolicy::default()
            .max_retries(self.job.limits.retries)
            .codes([Code::Unavailable, Code::Aborted, Code::ResourceExhausted, Code::DataLoss])
            // Rows of a failed attempt are in no file that counts.
            .after_rows(true)
            // How often is said for each partition.
            .budget(u32::MAX, 1.0)
    }

    /// Writes the manifest, and lets go of the snapshot.
    async fn complete(&self, kept: Option<&Kept>, counts: &Counts) -> Result<(), Failure> {
        let manifest = Manifest::new(&self.locked());
        let Some(manifest) = manifest else {
            return Err(Failure::export(&self.job.directory, "its journal has no session"));
        };
        let text = manifest.text();
        self.noted(|journal| journal.complete(&text?)).await?;
        if let Some(kept) = kept {
            kept.delete(self.client).await;
        }
        self.progress.clear();
        let totals = manifest.totals();
        if totals.truncated {
            self.progress.warn(CUT);
        }
        self.progress.summary(totals, counts);
        Ok(())
    }

    /// What is complete stays after an interrupt, and so does the snapshot for a while.
    fn tell_what_stays(&self) {
        let reached = self.reached();
        let journal = self.locked();
        if journal.is_complete() {
            self.progress.note("the export is complete");
        } else if journal.is_live() {
            self.progress.note(format_args!("{reached}; the same command goes on, at the then present state"));
        } else if journal.begun().is_some() {
            // It was renewed a third of that ago, at most.
            let kept = humantime::format_duration(self.job.limits.time_to_live * 2 / 3);
            self.progress.note(format_args!(
                "{reached}; the same command goes on, from the same snapshot if the server lets it live for {kept}"
            ));
        }
    }

    /// How far the export has come.
    fn reached(&self) -> String {
        let journal = self.locked();
        let (whole, all) = (journal.whole(), journal.begun().map_or(0, |begun| begun.partitions.len()));
        format!("{whole} of {all} partitions are complete, {} files stay", journal.files().len())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn noted<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal) -> std::io::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        part::noted(&self.job.directory, self.journal, work).await
    }
}

/// A session that lives as long as this.
struct Kept {
    id: String,
    /// This run has taken the snapshot, and kept it alive ever since.
    own: bool,
    /// What renews it.
    _alive: Box<dyn Send + Sync>,
}

impl Kept {
    /// Lets go of the snapshot. One that stays expires by itself.
    async fn delete(&self, client: &Client) {
        let _ = client.delete_read_session(&self.id).await;
    }
}

/// Whether there is nothing more to be had from a snapshot. A server that does not know an earlier run's session at all
/// has lost its keys, or is another one; of this run's `own`, one of the endpoints is.
fn is_lost(error: &Error, own: bool) -> bool {
    match error.server().and_then(ServerError::reason) {
        Some(Reason::SnapshotLost | Reason::SessionExpired | Reason::SchemaChanged) => true,
        Some(Reason::InvalidToken) => !own,
        _ => false,
    }
}

/// The same for people.
fn lost_as(error: &Error) -> &'static str {
    match error.server().and_then(ServerError::reason) {
        Some(Reason::SchemaChanged) => "what is exported has changed",
        _ => "the snapshot is gone",
    }
}

/// Tokens as text.
mod encoded {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        STANDARD.encode(bytes).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
