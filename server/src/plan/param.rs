//! A parameter's value as PostgreSQL's bytes. Pure: what needs PostgreSQL's own reading of a type is
//! handed on as text.

use rowstream_contract::v1::{ListValue, Value, value::Kind};

use crate::encode::codec::{Codec, Scalar};

/// A value made ready for its parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fitted {
    Null,
    /// The type's binary form.
    Binary(Vec<u8>),
    /// The type's input form, for PostgreSQL to read.
    Text(String),
}

/// Makes a value ready for a parameter of the type `oid`; fails with what is wrong with it.
pub(crate) fn fit(value: &Value, oid: u32, type_name: &str) -> Result<Fitted, String> {
    let Some(kind) = &value.kind else { return Ok(Fitted::Null) };
    if let Kind::Text(text) = kind
        && text.contains('\0')
    {
        return Err("text cannot hold a NUL byte".to_owned());
    }
    match (kind, Codec::of(oid)) {
        (Kind::List(list), Some(Codec::Array(element))) => array(list, oid, element, type_name),
        (Kind::List(_), Some(Codec::Scalar(_))) => Err(wrong(type_name)),
        (Kind::List(list), None) => Ok(Fitted::Text(array_text(list)?)),
        (Kind::Text(text), Some(Codec::Array(_))) => Ok(Fitted::Text(text.clone())),
        (kind, None) => Ok(Fitted::Text(input_text(kind))),
        (kind, Some(Codec::Scalar(scalar))) => fit_scalar(kind, scalar, type_name),
        _ => Err(wrong(type_name)),
    }
}

fn fit_scalar(kind: &Kind, scalar: Scalar, type_name: &str) -> Result<Fitted, String> {
    if let Some(bytes) = binary(kind, scalar, type_name)? {
        return Ok(Fitted::Binary(bytes));
    }
    match kind {
        Kind::Text(text) | Kind::Numeric(text) => Ok(Fitted::Text(text.clone())),
        Kind::Int64(number) if scalar == Scalar::Numeric => Ok(Fitted::Text(number.to_string())),
        _ => Err(wrong(type_name)),
    }
}

/// The binary form where it is plain; `None` where PostgreSQL has to read the text.
fn binary(kind: &Kind, scalar: Scalar, type_name: &str) -> Result<Option<Vec<u8>>, String> {
    let range = |_| format!("{} is out of range for {type_name}", show(kind));
    Ok(Some(match (kind, scalar) {
        (Kind::Bool(value), Scalar::Bool) => vec![u8::from(*value)],
        (Kind::Int64(value), Scalar::Int8) => value.to_be_bytes().to_vec(),
        (Kind::Int64(value), Scalar::Int4) => i32::try_from(*value).map_err(range)?.to_be_bytes().to_vec(),
        (Kind::Int64(value), Scalar::Int2) => i16::try_from(*value).map_err(range)?.to_be_bytes().to_vec(),
        (Kind::Int64(value), Scalar::Oid) => u32::try_from(*value).map_err(range)?.to_be_bytes().to_vec(),
        (Kind::Int64(value), Scalar::Float8) => whole_double(*value, type_name)?.to_be_bytes().to_vec(),
        (Kind::Double(value), Scalar::Float8) => value.to_be_bytes().to_vec(),
        (Kind::Double(value), Scalar::Float4) => single(*value, type_name)?.to_be_bytes().to_vec(),
        (Kind::Text(text), Scalar::Text) => text.clone().into_bytes(),
        (Kind::Text(text), Scalar::Int2 | Scalar::Int4 | Scalar::Int8) => match text.parse() {
            Ok(number) => return binary(&Kind::Int64(number), scalar, type_name),
            Err(_) => return Ok(None),
        },
        (Kind::Bytes(bytes), Scalar::Bytea) => bytes.to_vec(),
        _ => return Ok(None),
    }))
}

