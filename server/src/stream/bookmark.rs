//! Which row boundary a stream is at, and the token that leads back to it.
//!
//! Of each row only what its position is made of is noted: the key's bytes. A token is made once a batch.

use rowstream_contract::v1::ResumeGuarantee;

use crate::{
    encode::{Malformed, row::RawRow},
    plan::{
        keyset::Keyset,
        partition::ctid::Place,
        resume::{Key, Mark, Position, Resume},
    },
    token::{Keys, Kind},
};

/// A boundary with a larger key has no token: it would not fit the headers that a status travels in.
const MAX_KEY_BYTES: usize = 4096;

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// It is to be sent.
    Taken,
    /// It is the last one of the stream before.
    Seam,
    /// It has the key of the row before it.
    NotUnique,
    /// It does not lie behind the row before it.
    OutOfPlace,
}

/// Keeps the place.
#[derive(Debug)]
pub(super) struct Bookmark<'a> {
    keys: &'a Keys,
    /// It is a stream of a snapshot that others can read, too.
    exact: bool,
    /// The mark at the beginning of this stream.
    start: Mark,
    track: Track,
    /// Rows beyond are none of the result's.
    limit: i64,
}

/// What a position is made of.
#[derive(Debug)]
enum Track {
    /// There is none: no token is given.
    Nothing,
    Keyset(Box<KeyTrack>),
    Places(PlaceTrack),
}

/// The places of the last row and of the one before it.
#[derive(Debug)]
struct PlaceTrack {
    begun: bool,
    last: [u8; Place::BYTES],
    previous: [u8; Place::BYTES],
}

#[derive(Debug)]
struct KeyTrack {
    /// See [`Keyset::columns`].
    columns: Vec<(usize, bool)>,
    seam: Option<Key>,
    /// A row has been taken.
    begun: bool,
    last: Key,
    /// That of the row before the last.
    previous: Key,
}

impl<'a> Bookmark<'a> {
    pub(super) fn new(keys: &'a Keys, resume: &Resume, keyset: Option<Keyset>) -> Self {
        let Resume { fingerprint, from, .. } = resume;
        let position = from.as_ref().and_then(|mark| mark.position.clone());
        let limit = keyset.as_ref().and_then(|keyset| keyset.limit).unwrap_or(i64::MAX);
        let (shape, track) = match keyset {
            Some(Keyset { columns, shape, seam, .. }) => {
                let (last, previous) = (Key::default(), Key::default());
                (shape, Track::Keyset(Box::new(KeyTrack { columns, seam, begun: false, last, previous })))
            }
            None => (Vec::new(), Track::Nothing),
        };
        Self {
            keys,
            exact: false,
            start: Mark { fingerprint: fingerprint.clone(), shape, rows: resume.rows(), position },
            track,
            limit,
        }
    }

    /// What goes on does so in the same snapshot.
    pub(super) fn in_snapshot(self) -> Self {
        Self { exact: true, ..self }
    }

    /// The rows tell their places, and are of the shape of the part that they are of.
    pub(super) fn by_place(mut self, shape: &[u8]) -> Self {
        self.start.shape = shape.to_vec();
        let last = match &self.start.position {
            Some(Position::Place(bytes)) => <[u8; Place::BYTES]>::try_from(bytes.as_slice()).unwrap_or_default(),
            _ => [0; Place::BYTES],
        };
        self.track = Track::Places(PlaceTrack { begun: false, last, previous: last });
        self
    }

    pub(super) fn guarantee(&self) -> ResumeGuarantee {
        match self.track {
            Track::Nothing => ResumeGuarantee::None,
            Track::Keyset(_) if !self.exact => ResumeGuarantee::KeysetLive,
            Track::Keyset(_) | Track::Places(_) => ResumeGuarantee::ExactSnapshot,
        }
    }

    /// Rows of the streams before.
    pub(super) fn rows_before(&self) -> i64 {
        self.start.rows
    }

    /// How many rows the whole result has at most.
    pub(super) fn limit(&self) -> i64 {
        self.limit
    }

    /// Whether a row may still come that is not to be sent.
    pub(super) fn awaits_seam(&self) -> bool {
        matches!(&self.track, Track::Keyset(track) if track.seam.is_some())
    }

    /// Notes a row.
    #[inline]
    pub(super) fn pass(&mut self, row: &impl RawRow) -> Result<Passed, Malformed> {
        match &mut self.track {
            Track::Nothing => Ok(Passed::Taken),
            Track::Keyset(track) => track.pass(row),
            Track::Places(track) => track.pass(row),
        }
    }

    /// The token of the beginning.
    pub(super) fn at_start(&self) -> Vec<u8> {
        match self.track {
            Track::Nothing => Vec::new(),
            Track::Keyset(_) | Track::Places(_) => self.seal(self.start.clone()),
        }
    }

    /// The token behind so many rows: `last` behind the last one that was noted, else behind the one before it.
    pub(super) fn behind(&self, rows: i64, last: bool) -> Vec<u8> {
        let position = match &self.track {
            Track::Nothing => return Vec::new(),
            Track::Keyset(track) if !track.begun => return self.at_start(),
            Track::Places(track) if !track.begun => return self.at_start(),
            Track::Places(track) => Position::Place(if last { track.last } else { track.previous }.to_vec()),
            Track::Keyset(track) => {
                let key = if last { &track.last } else { &track.previous };
                if key.0.len() > MAX_KEY_BYTES {
                    return Vec::new();
                }
                Position::Keyset(key.0.clone())
            }
        };
        self.seal(Mark { rows, position: Some(position), ..self.start.clone() })
    }

    fn seal(&self, mark: Mark) -> Vec<u8> {
        self.keys.seal(Kind::Resume, &mark).to_vec()
    }
}

impl PlaceTrack {
    fn pass(&mut self, row: &impl RawRow) -> Result<Passed, Malformed> {
        let place = row.value(row.len().wrapping_sub(1))?.unwrap_or_default();
        let place = <[u8; Place::BYTES]>::try_from(place).map_err(|_| Malformed::Binary)?;
        self.begun = true;
        (self.previous, self.last) = (self.last, place);
        // No item has the number 0, so the first row lies behind the beginning.
        Ok(if self.last > self.previous { Passed::Taken } else { Passed::OutOfPlace })
    }
}

impl KeyTrack {
    fn pass(&mut self, row: &impl RawRow) -> Result<Passed, Malformed> {
        std::mem::swap(&mut self.last, &mut self.previous);
        self.last.0.clear();
        for (column, padded) in &self.columns {
            let value = row.value(*column)?;
            self.last.push(if *padded { value.map(without_blanks) } else { value });
        }
        if let Some(seam) = self.seam.take()
            && seam == self.last
        {
            // What follows is compared with it all the same.
            self.begun = true;
            return Ok(Passed::Seam);
        }
        if std::mem::replace(&mut self.begun, true) && self.last == self.previous {
            return Ok(Passed::NotUnique);
        }
        Ok(Passed::Taken)
    }
}

fn without_blanks(value: &[u8]) -> &[u8] {
    let blanks = value.iter().rev().take_while(|byte| **byte == b' ').count();
    &value[..value.len() - blanks]
}

#[cfg(test)]
#[path = "bookmark_tests.rs"]
mod tests;
