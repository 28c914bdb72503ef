//! Which PostgreSQL types are read from their binary form, and how each becomes a `Value`.

use rowstream_contract::{float, rows::tag};

use super::{Malformed, array, datetime, exact, numeric, wire};

/// How a column's values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Scalar(Scalar),
    Array(Scalar),
}

/// A type that is not an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    /// As text, but for a parameter PostgreSQL has to read it first: not every text is one.
    CheckedText,
    Char,
    Jsonb,
    Bytea,
    Uuid,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Oid,
    Void,
}

/// OID of the type, OID of its array, name, codec; from PostgreSQL's `pg_type.dat`.
const TYPES: &[(u32, u32, &str, Scalar)] = &[
    (16, 1000, "bool", Scalar::Bool),
    (17, 1001, "bytea", Scalar::Bytea),
    (18, 1002, "\"char\"", Scalar::Char),
    (19, 1003, "name", Scalar::CheckedText),
    (20, 1016, "int8", Scalar::Int8),
    (21, 1005, "int2", Scalar::Int2),
    (23, 1007, "int4", Scalar::Int4),
    (25, 1009, "text", Scalar::Text),
    (26, 1028, "oid", Scalar::Oid),
    (114, 199, "json", Scalar::CheckedText),
    (700, 1021, "float4", Scalar::Float4),
    (701, 1022, "float8", Scalar::Float8),
    (1042, 1014, "bpchar", Scalar::Text),
    (1043, 1015, "varchar", Scalar::Text),
    (1082, 1182, "date", Scalar::Date),
    (1083, 1183, "time", Scalar::Time),
    (1114, 1115, "timestamp", Scalar::Timestamp),
    (1184, 1185, "timestamptz", Scalar::Timestamptz),
    (1186, 1187, "interval", Scalar::Interval),
    (1700, 1231, "numeric", Scalar::Numeric),
    (2278, 0, "void", Scalar::Void),
    (2950, 2951, "uuid", Scalar::Uuid),
    (3802, 3807, "jsonb", Scalar::Jsonb),
];

/// PostgreSQL's OID of `text`, which every other type is cast to.
pub(crate) const TEXT: u32 = 25;
/// PostgreSQL's OID of `text[]`.
pub(crate) const TEXT_ARRAY: u32 = 1009;

impl Codec {
    /// The codec of a type, or `None` if its values have to be cast to text in SQL.
    pub(crate) fn of(type_oid: u32) -> Option<Self> {
        TYPES.iter().find_map(|(oid, array, _, scalar)| match type_oid {
            0 => None,
            given if given == *oid => Some(Self::Scalar(*scalar)),
            given if given == *array => Some(Self::Array(*scalar)),
            _ => None,
        })
    }

    /// The short name of a type that has a codec.
    pub(crate) fn type_name(type_oid: u32) -> Option<String> {
        TYPES.iter().find_map(|(oid, array, name, _)| match type_oid {
            0 => None,
            given if given == *oid => Some((*name).to_owned()),
            given if given == *array => Some(format!("{name}[]")),
            _ => None,
        })
    }

    /// The element type's OID and codec, if the type is an array that has a codec.
    pub(crate) fn element(array_oid: u32) -> Option<(u32, Scalar)> {
        let found = TYPES.iter().find(|(_, array, _, _)| array_oid != 0 && array_oid == *array);
        found.map(|(oid, _, _, scalar)| (*oid, *scalar))
    }

    /// Appends a `values` field for a value that is not NULL.
    #[inline]
    pub(crate) fn write(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Self::Scalar(scalar) => scalar.write(bytes, out),
            Self::Array(element) => array::write(element, bytes, out),
        }
    }

    /// Appends the value as PostgreSQL prints it.
    pub(crate) fn write_text(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Self::Scalar(scalar) => scalar.write_text(bytes, out),
            Self::Array(element) => array::write_text(element, bytes, out),
        }
    }
}

