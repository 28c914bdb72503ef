//! Composite types whose fields are known, and how a value of one is selected so that it arrives as a record in binary
//! form: `record_send`'s bytes as a `bytea`, which every driver takes; those of an array as `array_send`'s.
//!
//! A composite without fields, or of very many, is none of these: it stays text. So does an anonymous record.

use std::{fmt::Write as _, sync::Arc};

use super::{
    BYTEA, Column, Described,
    options::Encoding,
    sql::{self, Cast},
    table::name::quoted,
};
use crate::encode::codec::{Codec, Scalar};

/// PostgreSQL's OID of an anonymous record.
pub(crate) const RECORD: u32 = 2249;
/// How deep composites lie in one another at most: readers of Arrow's schemas have limits of their own.
pub(crate) const DEEPEST: usize = 16;
/// How many fields one has at most, those of its fields included.
const MOST_FIELDS: usize = 1_600;

/// A composite type. A field is a column as it arrives in the record: [`Column::wire_oid`] is the type that the record
/// tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Composite {
    fields: Vec<Column>,
    /// With those of its fields.
    count: usize,
}

/// A type that is a composite, or an array of one which is [plain](Composite::is_plain).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compound {
    One(Arc<Composite>),
    Array(Arc<Composite>),
}

/// What becomes of composites whose fields are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Composites {
    /// As PostgreSQL prints them.
    Text,
    Structs {
        /// Those in arrays, too.
        in_lists: bool,
    },
}

impl From<Encoding> for Composites {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Rows => Self::Text,
            Encoding::Arrow(options) => Self::Structs { in_lists: !options.arrays_as_text },
        }
    }
}

impl Compound {
    /// The composite, as something to compare.
    pub(super) fn signature(&self) -> String {
        let (Self::One(composite) | Self::Array(composite)) = self;
        composite.signature()
    }

    /// How a column of it arrives as one record, or as an array of them.
    fn cast(&self, composites: Composites) -> Option<Cast> {
        match (self, composites) {
            (Self::One(composite), Composites::Structs { .. }) => Some(Cast::Record(composite.clone())),
            (Self::Array(composite), Composites::Structs { in_lists: true }) => Some(Cast::Records(composite.clone())),
            _ => None,
        }
    }
}

impl Composite {
    /// `None` if it has no fields, or too many.
    pub(crate) fn new(fields: Vec<Column>) -> Option<Self> {
        let count = fields.iter().map(|field| 1 + field.record().map_or(0, |inner| inner.count)).sum();
        (1..=MOST_FIELDS).contains(&count).then_some(Self { fields, count })
    }

    pub(crate) fn fields(&self) -> &[Column] {
        &self.fields
    }

    /// How many fields it has, those of its fields included.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether PostgreSQL's own record is read: none of the fields has to become text first.
    pub(crate) fn is_plain(&self) -> bool {
        self.fields.iter().all(|field| match &field.cast {
            None => true,
            Some(Cast::Record(inner)) => inner.is_plain(),
            Some(_) => false,
        })
    }

    /// SQL for a value of it as a record. NULL stays another thing than a record of NULLs.
    pub(super) fn expression(&self, reference: &str) -> String {
        if self.is_plain() {
            return reference.to_owned();
        }
        let field = |column: &Column| {
            let field = format!("({reference}).{}", quoted(&column.name));
            match &column.cast {
                None => field,
                Some(Cast::Record(inner)) => inner.expression(&field),
                Some(cast) => cast.of(&field),
            }
        };
        let fields: Vec<_> = self.fields.iter().map(field).collect();
        format!("CASE WHEN {reference} IS DISTINCT FROM NULL THEN ROW({}) END", fields.join(", "))
    }

    /// What its struct in Arrow is made of, as something to compare.
    fn signature(&self) -> String {
        self.fields.iter().fold(String::new(), |mut all, field| {
            let inner = field.record().map_or_else(String::new, |inner| inner.signature());
            let (oid, numeric) = (field.type_name.oid, field.numeric.unwrap_or_default());
            // Writing to a String does not fail. No name has a NUL.
            let _ = write!(all, "{}\0{oid} {numeric:?} ({inner})", field.name);
            all
        })
    }
}

impl Column {
    /// The same column, which arrives as a record, or as an array of records, if its fields are known.
    pub(crate) fn into_record(self, composites: Composites) -> Self {
        match self.composite.as_ref().and_then(|compound| compound.cast(composites)) {
            None => self,
            cast => Self { wire_oid: BYTEA, codec: Codec::Scalar(Scalar::Bytea), cast, ..self },
        }
    }

