//! Outcomes that are ready and not yet taken, in the order in which they are given out.

use std::collections::{BTreeMap, VecDeque};

/// What waits for the consumer.
#[derive(Debug)]
pub(super) enum Ready<T> {
    /// As they came.
    AsReady(VecDeque<T>),
    /// By place in the input, none before `next`.
    InOrder { next: u64, window: u64, held: BTreeMap<u64, T> },
}

impl<T> Ready<T> {
    pub(super) fn new(window: Option<usize>) -> Self {
        match window {
            None => Self::AsReady(VecDeque::new()),
            Some(window) => {
                let window = u64::try_from(window).unwrap_or(u64::MAX);
                Self::InOrder { next: 0, window, held: BTreeMap::new() }
            }
        }
    }

    pub(super) fn push(&mut self, index: u64, item: T) {
        match self {
            Self::AsReady(queue) => queue.push_back(item),
            Self::InOrder { held, .. } => drop(held.insert(index, item)),
        }
    }

    /// The next one to be given out, if it is there.
    pub(super) fn pop(&mut self) -> Option<T> {
        match self {
            Self::AsReady(queue) => queue.pop_front(),
            Self::InOrder { next, held, .. } => {
                let item = held.remove(next)?;
                *next += 1;
                Some(item)
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::AsReady(queue) => queue.len(),
            Self::InOrder { held, .. } => held.len(),
        }
    }

    /// Whether the call in this place may begin.
    pub(super) fn has_room_for(&self, index: u64) -> bool {
        match self {
            Self::AsReady(_) => true,
            Self::InOrder { next, window, .. } => index < next.saturating_add(*window),
        }
    }

    /// How many that wait take the place of a call under way. Those that are held back for an earlier one do not: the
    /// window bounds them.
    pub(super) fn counted(&self) -> usize {
        match self {
            Self::AsReady(queue) => queue.len(),
            Self::InOrder { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_none_passes_another_and_the_window_is_a_bound() {
        let mut ready = Ready::new(Some(3));
        ready.push(1, 'b');
        ready.push(2, 'c');
        assert_eq!((ready.pop(), ready.len()), (None, 2));
        assert!(ready.has_room_for(2) && !ready.has_room_for(3));
        ready.push(0, 'a');
        assert_eq!([ready.pop(), ready.pop()], [Some('a'), Some('b')]);
        assert!(ready.has_room_for(4) && !ready.has_room_for(5));
        assert_eq!((ready.pop(), ready.pop()), (Some('c'), None));
    }

    #[test]
    fn as_ready_the_first_to_come_is_the_first_to_go() {
        let mut ready = Ready::new(None);
        ready.push(5, 'f');
        ready.push(0, 'a');
        assert!(ready.has_room_for(u64::MAX));
        assert_eq!((ready.counted(), ready.pop(), ready.pop(), ready.pop()), (2, Some('f'), Some('a'), None));
    }
}
