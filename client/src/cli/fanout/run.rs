//! The run itself: calls go out, records come in, and however it ends, what was answered is in its place.

use std::{pin::pin, sync::Arc, time::Duration};

use rowstream_client::{
    Error,
    fanout::{Ended, Fanout, FanoutStream, Outcome, ResultSet},
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};

use super::{
    args::Mode,
    display::Progress,
    feed::{Fed, Started},
    lookup::{Lookup, Template},
    output::{Answer, Facts, Formatter, Input},
    place::Place,
    summary::{Ending, Summary},
};
use crate::cli::{
    failure::Failure,
    interrupt::{Interrupts, Signal},
};

/// How often the display is renewed, and records are brought to where they belong.
const TICK: Duration = Duration::from_millis(200);

/// How long an interrupted run waits for the reader of its output to take what is there.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Everything that a run needs, with nothing left to decide.
pub(crate) struct Run {
    pub(crate) template: Arc<Template>,
    pub(crate) formatter: Formatter,
    /// Whether the place may keep us waiting for as long as its reader likes.
    pub(crate) may_block: bool,
    pub(crate) mode: Mode,
    pub(crate) progress: Progress,
    pub(crate) quiet: bool,
    pub(crate) summary: Summary,
}

/// Why no more calls run.
enum End {
    /// The input is at its end, or the time for the whole.
    Input,
    FirstFailure(Error),
    FirstSuccess,
    Signal(Signal),
    /// The place has failed, and knows how.
    Place,
}

impl Run {
    /// Runs a call for each input, and answers how it went, with what there is to tell.
    pub(crate) async fn run(
        mut self,
        fanout: &Fanout,
        mut place: Place,
        Started { inputs, ended }: Started,
        interrupts: &mut Interrupts,
    ) -> (Result<(), Failure>, Summary) {
        let template = self.template.clone();
        let calls = ReceiverStream::new(inputs).map(move |input| Lookup { input, template: template.clone() });
        let mut stream = fanout.stream(calls);
        let monitor = stream.monitor();
        let end = self.work(&mut stream, &mut place, interrupts).await;
        // Cancels what is under way.
        drop(stream);
        let report = monitor.report();
        self.progress.clear();
        let read = match end {
            End::Input if report.ended == Some(Ended::Complete) => ended.await.unwrap_or_else(|_| Err(stopped())),
            _ => Ok(Fed { rejected: self.summary.rejected }),
        };
        self.summary.calls = Some(report);
        let placed = self.finish(place, &end, interrupts).await;
        self.conclude(end, read, placed)
    }

