//! How many calls may begin in a second, and how many may be under way at once.
//!
//! A rate is never held by a permit, nor a concurrency by a token: [`Rate`] bounds beginnings, [`Concurrency`] what is
//! under way. Both are decisions on tokio's clock, without a task or a thread of their own; who waits for them is in
//! `fanout`.

mod adaptive;
mod rate;

pub use self::{adaptive::Adaptive, rate::Rate};
pub(crate) use self::{
    adaptive::{AdaptiveLimit, Sample},
    rate::TokenBucket,
};

/// How many calls may be under way at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Concurrency {
    /// So many; 0 counts as 1.
    Fixed(usize),
    /// As many as make calls no slower, found while they run.
    Adaptive(Adaptive),
}

impl Concurrency {
    /// So many at once; 0 counts as 1.
    #[must_use]
    pub const fn fixed(calls: usize) -> Self {
        Self::Fixed(calls)
    }

    /// As many as make calls no slower, up to `most`.
    #[must_use]
    pub fn adaptive(most: usize) -> Self {
        Self::Adaptive(Adaptive::up_to(most))
    }

    /// The most that it can come to.
    pub(crate) fn most(&self) -> usize {
        match self {
            Self::Fixed(calls) => (*calls).max(1),
            Self::Adaptive(adaptive) => adaptive.most(),
        }
    }
}

impl From<usize> for Concurrency {
    fn from(calls: usize) -> Self {
        Self::Fixed(calls)
    }
}
