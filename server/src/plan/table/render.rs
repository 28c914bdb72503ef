//! The statement of a table read. Every name in it is the catalog's, in double quotes; every value is a
//! parameter of the column's type; every operator is the type's own, with its schema.

use std::fmt::Write as _;

use super::{
    Relation, Table, TableColumn,
    name::quoted,
    read::{ColumnTest, Is, Order, Placed, TableRead, Test, invalid},
};
use crate::{
    encode::codec::{Codec, TEXT},
    error::Error,
    plan::{
        Argument, Column, Described, TypeName,
        partition::{Part, Slice, ctid::Run, key_range::Key},
        sql::{Cast, Wrapped},
    },
};

/// A statement of ours and its values.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    pub(crate) described: Described,
    pub(crate) arguments: Vec<Argument>,
}

/// Makes the statement. At most `most` rows are needed, where that is known: PostgreSQL then sorts no more.
pub(crate) fn render(table: &Table, read: &TableRead, most: Option<i64>) -> Result<Rendered, Error> {
    render_part(table, read, most, &Part::default())
}

/// As [`render`], for a part of the rows.
pub(crate) fn render_part(table: &Table, read: &TableRead, most: Option<i64>, part: &Part) -> Result<Rendered, Error> {
    let columns = chosen(table, &read.columns)?;
    let list: Vec<_> = columns.iter().map(|column| selected(column)).collect();
    let mut text = Text::new(table);
    let filter = text.filter(read)?;
    let list = list.join(", ");
    match &part.slice {
        None => text.select(&list, &whole(table), [filter.as_deref()]),
        Some(Slice::Pages(pages)) => {
            for (i, run) in pages.runs.iter().enumerate() {
                text.push(if i == 0 { "" } else { "\nUNION ALL " });
                let from = format!("ONLY {}.{}", quoted(&run.schema), quoted(&run.name));
                text.select(&list, &from, [Some(&*places(run)), filter.as_deref()]);
            }
        }
        Some(Slice::Range(range)) => {
            let condition = range.condition(&key(table, &range.column)?);
            text.select(&list, &whole(table), [Some(&*condition), filter.as_deref()]);
        }
        Some(Slice::Share(share)) => {
            let named = |name: &String| known(table, name, || "partition_by".to_owned()).map(reference);
            let references = share.columns.iter().map(named).collect::<Result<Vec<_>, _>>()?;
            let condition = share.condition(&references);
            text.select(&list, &whole(table), [Some(&*condition), filter.as_deref()]);
        }
    }
    for (i, order) in read.order_by.iter().enumerate() {
        text.push(if i == 0 { " ORDER BY " } else { ", " });
        text.order(i, order)?;
    }
    if let Some(rows) = read.limit.into_iter().chain(most).min() {
        text.push(&format!(" LIMIT {rows}"));
    }
    text.push("\n");
    let Text { sql, parameters, arguments, .. } = text;
    let columns = columns.into_iter().map(announced).collect();
    Ok(Rendered { described: Described { parameters, columns, query: Wrapped::ours(sql) }, arguments })
}

/// The table as a whole, as FROM names it.
fn whole(table: &Table) -> String {
    format!("{}.{}", quoted(&table.name.schema), quoted(&table.name.name))
}

/// Where on its table a run of pages lies.
fn places(run: &Run) -> String {
    let from = format!("t.ctid >= '({},0)'::pg_catalog.tid", run.from);
    run.until.map_or(from.clone(), |until| format!("{from} AND t.ctid < '({until},0)'::pg_catalog.tid"))
}

/// A column as a key to divide by.
///
/// # Errors
/// There is no such column, or its type has no order.
pub(crate) fn key(table: &Table, name: &str) -> Result<Key, Error> {
    let column = known(table, name, || "partition_by".to_owned())?;
    let operator = |relation| {
        let operator = column.operators.get(&relation).filter(|operator| !operator.takes_text);
        operator.map(|operator| format!("OPERATOR({}.{})", quoted(&operator.schema), operator.symbol)).ok_or_else(
            || {
                let short = &column.type_name.short;
                invalid("partition_by", format!("column {name:?} has type {short}, which has no order"))
            },
        )
    };
    Ok(Key {
        reference: reference(column),
        type_name: column.type_name.qualified.clone(),
        greater_or_equal: operator(Relation::GreaterOrEqual)?,
        less: operator(Relation::Less)?,
    })
}

