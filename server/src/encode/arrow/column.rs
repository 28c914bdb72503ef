//! The buffers of one column: values straight from PostgreSQL's bytes.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, StringArray,
    types::{
        ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
        Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
    },
};
use arrow_buffer::{
    BooleanBufferBuilder, Buffer, IntervalMonthDayNano, NullBuffer, NullBufferBuilder, OffsetBuffer, i256,
};
use arrow_schema::{DataType, Field};

use super::{
    Unfit, What,
    decimal::{bound, unscaled},
    record::Record,
    types::{Kind, ScalarKind},
};
use crate::encode::{
    Malformed, array,
    codec::{Scalar, jsonb},
    exact, take,
};

/// Days and microseconds from 1970, Arrow's epoch, to 2000, PostgreSQL's.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// One column in the making.
#[derive(Debug)]
pub(super) struct Column {
    values: Values,
    nulls: NullBufferBuilder,
    len: usize,
    data_type: DataType,
    /// A value that has no place becomes NULL.
    unfit_as_null: bool,
}

#[derive(Debug)]
enum Values {
    Bool(BooleanBufferBuilder),
    Int2(Vec<i16>),
    Int4(Vec<i32>),
    Int8(Vec<i64>),
    Oid(Vec<u32>),
    Float4(Vec<f32>),
    Float8(Vec<f64>),
    /// With the scale, and what ten to the precision is.
    Decimal128(Vec<i128>, u8, i128),
    Decimal256(Vec<i256>, u8, i256),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp(Vec<i64>),
    Interval(Vec<IntervalMonthDayNano>),
    Uuid(Vec<u8>),
    Bytes(Text, BytesForm),
    List(Box<Column>, Vec<i32>),
    Struct(Record),
}

/// Values of any length, one after another, and where each ends.
#[derive(Debug)]
struct Text {
    data: Vec<u8>,
    offsets: Vec<i32>,
}

/// How a value becomes bytes.
#[derive(Clone, Copy, Debug)]
enum BytesForm {
    Binary,
    Plain,
    Jsonb,
    Printed(Scalar),
    ArrayText(Scalar),
}

impl Column {
    pub(super) fn new(kind: Kind, data_type: DataType, unfit_as_null: bool, rows: usize) -> Self {
        let values = match kind {
            Kind::Scalar(scalar) => Values::of(scalar, rows),
            Kind::ArrayText(element) => Values::Bytes(Text::new(rows), BytesForm::ArrayText(element)),
            Kind::List(element) => Values::list(Kind::Scalar(element), &data_type, unfit_as_null, rows),
            Kind::Structs(fields) => Values::list(Kind::Struct(fields), &data_type, unfit_as_null, rows),
            Kind::Struct(fields) => Values::Struct(Record::new(fields, &data_type, unfit_as_null, rows)),
        };
        Self { values, nulls: NullBufferBuilder::new(rows), len: 0, data_type, unfit_as_null }
    }

    /// Appends a value; answers how many bytes it takes in the buffers.
    #[inline]
    pub(super) fn push(&mut self, value: Option<&[u8]>) -> Result<usize, Unfit> {
        let size = match value.map(|bytes| self.values.push(bytes)) {
            Some(Ok(size)) => {
                self.nulls.append_non_null();
                size
            }
            None => self.push_null(),
            Some(Err(Unfit::Unrepresentable(_))) if self.unfit_as_null => self.push_null(),
            Some(Err(unfit)) => return Err(unfit),
        };
        self.len += 1;
        Ok(size)
    }

