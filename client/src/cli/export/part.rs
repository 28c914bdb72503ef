//! One partition into its files: the work of a call of the fan-out.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rowstream_client::{Client, Code, Error, Reason, ResumeToken, fanout::FanoutCall};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

use super::{
    is_lost,
    job::Job,
    journal::{Journal, Partition, Place, Round},
    manifest::{self, FileEntry},
    progress::Counts,
};
use crate::cli::{
    failure::Failure,
    formats::Format,
    target::{Arrow, Parquet, Reading, Target, Text},
};

/// Asked for if nobody says how long a read of a partition may take; the server allows what it allows to any call.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What the reads of all partitions have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) job: Arc<Job>,
    pub(super) journal: Arc<Mutex<Journal>>,
    pub(super) round: Round,
    pub(super) partitions: Vec<Partition>,
    /// Whether they are read at the database's present state.
    pub(super) live: bool,
    /// Whether this run has taken the snapshot.
    pub(super) own: bool,
    pub(super) counts: Arc<Counts>,
    /// Nothing more is to be had from the snapshot: no further partition is begun.
    pub(super) lost: AtomicBool,
}

/// A partition to be read.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) shared: Arc<Shared>,
    /// From 0.
    pub(super) index: usize,
}

impl FanoutCall for Part {
    /// A failure that no further attempt can mend is none of the call.
    type Output = Result<(), Failure>;

    /// Each on a task of its own, so that several are decoded and formatted at once. The client that is given is bound
    /// to one attempt; the export's own goes on by itself where a stream is cut.
    async fn attempt(&self, _: Client) -> Result<Self::Output, Error> {
        let (shared, index) = (self.shared.clone(), self.index);
        // Ends the task with this future.
        let mut task = JoinSet::new();
        task.spawn(async move { shared.export(index).await });
        match task.join_next().await {
            Some(Ok(Ok(()))) => Ok(Ok(())),
            Some(Ok(Err(Failure::Call { error, .. }))) if is_lost(&error, self.shared.own) => {
                self.shared.lost.store(true, Relaxed);
                Ok(Err(error.into()))
            }
            Some(Ok(Err(Failure::Call { error, .. }))) if may_pass(&error) => Err(error),
            Some(Ok(Err(failure))) => Ok(Err(failure)),
            Some(Err(panicked)) => Ok(Err(Failure::Start(panicked.into()))),
            None => Ok(Err(Failure::Start(io::Error::other("a task that has not run")))),
        }
    }
}

/// Whether another attempt may do better. The policy says the codes.
fn may_pass(error: &Error) -> bool {
    let Error::Status(status) = error else { return true };
    status.reason() != Some(Reason::RowTooLarge)
}

/// A file that is being written.
struct Open<T> {
    target: T,
    name: String,
    path: PathBuf,
    /// Rows of the partition before it.
    before: u64,
}

/// The file before the one that is being written, which may still be on its way to the disk.
#[derive(Default)]
struct Completing(Option<JoinHandle<Result<(), Failure>>>);

impl Completing {
    async fn wait(&mut self) -> Result<(), Failure> {
        let Some(completing) = self.0.take() else { return Ok(()) };
        completing.await.unwrap_or_else(|panicked| Err(Failure::Start(panicked.into())))
    }
}

impl Shared {
    async fn export(self: Arc<Self>, index: usize) -> Result<(), Failure> {
        match self.job.asked.format {
            Format::Csv | Format::Jsonl | Format::Table => self.export_as::<Text>(index).await,
            Format::Arrow => self.export_as::<Arrow>(index).await,
            Format::Parquet => self.export_as::<Parquet>(index).await,
        }
    }

    async fn export_as<T: Target>(self: Arc<Self>, index: usize) -> Result<(), Failure> {
        let round = self.round;
        let place = self.noted(move |journal| journal.place(round, index + 1)).await?;
        let mut completing = Completing::default();
        let written = self.write_files::<T>(index, place, &mut completing).await;
        // A file that is complete counts, whatever became of the next one.
        completing.wait().await?;
        let truncated = written?;
        self.noted(move |journal| journal.whole_partition(round, index + 1, truncated)).await?;
        self.counts.whole(index);
        Ok(())
    }

    /// Writes what is left of a partition; answers whether a limit has cut it.
    async fn write_files<T: Target>(
        self: &Arc<Self>,
        index: usize,
        place: Place,
        completing: &mut Completing,
    ) -> Result<bool, Failure> {
        let Place { mut files, rows, token } = place;
        self.counts.begun(index, rows);
        let mut stream = Stream::<T::Reading>::open(self, index, rows, token).await?;
        let mut open: Option<Open<T>> = None;
        loop {
            let before = stream.rows();
            let Some(item) = stream.next(self, index).await? else { break };
            if open.is_none() {
                files += 1;
                open = Some(self.begin(&stream.reading, index, files, before).await?);
            }
            let Some(file) = &mut open else { continue };
            if !file.target.write(item).await? {
                break;
            }
            self.counts.received(index, stream.rows(), stream.bytes());
            if file.target.file_size() >= self.job.asked.file_size
                && let Some(file) = open.take()
            {
                completing.wait().await?;
                *completing = self.complete(file, index, stream.rows(), stream.reading.resume_token().cloned());
            }
        }
        // An empty partition has a file as well, which tells the columns.
        if open.is_none() && files == 0 {
            open = Some(self.begin(&stream.reading, index, 1, 0).await?);
        }
        completing.wait().await?;
        if let Some(file) = open {
            // If writing has failed, completing it says how.
            *completing = self.complete(file, index, stream.rows(), stream.reading.resume_token().cloned());
            completing.wait().await?;
        }
        let summary = stream.reading.summary();
        Ok(summary.ok_or(Error::Truncated { rows: stream.rows(), resume_token: None })?.truncated)
    }

