//! The lines of a journal, and what they come to.

use std::{collections::BTreeSet, path::Path};

use rowstream_client::{PartitionStrategy, PartitionToken};
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::cli::{
    export::{
        encoded,
        job::Asked,
        manifest::{Column, FileEntry, Snapshot},
    },
    failure::Failure,
};

const VERSION: u32 = 1;

/// What every version's first line tells.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The session that an export reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::cli::export) struct Begun {
    /// Of the journal.
    version: u32,
    pub(in crate::cli::export) asked: Asked,
    pub(in crate::cli::export) session: String,
    pub(in crate::cli::export) snapshot: Snapshot,
    pub(in crate::cli::export) columns: Vec<Column>,
    pub(in crate::cli::export) strategy: String,
    pub(in crate::cli::export) strategy_reason: String,
    /// The columns that it is divided by.
    #[serde(default)]
    pub(in crate::cli::export) partition_by: Vec<String>,
    /// Whether rows stay in their partition whatever is written.
    #[serde(default)]
    pub(in crate::cli::export) rows_stay: bool,
    pub(in crate::cli::export) partitions: Vec<Partition>,
}

impl Begun {
    pub(in crate::cli::export) fn new(asked: &Asked, session: &rowstream_client::ReadSession) -> Self {
        let partition = |partition: &rowstream_client::Partition| Partition {
            token: partition.token.as_bytes().to_vec(),
            estimated_rows: partition.estimated_rows,
        };
        let stable = !asked.division.partition_by.is_empty() || session.is_partitioned_by_primary_key();
        let rows_stay = match session.strategy() {
            PartitionStrategy::Single => true,
            PartitionStrategy::KeyRange | PartitionStrategy::Hash => stable || session.partitions().len() == 1,
            _ => false,
        };
        Self {
            version: VERSION,
            asked: asked.clone(),
            session: session.id().to_owned(),
            snapshot: Snapshot::new(session.snapshot(), session.snapshot_time()),
            columns: session.columns().iter().map(Column::from).collect(),
            strategy: session.strategy().name().to_owned(),
            strategy_reason: session.strategy_reason().to_owned(),
            partition_by: session.partition_by().to_vec(),
            rows_stay,
            partitions: session.partitions().iter().map(partition).collect(),
        }
    }
}

/// A partition of the session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::cli::export) struct Partition {
    #[serde(with = "encoded")]
    token: Vec<u8>,
    pub(in crate::cli::export) estimated_rows: Option<u64>,
}

impl Partition {
    pub(in crate::cli::export) fn token(&self) -> PartitionToken {
        self.token.clone().into()
    }
}

/// A line after the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// A file is complete, and the partition goes on behind this boundary, if it can.
    File {
        #[serde(flatten)]
        entry: FileEntry,
        #[serde(with = "encoded", default, skip_serializing_if = "Vec::is_empty")]
        resume_token: Vec<u8>,
    },
    /// All files of a partition are complete.
    Whole { partition: usize, truncated: bool },
    /// A partition is read from its beginning again, whole or not, and its files do not count.
    Again { partition: usize },
    /// The snapshot is gone. What is not whole is read again at the present state.
    Live,
}

/// What the lines come to.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) files: Vec<(FileEntry, Vec<u8>)>,
    pub(super) whole: BTreeSet<usize>,
    pub(super) truncated: bool,
    pub(super) live: bool,
}

impl Done {
    pub(super) fn take(&mut self, entry: Entry) {
        match entry {
            Entry::File { entry, resume_token } => self.files.push((entry, resume_token)),
            Entry::Whole { partition, truncated } => {
                self.whole.insert(partition);
                self.truncated |= truncated;
            }
            Entry::Again { partition } => {
                self.files.retain(|(file, _)| file.partition != partition);
                self.whole.remove(&partition);
            }
            Entry::Live => {
                self.live = true;
                self.files.retain(|(file, _)| self.whole.contains(&file.partition));
            }
        }
    }
}

/// What whole lines tell.
pub(super) fn read(directory: &Path, text: &[u8]) -> Result<(Option<Begun>, Done), Failure> {
    let unfit = |problem: String| Failure::export(directory, format!("{NAME} cannot be used: {problem}"));
    let damaged = |error: serde_json::Error| unfit(format!("it has a line that cannot be read: {error}"));
    let (mut begun, mut done) = (None, Done::default());
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if begun.is_some() {
            done.take(serde_json::from_slice(line).map_err(damaged)?);
            continue;
        }
        let Versioned { version } = serde_json::from_slice(line).map_err(damaged)?;
        if version != VERSION {
            return Err(unfit(format!("it is of version {version}, and this program knows {VERSION}")));
        }
        begun = Some(serde_json::from_slice(line).map_err(damaged)?);
    }
    Ok((begun, done))
}