    /// Appends one value after another; answers as [`push`](Self::push). After an error some are there and some not.
    pub(super) fn extend<'a>(
        &mut self,
        cells: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) -> Result<usize, Unfit> {
        let (count, nulls, as_null) = (cells.len(), &mut self.nulls, self.unfit_as_null);
        let size = match &mut self.values {
            Values::Int2(values) => extend(values, nulls, as_null, cells, |it| Ok(i16::from_be_bytes(exact(it)?))),
            Values::Int4(values) => extend(values, nulls, as_null, cells, |it| Ok(i32::from_be_bytes(exact(it)?))),
            Values::Int8(values) => extend(values, nulls, as_null, cells, |it| Ok(i64::from_be_bytes(exact(it)?))),
            Values::Float4(values) => extend(values, nulls, as_null, cells, |it| Ok(f32::from_be_bytes(exact(it)?))),
            Values::Float8(values) => extend(values, nulls, as_null, cells, |it| Ok(f64::from_be_bytes(exact(it)?))),
            Values::Decimal128(values, scale, bound) => {
                extend(values, nulls, as_null, cells, |it| unscaled(it, *scale, *bound))
            }
            Values::Date(values) => extend(values, nulls, as_null, cells, |it| date(i32::from_be_bytes(exact(it)?))),
            Values::Timestamp(values) => {
                extend(values, nulls, as_null, cells, |it| timestamp(i64::from_be_bytes(exact(it)?)))
            }
            Values::Bytes(text, BytesForm::Plain | BytesForm::Binary) => text.extend(nulls, cells),
            _ => return cells.into_iter().try_fold(0, |size, it| Ok(size + self.push(it)?)),
        };
        self.len += count;
        size
    }

    fn push_null(&mut self) -> usize {
        self.nulls.append_null();
        self.values.push_null()
    }

    /// Takes rows off the end.
    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
        self.len = len;
    }

    /// The values as an array, and an empty column of the same kind in its place. Fails with the number of the first
    /// value that is not UTF-8, where it has to be.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, usize> {
        let rows = std::mem::take(&mut self.len);
        self.values.finish(self.nulls.finish(), rows, &self.data_type)
    }
}

/// Appends, and answers how many bytes that takes.
#[inline]
fn add<T>(values: &mut Vec<T>, value: T) -> usize {
    values.push(value);
    size_of::<T>()
}

/// Appends values that are as wide as their type.
#[inline]
fn extend<'a, T: Default>(
    values: &mut Vec<T>,
    nulls: &mut NullBufferBuilder,
    unfit_as_null: bool,
    cells: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    convert: impl Fn(&[u8]) -> Result<T, Unfit>,
) -> Result<usize, Unfit> {
    let size = cells.len() * size_of::<T>();
    values.reserve(cells.len());
    for cell in cells {
        let value = match cell.map(&convert) {
            Some(Ok(value)) => Some(value),
            None => None,
            Some(Err(Unfit::Unrepresentable(_))) if unfit_as_null => None,
            Some(Err(unfit)) => return Err(unfit),
        };
        nulls.append(value.is_some());
        values.push(value.unwrap_or_default());
    }
    Ok(size)
}

fn offsets(rows: usize) -> Vec<i32> {
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    offsets
}

impl Text {
    fn new(rows: usize) -> Self {
        Self { data: Vec::new(), offsets: offsets(rows) }
    }

    /// Appends values as they are.
    #[inline]
    fn extend<'a>(
        &mut self,
        nulls: &mut NullBufferBuilder,
        cells: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) -> Result<usize, Unfit> {
        let start = self.data.len();
        let size = cells.len() * size_of::<i32>();
        self.offsets.reserve(cells.len());
        for cell in cells {
            nulls.append(cell.is_some());
            self.data.extend_from_slice(cell.unwrap_or_default());
            self.end()?;
        }
        Ok(size + self.data.len() - start)
    }

    #[inline]
    fn end(&mut self) -> Result<usize, Unfit> {
        let start = self.offsets.last().copied().unwrap_or(0);
        let Ok(end) = i32::try_from(self.data.len()) else {
            self.data.truncate(usize::try_from(start).unwrap_or(0));
            return Err(Unfit::Unrepresentable(What::TooManyBytes));
        };
        self.offsets.push(end);
        Ok(usize::try_from(end - start).unwrap_or(0) + 4)
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        let end = self.offsets.last().copied().unwrap_or(0);
        self.data.truncate(usize::try_from(end).unwrap_or(0));
    }

    /// Both buffers; those that follow are made as large.
    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let data = Vec::with_capacity(self.data.len());
        let rows = self.offsets.len() - 1;
        let taken = std::mem::replace(&mut self.offsets, offsets(rows));
        (OffsetBuffer::new(taken.into()), Buffer::from_vec(std::mem::replace(&mut self.data, data)))
    }
}

