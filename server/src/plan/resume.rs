//! Where a stream goes on: what a request says of it, and what a resume token holds. Which row boundary a stream is at
//! is for `stream::bookmark`; the order by which a boundary is found again, for `keyset`.

use std::collections::BTreeMap;

use prost::Message;
use ring::digest::{self, SHA256};
use rowstream_contract::v1;

use super::request::invalid;
use crate::{
    encode::prefixed,
    error::Error,
    token::{Keys, Kind},
};

/// The most columns of a key: PostgreSQL's limit for an index.
const MAX_KEY: usize = 32;
/// In `resume_key`, a table's primary key.
const PRIMARY_KEY: &str = "*";

/// What a resume token holds.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Mark {
    /// Of the request that it is for.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) fingerprint: Vec<u8>,
    /// Of the columns that the rows had.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) shape: Vec<u8>,
    /// Rows before the boundary, from the beginning of the whole result.
    #[prost(int64, tag = "3")]
    pub(crate) rows: i64,
    /// Unset at the beginning.
    #[prost(oneof = "Position", tags = "4, 5")]
    pub(crate) position: Option<Position>,
}

/// The row before a boundary, by which the boundary is found again.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Position {
    /// Its key: a [`Key`].
    #[prost(bytes = "vec", tag = "4")]
    Keyset(Vec<u8>),
    /// Where it lies, as the bytes of a [`Place`](super::partition::ctid::Place).
    #[prost(bytes = "vec", tag = "5")]
    Place(Vec<u8>),
}

/// The values of a row's key: of each its length and its bytes as PostgreSQL sent them, or a length of -1 for NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) Vec<u8>);

impl Key {
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        // PostgreSQL's own lengths are of this type.
        let length = value.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.0.extend(length.to_be_bytes());
        self.0.extend(value.unwrap_or_default());
    }

    /// The values; `None` if that is no key of so many.
    pub(crate) fn values(&self, count: usize) -> Option<Vec<Option<&[u8]>>> {
        let mut rest = self.0.as_slice();
        let values = (0..count).map(|_| prefixed(&mut rest).ok()).collect::<Option<Vec<_>>>()?;
        rest.is_empty().then_some(values)
    }
}

/// What a request says of resuming. The default: nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resume {
    /// The columns it names; empty if it names none.
    pub(crate) key: Vec<String>,
    pub(crate) fingerprint: Vec<u8>,
    /// Where it goes on; `None`: it begins.
    pub(crate) from: Option<Mark>,
}

impl Resume {
    /// `fingerprint` is the request's, taken while it was [whole](fingerprint).
    pub(crate) fn try_new(request: &v1::StreamQueryRequest, fingerprint: Vec<u8>, keys: &Keys) -> Result<Self, Error> {
        let key = request.resume_key.clone();
        if key.len() > MAX_KEY {
            return Err(invalid("resume_key", "has more than 32 columns"));
        }
        if let Some(twice) = key.iter().enumerate().find_map(|(i, name)| key[..i].contains(name).then_some(name)) {
            return Err(invalid("resume_key", &format!("has {twice:?} twice")));
        }
        let from = match request.resume_token.as_slice() {
            [] => None,
            token => {
                let mark: Mark = keys.open(Kind::Resume, token)?;
                if mark.fingerprint != fingerprint || mark.rows < 0 {
                    return Err(Error::InvalidToken("resume_token"));
                }
                Some(mark)
            }
        };
        Ok(Self { key, fingerprint, from })
    }

    /// Whether the primary key is asked for by its sign.
    pub(crate) fn by_primary_key(&self) -> bool {
        self.key == [PRIMARY_KEY]
    }

    /// Rows that were sent before.
    pub(crate) fn rows(&self) -> i64 {
        self.from.as_ref().map_or(0, |mark| mark.rows)
    }

    /// The row that was the last one.
    pub(crate) fn position(&self) -> Option<&Position> {
        self.from.as_ref()?.position.as_ref()
    }

    /// Whether what goes on are rows of the same shape.
    pub(crate) fn expect(&self, shape: &[u8]) -> Result<(), Error> {
        match &self.from {
            Some(mark) if mark.shape != shape => Err(Error::SchemaChanged),
            _ => Ok(()),
        }
    }
}

/// Of what of a request must be the same whenever it goes on: all but the place, and what only says how it is to be read.
/// That is put aside meanwhile: a statement may be large.
pub(crate) fn fingerprint(request: &mut v1::StreamQueryRequest) -> Vec<u8> {
    let token = std::mem::take(&mut request.resume_token);
    let id = std::mem::take(&mut request.query_id);
    let strategy = std::mem::take(&mut request.strategy);
    let sizes = (std::mem::take(&mut request.max_batch_rows), std::mem::take(&mut request.max_batch_bytes));
    let named = request.statement.as_mut().map(|statement| std::mem::take(&mut statement.named_parameters));
    let mut hash = digest::Context::new(&SHA256);
    hash.update(&request.encode_length_delimited_to_vec());
    for (name, value) in named.iter().flatten().collect::<BTreeMap<_, _>>() {
        hash.update(&name.encode_length_delimited_to_vec());
        hash.update(&value.encode_length_delimited_to_vec());
    }
    (request.resume_token, request.query_id, request.strategy) = (token, id, strategy);
    (request.max_batch_rows, request.max_batch_bytes) = sizes;
    if let (Some(statement), Some(named)) = (&mut request.statement, named) {
        statement.named_parameters = named;
    }
    hash.finish().as_ref().to_vec()
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