    /// The composite that it arrives as, or that it is an array of.
    pub(crate) fn record(&self) -> Option<&Composite> {
        match &self.cast {
            Some(Cast::Record(composite) | Cast::Records(composite)) => Some(composite),
            _ => None,
        }
    }

    /// Whether it arrives as an array of records.
    pub(crate) fn is_array_of_records(&self) -> bool {
        matches!(self.cast, Some(Cast::Records(_)))
    }
}

impl Described {
    /// The same for rows in which composites arrive as records, but for columns of these names, which a key is made of;
    /// `None` where it is no other. `caller` is the statement's text.
    pub(crate) fn with(&self, composites: Composites, caller: &str, but: &[String]) -> Option<Self> {
        let record = |column: &Column| {
            let cast = column.composite.as_ref().and_then(|compound| compound.cast(composites));
            cast.is_some() && !but.contains(&column.name)
        };
        if !self.columns.iter().any(record) {
            return None;
        }
        let columns: Vec<_> = (self.columns.iter().cloned())
            .map(|column| if record(&column) { column.into_record(composites) } else { column })
            .collect();
        let query = sql::casting(caller, &columns.iter().map(|column| column.cast.as_ref()).collect::<Vec<_>>());
        Some(Self { columns, query, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::TypeName;

    fn field(name: &str, oid: u32) -> Column {
        let type_name = TypeName { oid, short: format!("t{oid}"), qualified: format!("t{oid}") };
        Column::new(name.to_owned(), type_name, Cast::Text)
    }

    fn nested(name: &str, inner: Composite) -> Column {
        let column = Column { composite: Some(Compound::One(Arc::new(inner))), ..field(name, 99_999) };
        column.into_record(Composites::Structs { in_lists: true })
    }

    fn composite(fields: Vec<Column>) -> Composite {
        Composite::new(fields).expect("a composite")
    }

    #[test]
    fn a_record_is_taken_as_it_is_unless_a_field_has_to_become_text() {
        let plain = composite(vec![field("a", 23), nested("n", composite(vec![field("b", 25)]))]);
        assert!(plain.is_plain());
        assert_eq!(plain.expression("q.c0"), "q.c0");
        let inner = composite(vec![field("B\"", 869)]);
        let mixed = composite(vec![field("a", 23), nested("n", inner)]);
        let inner = "CASE WHEN (q.c0).\"n\" IS DISTINCT FROM NULL THEN ROW(((q.c0).\"n\").\"B\"\"\"::text) END";
        let expected = format!("CASE WHEN q.c0 IS DISTINCT FROM NULL THEN ROW((q.c0).\"a\", {inner}) END");
        assert_eq!(mixed.expression("q.c0"), expected);
    }

    #[test]
    fn an_array_of_composites_is_records_unless_arrays_are_to_be_text() {
        let compound = Compound::Array(Arc::new(composite(vec![field("a", 23)])));
        let column = Column { composite: Some(compound), ..field("c", 99_998) };
        for (composites, cast) in [
            (Composites::Text, "q.c0::text"),
            (Composites::Structs { in_lists: false }, "q.c0::text"),
            (Composites::Structs { in_lists: true }, "pg_catalog.array_send(q.c0)"),
        ] {
            let column = column.clone().into_record(composites);
            assert_eq!(column.cast.as_ref().map(|cast| cast.of("q.c0")).as_deref(), Some(cast));
            assert_eq!(column.is_array_of_records(), cast.contains("array_send"));
        }
    }

    #[test]
    fn nothing_and_too_much_are_no_composites() {
        assert_eq!(Composite::new(Vec::new()), None);
        let wide = composite((0..MOST_FIELDS - 1).map(|i| field(&i.to_string(), 23)).collect());
        assert_eq!(Composite::new(vec![nested("n", wide.clone())]).map(|outer| outer.count()), Some(MOST_FIELDS));
        assert_eq!(Composite::new(vec![nested("n", wide), field("a", 23)]), None);
    }

    #[test]
    fn the_signature_tells_names_types_digits_and_what_lies_in_what() {
        let digits = Column { numeric: Some((6, 2)), ..field("a", 1700) };
        let all = [
            vec![field("a", 23)],
            vec![field("b", 23)],
            vec![field("a", 25)],
            vec![field("a", 1700)],
            vec![digits],
            vec![nested("a", composite(vec![field("b", 23)]))],
            vec![nested("a", composite(vec![field("b", 25)]))],
            vec![nested("a", composite(vec![field("b", 25)])), field("c", 23)],
            vec![nested("a", composite(vec![field("b", 25), field("c", 23)]))],
        ];
        let signatures: std::collections::HashSet<_> =
            all.iter().map(|fields| composite(fields.clone()).signature()).collect();
        assert_eq!(signatures.len(), all.len());
    }
}
