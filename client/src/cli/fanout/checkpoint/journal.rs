//! The lines behind a checkpoint's first: one for each call whose part of the output is on disk, as
//! `[position,end,ok,crc32c]`, in the order of the output. `end` is where the part ends in the output, which is
//! where the next begins.

use std::{
    io::{self, BufRead},
    ops::Range,
};

/// One call in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) position: u64,
    pub(super) end: u64,
    pub(super) ok: bool,
    /// Of its part of the output.
    pub(super) crc: u32,
}

impl Entry {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Self { position, end, ok, crc } = *self;
        out.extend_from_slice(format!("[{position},{end},{},{crc}]\n", u8::from(ok)).as_bytes());
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let (position, end, ok, crc) = serde_json::from_slice::<(u64, u64, u8, u32)>(line).ok()?;
        (ok <= 1).then_some(Self { position, end, ok: ok == 1, crc })
    }
}

/// The entries of a journal that count: up to a line that was not written to its end.
#[derive(Debug)]
pub(super) struct Entries<R> {
    journal: R,
    line: Vec<u8>,
    /// Where the last part of the output ends.
    end: u64,
    /// Bytes of the journal that count.
    pub(super) length: u64,
    number: u64,
}

impl<R: BufRead> Entries<R> {
    /// Begins behind the first line, whose length is given, with the output's own first bytes.
    pub(super) fn new(journal: R, first_line: u64, head: u64) -> Self {
        Self { journal, line: Vec::new(), end: head, length: first_line, number: 1 }
    }

    /// The next entry, and where its part of the output is.
    pub(super) fn next(&mut self) -> io::Result<Option<(Entry, Range<u64>)>> {
        self.line.clear();
        self.journal.read_until(b'\n', &mut self.line)?;
        self.number += 1;
        if !self.line.ends_with(b"\n") {
            return Ok(None);
        }
        let entry = Entry::parse(&self.line)
            .filter(|entry| entry.end >= self.end)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("line {} is damaged", self.number)))?;
        let part = self.end..entry.end;
        self.end = entry.end;
        self.length += u64::try_from(self.line.len()).unwrap_or_default();
        Ok(Some((entry, part)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions with their parts of the output.
    type Parts = Vec<(u64, Range<u64>)>;

    fn all(journal: &[u8]) -> io::Result<(Parts, u64)> {
        let mut entries = Entries::new(journal, 100, 5);
        let mut all = Vec::new();
        while let Some((entry, part)) = entries.next()? {
            all.push((entry.position, part));
        }
        Ok((all, entries.length))
    }

    #[test]
    fn entries_read_back_up_to_one_that_is_cut_off() {
        let mut journal = Vec::new();
        Entry { position: 3, end: 20, ok: true, crc: u32::MAX }.write(&mut journal);
        Entry { position: 0, end: 20, ok: false, crc: 0 }.write(&mut journal);
        let whole = journal.len();
        Entry { position: 1, end: 45, ok: true, crc: 7 }.write(&mut journal);
        let three = (vec![(3, 5..20), (0, 20..20), (1, 20..45)], 100 + journal.len() as u64);
        assert_eq!(all(&journal).unwrap(), three);
        for cut in whole..journal.len() {
            assert_eq!(all(&journal[..cut]).unwrap(), (vec![(3, 5..20), (0, 20..20)], 100 + whole as u64), "{cut}");
        }
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for journal in [&b"[0,20,1,7]\nx\n"[..], b"[0,20,1,7]\n[1,19,1,7]\n", b"[0,20,1,7]\n[1,30,2,7]\n"] {
            assert_eq!(all(journal).unwrap_err().to_string(), "line 3 is damaged");
        }
    }
}