/// A double that is this integer exactly: nothing is ever rounded.
fn whole_double(value: i64, type_name: &str) -> Result<f64, String> {
    const EXACT: u64 = 1 << 53;
    if value.unsigned_abs() > EXACT {
        return Err(format!("{value} cannot be a {type_name} without rounding; send a double"));
    }
    #[allow(clippy::cast_precision_loss)] // within 2^53
    Ok(value as f64)
}

/// A float4 with the same value, or the nearest if the double is not one (as PostgreSQL reads it).
fn single(value: f64, type_name: &str) -> Result<f32, String> {
    #[allow(clippy::cast_possible_truncation)] // rounds; overflow is looked at below
    let narrow = value as f32;
    if (narrow.is_infinite() && value.is_finite()) || (narrow == 0.0 && value != 0.0) {
        return Err(format!("{value} is out of range for {type_name}"));
    }
    Ok(narrow)
}

/// `array_send`'s form, if every element has a binary form; else PostgreSQL reads the text form.
fn array(list: &ListValue, oid: u32, element: Scalar, type_name: &str) -> Result<Fitted, String> {
    let Some((element_oid, _)) = Codec::element(oid) else { return Ok(Fitted::Text(array_text(list)?)) };
    let mut items = Vec::new();
    for value in &list.values {
        let bytes = match &value.kind {
            None => None,
            Some(Kind::List(_)) => return Ok(Fitted::Text(array_text(list)?)),
            Some(kind) => match binary(kind, element, type_name)? {
                Some(bytes) => Some(bytes),
                None => return Ok(Fitted::Text(array_text(list)?)),
            },
        };
        items.push(bytes);
    }
    Ok(Fitted::Binary(array_binary(element_oid, &items)?))
}

fn array_binary(element_oid: u32, items: &[Option<Vec<u8>>]) -> Result<Vec<u8>, String> {
    let length = |n: usize| i32::try_from(n).map_err(|_| "the array is larger than 2 GiB".to_owned());
    let has_nulls = items.iter().any(Option::is_none);
    let dimensions = i32::from(!items.is_empty());
    let mut out = [dimensions.to_be_bytes(), i32::from(has_nulls).to_be_bytes(), element_oid.to_be_bytes()].concat();
    if !items.is_empty() {
        out.extend(length(items.len())?.to_be_bytes());
        out.extend(1_i32.to_be_bytes());
    }
    for item in items {
        match item {
            None => out.extend((-1_i32).to_be_bytes()),
            Some(bytes) => {
                out.extend(length(bytes.len())?.to_be_bytes());
                out.extend(bytes);
            }
        }
    }
    Ok(out)
}

/// PostgreSQL's text form of an array, every element quoted.
fn array_text(list: &ListValue) -> Result<String, String> {
    let items: Result<Vec<_>, _> = list.values.iter().map(array_item).collect();
    Ok(format!("{{{}}}", items?.join(",")))
}

fn array_item(value: &Value) -> Result<String, String> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    Ok(match &value.kind {
        None => "NULL".to_owned(),
        Some(Kind::List(inner)) => array_text(inner)?,
        Some(Kind::Text(text)) if text.contains('\0') => return Err("text cannot hold a NUL byte".to_owned()),
        Some(kind) => quoted(&input_text(kind)),
    })
}

/// A value that is no list in the form that its type's input function reads.
fn input_text(kind: &Kind) -> String {
    match kind {
        Kind::Bool(value) => value.to_string(),
        Kind::Int64(value) => value.to_string(),
        Kind::Double(value) => value.to_string(),
        Kind::Text(text) | Kind::Numeric(text) => text.clone(),
        Kind::Bytes(bytes) => bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}")),
        Kind::List(_) => String::new(),
    }
}

fn wrong(type_name: &str) -> String {
    format!("send the kind that {type_name} has, or its text form")
}

