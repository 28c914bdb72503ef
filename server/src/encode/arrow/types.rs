//! Which Arrow type a column of PostgreSQL's becomes.

use std::{collections::HashMap, sync::Arc};

use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};

use crate::{
    encode::codec::{Codec, Scalar},
    plan::{Column, composite::Composite, options::ArrowOptions},
};

/// Key of the field's metadata that has PostgreSQL's name of the type.
const PG_TYPE: &str = "pg_type";
/// Keys of Arrow's extension types (Columnar format, "Extension Types").
const EXTENSION_NAME: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";

/// OIDs of the types that have an extension type, from PostgreSQL's `pg_type.dat`.
const UUID: u32 = 2950;
const UUID_ARRAY: u32 = 2951;
const JSON: u32 = 114;
const JSONB: u32 = 3802;
const JSON_ARRAY: u32 = 199;
const JSONB_ARRAY: u32 = 3807;
/// The most digits of Arrow's 128-bit and 256-bit decimals.
const DECIMAL128: u8 = 38;
const DECIMAL256: u8 = 76;

/// How a column's values are put into Arrow buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar(ScalarKind),
    List(ScalarKind),
    /// An array as PostgreSQL prints it.
    ArrayText(Scalar),
    /// A record; of each field the type that it must be of.
    Struct(Vec<(u32, Kind)>),
    /// An array of such.
    Structs(Vec<(u32, Kind)>),
}

/// The same for what is not an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Decimal128(u8, u8),
    Decimal256(u8, u8),
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Bytea,
    /// Text as it comes; one byte in front of `jsonb`'s.
    Text,
    Jsonb,
    /// Text as PostgreSQL would print the value.
    Printed(Scalar),
}

impl Kind {
    pub(crate) fn of(column: &Column, options: ArrowOptions) -> Self {
        if let Some(composite) = column.record() {
            let fields = composite.fields().iter();
            let fields = fields.map(|field| (field.wire_oid, Self::of(field, options))).collect();
            return if column.is_array_of_records() { Self::Structs(fields) } else { Self::Struct(fields) };
        }
        match column.codec {
            Codec::Scalar(scalar) => Self::Scalar(ScalarKind::of(scalar, column.numeric)),
            Codec::Array(element) if options.arrays_as_text => Self::ArrayText(element),
            Codec::Array(element) => Self::List(ScalarKind::of(element, column.numeric)),
        }
    }
}

impl ScalarKind {
    fn of(scalar: Scalar, numeric: Option<(u8, u8)>) -> Self {
        match scalar {
            Scalar::Bool => Self::Bool,
            Scalar::Int2 => Self::Int2,
            Scalar::Int4 => Self::Int4,
            Scalar::Int8 => Self::Int8,
            Scalar::Oid => Self::Oid,
            Scalar::Float4 => Self::Float4,
            Scalar::Float8 => Self::Float8,
            Scalar::Numeric => match numeric {
                Some((precision, scale)) if precision <= DECIMAL128 => Self::Decimal128(precision, scale),
                Some((precision, scale)) if precision <= DECIMAL256 => Self::Decimal256(precision, scale),
                _ => Self::Printed(scalar),
            },
            Scalar::Date => Self::Date,
            Scalar::Time => Self::Time,
            Scalar::Timestamp => Self::Timestamp,
            Scalar::Timestamptz => Self::Timestamptz,
            Scalar::Interval => Self::Interval,
            Scalar::Uuid => Self::Uuid,
            Scalar::Bytea => Self::Bytea,
            Scalar::Text | Scalar::CheckedText => Self::Text,
            Scalar::Jsonb => Self::Jsonb,
            Scalar::Char | Scalar::Void => Self::Printed(scalar),
        }
    }

    fn data_type(self) -> DataType {
        let scale = |scale: u8| i8::try_from(scale).unwrap_or(i8::MAX);
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Oid => DataType::UInt32,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Decimal128(precision, digits) => DataType::Decimal128(precision, scale(digits)),
            Self::Decimal256(precision, digits) => DataType::Decimal256(precision, scale(digits)),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Bytea => DataType::Binary,
            Self::Text | Self::Jsonb | Self::Printed(_) => DataType::Utf8,
        }
    }
}

/// The field of a column: its type, whether it can be NULL, and what else a reader may want to know of it.
pub(crate) fn field(column: &Column, options: ArrowOptions) -> Field {
    let extension = extension(column.type_name.oid);
    let mut metadata = HashMap::from([(PG_TYPE.to_owned(), column.type_name.short.clone())]);
    let data_type = match Kind::of(column, options) {
        Kind::Scalar(scalar) => {
            metadata.extend(extension);
            scalar.data_type()
        }
        Kind::List(element) => {
            let item = Field::new_list_field(element.data_type(), true).with_metadata(extension);
            DataType::List(Arc::new(item))
        }
        Kind::ArrayText(_) => DataType::Utf8,
        Kind::Struct(_) => structs(column, options),
        Kind::Structs(_) => DataType::List(Arc::new(Field::new_list_field(structs(column, options), true))),
    };
    Field::new(&column.name, data_type, column.nullable != Some(false) || options.unrepresentable_as_null)
        .with_metadata(metadata)
}

fn structs(column: &Column, options: ArrowOptions) -> DataType {
    let fields = column.record().map_or(&[][..], Composite::fields);
    DataType::Struct(fields.iter().map(|inner| field(inner, options)).collect())
}

/// What a field's metadata says of the extension type that a type's values are, or an array's elements; nothing for most.
fn extension(type_oid: u32) -> HashMap<String, String> {
    let name = match type_oid {
        UUID | UUID_ARRAY => "arrow.uuid",
        JSON | JSONB | JSON_ARRAY | JSONB_ARRAY => "arrow.json",
        _ => return HashMap::new(),
    };
    HashMap::from([(EXTENSION_NAME.to_owned(), name.to_owned()), (EXTENSION_METADATA.to_owned(), String::new())])
}