    async fn begin<T: Target>(
        &self,
        reading: &T::Reading,
        index: usize,
        number: usize,
        before: u64,
    ) -> Result<Open<T>, Failure> {
        let name = self.job.asked.file_name(index + 1, number);
        let path = Journal::staged(&self.job.directory, self.round, &name);
        let to_be_named = |failure| self.to_be_named(failure, &name);
        let mut target = T::open(self.job.form(), Some(path.clone())).map_err(to_be_named)?;
        // If it has failed, the next write says so.
        target.begin(reading).await.map_err(to_be_named)?;
        Ok(Open { target, name, path, before })
    }

    /// Completes a file and gives it its name, while the next one is read; `rows` is how many of the partition there are
    /// by now.
    fn complete<T: Target>(
        self: &Arc<Self>,
        file: Open<T>,
        index: usize,
        rows: u64,
        token: Option<ResumeToken>,
    ) -> Completing {
        let (shared, round) = (self.clone(), self.round);
        Completing(Some(tokio::spawn(async move {
            let Open { mut target, name, path, before } = file;
            target.end().await;
            target.finish().await.map_err(|failure| shared.to_be_named(failure, &name))?;
            let summed = spawn_blocking(move || manifest::checksum(&path)).await.map_err(io::Error::other).flatten();
            let (bytes, sha256) = summed.map_err(|source| Failure::file(&shared.job.directory, source))?;
            let rows = rows - before;
            let entry = FileEntry { file: name, partition: index + 1, rows, bytes, sha256, live: shared.live };
            shared.noted(move |journal| journal.file(round, entry, token.as_ref())).await
        })))
    }

    /// People know a file by the name that it was to get.
    fn to_be_named(&self, failure: Failure, name: &str) -> Failure {
        match failure {
            Failure::Output { source, .. } => Failure::file(&self.job.directory.join(name), source),
            // A file is no pipe that somebody may close.
            Failure::ClosedPipe => Failure::file(&self.job.directory.join(name), io::ErrorKind::BrokenPipe.into()),
            failure => failure,
        }
    }

    /// Reads a partition, from a boundary on.
    async fn read<R: Reading>(&self, index: usize, from: Option<ResumeToken>) -> Result<R, Error> {
        let mut read = self.client.read_partition(self.partitions[index].token());
        read = read.arrow_options(self.job.arrow_options()).live(self.live);
        read = read.deadline(self.job.deadline.unwrap_or(LONGEST));
        if let Some(token) = from {
            read = read.resume_from(token);
        }
        R::of_partition(&read).await
    }

    async fn noted<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal) -> io::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        noted(&self.job.directory, &self.journal, work).await
    }
}

/// Does something with the journal, which waits for the disk, where waiting is harmless.
pub(super) async fn noted<R: Send + 'static>(
    directory: &Path,
    journal: &Arc<Mutex<Journal>>,
    work: impl FnOnce(&mut Journal) -> io::Result<R> + Send + 'static,
) -> Result<R, Failure> {
    let journal = journal.clone();
    let worked = spawn_blocking(move || work(&mut journal.lock().unwrap_or_else(PoisonError::into_inner)));
    worked.await.map_err(io::Error::other).flatten().map_err(|source| Failure::file(directory, source))
}

/// The stream of a partition, which goes on under a new deadline where the server's own limit has ended it.
struct Stream<R> {
    reading: R,
    /// Of the partition, before this reading.
    rows: u64,
    /// Since the export goes on.
    bytes: u64,
    /// Whether this reading has brought something.
    progressed: bool,
}

impl<R: Reading> Stream<R> {
    async fn open(shared: &Shared, index: usize, rows: u64, token: Option<ResumeToken>) -> Result<Self, Failure> {
        Ok(Self { reading: shared.read(index, token).await?, rows, bytes: 0, progressed: false })
    }

    async fn next(&mut self, shared: &Shared, index: usize) -> Result<Option<R::Item>, Failure> {
        loop {
            let error = match self.reading.next().await {
                Ok(item) => {
                    self.progressed = true;
                    return Ok(item);
                }
                Err(error) => error,
            };
            if shared.job.deadline.is_some() || error.code() != Code::DeadlineExceeded {
                return Err(error.into());
            }
            let token = error.resume_token().filter(|_| self.progressed).cloned();
            let Some(token) = token else { return Err(Failure::PartitionTooLong { error, partition: index + 1 }) };
            let (rows, bytes) = (self.rows(), self.bytes());
            let reading: R = shared.read(index, Some(token)).await?;
            if reading.header().columns != self.reading.header().columns {
                let told = "a partition goes on with other columns than it began with";
                return Err(Failure::export(&shared.job.directory, told));
            }
            *self = Self { reading, rows, bytes, progressed: false };
        }
    }

    /// Rows of the partition by now.
    fn rows(&self) -> u64 {
        self.rows + self.reading.rows_received()
    }

    fn bytes(&self) -> u64 {
        self.bytes + self.reading.bytes_received()
    }
}
