//! Which inputs are done: a bit each, so that a million take 125 KB.

/// A set of positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    words: Vec<u64>,
    count: u64,
}

impl Done {
    /// Adds a position; answers whether it was new. Fails for one that no input can have.
    pub(crate) fn insert(&mut self, position: u64) -> Option<bool> {
        let (word, bit) = place(position)?;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += u64::from(new);
        Some(new)
    }

    pub(crate) fn contains(&self, position: u64) -> bool {
        place(position).is_some_and(|(word, bit)| self.words.get(word).is_some_and(|word| word & bit != 0))
    }

    pub(crate) fn len(&self) -> u64 {
        self.count
    }
}

/// A position beyond this is damage, and would take more than 8 GiB to note.
const MAX_POSITION: u64 = 1 << 36;

fn place(position: u64) -> Option<(usize, u64)> {
    let word = usize::try_from(position / 64).ok().filter(|_| position < MAX_POSITION)?;
    Some((word, 1 << (position % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_is_counted_once() {
        let mut done = Done::default();
        for (position, new) in [(0, true), (63, true), (64, true), (1_000_000, true), (64, false), (0, false)] {
            assert_eq!(done.insert(position), Some(new), "{position}");
        }
        assert_eq!(done.len(), 4);
        for (position, contained) in
            [(0, true), (1, false), (63, true), (65, false), (1_000_000, true), (u64::MAX, false)]
        {
            assert_eq!(done.contains(position), contained, "{position}");
        }
        assert_eq!(done.insert(u64::MAX), None);
    }
}
