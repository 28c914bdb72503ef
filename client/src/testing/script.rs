//! Which call gets which answer.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
};

use tonic::Code;

use super::{
    Answer, Request,
    answer::{Content, Failure},
};
use crate::Reason;

/// One answer after the other; the last one for every call after it.
///
/// Made from an [`Answer`], or from several of them in an array or vector.
#[derive(Clone, Debug)]
pub struct Answers(VecDeque<Answer>);

impl From<Answer> for Answers {
    fn from(answer: Answer) -> Self {
        Self([answer].into())
    }
}

impl<const N: usize> From<[Answer; N]> for Answers {
    fn from(answers: [Answer; N]) -> Self {
        Self(answers.into())
    }
}

impl From<Vec<Answer>> for Answers {
    fn from(answers: Vec<Answer>) -> Self {
        Self(answers.into())
    }
}

impl Answers {
    fn next(&mut self) -> Option<Answer> {
        if self.0.len() > 1 { self.0.pop_front() } else { self.0.front().cloned() }
    }
}

/// Decides by what the call says.
pub(super) type Decide = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

pub(super) enum Rule {
    Answers(Answers),
    Decide(Decide),
}

/// The rules of a server: by the name of a query, the text of a statement or the name of a table, and one for the rest.
#[derive(Default)]
pub(super) struct Script {
    rules: HashMap<String, Rule>,
    otherwise: Option<Rule>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.rules.keys()).finish()
    }
}

/// An answer, or who decides on it: a closure of the user's is not called under our lock.
pub(super) enum Found {
    Answer(Answer),
    Decide(Decide),
}

impl Script {
    pub(super) fn set(&mut self, query: String, rule: Rule) {
        self.rules.insert(query, rule);
    }

    pub(super) fn set_otherwise(&mut self, rule: Rule) {
        self.otherwise = Some(rule);
    }

    pub(super) fn find(&mut self, query: &str) -> Found {
        let rule = self.rules.get_mut(query).or(self.otherwise.as_mut());
        match rule {
            Some(Rule::Decide(decide)) => Found::Decide(decide.clone()),
            Some(Rule::Answers(answers)) => Found::Answer(answers.next().unwrap_or_else(|| unknown(query))),
            None => Found::Answer(unknown(query)),
        }
    }
}

fn unknown(query: &str) -> Answer {
    let message = format!("the fake server has no answer for {query:?}: script one with FakeServer::on");
    let failure = Failure::new(Code::NotFound, Some(Reason::UnknownQuery)).message(message);
    Answer { delay: std::time::Duration::ZERO, content: Content::Error(failure) }
}
