//! Composites: the buffers of a struct's fields.
//!
//! The binary form (`record_send`): the number of fields, and of each its type and its value, with its length or -1 for
//! NULL. Types and number must be those that were described; a composite may be altered while it is read.

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Fields};

use super::{Unfit, column::Column, types::Kind};
use crate::encode::{Malformed, prefixed, take};

/// The fields of the structs in the making.
#[derive(Debug)]
pub(super) struct Record {
    fields: Fields,
    /// The type that each field is of in the record, and its values: as many as there are structs.
    columns: Vec<(u32, Column)>,
    len: usize,
}

impl Record {
    pub(super) fn new(kinds: Vec<(u32, Kind)>, data_type: &DataType, unfit_as_null: bool, rows: usize) -> Self {
        let fields = match data_type {
            DataType::Struct(fields) => fields.clone(),
            _ => Fields::empty(),
        };
        let columns = kinds
            .into_iter()
            .zip(&fields)
            .map(|((oid, kind), field)| (oid, Column::new(kind, field.data_type().clone(), unfit_as_null, rows)));
        Self { columns: columns.collect(), fields, len: 0 }
    }

    /// Appends a struct; answers how many bytes it takes. One that fails leaves none of its fields behind.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<usize, Unfit> {
        let pushed = self.push_fields(bytes);
        match pushed {
            Ok(_) => self.len += 1,
            Err(_) => self.truncate(self.len),
        }
        pushed
    }

    fn push_fields(&mut self, mut bytes: &[u8]) -> Result<usize, Unfit> {
        let count = i32::from_be_bytes(take(&mut bytes)?);
        if usize::try_from(count).map_err(|_| Malformed::Binary)? != self.columns.len() {
            return Err(Unfit::Stale);
        }
        let mut size = 0;
        for (oid, column) in &mut self.columns {
            if u32::from_be_bytes(take(&mut bytes)?) != *oid {
                return Err(Unfit::Stale);
            }
            size += column.push(prefixed(&mut bytes)?)?;
        }
        if bytes.is_empty() { Ok(size) } else { Err(Malformed::Binary.into()) }
    }

    /// Something in the place of a NULL: a NULL in each field.
    pub(super) fn push_null(&mut self) -> usize {
        self.len += 1;
        // A NULL has a place in every column.
        self.columns.iter_mut().map(|(_, column)| column.push(None).unwrap_or(0)).sum()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.len = len;
        self.columns.iter_mut().for_each(|(_, column)| column.truncate(len));
    }

    /// As [`Column::finish`]: a field's value has the number of its struct.
    pub(super) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, usize> {
        self.len = 0;
        let arrays = self.columns.iter_mut().map(|(_, column)| column.finish()).collect::<Result<_, _>>()?;
        Ok(Arc::new(StructArray::new(self.fields.clone(), arrays, nulls)))
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
