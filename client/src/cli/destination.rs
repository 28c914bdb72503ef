//! Where the rows of a query end, whichever the format; and the way of a call into it.

use std::path::PathBuf;

use rowstream_client::{Call, Error, Summary};

use super::{
    failure::Failure,
    formats::Format,
    progress::Underway,
    target::{Arrow, Form, Parquet, Reading, Target, Text},
};

/// An output of the format that was asked for, open.
pub(crate) enum Destination {
    Text(Text),
    Arrow(Arrow),
    Parquet(Parquet),
}

/// Does the same with whichever it is.
macro_rules! each {
    ($destination:expr, $target:ident => $work:expr) => {
        match $destination {
            Destination::Text($target) => $work,
            Destination::Arrow($target) => $work,
            Destination::Parquet($target) => $work,
        }
    };
}

impl Destination {
    /// Opens it; without a path, stdout.
    pub(crate) fn open(form: Form, path: Option<PathBuf>) -> Result<Self, Failure> {
        Ok(match form.format {
            Format::Table | Format::Csv | Format::Jsonl => Self::Text(Text::open(form, path)?),
            Format::Arrow => Self::Arrow(Arrow::open(form, path)?),
            Format::Parquet => Self::Parquet(Parquet::open(form, path)?),
        })
    }

    /// Moves all that the call yields. [`Failure::ClosedPipe`] stands for every failure of the output: it knows how.
    pub(crate) async fn copy(&mut self, call: &Call, underway: &mut Underway) -> Result<Summary, Failure> {
        each!(self, target => copy(target, call, underway).await)
    }

    /// Completes it.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        each!(self, target => target.finish().await)
    }

    /// Gives up; no file is left.
    pub(crate) fn abandon(self) {
        each!(self, target => target.abandon());
    }
}

async fn copy<T: Target>(target: &mut T, call: &Call, underway: &mut Underway) -> Result<Summary, Failure> {
    let mut reading = T::Reading::of_call(call).await?;
    underway.begun(reading.header());
    let mut open = target.begin(&reading).await?;
    while open && let Some(item) = reading.next().await? {
        open = target.write(item).await?;
        underway.resumed(reading.resumed());
        underway.progress.set(reading.rows_received(), reading.bytes_received());
    }
    underway.resumed(reading.resumed());
    if !open {
        return Err(Failure::ClosedPipe);
    }
    target.end().await;
    let rows = reading.rows_received();
    reading.summary().cloned().ok_or_else(|| Error::Truncated { rows, resume_token: None }.into())
}