/// One column of the rows, of about `percent` of the table's pages if that is given.
pub(crate) fn render_key(
    table: &Table,
    read: &TableRead,
    column: &str,
    percent: Option<f64>,
) -> Result<Rendered, Error> {
    let column = known(table, column, || "partition_by".to_owned())?;
    let mut text = Text::new(table);
    let filter = text.filter(read)?;
    let sample = percent.map_or_else(String::new, |percent| format!(" TABLESAMPLE SYSTEM ({percent:.6})"));
    text.push(&format!("SELECT {} FROM {} AS t{sample}", reference(column), whole(table)));
    text.conditions([filter.as_deref()]);
    let Text { sql, parameters, arguments, .. } = text;
    let columns = vec![announced(column)];
    Ok(Rendered { described: Described { parameters, columns, query: Wrapped::ours(sql) }, arguments })
}

fn chosen<'a>(table: &'a Table, names: &[String]) -> Result<Vec<&'a TableColumn>, Error> {
    if names.is_empty() {
        return Ok(table.columns.iter().collect());
    }
    let known = |(i, name): (usize, &String)| known(table, name, || format!("statement.table.columns[{i}]"));
    names.iter().enumerate().map(known).collect()
}

/// The column of that name.
fn known<'a>(table: &'a Table, name: &str, path: impl Fn() -> String) -> Result<&'a TableColumn, Error> {
    const SHOWN: usize = 20;
    table.column(name).ok_or_else(|| {
        let names: Vec<_> = table.columns.iter().take(SHOWN).map(|column| column.name.as_str()).collect();
        let more = if table.columns.len() > SHOWN { ", ..." } else { "" };
        invalid(path(), format!("table {} has no column {name:?}; it has: {}{more}", table.name, names.join(", ")))
    })
}

fn reference(column: &TableColumn) -> String {
    format!("t.{}", quoted(&column.name))
}

/// A column as it is read: cast to text if its type has no codec.
fn selected(column: &TableColumn) -> String {
    let reference = reference(column);
    match cast(column) {
        Some(cast) => format!("{} AS {}", cast.of(&reference), quoted(&column.name)),
        None => reference,
    }
}

fn cast(column: &TableColumn) -> Option<Cast> {
    Codec::of(column.type_name.oid).is_none().then_some(column.cast)
}

fn announced(column: &TableColumn) -> Column {
    let announced = Column::new(column.name.clone(), column.type_name.clone(), column.cast);
    Column { nullable: column.nullable, ..announced.with_modifier(column.modifier) }
}

/// A statement in the making.
struct Text<'a> {
    table: &'a Table,
    sql: String,
    parameters: Vec<TypeName>,
    arguments: Vec<Argument>,
}

impl<'a> Text<'a> {
    fn new(table: &'a Table) -> Self {
        Self { table, sql: String::new(), parameters: Vec::new(), arguments: Vec::new() }
    }

    /// The filter's condition, and its values among the parameters. It can stand in several places.
    fn filter(&mut self, read: &TableRead) -> Result<Option<String>, Error> {
        let Some(filter) = &read.filter else { return Ok(None) };
        self.test(filter)?;
        Ok(Some(std::mem::take(&mut self.sql)))
    }

    fn select<const N: usize>(&mut self, list: &str, from: &str, conditions: [Option<&str>; N]) {
        self.push(&format!("SELECT {list} FROM {from} AS t"));
        self.conditions(conditions);
    }

