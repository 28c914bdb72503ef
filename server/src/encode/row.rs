//! A row as it comes from PostgreSQL, whichever way it was read.

use sqlx::{Row as _, ValueRef as _, postgres::PgRow};

use super::Malformed;

/// The values of one row in PostgreSQL's binary form.
pub(crate) trait RawRow {
    /// How many there are.
    fn len(&self) -> usize;

    /// The value of a column; `None` is NULL.
    fn value(&self, column: usize) -> Result<Option<&[u8]>, Malformed>;
}

/// A row whose last value is not for the caller.
#[derive(Debug)]
pub(crate) struct WithoutLast<'r, R>(pub(crate) &'r R);

impl<R: RawRow> RawRow for WithoutLast<'_, R> {
    fn len(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    #[inline]
    fn value(&self, column: usize) -> Result<Option<&[u8]>, Malformed> {
        self.0.value(column)
    }
}

impl RawRow for PgRow {
    fn len(&self) -> usize {
        sqlx::Row::len(self)
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