    /// Takes outcomes until there are no more, or something ends it.
    async fn work<S: Stream<Item = Lookup>>(
        &mut self,
        stream: &mut FanoutStream<S>,
        place: &mut Place,
        interrupts: &mut Interrupts,
    ) -> End {
        let monitor = stream.monitor();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let next = tokio::select! {
                outcome = stream.next() => outcome.map(Some),
                _ = ticks.tick() => Some(None),
                signal = interrupts.next() => return End::Signal(signal),
            };
            let (record, end) = match next {
                None => return End::Input,
                Some(None) => {
                    self.progress.update(&monitor.report());
                    (None, None)
                }
                Some(Some(outcome)) => self.take(outcome),
            };
            match self.put(stream, place, record, interrupts).await {
                Ok(true) => {}
                Ok(false) => return End::Place,
                Err(signal) => return End::Signal(signal),
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Brings a record to its place, or with none, what waits on the way there. A signal is heard where that may take
    /// long; a file is short work.
    async fn put<S: Stream<Item = Lookup>>(
        &self,
        stream: &mut FanoutStream<S>,
        place: &mut Place,
        record: Option<Made>,
        interrupts: &mut Interrupts,
    ) -> Result<bool, Signal> {
        let mut putting = pin!(stream.work_during(async move {
            match record {
                Some(Made { position, ok, bytes }) => place.append(position, ok, bytes).await,
                None => place.tick().await,
            }
        }));
        if !self.may_block {
            return Ok(putting.await);
        }
        tokio::select! {
            put = &mut putting => Ok(put),
            signal = interrupts.next() => {
                // What the reader does not take by then is lost, and it has been told to end as well, most likely.
                let _ = timeout(LAST_WORDS, putting).await;
                Err(signal)
            }
        }
    }

    /// Makes the record of a call, and says whether its end is that of all.
    fn take(&mut self, outcome: Outcome<Lookup>) -> (Option<Made>, Option<End>) {
        let Outcome { call, result, attempts, hedged, latency, endpoint, .. } = outcome;
        let facts = Facts { attempts, hedged, latency, endpoint: endpoint.as_deref() };
        let record = &call.input.record;
        let input = Input { record, shown: &call.input.resolved.shown };
        let mut bytes = Vec::new();
        let answered = result.and_then(|rows| Ok(self.formatter.answer(input, answer(&rows), facts, &mut bytes)?));
        let (position, line) = (record.position, record.line);
        match (answered, self.mode) {
            (Ok(()), mode) => {
                self.summary.succeeded += 1;
                (Some(Made { position, ok: true, bytes }), (mode == Mode::First).then_some(End::FirstSuccess))
            }
            (Err(error), mode) => {
                if let Some(told) = self.summary.failure(position, line, &error)
                    && !self.quiet
                {
                    self.progress.note(told);
                }
                if mode == Mode::First {
                    return (None, None);
                }
                self.formatter.failure(input, &error, facts, &mut bytes);
                let made = Made { position, ok: false, bytes };
                (Some(made), (mode == Mode::FailFast).then_some(End::FirstFailure(error)))
            }
        }
    }

    /// Waits until all records are in their place; a further signal ends the wait.
    async fn finish(&self, place: Place, end: &End, interrupts: &mut Interrupts) -> Result<(), Failure> {
        let finishing = async {
            match end {
                End::Signal(_) if self.may_block => timeout(LAST_WORDS, place.finish()).await.unwrap_or(Ok(())),
                _ => place.finish().await,
            }
        };
        tokio::select! {
            finished = finishing => finished,
            signal = interrupts.next() => Err(Failure::Interrupted { signal, rows: None }),
        }
    }

    /// What it all came to.
    fn conclude(
        self,
        end: End,
        read: Result<Fed, Failure>,
        placed: Result<(), Failure>,
    ) -> (Result<(), Failure>, Summary) {
        let mut summary = self.summary;
        let late = summary.calls.as_ref().is_some_and(|report| report.ended == Some(Ended::TotalDeadline));
        if let Ok(fed) = &read {
            summary.rejected = fed.rejected;
        }
        let failed = summary.failed + summary.failed_before;
        let all = summary.succeeded + summary.done_before + summary.failed;
        let (ending, outcome) = match (end, placed, read) {
            (End::Signal(signal), Ok(()), _) => (Ending::Interrupted, Err(Failure::Interrupted { signal, rows: None })),
            (_, Err(failure @ Failure::Interrupted { .. }), _) => (Ending::Interrupted, Err(failure)),
            (_, Err(failure), _) => (Ending::OutputFailed, Err(failure)),
            (End::Place, Ok(()), _) => (Ending::OutputFailed, Err(Failure::ClosedPipe)),
            (_, _, Err(failure)) => (Ending::InputFailed, Err(failure)),
            (End::FirstFailure(error), ..) => {
                (Ending::FirstFailure, Err(Failure::Call { error, sql: self.template.statement.sql() }))
            }
            (End::FirstSuccess, ..) => (Ending::FirstSuccess, Ok(())),
            (End::Input, ..) if late => (Ending::TotalDeadline, Err(Failure::TotalDeadline)),
            (End::Input, ..) if failed > 0 || self.mode == Mode::First => {
                (Ending::Complete, Err(Failure::CallsFailed { failed, all }))
            }
            (End::Input, ..) => (Ending::Complete, Ok(())),
        };
        summary.ended = Some(ending);
        (outcome, summary)
    }
}

/// The record of a call.
struct Made {
    position: u64,
    ok: bool,
    bytes: Vec<u8>,
}

/// The thread that reads the input has ended without a word.
fn stopped() -> Failure {
    Failure::Start(std::io::Error::other("the input's thread has panicked"))
}

fn answer(rows: &ResultSet) -> Answer<'_> {
    Answer { columns: rows.columns(), batches: &rows.batches, truncated: rows.summary.truncated }
}