impl Values {
    fn list(element: Kind, data_type: &DataType, unfit_as_null: bool, rows: usize) -> Self {
        let item = match data_type {
            DataType::List(field) => field.data_type().clone(),
            other => other.clone(),
        };
        Self::List(Box::new(Column::new(element, item, unfit_as_null, rows)), offsets(rows))
    }

    fn of(kind: ScalarKind, rows: usize) -> Self {
        let bytes = |form| Self::Bytes(Text::new(rows), form);
        match kind {
            ScalarKind::Bool => Self::Bool(BooleanBufferBuilder::new(rows)),
            ScalarKind::Int2 => Self::Int2(Vec::with_capacity(rows)),
            ScalarKind::Int4 => Self::Int4(Vec::with_capacity(rows)),
            ScalarKind::Int8 => Self::Int8(Vec::with_capacity(rows)),
            ScalarKind::Oid => Self::Oid(Vec::with_capacity(rows)),
            ScalarKind::Float4 => Self::Float4(Vec::with_capacity(rows)),
            ScalarKind::Float8 => Self::Float8(Vec::with_capacity(rows)),
            ScalarKind::Decimal128(precision, scale) => {
                Self::Decimal128(Vec::with_capacity(rows), scale, bound(precision))
            }
            ScalarKind::Decimal256(precision, scale) => {
                Self::Decimal256(Vec::with_capacity(rows), scale, bound(precision))
            }
            ScalarKind::Date => Self::Date(Vec::with_capacity(rows)),
            ScalarKind::Time => Self::Time(Vec::with_capacity(rows)),
            ScalarKind::Timestamp | ScalarKind::Timestamptz => Self::Timestamp(Vec::with_capacity(rows)),
            ScalarKind::Interval => Self::Interval(Vec::with_capacity(rows)),
            ScalarKind::Uuid => Self::Uuid(Vec::with_capacity(rows * 16)),
            ScalarKind::Bytea => bytes(BytesForm::Binary),
            ScalarKind::Text => bytes(BytesForm::Plain),
            ScalarKind::Jsonb => bytes(BytesForm::Jsonb),
            ScalarKind::Printed(scalar) => bytes(BytesForm::Printed(scalar)),
        }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) -> Result<usize, Unfit> {
        Ok(match self {
            Self::Bool(values) => {
                values.append(exact::<1>(bytes)? != [0]);
                1
            }
            Self::Int2(values) => add(values, i16::from_be_bytes(exact(bytes)?)),
            Self::Int4(values) => add(values, i32::from_be_bytes(exact(bytes)?)),
            Self::Int8(values) => add(values, i64::from_be_bytes(exact(bytes)?)),
            Self::Oid(values) => add(values, u32::from_be_bytes(exact(bytes)?)),
            Self::Float4(values) => add(values, f32::from_be_bytes(exact(bytes)?)),
            Self::Float8(values) => add(values, f64::from_be_bytes(exact(bytes)?)),
            Self::Decimal128(values, scale, bound) => add(values, unscaled(bytes, *scale, *bound)?),
            Self::Decimal256(values, scale, bound) => add(values, unscaled(bytes, *scale, *bound)?),
            Self::Date(values) => add(values, date(i32::from_be_bytes(exact(bytes)?))?),
            Self::Time(values) => add(values, time(i64::from_be_bytes(exact(bytes)?))?),
            Self::Timestamp(values) => add(values, timestamp(i64::from_be_bytes(exact(bytes)?))?),
            Self::Interval(values) => add(values, interval(bytes)?),
            Self::Uuid(values) => {
                values.extend_from_slice(&exact::<16>(bytes)?);
                16
            }
            Self::Bytes(text, form) => {
                form.write(bytes, &mut text.data)?;
                text.end()?
            }
            Self::List(items, offsets) => list(items, offsets, bytes)?,
            Self::Struct(record) => record.push(bytes)?,
        })
    }

