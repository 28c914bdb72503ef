//! A row as it comes from PostgreSQL, whichever way it was read.

use sqlx::{Row as _, ValueRef as _, postgres::PgRow};

use super::{
    Malformed,
    gather::{Gathered, Refused},
};

/// The values of one row in PostgreSQL's binary form.
pub(crate) trait RawRow {
    /// How many there are.
    fn len(&self) -> usize;

    /// All of them, in order; `None` is NULL.
    fn values(&self) -> impl Iterator<Item = Result<Option<&[u8]>, Malformed>>;

    /// One of them.
    fn value(&self, column: usize) -> Result<Option<&[u8]>, Malformed> {
        self.values().nth(column).unwrap_or(Err(Malformed::Binary))
    }

    /// Adds as many of its values as the others have, if they are at most `limit` bytes.
    #[inline]
    fn gather(&self, gathered: &mut Gathered, limit: usize) -> Result<(), Refused> {
        gathered.add(self.values(), limit)
    }
}

/// A row whose last value is not for the caller.
#[derive(Debug)]
pub(crate) struct WithoutLast<'r, R>(pub(crate) &'r R);

impl<R: RawRow> RawRow for WithoutLast<'_, R> {
    fn len(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    #[inline]
    fn values(&self) -> impl Iterator<Item = Result<Option<&[u8]>, Malformed>> {
        self.0.values().take(self.len())
    }

    #[inline]
    fn value(&self, column: usize) -> Result<Option<&[u8]>, Malformed> {
        self.0.value(column)
    }

    #[inline]
    fn gather(&self, gathered: &mut Gathered, limit: usize) -> Result<(), Refused> {
        self.0.gather(gathered, limit)
    }
}

impl RawRow for PgRow {
    fn len(&self) -> usize {
        sqlx::Row::len(self)
    }

    #[inline]
    fn values(&self) -> impl Iterator<Item = Result<Option<&[u8]>, Malformed>> {
        (0..RawRow::len(self)).map(|column| self.value(column))
    }

    #[inline]
    fn value(&self, column: usize) -> Result<Option<&[u8]>, Malformed> {
        let value = self.try_get_raw(column).map_err(|_| Malformed::Binary)?;
        if value.is_null() {
            return Ok(None);
        }
        value.as_bytes().map(Some).map_err(|_| Malformed::Binary)
    }
}
