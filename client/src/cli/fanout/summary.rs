//! What a run came to, for people at its end, and as JSON for --summary.

use std::{fmt::Write as _, path::Path};

use indicatif::HumanCount;
use rowstream_client::{Error, fanout::Report, sink::Visible};
use rowstream_contract::code;
use serde::Serialize;

use super::display::{millis, per_second};
use crate::cli::failure::Failure;

/// How many failures are told one by one.
const TOLD: usize = 10;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// Every input was run.
    Complete,
    /// --total-deadline passed before.
    TotalDeadline,
    /// The first failure ended it, or the first success, as --mode says.
    FirstFailure,
    FirstSuccess,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// The input could not be used to its end.
    InputFailed,
    /// The output could not be written to its end, or nobody reads it any more.
    OutputFailed,
}

/// The account of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) ended: Option<Ending>,
    /// Calls of this run whose record is in the output, and those that failed.
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Inputs that can be used, if that is known.
    pub(crate) inputs: Option<u64>,
    /// Lines that cannot be used.
    pub(crate) rejected: u64,
    /// What the checkpoint had as done before this run.
    pub(crate) done_before: u64,
    pub(crate) failed_before: u64,
    pub(crate) first_failures: Vec<FailedCall>,
    /// What the calls of this run took.
    pub(crate) calls: Option<Report>,
}

/// A call that failed.
#[derive(Debug, Serialize)]
pub(crate) struct FailedCall {
    index: u64,
    line: u64,
    code: &'static str,
    message: String,
}

impl Summary {
    pub(crate) fn new(inputs: Option<u64>, done_before: u64, failed_before: u64) -> Self {
        let (succeeded, failed, rejected) = (0, 0, 0);
        let (ended, calls, first_failures) = (None, None, Vec::new());
        Self { ended, succeeded, failed, inputs, rejected, done_before, failed_before, first_failures, calls }
    }

    /// Counts a failure, and answers what to say of it.
    pub(crate) fn failure(&mut self, index: u64, line: u64, error: &Error) -> Option<String> {
        self.failed += 1;
        match self.first_failures.len() {
            TOLD if self.failed == u64::try_from(TOLD).unwrap_or_default() + 1 => {
                Some("rowstream: further failures are counted only".to_owned())
            }
            TOLD.. => None,
            _ => {
                let (code, message) = (code::name(error.code()), error.to_string());
                let told = format!("rowstream: line {line}: {}", Visible(&message));
                self.first_failures.push(FailedCall { index, line, code, message });
                Some(told)
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let Some(report) = &self.calls else { return text };
        let calls = self.succeeded + self.failed;
        let rate = per_second(calls, report.elapsed);
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "rowstream: {} calls in {}, {rate:.0}/s: {} succeeded, {} failed",
            HumanCount(calls),
            millis(report.elapsed),
            HumanCount(self.succeeded),
            HumanCount(self.failed),
        );
        if self.done_before > 0 {
            let (done, failed) = (HumanCount(self.done_before), HumanCount(self.failed_before));
            let _ = writeln!(text, "before: {done} done, of which {failed} failed");
        }
        if let Some(missing) = self.missing() {
            let _ = writeln!(text, "not run: {}", HumanCount(missing));
        }
        if self.rejected > 0 {
            let _ = writeln!(text, "set aside: {} lines that cannot be used", HumanCount(self.rejected));
        }
        if report.started > 0 {
            let codes: Vec<_> =
                report.by_code.iter().map(|(code, count)| format!("{code} {}", HumanCount(*count))).collect();
            let _ = writeln!(text, "codes: {}", codes.join(", "));
            let latency = &report.latency;
            let [p50, p90, p99, p999, max] =
                [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(millis);
            let _ = writeln!(text, "latency: p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, longest {max}");
            let [attempts, retries, refused, hedges, won] =
                [report.attempts, report.retries, report.retries_refused, report.hedges, report.hedges_won]
                    .map(HumanCount);
            let _ = writeln!(
                text,
                "attempts: {attempts}; retries: {retries}, and {refused} that the budget refused; \
                 hedges: {hedges}, of which {won} won"
            );
        }
        text
    }

    /// Inputs that have no outcome, if there are any.
    fn missing(&self) -> Option<u64> {
        let done = self.done_before + self.succeeded + self.failed;
        self.inputs?.checked_sub(done).filter(|missing| *missing > 0)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let written = serde_json::to_string_pretty(self).map_err(Into::into);
        let written = written.and_then(|json| std::fs::write(path, json + "\n"));
        written.map_err(|source| Failure::output(Some(path.to_owned()), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fanout::testing::{failure, report};

    #[test]
    fn the_account_is_told_in_words_and_as_json() {
        let mut summary = Summary::new(Some(1000), 400, 2);
        summary.succeeded = 497;
        for line in 0..13 {
            let told = summary.failure(line, line + 2, &failure());
            match line {
                0 => assert_eq!(told.unwrap(), "rowstream: line 2: the server broke the protocol: boom"),
                10 => assert!(told.unwrap().contains("counted only")),
                line => assert_eq!(told.is_some(), line < 10),
            }
        }
        let mut report = report();
        (report.started, report.attempts) = (510, 600);
        report.elapsed = std::time::Duration::from_secs(5);
        report.by_code = [("INTERNAL", 13), ("OK", 497)].into();
        (summary.calls, summary.ended) = (Some(report), Some(Ending::Interrupted));
        assert_eq!(
            summary.text(),
            "rowstream: 510 calls in 5.00s, 102/s: 497 succeeded, 13 failed\n\
             before: 400 done, of which 2 failed\n\
             not run: 90\n\
             codes: INTERNAL 13, OK 497\n\
             latency: p50 0.00ms, p90 0.00ms, p99 0.00ms, p99.9 0.00ms, longest 0.00ms\n\
             attempts: 600; retries: 0, and 0 that the budget refused; hedges: 0, of which 0 won\n"
        );
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!((&json["ended"], &json["calls"]["by_code"]["OK"]), (&"interrupted".into(), &497.into()));
        assert_eq!(json["first_failures"][0]["code"], "INTERNAL");
        assert_eq!(json["first_failures"].as_array().unwrap().len(), 10);
    }
}