    /// Something in the place of a NULL.
    fn push_null(&mut self) -> usize {
        match self {
            Self::Bool(values) => {
                values.append(false);
                1
            }
            Self::Int2(values) => add(values, 0),
            Self::Int4(values) | Self::Date(values) => add(values, 0),
            Self::Int8(values) | Self::Time(values) | Self::Timestamp(values) => add(values, 0),
            Self::Oid(values) => add(values, 0),
            Self::Float4(values) => add(values, 0.0),
            Self::Float8(values) => add(values, 0.0),
            Self::Decimal128(values, ..) => add(values, 0),
            Self::Decimal256(values, ..) => add(values, i256::ZERO),
            Self::Interval(values) => add(values, IntervalMonthDayNano::ZERO),
            Self::Uuid(values) => {
                values.extend_from_slice(&[0; 16]);
                16
            }
            Self::Bytes(Text { offsets, .. }, _) | Self::List(_, offsets) => {
                add(offsets, offsets.last().copied().unwrap_or(0))
            }
            Self::Struct(record) => record.push_null(),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Bool(values) => values.truncate(len),
            Self::Int2(values) => values.truncate(len),
            Self::Int4(values) | Self::Date(values) => values.truncate(len),
            Self::Int8(values) | Self::Time(values) | Self::Timestamp(values) => values.truncate(len),
            Self::Oid(values) => values.truncate(len),
            Self::Float4(values) => values.truncate(len),
            Self::Float8(values) => values.truncate(len),
            Self::Decimal128(values, ..) => values.truncate(len),
            Self::Decimal256(values, ..) => values.truncate(len),
            Self::Interval(values) => values.truncate(len),
            Self::Uuid(values) => values.truncate(len * 16),
            Self::Bytes(text, _) => text.truncate(len),
            Self::List(items, offsets) => {
                offsets.truncate(len + 1);
                items.truncate(offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0));
            }
            Self::Struct(record) => record.truncate(len),
        }
    }

    fn finish(&mut self, nulls: Option<NullBuffer>, rows: usize, data_type: &DataType) -> Result<ArrayRef, usize> {
        Ok(match self {
            Self::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Self::Int2(values) => primitive::<Int16Type>(values, nulls, data_type),
            Self::Int4(values) => primitive::<Int32Type>(values, nulls, data_type),
            Self::Int8(values) => primitive::<Int64Type>(values, nulls, data_type),
            Self::Oid(values) => primitive::<UInt32Type>(values, nulls, data_type),
            Self::Float4(values) => primitive::<Float32Type>(values, nulls, data_type),
            Self::Float8(values) => primitive::<Float64Type>(values, nulls, data_type),
            Self::Decimal128(values, ..) => primitive::<Decimal128Type>(values, nulls, data_type),
            Self::Decimal256(values, ..) => primitive::<Decimal256Type>(values, nulls, data_type),
            Self::Date(values) => primitive::<Date32Type>(values, nulls, data_type),
            Self::Time(values) => primitive::<Time64MicrosecondType>(values, nulls, data_type),
            Self::Timestamp(values) => primitive::<TimestampMicrosecondType>(values, nulls, data_type),
            Self::Interval(values) => primitive::<IntervalMonthDayNanoType>(values, nulls, data_type),
            Self::Uuid(values) => Arc::new(FixedSizeBinaryArray::new(16, Buffer::from_vec(taken(values)), nulls)),
            Self::Bytes(text, BytesForm::Binary) => {
                let (offsets, data) = text.take();
                Arc::new(BinaryArray::new(offsets, data, nulls))
            }
            Self::Bytes(text, _) => {
                let (offsets, data) = text.take();
                match StringArray::try_new(offsets.clone(), data.clone(), nulls) {
                    Ok(array) => Arc::new(array),
                    Err(_) => return Err(first_invalid(&offsets, &data)),
                }
            }
            Self::List(items, ends) => {
                let items = items.finish().map_err(|item| list_of(ends, item))?;
                let ends = std::mem::replace(ends, offsets(rows));
                let field = match data_type {
                    DataType::List(field) => field.clone(),
                    other => Arc::new(Field::new_list_field(other.clone(), true)),
                };
                Arc::new(ListArray::new(field, OffsetBuffer::new(ends.into()), items, nulls))
            }
            Self::Struct(record) => record.finish(nulls)?,
        })
    }
}

