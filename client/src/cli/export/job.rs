//! What is to be exported: what the arguments ask for, with nothing left to decide.

use std::{path::PathBuf, time::Duration};

use rowstream_client::{Call, Client, ReadSessionBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    args::{DivideBy, Division, Export, FILE_BYTES, Limits, OnSnapshotLost, no_primary_key},
    journal::Begun,
};
use crate::cli::{
    args::{Source, TableOptions},
    failure::Failure,
    formats::{Columnar, Format, TextCompression},
    query,
    target::Form,
};

/// What decides about the content of the files, under the names of the flags. The journal and the manifest have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Asked {
    table: Option<String>,
    query: Option<String>,
    sql: Option<String>,
    #[serde(flatten)]
    table_options: TableOptions,
    param: Vec<String>,
    null: Vec<String>,
    #[serde(flatten)]
    pub(super) division: Division,
    pub(super) format: Format,
    pub(super) compress: TextCompression,
    pub(super) file_size: u64,
    #[serde(flatten)]
    columnar: Columnar,
}

impl Asked {
    /// In what an export of before was another one, for people.
    pub(super) fn differs(&self, before: &Self) -> Option<String> {
        let [now, before] = [self, before].map(|asked| serde_json::to_value(asked).unwrap_or_default());
        let (Value::Object(now), Value::Object(before)) = (now, before) else { return None };
        let shown = |value: &Value| match value {
            Value::Null => "not given".to_owned(),
            Value::Array(values) if values.is_empty() => "not given".to_owned(),
            value => value.to_string(),
        };
        now.iter().find_map(|(flag, value)| {
            let earlier = before.get(flag).unwrap_or(&Value::Null);
            (value != earlier).then(|| format!("--{flag} was {} and is now {}", shown(earlier), shown(value)))
        })
    }

    /// The name of a partition's file; both are counted from 1.
    pub(super) fn file_name(&self, partition: usize, number: usize) -> String {
        format!("part-{partition:04}-{number:04}.{}{}", self.format.name(), self.compress.extension())
    }

    /// Of which partition a file is, if its name is as `file_name` makes them.
    pub(super) fn partition_of(&self, name: &str) -> Option<usize> {
        let (partition, number) = name.strip_prefix("part-")?.split_once('.')?.0.split_once('-')?;
        let (partition, number) = (partition.parse().ok()?, number.parse().ok()?);
        (self.file_name(partition, number) == name).then_some(partition)
    }

    /// Whether rows stay in the partitions of a session whatever is written, so that they can be read without their
    /// snapshot.
    ///
    /// # Errors
    /// They do not: what would be right.
    pub(super) fn can_be_read_live(&self, begun: &Begun) -> Result<(), String> {
        self.division.can_be_read_live(self.table.is_some())?;
        match begun.rows_stay {
            true => Ok(()),
            false => Err(no_primary_key(&begun.partition_by)),
        }
    }
}

/// A resolved export.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) asked: Asked,
    pub(super) directory: PathBuf,
    pub(super) limits: Limits,
    /// Of each read of a partition.
    pub(super) deadline: Option<Duration>,
    call: Call,
    /// The SQL text, to show where in it an error is.
    pub(super) sql: Option<String>,
}

impl Job {
    pub(super) fn resolve(client: &Client, deadline: Option<Duration>, export: Export) -> Result<Self, Failure> {
        let Export { table, name, sql, table_options, param, null, division, files, limits, columnar, verify: _ } =
            export;
        let name_of_format = files.format.name();
        if files.format == Format::Table {
            return Err(Failure::Usage("--format table is for people: choose csv, jsonl, arrow or parquet".to_owned()));
        }
        columnar.check(files.format).map_err(Failure::Usage)?;
        if files.format.is_columnar() && files.compress != TextCompression::None {
            return Err(Failure::Usage(format!("--compress has no meaning for --format {name_of_format}")));
        }
        if limits.on_snapshot_lost == OnSnapshotLost::ContinueLive {
            division.can_be_read_live(table.is_some()).map_err(Failure::Usage)?;
        }
        let source = Source { sql: sql.clone(), name: name.clone(), table: table.clone() };
        let (mut call, sql) = query::with_parameters(client, source, &table_options, &param, &null)?;
        if let Some(deadline) = deadline {
            call = call.deadline(deadline);
        }
        let file_size = files.file_size.unwrap_or(FILE_BYTES);
        let (format, compress) = (files.format, files.compress);
        let (query, asked_sql) = (name, sql.clone());
        let asked = Asked {
            table,
            query,
            sql: asked_sql,
            table_options,
            param,
            null,
            division,
            format,
            compress,
            file_size,
            columnar,
        };
        Ok(Self { asked, directory: files.output.unwrap_or_default(), limits, deadline, call, sql })
    }

    /// How it is to be divided, and how otherwise if that is not possible.
    pub(super) fn divisions(&self) -> (DivideBy, Option<DivideBy>) {
        let Division { partitions, partition_strategy, .. } = self.asked.division;
        let live = self.limits.on_snapshot_lost == OnSnapshotLost::ContinueLive;
        let whole_table = self.asked.table.is_some() && self.asked.table_options.limit.is_none();
        match partition_strategy {
            // Rows stay in their partition as long as their key stays what it is. What has a limit is not divided.
            DivideBy::Auto if live && whole_table => {
                (DivideBy::KeyRange, (partitions == 1).then_some(DivideBy::Single))
            }
            strategy => (strategy, None),
        }
    }

    /// A session for it, divided so.
    pub(super) fn session(&self, client: &Client, strategy: DivideBy) -> ReadSessionBuilder {
        let Division { partitions, partition_by, .. } = &self.asked.division;
        client
            .create_read_session(self.call.clone())
            .partitions(*partitions)
            .strategy(strategy.into())
            .partition_by(partition_by)
            .time_to_live(self.limits.time_to_live)
    }

    pub(super) fn form(&self) -> Form {
        Form {
            format: self.asked.format,
            row_group_bytes: self.asked.columnar.row_group_bytes,
            compression: self.asked.compress.into(),
        }
    }

    pub(super) fn arrow_options(&self) -> rowstream_client::ArrowOptions {
        self.asked.columnar.options()
    }
}
