//! A batch of rows and the ways to hold one of them: [`RowRef`] borrows, [`Row`] keeps the batch
//! alive.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;

use super::{
    ColumnIndex, Columns, DecodeError, FromValue, InvalidUtf8, RawValue, ValueRef, deserialize,
    scan::{self, Malformed, Scan},
};

/// Consecutive rows of a result. Cheap to clone.
#[derive(Clone)]
pub struct RowBatch {
    inner: Arc<Inner>,
}

struct Inner {
    columns: Columns,
    body: Bytes,
    scan: Scan,
    first_row: u64,
}

impl fmt::Debug for RowBatch {
    /// Tells the sizes only: row data belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowBatch({} rows from {}, {} bytes)", self.len(), self.first_row(), self.body().len())
    }
}

impl RowBatch {
    /// Reads the content of a `rowstream.v1.RowBatch` whose first row has that number.
    ///
    /// # Errors
    /// If the bytes are malformed, or a row has not as many values as there are columns.
    pub fn try_new(columns: Columns, body: Bytes, first_row: u64) -> Result<Self, Malformed> {
        let scan = scan::batch(&body, columns.len())?;
        Ok(Self { inner: Arc::new(Inner { columns, body, scan, first_row }) })
    }

    /// Reads the content of a single `rowstream.v1.Row`.
    pub(crate) fn of_one_row(columns: Columns, body: Bytes) -> Result<Self, Malformed> {
        let scan = scan::single(&body, columns.len())?;
        Ok(Self { inner: Arc::new(Inner { columns, body, scan, first_row: 0 }) })
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.scan.rows
    }

    /// Whether it has none; a batch of a stream has at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of its first row in the whole result, from 0.
    #[must_use]
    pub fn first_row(&self) -> u64 {
        self.inner.first_row
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.inner.columns
    }

    /// The row of that index within the batch.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<RowRef<'_>> {
        (index < self.len()).then_some(RowRef { batch: &self.inner, index })
    }

    /// The rows, in order, without a clone of the batch for each.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowRef<'_>> {
        (0..self.len()).map(|index| RowRef { batch: &self.inner, index })
    }

    /// The rows, in order, each of which keeps the batch alive.
    pub fn into_rows(self) -> Rows {
        Rows { batch: self, next: 0 }
    }

    /// The encoded rows.
    pub(crate) fn body(&self) -> &[u8] {
        &self.inner.body
    }

    /// The batch without its first rows.
    fn without_first(&self, rows: usize) -> Self {
        let Inner { columns, body, scan, first_row } = &*self.inner;
        let offsets = scan.offsets[rows * columns.len()..].to_vec();
        let scan = Scan { offsets, rows: scan.rows - rows };
        let (columns, body, first_row) = (columns.clone(), body.clone(), first_row + rows as u64);
        Self { inner: Arc::new(Inner { columns, body, scan, first_row }) }
    }
}

/// The rows of a batch, one by one.
#[derive(Clone, Debug)]
pub struct Rows {
    batch: RowBatch,
    next: usize,
}

impl Rows {
    /// What has not been taken yet, if anything.
    pub(crate) fn into_rest(self) -> Option<RowBatch> {
        match self.next {
            0 => Some(self.batch),
            taken if taken < self.batch.len() => Some(self.batch.without_first(taken)),
            _ => None,
        }
    }
}

impl Iterator for Rows {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let index = self.next;
        (index < self.batch.len()).then(|| {
            self.next += 1;
            Row { batch: self.batch.inner.clone(), index }
        })
    }
}

/// A row that keeps its whole batch (96 KiB, typically) in memory. Cheap to clone.
#[derive(Clone)]
pub struct Row {
    batch: Arc<Inner>,
    index: usize,
}

/// A row, borrowed from its batch.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    batch: &'a Inner,
    index: usize,
}

impl fmt::Debug for Row {
    /// Tells where it is only: row data belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({})", self.number())
    }
}

impl fmt::Debug for RowRef<'_> {
    /// Tells where it is only: row data belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({})", self.number())
    }
}

impl Row {
    /// The row, borrowed.
    #[must_use]
    pub fn by_ref(&self) -> RowRef<'_> {
        RowRef { batch: &self.batch, index: self.index }
    }

    /// The row's number in the whole result, from 0.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.by_ref().number()
    }

    /// How many values it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_ref().len()
    }

    /// Whether it has no values, as of a statement without columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_ref().is_empty()
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        self.by_ref().columns()
    }

    /// A value by position or name.
    ///
    /// # Errors
    /// If there is no such column, or its text is not valid UTF-8.
    pub fn value(&self, column: impl ColumnIndex) -> Result<ValueRef<'_>, DecodeError> {
        self.by_ref().value(column)
    }

    /// A value by position or name, as a Rust type.
    ///
    /// # Errors
    /// If there is no such column, or its value is of another type.
    pub fn get<'a, T: FromValue<'a>>(&'a self, column: impl ColumnIndex) -> Result<T, DecodeError> {
        self.by_ref().get(column)
    }

    /// The row as a Rust struct (by column names), map, tuple or sequence (by position).
    ///
    /// # Errors
    /// What the type's `Deserialize` says.
    pub fn deserialize<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        self.by_ref().deserialize()
    }
}

impl<'a> RowRef<'a> {
    /// The row's number in the whole result, from 0.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.batch.first_row + self.index as u64
    }

    /// How many values it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns().len()
    }

    /// Whether it has no values, as of a statement without columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns().is_empty()
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &'a Columns {
        &self.batch.columns
    }

    /// The values, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Result<ValueRef<'a>, InvalidUtf8>> + use<'a> {
        let body = &self.batch.body;
        self.offsets().iter().map(|offset| ValueRef::read(body, *offset))
    }

    /// The values, in order, their text unchecked.
    #[inline]
    pub(crate) fn raw_values(&self) -> impl ExactSizeIterator<Item = RawValue<'a>> + use<'a> {
        let body = &self.batch.body;
        self.offsets().iter().map(|offset| RawValue::read(body, *offset))
    }

    #[inline]
    fn offsets(&self) -> &'a [u32] {
        let width = self.batch.columns.len();
        &self.batch.scan.offsets[self.index * width..][..width]
    }

    /// A value by position or name.
    ///
    /// # Errors
    /// If there is no such column, or its text is not valid UTF-8.
    pub fn value(&self, column: impl ColumnIndex) -> Result<ValueRef<'a>, DecodeError> {
        let columns = self.columns();
        let position = column.position(columns)?;
        ValueRef::read(&self.batch.body, self.offsets()[position])
            .map_err(|error| DecodeError::value(&columns[position], error))
    }

    /// A value by position or name, as a Rust type.
    ///
    /// # Errors
    /// If there is no such column, or its value is of another type.
    pub fn get<T: FromValue<'a>>(&self, column: impl ColumnIndex) -> Result<T, DecodeError> {
        let position = column.position(self.columns())?;
        T::from_value(self.value(position)?).map_err(|error| DecodeError::value(&self.columns()[position], error))
    }

    /// The row as a Rust struct (by column names), map, tuple or sequence (by position).
    ///
    /// # Errors
    /// What the type's `Deserialize` says.
    pub fn deserialize<T: Deserialize<'a>>(&self) -> Result<T, DecodeError> {
        T::deserialize(deserialize::RowDeserializer::new(*self)).map_err(deserialize::Failure::into_error)
    }
}
