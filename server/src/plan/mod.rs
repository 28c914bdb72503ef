//! From a request to a validated read, without I/O: what is to be run ([`Source`]), with which values
//! ([`Arguments`]), how its columns arrive ([`Described`]), and the SQL around it ([`sql`]).

pub(crate) mod composite;
pub(crate) mod declared;
pub(crate) mod estimate;
pub(crate) mod keyset;
pub(crate) mod named;
pub(crate) mod options;
pub(crate) mod param;
pub(crate) mod partition;
pub(crate) mod request;
pub(crate) mod resume;
pub(crate) mod sql;
pub(crate) mod strategy;

pub(crate) mod table;

use std::{collections::HashMap, sync::Arc};

use rowstream_contract::v1::Value;

use self::{
    composite::Compound,
    declared::Default,
    named::NamedQuery,
    partition::ctid::PlaceForm,
    sql::{Cast, Wrapped},
    table::read::TableRead,
};
use crate::{
    encode::codec::{Codec, TEXT, TEXT_ARRAY},
    error::Error,
};

/// The largest SQL text.
pub(crate) const MAX_SQL_BYTES: usize = 1 << 20;
/// The most parameters PostgreSQL's protocol can bind.
pub(crate) const MAX_PARAMETERS: usize = 65_535;

/// Where a statement's text comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Sql(String),
    Named(Arc<NamedQuery>),
    /// There is none: it is made when the table is known.
    Table(Arc<TableRead>),
}

impl Source {
    pub(crate) fn sql(&self) -> &str {
        match self {
            Self::Sql(sql) => sql,
            Self::Named(query) => &query.sql,
            Self::Table(_) => "",
        }
    }

    /// What logs and `application_name` call it.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Sql(_) => "sql",
            Self::Named(query) => &query.name,
            Self::Table(read) => &read.label,
        }
    }

    /// The types that a named query's file declares, in order.
    pub(crate) fn declared_types(&self) -> impl Iterator<Item = &str> {
        let parameters = match self {
            Self::Sql(_) | Self::Table(_) => &[][..],
            Self::Named(query) => &query.parameters,
        };
        parameters.iter().map(|parameter| parameter.type_name.as_str())
    }

    /// The name that errors give a parameter.
    fn parameter_label(&self, index: usize) -> String {
        match self {
            Self::Named(query) if index < query.parameters.len() => format!("{:?}", query.parameters[index].name),
            _ => format!("${}", index + 1),
        }
    }
}

/// The values of a call.
#[derive(Clone, Debug)]
pub(crate) enum Arguments {
    Positional(Vec<Value>),
    Named(HashMap<String, Value>),
}

impl Arguments {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Positional(values) => values.is_empty(),
            Self::Named(values) => values.is_empty(),
        }
    }
}

/// A type as PostgreSQL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeName {
    pub(crate) oid: u32,
    /// For people: "int8", "text[]".
    pub(crate) short: String,
    /// For a cast in SQL: qualified, and without a length.
    pub(crate) qualified: String,
}

/// A column as it is announced and as it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_name: TypeName,
    pub(crate) codec: Codec,
    /// The type that PostgreSQL sends: the column's own, or what it is cast to.
    pub(crate) wire_oid: u32,
    /// How it becomes text, if its type has no codec.
    pub(crate) cast: Option<Cast>,
    /// Whether a value can be NULL, where the catalog tells.
    pub(crate) nullable: Option<bool>,
    /// Precision and scale of a `numeric` of a table's column that has them, or of its elements.
    pub(crate) numeric: Option<(u8, u8)>,
    /// The fields of a composite, or of those in an array, where they are known.
    pub(crate) composite: Option<Compound>,
}

impl Column {
    /// How a query around the caller's shows it: by its name, cast if it has to be.
    pub(crate) fn shown(&self) -> (&str, Option<&Cast>) {
        (&self.name, self.cast.as_ref())
    }

    /// Notes what PostgreSQL's type modifier says of a `numeric`, where Arrow has such a decimal.
    pub(crate) fn with_modifier(mut self, modifier: Option<i32>) -> Self {
        const NUMERICS: [u32; 2] = [1700, 1231];
        let declared = modifier.filter(|_| NUMERICS.contains(&self.type_name.oid));
        self.numeric = declared.and_then(precision_and_scale);
        self
    }

    /// A column of this type; `cast` is how it becomes text if the type has no codec.
    pub(crate) fn new(name: String, type_name: TypeName, cast: Cast) -> Self {
        let cast_oid = if cast == Cast::Array { TEXT_ARRAY } else { TEXT };
        let (wire_oid, codec, cast) = match Codec::of(type_name.oid) {
            Some(codec) => (type_name.oid, codec, None),
            None => (cast_oid, Codec::of(cast_oid).expect("text and its array have codecs"), Some(cast)),
        };
        Self { name, type_name, codec, wire_oid, cast, nullable: None, numeric: None, composite: None }
    }
}

/// Which of the columns has this name; if none has alone, whether several have.
pub(crate) fn named(columns: &[Column], name: &str) -> Result<usize, bool> {
    let mut found = columns.iter().enumerate().filter(|(_, column)| column.name == name);
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (found, _) => Err(found.is_some()),
    }
}

/// `numeric(p, s)` from its type modifier (PostgreSQL's `numeric.c`). `None` for a scale below zero or above the precision,
/// and for more digits than a byte counts.
fn precision_and_scale(modifier: i32) -> Option<(u8, u8)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let precision = u8::try_from(packed >> 16).ok()?;
    let scale = u8::try_from(((packed & 0x7ff) ^ 1024) - 1024).ok()?;
    (precision >= 1 && scale <= precision).then_some((precision, scale))
}