/// A value as an error shows it to the caller who sent it.
pub(crate) fn show(kind: &Kind) -> String {
    match kind {
        Kind::Bool(value) => format!("bool {value}"),
        Kind::Int64(value) => format!("int64 {value}"),
        Kind::Double(value) => format!("double {value}"),
        Kind::Text(text) => format!("text {}", shortened(text)),
        Kind::Numeric(text) => format!("numeric {}", shortened(text)),
        Kind::Bytes(bytes) => format!("bytes of length {}", bytes.len()),
        Kind::List(list) => format!("a list of {} values", list.values.len()),
    }
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 64;
    let head: String = text.chars().take(SHOWN).collect();
    if head.len() < text.len() { format!("{head:?}...") } else { format!("{head:?}") }
}

/// A value of a file's default, or of anything else that is text already.
pub(crate) fn text_value(text: &str) -> Value {
    Value { kind: Some(Kind::Text(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(kind: Kind, oid: u32) -> Result<Fitted, String> {
        fit(&Value { kind: Some(kind) }, oid, "t")
    }

    #[test]
    fn plain_values_are_bound_in_binary() {
        for (kind, oid, bytes) in [
            (Kind::Bool(true), 16, vec![1]),
            (Kind::Int64(-2), 21, vec![255, 254]),
            (Kind::Int64(7), 23, vec![0, 0, 0, 7]),
            (Kind::Text("7".to_owned()), 23, vec![0, 0, 0, 7]),
            (Kind::Text("7".to_owned()), 25, b"7".to_vec()),
            (Kind::Int64(1), 701, 1_f64.to_be_bytes().to_vec()),
        ] {
            assert_eq!(fitted(kind, oid), Ok(Fitted::Binary(bytes)));
        }
        assert_eq!(fit(&Value::default(), 23, "t"), Ok(Fitted::Null));
    }

    #[test]
    fn what_postgresql_reads_better_is_left_to_it() {
        for (kind, oid, text) in [
            (Kind::Text("2024-01-01".to_owned()), 1082, "2024-01-01"),
            (Kind::Text(" 7 ".to_owned()), 23, " 7 "),
            (Kind::Numeric("1.50".to_owned()), 1700, "1.50"),
            (Kind::Int64(5), 1700, "5"),
            (Kind::Text("[1,2)".to_owned()), 3904, "[1,2)"),
        ] {
            assert_eq!(fitted(kind, oid), Ok(Fitted::Text(text.to_owned())));
        }
        let list = ListValue { values: vec![text_value("a\"b"), Value::default()] };
        assert_eq!(fitted(Kind::List(list), 1182), Ok(Fitted::Text("{\"a\\\"b\",NULL}".to_owned())));
    }

    #[test]
    fn lists_of_plain_values_become_binary_arrays() {
        let list = ListValue { values: vec![Value { kind: Some(Kind::Int64(7)) }, Value::default()] };
        let words: Vec<u8> = [1, 1, 23, 2, 1, 4, 7, -1].iter().flat_map(|w: &i32| w.to_be_bytes()).collect();
        assert_eq!(fitted(Kind::List(list), 1007), Ok(Fitted::Binary(words)));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named() {
        for (kind, oid, message) in [
            (Kind::Int64(40_000), 21, "int64 40000 is out of range for t"),
            (Kind::Bool(true), 23, "send the kind that t has, or its text form"),
            (Kind::Double(1.5), 23, "send the kind that t has, or its text form"),
            (Kind::Int64(1), 25, "send the kind that t has, or its text form"),
            (Kind::Int64(i64::MAX), 701, "9223372036854775807 cannot be a t without rounding; send a double"),
            (Kind::Text("\0".to_owned()), 25, "text cannot hold a NUL byte"),
            (Kind::List(ListValue::default()), 23, "send the kind that t has, or its text form"),
        ] {
            assert_eq!(fitted(kind, oid), Err(message.to_owned()));
        }
    }
}
