//! Failures by kind: code and reason, how many there were, and what the first of each said.

use rowstream_client::{Code, Error};
use rowstream_contract::code;
use serde::{Deserialize, Serialize};

/// Kinds that are told apart; reasons come from the server, and their number is not ours to bound.
const KINDS: usize = 32;
/// So many calls that all fail in the same way say enough.
const ENOUGH: u64 = 10;

/// A kind of failure.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    pub(super) code: String,
    /// The server's reason, if it gave one.
    pub(super) reason: Option<String>,
    pub(super) count: u64,
    /// What the first of them said.
    pub(super) message: String,
}

/// The failures of a run.
#[derive(Debug, Default)]
pub(super) struct Failures {
    kinds: Vec<Failure>,
    /// Failures of further kinds.
    others: u64,
    /// Those of the warm-up count here too.
    all: u64,
    /// The first failure of all, and whether the others were of its kind.
    first: Option<Error>,
    differ: bool,
}

impl Failures {
    pub(super) fn note(&mut self, error: Error, measured: bool) {
        self.all += 1;
        if measured {
            self.count(&error);
        }
        match &self.first {
            Some(first) => self.differ |= kind(first) != kind(&error),
            None => self.first = Some(error),
        }
    }

    fn count(&mut self, error: &Error) {
        let ((code, reason), kinds) = (kind(error), self.kinds.len());
        let known = self.kinds.iter_mut().find(|known| known.code == code && known.reason.as_deref() == reason);
        match known {
            Some(known) => known.count += 1,
            None if kinds == KINDS => self.others += 1,
            None => {
                let (code, reason) = (code.to_owned(), reason.map(str::to_owned));
                let message = error.server().map_or_else(|| error.to_string(), |server| server.message().to_owned());
                self.kinds.push(Failure { code, reason, count: 1, message });
            }
        }
    }

    /// Whether all calls, if they were all failures, say that no other will succeed. What a server refuses because it
    /// has too much to do is just what a run is to find out.
    pub(super) fn are_hopeless(&self) -> bool {
        let overload =
            |error: &Error| matches!(error.code(), Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted);
        self.all >= ENOUGH && !self.differ && self.first.as_ref().is_some_and(|first| !overload(first))
    }

    /// The first failure of all.
    pub(super) fn take_first(&mut self) -> Option<Error> {
        self.first.take()
    }

    /// The kinds, the most frequent first.
    pub(super) fn kinds(&self) -> Vec<Failure> {
        let mut kinds = self.kinds.clone();
        if self.others > 0 {
            let message = format!("of more than {KINDS} kinds");
            kinds.push(Failure { code: "OTHERS".to_owned(), reason: None, count: self.others, message });
        }
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        kinds
    }
}

fn kind(error: &Error) -> (&'static str, Option<&str>) {
    (code::name(error.code()), error.server().and_then(|server| server.reason_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol() -> Error {
        Error::Protocol("boom".to_owned())
    }

    fn late() -> Error {
        Error::DeadlineExceeded { timeout: std::time::Duration::from_secs(1), resume_token: None }
    }

    #[test]
    fn failures_are_counted_by_kind_and_those_of_the_warm_up_are_not() {
        let mut failures = Failures::default();
        failures.note(Error::Truncated { rows: 1, resume_token: None }, false);
        for error in [protocol(), late(), late()] {
            failures.note(error, true);
        }
        let kinds = failures.kinds();
        let shown: Vec<_> = kinds.iter().map(|kind| (kind.code.as_str(), kind.count)).collect();
        assert_eq!(shown, [("DEADLINE_EXCEEDED", 2), ("INTERNAL", 1)]);
        assert_eq!(kinds[1].message, "the server broke the protocol: boom");
        assert!(matches!(failures.take_first(), Some(Error::Truncated { .. })));
    }

    #[test]
    fn the_same_failure_again_and_again_is_hopeless_unless_it_is_what_load_does() {
        let after = |errors: Vec<Error>| {
            let mut failures = Failures::default();
            errors.into_iter().for_each(|error| failures.note(error, false));
            failures.are_hopeless()
        };
        let same = |count, error: fn() -> Error| (0..count).map(|_| error()).collect::<Vec<_>>();
        assert!(after(same(10, protocol)));
        assert!(!after(same(9, protocol)));
        assert!(!after(same(20, late)));
        let mut mixed = same(20, protocol);
        mixed[3] = Error::Truncated { rows: 1, resume_token: None };
        assert!(!after(mixed));
    }
}
