//! Rows of an answer as Arrow, for callers who ask for that: in the types that rowstream-server gives them.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{
    ArrowError, DataType, Field, FieldRef, Schema, TimeUnit,
    extension::{Json, Uuid},
};
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _};

use crate::{Columns, RowBatch, decode::ValueRef, sink::pgtext};

/// The schema's message for an answer's columns.
pub(super) fn schema(columns: &Columns) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &schema_of(columns))?;
    Ok(std::mem::take(writer.get_mut()).into())
}

/// The message of a batch.
pub(super) fn message(batch: &RowBatch) -> Result<Bytes, ArrowError> {
    let schema = Arc::new(schema_of(batch.columns()));
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let values = batch.iter().map(|row| row.value(index)).collect::<Result<Vec<_>, _>>();
        array(field, &values.map_err(|error| ArrowError::ParseError(error.to_string()))?)
    });
    let columns = columns.collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.get_mut().clear();
    writer.write(&batch)?;
    Ok(std::mem::take(writer.get_mut()).into())
}

fn schema_of(columns: &Columns) -> Schema {
    Schema::new(columns.iter().map(|column| field(&column.name, &column.type_name)).collect::<Vec<_>>())
}

fn field(name: &str, type_name: &str) -> Field {
    if let Some(item) = type_name.strip_suffix("[]") {
        return Field::new_list(name, field(Field::LIST_FIELD_DEFAULT_NAME, item), true);
    }
    let data_type = match type_name {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "bytea" => DataType::Binary,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "uuid" => return Field::new(name, DataType::FixedSizeBinary(16), true).with_extension_type(Uuid),
        "json" | "jsonb" => return Field::new(name, DataType::Utf8, true).with_extension_type(Json::default()),
        _ => DataType::Utf8,
    };
    Field::new(name, data_type, true)
}

/// A column's values. An answer's values may have any kind, so each is read from its text where kind and type differ.
fn array(field: &FieldRef, values: &[ValueRef<'_>]) -> Result<ArrayRef, ArrowError> {
    let unfit = |value: &str| {
        ArrowError::ParseError(format!("{value:?} in column {:?} is no {}", field.name(), field.data_type()))
    };
    macro_rules! parsed {
        ($array:ty, $parse:expr) => {{
            let parse = |value: &ValueRef<'_>| {
                let Some(text) = text(*value) else { return Ok(None) };
                $parse(text.as_str()).map(Some).ok_or_else(|| unfit(&text))
            };
            values.iter().map(parse).collect::<Result<$array, ArrowError>>()?
        }};
    }
    Ok(match field.data_type() {
        DataType::Boolean => Arc::new(parsed!(BooleanArray, |text: &str| Some(matches!(text, "t" | "true")))),
        DataType::Int16 => Arc::new(parsed!(Int16Array, |text: &str| text.parse::<i16>().ok())),
        DataType::Int32 => Arc::new(parsed!(Int32Array, |text: &str| text.parse::<i32>().ok())),
        DataType::Int64 => Arc::new(parsed!(Int64Array, |text: &str| text.parse::<i64>().ok())),
        DataType::Float32 => Arc::new(parsed!(Float32Array, |text: &str| text.parse::<f32>().ok())),
        DataType::Float64 => Arc::new(parsed!(Float64Array, |text: &str| text.parse::<f64>().ok())),
        DataType::Date32 => Arc::new(parsed!(Date32Array, days)),
        DataType::Time64(_) => Arc::new(parsed!(Time64MicrosecondArray, |text: &str| time(text.parse().ok()?))),
        DataType::Timestamp(_, None) => Arc::new(parsed!(TimestampMicrosecondArray, timestamp)),
        DataType::Timestamp(_, Some(zone)) => {
            Arc::new(parsed!(TimestampMicrosecondArray, timestamp_with_zone).with_timezone(zone.clone()))
        }
        DataType::Binary => Arc::new(BinaryArray::from_iter(values.iter().map(bytes))),
        DataType::FixedSizeBinary(width) => {
            let uuids =
                values.iter().map(|value| text(*value).map(|text| uuid(&text).ok_or_else(|| unfit(&text))).transpose());
            let uuids = uuids.collect::<Result<Vec<_>, _>>()?;
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids.into_iter(), *width)?)
        }
        DataType::List(item) => list(item, values)?,
        _ => Arc::new(parsed!(StringArray, |text: &str| Some(text.to_owned()))),
    })
}

fn list(item: &FieldRef, values: &[ValueRef<'_>]) -> Result<ArrayRef, ArrowError> {
    let (mut elements, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        let before = elements.len();
        match value {
            ValueRef::List(list) => {
                let all = list.iter().collect::<Result<Vec<_>, _>>();
                elements.extend(all.map_err(|error| ArrowError::ParseError(error.to_string()))?);
            }
            ValueRef::Null => {}
            _ => return Err(ArrowError::ParseError("an array that is not a list".to_owned())),
        }
        lengths.push(elements.len() - before);
        valid.push(!matches!(value, ValueRef::Null));
    }
    let elements = array(item, &elements)?;
    let list =
        ListArray::try_new(item.clone(), OffsetBuffer::from_lengths(lengths), elements, Some(NullBuffer::from(valid)))?;
    Ok(Arc::new(list))
}

/// A value as PostgreSQL prints it; `None` is NULL.
fn text(value: ValueRef<'_>) -> Option<String> {
    let mut out = Vec::new();
    let written = (!value.is_null()).then(|| pgtext::write_value(value, false, &mut out))?;
    // What is no UTF-8 is no text.
    written.ok().and_then(|()| String::from_utf8(out).ok())
}

fn bytes<'a>(value: &ValueRef<'a>) -> Option<&'a [u8]> {
    match value {
        ValueRef::Bytes(bytes) => Some(bytes),
        ValueRef::Text(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|digit| *digit != '-').collect();
    (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes))?
}

fn days(text: &str) -> Option<i32> {
    let date: NaiveDate = text.parse().ok()?;
    date.signed_duration_since(NaiveDate::default()).num_days().try_into().ok()
}

fn time(time: NaiveTime) -> Option<i64> {
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond() / 1000))
}

fn timestamp(text: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp_micros())
}

fn timestamp_with_zone(text: &str) -> Option<i64> {
    // `+00`, as PostgreSQL prints it, or with minutes.
    Some(DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").ok()?.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_postgresql_prints_them() {
        assert_eq!(days("1970-01-02"), Some(1));
        assert_eq!(timestamp("1970-01-01 00:00:01.5"), Some(1_500_000));
        for text in ["1970-01-01 00:00:01+00", "1970-01-01 02:30:01+02:30"] {
            assert_eq!(timestamp_with_zone(text), Some(1_000_000), "{text}");
        }
        assert_eq!(time("00:00:01.000002".parse().unwrap()), Some(1_000_002));
        assert_eq!(uuid("00000000-0000-0000-0000-0000000000ff").map(|bytes| bytes[15]), Some(255));
        assert_eq!((days("infinity"), timestamp("x"), uuid("ff")), (None, None, None));
    }
}
