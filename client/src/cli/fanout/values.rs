//! A cell of the input as a parameter's value. Nearly all travel as text, which PostgreSQL reads as the
//! parameter's type: so no digit is lost, and a value means what it means in `rowstream query -p`.

use rowstream_client::Value;
use serde_json::value::RawValue;

use super::{input::Cell, types::Kind};

/// Whether the cell may be a value of that kind.
pub(crate) fn accepts(kind: Kind, cell: &Cell) -> bool {
    match cell {
        Cell::Null => true,
        Cell::Json(json) if is_list(kind, json) => accepts_list(kind, json),
        Cell::Json(json) => !kind.is_array() && kind.accepts(json),
        Cell::Text(text) => !text.contains('\0') && kind.accepts(text),
    }
}

/// The value to bind.
pub(crate) fn value(kind: Kind, cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::null(),
        Cell::Json(json) if is_list(kind, json) => list(kind, json),
        Cell::Json(json) => Value::from(&**json),
        Cell::Text(text) => Value::from(text),
    }
}

/// A JSON array is an array of PostgreSQL's, unless the parameter is a JSON document.
fn is_list(kind: Kind, json: &str) -> bool {
    json.starts_with('[') && kind != Kind::Json
}

fn accepts_list(kind: Kind, json: &str) -> bool {
    let element = match kind {
        Kind::Array(element) => *element,
        Kind::OtherArray | Kind::Other => Kind::Other,
        _ => return false,
    };
    // An array in an array is a further dimension.
    elements(json).iter().all(|cell| match cell {
        Cell::Json(json) if is_list(element, json) => accepts_list(kind, json),
        cell => accepts(element, cell),
    })
}

fn list(kind: Kind, json: &str) -> Value {
    let element = match kind {
        Kind::Array(element) => *element,
        _ => Kind::Other,
    };
    let values: Vec<_> = elements(json).iter().map(|cell| value(element, cell)).collect();
    Value::from(values)
}

fn elements(json: &str) -> Vec<Cell> {
    // It has been read as JSON before: what is in it is JSON.
    let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
    elements.into_iter().map(|element| Cell::try_from(element).unwrap_or(Cell::Json(element.get().into()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Cell {
        Cell::Json(text.into())
    }

    #[test]
    fn cells_become_text_null_or_lists() {
        for (oid, type_name, cell, expected) in [
            (23, "int4", Cell::Null, Value::null()),
            (23, "int4", Cell::Text("7".into()), Value::from("7")),
            (1700, "numeric", json("1.50"), Value::from("1.50")),
            (16, "bool", json("true"), Value::from("true")),
            (3802, "jsonb", json("[1, 2]"), Value::from("[1, 2]")),
            (3802, "jsonb", json("{\"a\": 1}"), Value::from("{\"a\": 1}")),
            (1007, "int4[]", json("[1, null]"), Value::from(vec![Value::from("1"), Value::null()])),
            (1009, "text[]", json("[\"a\"]"), Value::from(vec!["a"])),
            (1007, "int4[]", json("[[1],[2]]"), Value::from(vec![vec!["1"], vec!["2"]])),
            (3807, "jsonb[]", json("[[1]]"), Value::from(vec!["[1]"])),
        ] {
            let kind = Kind::of(oid, type_name);
            assert!(accepts(kind, &cell), "{type_name} {cell:?}");
            assert_eq!(value(kind, &cell), expected, "{type_name} {cell:?}");
        }
    }

    #[test]
    fn what_cannot_be_the_type_is_not_accepted() {
        for (oid, type_name, cell) in [
            (23, "int4", json("[1]")),
            (23, "int4", json("true")),
            (16, "bool", json("2")),
            (1007, "int4[]", json("[1, \"x\"]")),
            (1007, "int4[]", json("1")),
            (1007, "int4[]", json("{\"a\": 1}")),
            (25, "text", Cell::Text("nul \0 byte".into())),
        ] {
            assert!(!accepts(Kind::of(oid, type_name), &cell), "{type_name} {cell:?}");
        }
    }
}