impl BytesForm {
    #[inline]
    fn write(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Self::Binary | Self::Plain => out.extend_from_slice(bytes),
            Self::Jsonb => out.extend_from_slice(jsonb(bytes)?),
            Self::Printed(scalar) => return scalar.write_text(bytes, out),
            Self::ArrayText(element) => return array::write_text(element, bytes, out),
        }
        Ok(())
    }
}

/// The values, and room for as many in their place.
fn taken<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(values.len());
    std::mem::replace(values, next)
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(taken(values).into(), nulls).with_data_type(data_type.clone()))
}

/// The number of the first value that is not UTF-8.
fn first_invalid(offsets: &OffsetBuffer<i32>, data: &[u8]) -> usize {
    let end = |i: usize| usize::try_from(offsets[i]).unwrap_or(0);
    let invalid = |i: &usize| std::str::from_utf8(&data[end(*i)..end(i + 1)]).is_err();
    (0..offsets.len() - 1).find(invalid).unwrap_or(0)
}

/// Which list an item belongs to.
fn list_of(ends: &[i32], item: usize) -> usize {
    let item = i32::try_from(item).unwrap_or(i32::MAX);
    ends.partition_point(|end| *end <= item).saturating_sub(1)
}

fn list(items: &mut Column, offsets: &mut Vec<i32>, bytes: &[u8]) -> Result<usize, Unfit> {
    let before = items.len;
    let mut size = 4;
    let pushed = array::each_item(bytes, |item| {
        size += items.push(item)?;
        Ok::<_, Unfit>(())
    });
    let pushed = match pushed {
        Ok(true) => i32::try_from(items.len).map_err(|_| Unfit::Unrepresentable(What::TooManyElements)),
        Ok(false) => Err(Unfit::Unrepresentable(What::Shape)),
        Err(unfit) => Err(unfit),
    };
    match pushed {
        Ok(end) => offsets.push(end),
        Err(unfit) => {
            items.truncate(before);
            return Err(unfit);
        }
    }
    Ok(size)
}

fn date(days: i32) -> Result<i32, Unfit> {
    match days {
        i32::MAX | i32::MIN => Err(Unfit::Unrepresentable(What::InfiniteDate)),
        days => days.checked_add(EPOCH_DAYS).ok_or(Unfit::Unrepresentable(What::DistantDate)),
    }
}

fn time(micros: i64) -> Result<i64, Unfit> {
    match micros {
        0..MICROS_PER_DAY => Ok(micros),
        MICROS_PER_DAY => Err(Unfit::Unrepresentable(What::Midnight)),
        _ => Err(Malformed::Binary.into()),
    }
}

fn timestamp(micros: i64) -> Result<i64, Unfit> {
    match micros {
        i64::MAX | i64::MIN => Err(Unfit::Unrepresentable(What::InfiniteTimestamp)),
        micros => micros.checked_add(EPOCH_MICROS).ok_or(Unfit::Unrepresentable(What::DistantTimestamp)),
    }
}

fn interval(mut bytes: &[u8]) -> Result<IntervalMonthDayNano, Unfit> {
    let micros = i64::from_be_bytes(take(&mut bytes)?);
    let days = i32::from_be_bytes(take(&mut bytes)?);
    let months = i32::from_be_bytes(exact(bytes)?);
    if matches!((micros, days, months), (i64::MAX, i32::MAX, i32::MAX) | (i64::MIN, i32::MIN, i32::MIN)) {
        return Err(Unfit::Unrepresentable(What::InfiniteInterval));
    }
    let nanos = micros.checked_mul(1000).ok_or(Unfit::Unrepresentable(What::LongInterval))?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

#[cfg(test)]
#[path = "column_tests.rs"]
mod tests;