/// What PostgreSQL has told of a statement.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) parameters: Vec<TypeName>,
    pub(crate) columns: Vec<Column>,
    /// The statement to read from, with casts where columns need them.
    pub(crate) query: Wrapped,
    /// The rows have one more value, behind their columns, which is not for the caller: their place.
    pub(crate) places: Option<PlaceForm>,
}

/// What a column of the rows must look like, or the statement has changed since it was described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) wire_oid: u32,
    /// Unknown where casts have given the columns names of our own.
    pub(crate) name: Option<String>,
}

impl Described {
    /// The types of its parameters.
    pub(crate) fn parameter_oids(&self) -> Vec<u32> {
        self.parameters.iter().map(|parameter| parameter.oid).collect()
    }

    /// What the rows will look like.
    pub(crate) fn expected(&self) -> Vec<Expected> {
        let cast = self.columns.iter().any(|column| column.wire_oid != column.type_name.oid);
        let expected =
            |column: &Column| Expected { wire_oid: column.wire_oid, name: (!cast).then(|| column.name.clone()) };
        let place = self.places.map(|form| Expected { wire_oid: form.oid(), name: None });
        self.columns.iter().map(expected).chain(place).collect()
    }
}

/// PostgreSQL's OID of `bytea`.
const BYTEA: u32 = 17;

/// A parameter's value in its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Argument {
    /// What errors call it.
    pub(crate) label: String,
    /// The field of the request that holds it, if it is not one of the statement's parameters.
    pub(crate) field: Option<String>,
    pub(crate) value: Value,
}

/// Puts a call's values into the order of $1, $2, ..., with defaults for what is left out.
pub(crate) fn arrange(source: &Source, arguments: &Arguments, count: usize) -> Result<Vec<Argument>, Error> {
    if let Source::Named(query) = source {
        check_names(query, arguments)?;
    }
    if let Arguments::Positional(values) = arguments
        && values.len() > count
    {
        let message = format!("is one too many; the statement has {count} parameters");
        return Err(Error::InvalidParameter { parameter: format!("${}", count + 1), message });
    }
    (0..count)
        .map(|index| {
            let label = source.parameter_label(index);
            match given(source, arguments, index).or_else(|| default(source, index)) {
                Some(value) => Ok(Argument { label, field: None, value }),
                None => {
                    let message = format!("no value is given; the statement has {count} parameters");
                    Err(Error::InvalidParameter { parameter: label, message })
                }
            }
        })
        .collect()
}

fn check_names(query: &NamedQuery, arguments: &Arguments) -> Result<(), Error> {
    let Arguments::Named(values) = arguments else { return Ok(()) };
    let unknown = values.keys().find(|name| !query.parameters.iter().any(|parameter| parameter.name == **name));
    unknown.map_or(Ok(()), |name| {
        let known: Vec<_> = query.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let message = format!("query {:?} has no such parameter; it has: {}", query.name, known.join(", "));
        Err(Error::InvalidParameter { parameter: format!("{name:?}"), message })
    })
}

fn given(source: &Source, arguments: &Arguments, index: usize) -> Option<Value> {
    match (arguments, source) {
        (Arguments::Positional(values), _) => values.get(index).cloned(),
        (Arguments::Named(values), Source::Named(query)) => values.get(&query.parameters.get(index)?.name).cloned(),
        (Arguments::Named(_), Source::Sql(_) | Source::Table(_)) => None,
    }
}

fn default(source: &Source, index: usize) -> Option<Value> {
    let Source::Named(query) = source else { return None };
    query.parameters.get(index)?.default.as_ref().map(default_value)
}

/// A declared default as a value.
pub(crate) fn default_value(default: &Default) -> Value {
    match default {
        Default::Null => Value::default(),
        Default::Text(text) => param::text_value(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        let file = "-- param: a int\n-- param: b text = 'x'\n-- param: c text = NULL\nselect 1";
        Source::Named(Arc::new(NamedQuery::parse("q", file).expect("a good file")))
    }

    fn values(arguments: &Arguments) -> Result<Vec<Value>, String> {
        let arranged = arrange(&source(), arguments, 3).map_err(|error| error.to_string())?;
        Ok(arranged.into_iter().map(|argument| argument.value).collect())
    }

    #[test]
    fn what_is_left_out_takes_its_default() {
        let expected = Ok(vec![param::text_value("1"), param::text_value("x"), Value::default()]);
        assert_eq!(values(&Arguments::Positional(vec![param::text_value("1")])), expected);
        let named = HashMap::from([("a".to_owned(), param::text_value("1"))]);
        assert_eq!(values(&Arguments::Named(named)), expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let missing = "parameter \"a\": no value is given; the statement has 3 parameters";
        assert_eq!(values(&Arguments::Positional(Vec::new())), Err(missing.to_owned()));
        let unknown = "parameter \"d\": query \"q\" has no such parameter; it has: a, b, c";
        let named = HashMap::from([("d".to_owned(), Value::default())]);
        assert_eq!(values(&Arguments::Named(named)), Err(unknown.to_owned()));
        let many = "parameter $4: is one too many; the statement has 3 parameters";
        assert_eq!(values(&Arguments::Positional(vec![Value::default(); 4])), Err(many.to_owned()));
    }
}
