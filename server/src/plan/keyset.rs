//! An order that tells every row from every other, and the condition for the rows behind one of them. What the order
//! is made of is known from the table (`table::key`) or from the columns of a caller's statement ([`of_statement`]).
//!
//! Values that a type takes for equal may still differ (`1.0` and `1.00`; `a` and `A` under some collations): rows that
//! differ only so have an order by what the values look like as text, unless a primary key proves that there are none.

use ring::digest::{self, SHA256};

use super::{
    Column, Described, TypeName, named,
    resume::{Key, Position, Resume},
    sql,
};
use crate::error::Error;

/// Types whose equal values are the same bytes: bool, bytea, "char", name, int8, int2, int4, oid, date, time, timestamp,
/// timestamptz, uuid.
const EXACT: [u32; 13] = [16, 17, 18, 19, 20, 21, 23, 26, 1082, 1083, 1114, 1184, 2950];
const BPCHAR: u32 = 1042;

/// One column of the order.
#[derive(Clone, Debug)]
pub(crate) struct KeyColumn {
    /// Which of the result it is.
    pub(crate) index: usize,
    /// How the statement refers to it.
    pub(crate) reference: String,
    pub(crate) descending: bool,
    /// As PostgreSQL has it where nothing is said: last, but first of what descends.
    pub(crate) nulls_first: bool,
    pub(crate) nullable: bool,
    pub(crate) operators: Operators,
    pub(crate) type_name: TypeName,
    /// The type of the values as they arrive.
    pub(crate) wire_oid: u32,
}

/// The operators that compare two values, as they are written.
#[derive(Clone, Debug)]
pub(crate) struct Operators {
    pub(crate) equal: String,
    pub(crate) less: String,
    pub(crate) less_or_equal: String,
    pub(crate) greater: String,
    pub(crate) greater_or_equal: String,
}

impl Operators {
    fn plain() -> Self {
        let [equal, less, less_or_equal, greater, greater_or_equal] = ["=", "<", "<=", ">", ">="].map(str::to_owned);
        Self { equal, less, less_or_equal, greater, greater_or_equal }
    }
}

/// What a stream needs to know of its order.
#[derive(Clone, Debug)]
pub(crate) struct Keyset {
    /// Which columns of the result make the key, and whether blanks at the end of a value mean nothing.
    pub(crate) columns: Vec<(usize, bool)>,
    /// Of the columns of the result.
    pub(crate) shape: Vec<u8>,
    /// Values to bind, behind those of the statement's own parameters.
    pub(crate) behind: Vec<Vec<u8>>,
    /// The row before the boundary, if the statement gives it once more.
    pub(crate) seam: Option<Key>,
    /// As many rows and no more.
    pub(crate) limit: Option<i64>,
}

/// An order as SQL.
#[derive(Debug)]
pub(crate) struct Ordered {
    /// What goes behind ORDER BY.
    pub(crate) order: String,
    /// The condition for what is still to come.
    pub(crate) condition: Option<String>,
    /// The types of the values in it.
    pub(crate) parameters: Vec<TypeName>,
    pub(crate) keyset: Keyset,
}

