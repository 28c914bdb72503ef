//! Which row boundary a stream is at, and the token that leads back to it.
//!
//! Of each row only what its position is made of is noted: the key's bytes. A token is made once a batch. Rows are noted
//! as they come and may be sent later: the positions of the last ones are kept.

use rowstream_contract::v1::ResumeGuarantee;

use crate::{
    encode::{Malformed, gather, row::RawRow},
    plan::{
        keyset::Keyset,
        partition::ctid::{Place, PlaceForm},
        resume::{Key, Mark, Position, Resume},
    },
    token::{Keys, Kind},
};

/// A boundary with a larger key has no token: it would not fit the headers that a status travels in.
const MAX_KEY_BYTES: usize = 4096;
/// So many positions are kept: of rows that wait to be encoded, of the one that came next, and of the one before all.
const KEPT: usize = gather::ROWS + 2;

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
    /// Rows of the whole result that were noted, also one that is not to be sent.
    noted: i64,
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

/// The places of rows, or the one where the stream begins.
#[derive(Debug)]
struct PlaceTrack {
    form: PlaceForm,
    places: Recent<[u8; Place::BYTES]>,
}

#[derive(Debug)]
struct KeyTrack {
    /// See [`Keyset::columns`].
    columns: Vec<(usize, bool)>,
    seam: Option<Key>,
    keys: Recent<Key>,
    /// In the making.
    next: Key,
}

/// The last of a series.
#[derive(Debug)]
struct Recent<T> {
    kept: Vec<T>,
    /// Where the last one is.
    last: usize,
}

impl<T: Default> Recent<T> {
    fn new() -> Self {
        Self { kept: Vec::with_capacity(KEPT), last: 0 }
    }

    /// Makes room for one more, in place of the oldest: what that was is still there.
    #[inline]
    fn next(&mut self) -> &mut T {
        if self.kept.len() < KEPT {
            self.last = self.kept.len();
            self.kept.push(T::default());
        } else {
            self.last = (self.last + 1) % KEPT;
        }
        &mut self.kept[self.last]
    }

    /// The last one, or one that came so many before it.
    #[inline]
    fn back(&mut self, count: usize) -> Option<&mut T> {
        let length = self.kept.len();
        if count < length { self.kept.get_mut((self.last + length - count) % length) } else { None }
    }
}

impl<'a> Bookmark<'a> {
    pub(super) fn new(keys: &'a Keys, resume: &Resume, keyset: Option<Keyset>) -> Self {
        let Resume { fingerprint, from, .. } = resume;
        let position = from.as_ref().and_then(|mark| mark.position.clone());
        let limit = keyset.as_ref().and_then(|keyset| keyset.limit).unwrap_or(i64::MAX);
        let (shape, track) = match keyset {
            Some(Keyset { columns, shape, seam, .. }) => {
                (shape, Track::Keyset(Box::new(KeyTrack { columns, seam, keys: Recent::new(), next: Key::default() })))
            }
            None => (Vec::new(), Track::Nothing),
        };
        Self {
            keys,
            exact: false,
            noted: resume.rows(),
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
    pub(super) fn by_place(mut self, form: PlaceForm, shape: &[u8]) -> Self {
        self.start.shape = shape.to_vec();
        let mut places = Recent::new();
        *places.next() = match &self.start.position {
            Some(Position::Place(bytes)) => <[u8; Place::BYTES]>::try_from(bytes.as_slice()).unwrap_or_default(),
            _ => [0; Place::BYTES],
        };
        self.track = Track::Places(PlaceTrack { form, places });
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
        let passed = match &mut self.track {
            Track::Nothing => Passed::Taken,
            Track::Keyset(track) => track.pass(row)?,
            Track::Places(track) => track.pass(row)?,
        };
        // The seam is that of the rows before.
        self.noted += i64::from(passed != Passed::Seam);
        Ok(passed)
    }

    /// The token of the beginning.
    pub(super) fn at_start(&self) -> Vec<u8> {
        match self.track {
            Track::Nothing => Vec::new(),
            Track::Keyset(_) | Track::Places(_) => self.seal(self.start.clone()),
        }
    }

    /// The token behind so many rows of the whole result, all of them noted.
    pub(super) fn behind(&mut self, rows: i64) -> Vec<u8> {
        if rows <= self.start.rows {
            return self.at_start();
        }
        let Ok(back) = usize::try_from(self.noted - rows) else { return Vec::new() };
        let position = match &mut self.track {
            Track::Nothing => None,
            Track::Places(track) => track.places.back(back).map(|place| Position::Place(place.to_vec())),
            Track::Keyset(track) => {
                let key = track.keys.back(back).filter(|key| key.0.len() <= MAX_KEY_BYTES && !key.0.is_empty());
                key.map(|key| Position::Keyset(key.0.clone()))
            }
        };
        let Some(position) = position else { return Vec::new() };
        self.seal(Mark { rows, position: Some(position), ..self.start.clone() })
    }

    fn seal(&self, mark: Mark) -> Vec<u8> {
        self.keys.seal(Kind::Resume, &mark).to_vec()
    }
}

impl PlaceTrack {
    fn pass(&mut self, row: &impl RawRow) -> Result<Passed, Malformed> {
        let place = row.value(row.len().wrapping_sub(1))?.unwrap_or_default();
        let place = self.form.place(place).ok_or(Malformed::Binary)?;
        // No item has the number 0, so the first row lies behind the beginning.
        let behind = self.places.back(0).is_none_or(|previous| place > *previous);
        *self.places.next() = place;
        Ok(if behind { Passed::Taken } else { Passed::OutOfPlace })
    }
}

impl KeyTrack {
    fn pass(&mut self, row: &impl RawRow) -> Result<Passed, Malformed> {
        self.next.0.clear();
        for (column, padded) in &self.columns {
            let value = row.value(*column)?;
            self.next.push(if *padded { value.map(without_blanks) } else { value });
        }
        // What follows is compared with the seam all the same.
        let passed = if self.seam.take().is_some_and(|seam| seam == self.next) {
            Passed::Seam
        } else if self.keys.back(0).is_some_and(|last| *last == self.next) {
            Passed::NotUnique
        } else {
            Passed::Taken
        };
        std::mem::swap(self.keys.next(), &mut self.next);
        // Of a large one only the next had to know.
        if let Some(large) = self.keys.back(1).filter(|key| key.0.len() > MAX_KEY_BYTES) {
            *large = Key::default();
        }
        Ok(passed)
    }
}

fn without_blanks(value: &[u8]) -> &[u8] {
    let blanks = value.iter().rev().take_while(|byte| **byte == b' ').count();
    &value[..value.len() - blanks]
}

#[cfg(test)]
#[path = "bookmark_tests.rs"]
mod tests;