    fn conditions<const N: usize>(&mut self, conditions: [Option<&str>; N]) {
        for (i, condition) in conditions.into_iter().flatten().enumerate() {
            self.push(if i == 0 { " WHERE " } else { " AND " });
            self.push(condition);
        }
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn test(&mut self, test: &Test) -> Result<(), Error> {
        match test {
            Test::All(tests) => self.joined(tests, " AND ", "TRUE"),
            Test::Any(tests) => self.joined(tests, " OR ", "FALSE"),
            Test::Not(inner) => {
                self.push("(NOT ");
                self.test(inner)?;
                self.push(")");
                Ok(())
            }
            Test::Column(test) => self.column_test(test),
        }
    }

    fn joined(&mut self, tests: &[Test], word: &str, none: &str) -> Result<(), Error> {
        if tests.is_empty() {
            self.push(none);
            return Ok(());
        }
        self.push("(");
        for (i, test) in tests.iter().enumerate() {
            self.push(if i == 0 { "" } else { word });
            self.test(test)?;
        }
        self.push(")");
        Ok(())
    }

    fn column_test(&mut self, test: &ColumnTest) -> Result<(), Error> {
        let column = known(self.table, &test.column, || test.path.clone())?;
        match &test.is {
            Is::Null(yes) => {
                let word = if *yes { "IS NULL" } else { "IS NOT NULL" };
                self.push(&format!("({} {word})", reference(column)));
                Ok(())
            }
            Is::Compared(relation, value) => self.compared(column, *relation, value, &test.path),
            Is::OneOf(values) => self.one_of(column, values, &test.path),
            Is::Between(low, high) => {
                self.push("(");
                self.compared(column, Relation::GreaterOrEqual, low, &test.path)?;
                self.push(" AND ");
                self.compared(column, Relation::LessOrEqual, high, &test.path)?;
                self.push(")");
                Ok(())
            }
        }
    }

    fn compared(&mut self, column: &TableColumn, relation: Relation, value: &Placed, path: &str) -> Result<(), Error> {
        let before = self.before(column, relation, path)?;
        self.push(&format!("({before} "));
        self.value(column, relation, value);
        self.push(")");
        Ok(())
    }

    /// The column and the operator.
    fn before(&self, column: &TableColumn, relation: Relation, path: &str) -> Result<String, Error> {
        let Some(operator) = column.operators.get(&relation) else {
            let (name, short, symbol) = (&column.name, &column.type_name.short, relation.symbol());
            let message = format!("column {name:?} has type {short}, which has no operator {symbol}");
            return Err(invalid(path, message));
        };
        Ok(format!("{} OPERATOR({}.{})", reference(column), quoted(&operator.schema), operator.symbol))
    }

    /// Several values of an array type would make one array of more dimensions: they are compared one by one.
    fn one_of(&mut self, column: &TableColumn, values: &[Placed], path: &str) -> Result<(), Error> {
        let before = self.before(column, Relation::Equal, path)?;
        if values.is_empty() {
            self.push("FALSE");
            return Ok(());
        }
        let (open, between, close) = if column.is_array {
            (format!("({before} "), format!(" OR {before} "), ")")
        } else {
            (format!("({before} ANY (ARRAY["), ", ".to_owned(), "]))")
        };
        self.push(&open);
        for (i, value) in values.iter().enumerate() {
            self.push(if i == 0 { "" } else { &between });
            self.value(column, Relation::Equal, value);
        }
        self.push(close);
        Ok(())
    }

    /// A parameter of the type that the operator takes.
    fn value(&mut self, column: &TableColumn, relation: Relation, placed: &Placed) {
        let takes_text = column.operators.get(&relation).is_some_and(|operator| operator.takes_text);
        let cast = column.from_text && !takes_text;
        let parameter = if takes_text || cast { text_type() } else { column.type_name.clone() };
        self.parameters.push(parameter);
        self.arguments.push(Argument {
            label: format!("for column {:?}", column.name),
            field: Some(placed.path.clone()),
            value: placed.value.clone(),
        });
        // Writing to a String does not fail.
        let _ = write!(self.sql, "${}", self.parameters.len());
        if cast {
            self.push("::");
            self.push(&column.type_name.qualified);
        }
    }

    fn order(&mut self, index: usize, order: &Order) -> Result<(), Error> {
        let path = || format!("statement.table.order_by[{index}]");
        let column = known(self.table, &order.column, path)?;
        if !column.operators.contains_key(&Relation::Less) {
            let (name, short) = (&column.name, &column.type_name.short);
            return Err(invalid(path(), format!("column {name:?} has type {short}, which has no order")));
        }
        let direction = if order.descending { " DESC" } else { "" };
        let nulls = order.nulls_first.map_or("", |first| if first { " NULLS FIRST" } else { " NULLS LAST" });
        self.push(&format!("{}{direction}{nulls}", reference(column)));
        Ok(())
    }
}

fn text_type() -> TypeName {
    TypeName { oid: TEXT, short: "text".to_owned(), qualified: "pg_catalog.text".to_owned() }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