/// Makes the order of these columns, for a statement that has `parameters` already and gives `columns`. `unique`: it is
/// proven that no two rows have the same key. `source` is what else the rows are made of.
pub(crate) fn ordered(
    key: &[KeyColumn],
    columns: &[Column],
    source: &str,
    parameters: usize,
    unique: bool,
    resume: &Resume,
) -> Result<Ordered, Error> {
    let shape = shape(key, columns, source);
    resume.expect(&shape)?;
    let last = match resume.position() {
        Some(Position::Keyset(bytes)) => Some(Key(bytes.clone())),
        Some(Position::Place(_)) => return Err(Error::InvalidToken("resume_token")),
        None => None,
    };
    let values = last.as_ref().map(|last| last.values(key.len()).ok_or(Error::InvalidToken("resume_token")));
    let values = values.transpose()?;
    let (mut terms, mut ties, mut types, mut behind) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, column) in key.iter().enumerate() {
        let value = values.as_ref().and_then(|values| values[i]).map(|bytes| {
            types.push(TypeName { oid: column.wire_oid, ..column.type_name.clone() });
            behind.push(bytes.to_vec());
            let parameter = format!("${}", parameters + types.len());
            let as_it_is = column.wire_oid == column.type_name.oid;
            if as_it_is { parameter } else { format!("{parameter}::text::{}", column.type_name.qualified) }
        });
        if !unique && !EXACT.contains(&column.type_name.oid) {
            ties.push(Term::tie(column, value.as_deref()));
        }
        terms.push(Term::of(column, value));
    }
    terms.extend(ties);
    let order = terms.iter().map(Term::order).collect::<Vec<_>>().join(", ");
    let condition = last.is_some().then(|| condition(&terms, !unique));
    let columns = key.iter().map(|column| (column.index, column.type_name.oid == BPCHAR)).collect();
    let keyset = Keyset { columns, shape, behind, seam: last.filter(|_| !unique), limit: None };
    Ok(Ordered { order, condition, parameters: types, keyset })
}

/// A caller's statement in the order of the columns that the request names; `None` if it names none.
pub(crate) fn of_statement(
    described: &Described,
    caller: &str,
    resume: &Resume,
) -> Result<Option<(Described, Keyset)>, Error> {
    if resume.key.is_empty() {
        return if resume.from.is_none() { Ok(None) } else { Err(Error::InvalidToken("resume_token")) };
    }
    if resume.by_primary_key() {
        return Err(invalid(0, "\"*\" is a table's primary key; name columns of the statement".to_owned()));
    }
    let columns = &described.columns;
    let key =
        resume.key.iter().enumerate().map(|(i, name)| of_column(i, name, columns)).collect::<Result<Vec<_>, _>>()?;
    let ordered = ordered(&key, columns, caller, described.parameters.len(), false, resume)?;
    let condition = ordered.condition.map_or_else(String::new, |condition| format!("WHERE {condition}\n"));
    let shown: Vec<_> = columns.iter().map(Column::shown).collect();
    let query = sql::selecting(caller, &shown, &format!("{condition}ORDER BY {}\n", ordered.order));
    let parameters = described.parameters.iter().cloned().chain(ordered.parameters).collect();
    Ok(Some((Described { parameters, columns: columns.clone(), query, places: None }, ordered.keyset)))
}

fn of_column(i: usize, name: &str, columns: &[Column]) -> Result<KeyColumn, Error> {
    let index = named(columns, name).map_err(|several| {
        if several {
            return invalid(i, format!("the result has several columns {name:?}"));
        }
        let names = columns.iter().map(|column| column.name.as_str()).take(20).collect::<Vec<_>>().join(", ");
        invalid(i, format!("the result has no column {name:?}; it has: {names}"))
    })?;
    let column = &columns[index];
    Ok(KeyColumn {
        index,
        reference: sql::column(index),
        descending: false,
        nulls_first: false,
        nullable: true,
        operators: Operators::plain(),
        type_name: column.type_name.clone(),
        wire_oid: column.wire_oid,
    })
}

/// Something is wrong with a column of the request's `resume_key`.
pub(crate) fn invalid(index: usize, message: String) -> Error {
    Error::InvalidField { field: format!("resume_key[{index}]"), message }
}

/// What must be as it was for a stream to go on: names and types of the columns, which of them are the key, and what
/// else is told.
fn shape(key: &[KeyColumn], columns: &[Column], source: &str) -> Vec<u8> {
    let mut hash = digest::Context::new(&SHA256);
    hash.update(&digest::digest(&SHA256, source.as_bytes()).as_ref()[..16]);
    for column in columns {
        hash.update(&(column.name.len() as u64).to_be_bytes());
        hash.update(column.name.as_bytes());
        hash.update(&column.type_name.oid.to_be_bytes());
        // What Arrow's schema is made of beside the type.
        let (precision, scale) = column.numeric.unwrap_or_default();
        hash.update(&[precision, scale, column.nullable.map_or(2, u8::from)]);
        if let Some(composite) = &column.composite {
            hash.update(composite.signature().as_bytes());
        }
    }
    for column in key {
        hash.update(&(column.index as u64).to_be_bytes());
    }
    hash.finish().as_ref()[..16].to_vec()
}

