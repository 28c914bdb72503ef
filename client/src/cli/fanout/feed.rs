//! From the source to the fan-out: what is read and checked on a thread of its own, one input at a time as there is
//! room for it.
//!
//! A file is read twice: checked to its end before anything runs, then again for the calls. What comes only once (stdin, a
//! pipe) is checked as it comes.

use std::{io::BufRead, path::PathBuf, thread};

use tokio::sync::{mpsc, oneshot};

use super::{
    checkpoint::Done,
    input::{Fingerprint, Hashing, InputColumns, InputFormat, Reader, Source},
    inputs::{Checked, Inputs, Ready},
    mapping::Mapping,
    rejects::{self, Rejects},
};
use crate::cli::failure::Failure;

/// Inputs that wait for the fan-out.
const QUEUED: usize = 64;

type Bytes = Hashing<Box<dyn BufRead + Send>>;

/// How to read the inputs.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) source: Source,
    pub(crate) format: InputFormat,
    pub(crate) null: String,
    pub(crate) mapping: Mapping,
    /// Whether every line of the output has the same columns.
    pub(crate) same_columns: bool,
    /// Where unusable lines go; without it the first of them ends all.
    pub(crate) rejects: Option<PathBuf>,
}

/// Inputs that have been checked, or whose check has begun.
pub(crate) struct Feed {
    plan: Plan,
    /// How many can be used; not known of what comes only once.
    pub(crate) usable: Option<u64>,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The columns of the input in the output's lines, where these all have the same.
    pub(crate) columns: InputColumns,
    /// With all that the first record has told.
    pub(crate) mapping: Mapping,
    rejects: Rejects,
    /// What comes only once, and its first record.
    begun: Option<(Inputs<Bytes>, Option<Ready>)>,
}

/// What was set aside, when all is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fed {
    pub(crate) rejected: u64,
}

/// A reading under way.
pub(crate) struct Started {
    pub(crate) inputs: mpsc::Receiver<Ready>,
    /// How it ended.
    pub(crate) ended: oneshot::Receiver<Result<Fed, Failure>>,
}

impl Plan {
    /// Reads what can be read before anything runs.
    pub(crate) fn check(self) -> Result<Feed, Failure> {
        let mut rejects = Rejects::new(self.source.name(), self.rejects.as_deref())?;
        let mut inputs = self.inputs()?;
        if !matches!(self.source, Source::File(_)) {
            let first = next(&mut inputs, &mut rejects, false)?;
            let (mapping, columns) = (inputs.mapping().clone(), inputs.first_columns());
            let begun = Some((inputs, first));
            return Ok(Feed { plan: self, usable: None, fingerprint: None, columns, mapping, rejects, begun });
        }
        let mut usable = 0;
        loop {
            match inputs.next().map_err(|unreadable| rejects.unreadable(unreadable, false))? {
                Some(Checked::Usable(_)) => usable += 1,
                Some(Checked::Unusable(problem)) => rejects.take(problem)?,
                None => break,
            }
        }
        rejects.finish(false)?;
        let (mapping, columns) = (inputs.mapping().clone(), inputs.first_columns());
        let (usable, fingerprint) = (Some(usable), Some(inputs.into_inner().fingerprint()));
        Ok(Feed { plan: self, usable, fingerprint, columns, mapping, rejects, begun: None })
    }

    fn inputs(&self) -> Result<Inputs<Bytes>, Failure> {
        let failed = |source| Failure::Params { name: self.source.name(), source };
        let reader = Reader::new(self.format, Hashing::new(self.source.read().map_err(failed)?), &self.null);
        Ok(Inputs::new(reader, self.format, self.mapping.clone(), self.same_columns))
    }
}

impl Feed {
    pub(crate) fn format(&self) -> InputFormat {
        self.plan.format
    }

    /// How many were set aside so far.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejects.count
    }

    /// Starts to read for the calls, all but those that are done.
    pub(crate) fn start(self, done: Done) -> Result<Started, Failure> {
        let (sender, inputs) = mpsc::channel(QUEUED);
        let (end, ended) = oneshot::channel();
        let work = move || {
            // Nobody waits for it if the run has ended before the input.
            let _ = end.send(self.read(&done, &sender));
        };
        thread::Builder::new().name("input".to_owned()).spawn(work).map_err(Failure::Start)?;
        Ok(Started { inputs, ended })
    }

    fn read(self, done: &Done, sender: &mpsc::Sender<Ready>) -> Result<Fed, Failure> {
        let Self { plan, mut rejects, begun, fingerprint, .. } = self;
        let once = begun.is_some();
        let (mut inputs, mut first) = match begun {
            Some(begun) => begun,
            None => (plan.inputs()?, None),
        };
        // What a file has of unusable lines was dealt with when it was checked.
        let rejected = rejects.count;
        loop {
            let ready = match first.take() {
                Some(ready) => ready,
                None if once => match next(&mut inputs, &mut rejects, true)? {
                    Some(ready) => ready,
                    None => break,
                },
                None => match inputs.next().map_err(|unreadable| rejects.unreadable(unreadable, true))? {
                    Some(Checked::Usable(ready)) => ready,
                    Some(Checked::Unusable(_)) if rejects.fatal() => return Err(rejects::changed(plan.source.name())),
                    Some(Checked::Unusable(_)) => continue,
                    None => break,
                },
            };
            if !done.contains(ready.record.position) && sender.blocking_send(ready).is_err() {
                return Ok(Fed { rejected });
            }
        }
        if once {
            rejects.finish(true)?;
        } else if Some(inputs.into_inner().fingerprint()) != fingerprint {
            return Err(rejects::changed(plan.source.name()));
        }
        Ok(Fed { rejected: rejects.count })
    }
}

/// The next input that can be used. One that cannot is set aside, or ends all.
fn next(inputs: &mut Inputs<Bytes>, rejects: &mut Rejects, begun: bool) -> Result<Option<Ready>, Failure> {
    loop {
        match inputs.next().map_err(|unreadable| rejects.unreadable(unreadable, begun))? {
            None => return Ok(None),
            Some(Checked::Usable(ready)) => return Ok(Some(ready)),
            Some(Checked::Unusable(problem)) => {
                rejects.take(problem)?;
                // Written at once, as the run may be interrupted; or there is no place for it, and this is the end.
                rejects.finish(begun)?;
            }
        }
    }
}
