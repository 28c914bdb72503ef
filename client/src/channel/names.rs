//! The names among a client's endpoints: which of them are to be asked for now, and how the last answers were.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::time::Instant;

use super::{
    connection::Cause,
    resolve::Refresh,
    target::{Place, Target},
};

#[derive(Debug)]
pub(super) struct Names(Vec<Name>);

#[derive(Debug)]
struct Name {
    target: Arc<Target>,
    name: Arc<str>,
    refresh: Refresh,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No answer yet, or none that is worth anything any more.
    Unknown,
    Known,
    Failed(Cause),
}

/// A name to ask for.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) name: Arc<str>,
    index: usize,
}

impl Names {
    pub(super) fn new(targets: &[Arc<Target>]) -> Self {
        let of = |target: &Arc<Target>| match &target.place {
            Place::Address(_) => None,
            Place::Name(name) => Some(Name {
                target: target.clone(),
                name: name.clone(),
                refresh: Refresh::default(),
                state: State::Unknown,
            }),
        };
        Self(targets.iter().filter_map(of).collect())
    }

    /// What is to be asked for now; counts as asked.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Question> {
        let mut due = Vec::new();
        for (index, name) in self.0.iter_mut().enumerate() {
            if name.refresh.begin(now) {
                if let State::Failed(_) = name.state {
                    name.state = State::Unknown;
                }
                due.push(Question { name: name.name.clone(), index });
            }
        }
        due
    }

    /// Takes an answer; gives the target and its addresses if they are to be replaced.
    pub(super) fn answered(
        &mut self,
        question: &Question,
        answer: io::Result<Vec<SocketAddr>>,
    ) -> Option<(Arc<Target>, Vec<SocketAddr>)> {
        let name = &mut self.0[question.index];
        name.refresh.end(answer.is_err());
        match (answer, &name.state) {
            (Ok(addresses), _) => {
                name.state = State::Known;
                Some((name.target.clone(), addresses))
            }
            // What was known is still the best there is.
            (Err(_), State::Known) => None,
            (Err(error), _) => {
                name.state = State::Failed(Cause::new(error));
                None
            }
        }
    }

    /// Whether every name has been answered, well or badly.
    pub(super) fn all_answered(&self) -> bool {
        self.0.iter().all(|name| !matches!(name.state, State::Unknown))
    }

    /// A connection to an address of this target failed.
    pub(super) fn want(&mut self, target: &Arc<Target>) {
        self.0.iter_mut().filter(|name| Arc::ptr_eq(&name.target, target)).for_each(|name| name.refresh.want());
    }

    /// The first name without an address, and why.
    pub(super) fn failure(&self) -> Option<(Arc<str>, Cause)> {
        self.0.iter().find_map(|name| match &name.state {
            State::Failed(cause) => Some((name.target.name.clone(), cause.clone())),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::transport::Endpoint;

    use super::*;

    fn names(urls: &[&'static str]) -> Names {
        let target = |url: &&'static str| Arc::new(Target::new(url, Endpoint::from_static(url)));
        Names::new(&urls.iter().map(target).collect::<Vec<_>>())
    }

    fn lost() -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("no such name"))
    }

    #[test]
    fn only_names_are_asked_for_and_addresses_answer_themselves() {
        let mut names = names(&["http://127.0.0.1:1", "http://rows.test:5"]);
        assert!(!names.all_answered());
        let due = names.due(Instant::now());
        assert_eq!(due.iter().map(|question| &*question.name).collect::<Vec<_>>(), ["rows.test:5"]);
        let address = SocketAddr::from(([127, 0, 0, 1], 5));
        let (target, addresses) = names.answered(&due[0], Ok(vec![address])).unwrap();
        assert_eq!((&*target.name, addresses), ("http://rows.test:5", vec![address]));
        assert!(names.all_answered() && names.failure().is_none());
    }

    #[test]
    fn a_failed_answer_changes_nothing_that_is_known_and_an_unknown_name_is_waited_for_again() {
        let (mut names, start) = (names(&["http://rows.test:5"]), Instant::now());
        let due = names.due(start);
        assert!(names.answered(&due[0], lost()).is_none());
        assert!(names.all_answered(), "badly, but answered");
        assert_eq!(names.failure().unwrap().1.to_string(), "no such name");
        let due = names.due(start + Duration::from_secs(1));
        assert!(!names.all_answered(), "the failure of then is not an answer of now");
        names.answered(&due[0], Ok(vec![])).unwrap();
        let due = names.due(start + Duration::from_secs(60));
        assert!(names.answered(&due[0], lost()).is_none());
        assert!(names.failure().is_none(), "what was known still holds");
    }
}