/// One expression of the order, and the value of the row that was the last.
struct Term<'a> {
    expression: String,
    /// `None`: NULL, or there was no row.
    value: Option<String>,
    descending: bool,
    nulls_first: bool,
    nullable: bool,
    operators: &'a Operators,
}

impl<'a> Term<'a> {
    fn of(column: &'a KeyColumn, value: Option<String>) -> Self {
        let KeyColumn { descending, nulls_first, nullable, ref operators, .. } = *column;
        Self { expression: column.reference.clone(), value, descending, nulls_first, nullable, operators }
    }

    /// What the column looks like.
    fn tie(column: &'a KeyColumn, value: Option<&str>) -> Self {
        static TEXT: std::sync::LazyLock<Operators> = std::sync::LazyLock::new(|| {
            let [equal, less, less_or_equal, greater, greater_or_equal] =
                ["=", "<", "<=", ">", ">="].map(|symbol| format!("OPERATOR(pg_catalog.{symbol})"));
            Operators { equal, less, less_or_equal, greater, greater_or_equal }
        });
        Self {
            expression: format!("({}::text COLLATE \"C\")", column.reference),
            value: value.map(|value| format!("({value})::text")),
            descending: false,
            nulls_first: false,
            nullable: column.nullable,
            operators: &TEXT,
        }
    }

    fn order(&self) -> String {
        let direction = if self.descending { " DESC" } else { "" };
        let nulls = match (self.nulls_first, self.descending) {
            (true, false) => " NULLS FIRST",
            (false, true) => " NULLS LAST",
            _ => "",
        };
        format!("{}{direction}{nulls}", self.expression)
    }

    /// The value is the last row's.
    fn same(&self) -> String {
        let Self { expression, operators, .. } = self;
        match &self.value {
            Some(value) => format!("{expression} {} {value}", operators.equal),
            None => format!("{expression} IS NULL"),
        }
    }

    /// The value comes behind the last row's; `None` if none can.
    fn behind(&self) -> Option<String> {
        let Self { expression, operators, .. } = self;
        let Some(value) = &self.value else {
            return self.nulls_first.then(|| format!("{expression} IS NOT NULL"));
        };
        let operator = if self.descending { &operators.less } else { &operators.greater };
        let behind = format!("{expression} {operator} {value}");
        let nulls_too = self.nullable && !self.nulls_first;
        Some(if nulls_too { format!("({behind} OR {expression} IS NULL)") } else { behind })
    }

    /// What holds for all rows from the last one on, as an index can use it.
    fn at_least(&self) -> Option<String> {
        let Self { expression, operators, .. } = self;
        let value = self.value.as_ref().filter(|_| self.nulls_first || !self.nullable)?;
        let operator = if self.descending { &operators.less_or_equal } else { &operators.greater_or_equal };
        Some(format!("{expression} {operator} {value}"))
    }
}

/// Rows behind the last one; `with_last`: and that one itself.
fn condition(terms: &[Term<'_>], with_last: bool) -> String {
    let same: Vec<_> = terms.iter().map(Term::same).collect();
    let alternative = |i: usize| {
        let mut all = same[..i].to_vec();
        all.push(terms[i].behind()?);
        Some(format!("({})", all.join(" AND ")))
    };
    let mut any: Vec<_> = (0..terms.len()).filter_map(alternative).collect();
    if with_last {
        any.push(format!("({})", same.join(" AND ")));
    }
    let any = if any.is_empty() { "FALSE".to_owned() } else { any.join(" OR ") };
    match terms.first().and_then(Term::at_least) {
        Some(bound) => format!("{bound} AND ({any})"),
        None => format!("({any})"),
    }
}

#[cfg(test)]
#[path = "keyset_tests.rs"]
mod tests;