impl Scalar {
    /// Appends a `values` field for a value that is not NULL.
    #[inline]
    pub(crate) fn write(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Self::Bool => wire::bool(exact::<1>(bytes)? != [0], out),
            Self::Int2 => wire::int64(i16::from_be_bytes(exact(bytes)?).into(), out),
            Self::Int4 => wire::int64(i32::from_be_bytes(exact(bytes)?).into(), out),
            Self::Int8 => wire::int64(i64::from_be_bytes(exact(bytes)?), out),
            Self::Float4 => wire::double(f32::from_be_bytes(exact(bytes)?).into(), out),
            Self::Float8 => wire::double(f64::from_be_bytes(exact(bytes)?), out),
            Self::Text | Self::CheckedText => wire::delimited(tag::TEXT, utf8(bytes)?, out),
            Self::Bytea => wire::delimited(tag::BYTES, bytes, out),
            Self::Jsonb => wire::delimited(tag::TEXT, utf8(jsonb(bytes)?)?, out),
            Self::Numeric => return wire::value_with(tag::NUMERIC, out, |out| numeric::write(bytes, out)),
            _ => return wire::value_with(tag::TEXT, out, |out| self.write_text(bytes, out)),
        }
        Ok(())
    }

    /// Appends the value as PostgreSQL prints it.
    pub(crate) fn write_text(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Self::Bool => out.push(if exact::<1>(bytes)? == [0] { b'f' } else { b't' }),
            Self::Int2 => display(i16::from_be_bytes(exact(bytes)?), out),
            Self::Int4 => display(i32::from_be_bytes(exact(bytes)?), out),
            Self::Int8 => display(i64::from_be_bytes(exact(bytes)?), out),
            Self::Oid => display(u32::from_be_bytes(exact(bytes)?), out),
            Self::Float4 => float::write_f32(f32::from_be_bytes(exact(bytes)?), out),
            Self::Float8 => float::write_f64(f64::from_be_bytes(exact(bytes)?), out),
            Self::Text | Self::CheckedText => out.extend_from_slice(utf8(bytes)?),
            Self::Char => single_byte(exact(bytes)?, out),
            Self::Jsonb => out.extend_from_slice(utf8(jsonb(bytes)?)?),
            Self::Bytea => {
                out.extend_from_slice(b"\\x");
                bytes.iter().for_each(|byte| hex(*byte, out));
            }
            Self::Uuid => uuid(exact(bytes)?, out),
            Self::Numeric => numeric::write(bytes, out)?,
            Self::Date => datetime::write_date(bytes, out)?,
            Self::Time => datetime::write_time(bytes, out)?,
            Self::Timestamp => datetime::write_timestamp(bytes, b"", out)?,
            Self::Timestamptz => datetime::write_timestamp(bytes, b"+00", out)?,
            Self::Interval => datetime::write_interval(bytes, out)?,
            Self::Void => {}
        }
        Ok(())
    }
}

#[inline]
fn utf8(bytes: &[u8]) -> Result<&[u8], Malformed> {
    std::str::from_utf8(bytes).map(str::as_bytes).map_err(|_| Malformed::Utf8)
}

/// `jsonb_send`: a version byte, always 1, and the text.
pub(crate) fn jsonb(bytes: &[u8]) -> Result<&[u8], Malformed> {
    match bytes.split_first() {
        Some((1, text)) => Ok(text),
        _ => Err(Malformed::Binary),
    }
}

/// `"char"`: a byte; zero prints as nothing, one beyond ASCII in octal.
fn single_byte([byte]: [u8; 1], out: &mut Vec<u8>) {
    match byte {
        0 => {}
        1..=0x7f => out.push(byte),
        _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
    }
}

fn display(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

fn uuid(bytes: [u8; 16], out: &mut Vec<u8>) {
    for (i, byte) in bytes.into_iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        hex(byte, out);
    }
}
