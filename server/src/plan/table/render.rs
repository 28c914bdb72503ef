//! The statement of a table read. Every name in it is the catalog's, in double quotes; every value is a
//! parameter of the column's type; every operator is the type's own, with its schema.

use std::fmt::Write as _;

use super::{
    Relation, Table, TableColumn,
    key::Order as KeyOrder,
    name::quoted,
    read::{ColumnTest, Is, Order, Placed, TableRead, Test, invalid},
};
use crate::{
    encode::codec::TEXT,
    error::Error,
    plan::{
        Argument, Column, Described, TypeName, composite::Composites, keyset::Keyset, resume::Resume, sql::Wrapped,
    },
};

/// A statement of ours and its values.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    pub(crate) described: Described,
    pub(crate) arguments: Vec<Argument>,
    /// The order by which it can be resumed, if there is one.
    pub(crate) keyset: Option<Keyset>,
}

/// Makes the statement. At most `most` rows are needed, where that is known: PostgreSQL then sorts no more.
pub(crate) fn render(
    table: &Table,
    read: &TableRead,
    most: Option<i64>,
    resume: &Resume,
    composites: Composites,
) -> Result<Rendered, Error> {
    let columns = chosen(table, &read.columns)?;
    let order = KeyOrder::of(table, read, &columns, resume)?;
    let announced = announced(&columns, composites, order.as_ref());
    let mut text = Text::new(table);
    let list: Vec<_> = announced.iter().map(selected).collect();
    text.push(&format!(
        "SELECT {} FROM {}.{} AS t",
        list.join(", "),
        quoted(&table.name.schema),
        quoted(&table.name.name)
    ));
    if let Some(filter) = &read.filter {
        text.push(" WHERE ");
        text.test(filter)?;
        text.conditioned = true;
    }
    let (words, keyset) = match order {
        Some(order) => text.order_by_key(&order, &announced, read, resume)?,
        None => (text.order_by(&read.order_by)?, None),
    };
    text.push(&words);
    if let Some(rows) = read.limit.into_iter().chain(most).min() {
        let again = keyset.as_ref().is_some_and(|keyset| keyset.seam.is_some());
        text.push(&format!(" LIMIT {}", (rows - resume.rows()).max(0).saturating_add(again.into())));
    }
    text.push("\n");
    let Text { sql, parameters, arguments, .. } = text;
    let described = Described { parameters, columns: announced, query: Wrapped::ours(sql), places: None };
    Ok(Rendered { described, arguments, keyset })
}

pub(super) fn chosen<'a>(table: &'a Table, names: &[String]) -> Result<Vec<&'a TableColumn>, Error> {
    if names.is_empty() {
        return Ok(table.columns.iter().collect());
    }
    let known = |(i, name): (usize, &String)| known(table, name, || format!("statement.table.columns[{i}]"));
    names.iter().enumerate().map(known).collect()
}

/// The column of that name.
pub(super) fn known<'a>(table: &'a Table, name: &str, path: impl Fn() -> String) -> Result<&'a TableColumn, Error> {
    const SHOWN: usize = 20;
    table.column(name).ok_or_else(|| {
        let names: Vec<_> = table.columns.iter().take(SHOWN).map(|column| column.name.as_str()).collect();
        let more = if table.columns.len() > SHOWN { ", ..." } else { "" };
        invalid(path(), format!("table {} has no column {name:?}; it has: {}{more}", table.name, names.join(", ")))
    })
}

pub(super) fn reference(column: &TableColumn) -> String {
    format!("t.{}", quoted(&column.name))
}

/// A column as it is read: cast if its type has no codec.
pub(super) fn selected(column: &Column) -> String {
    let reference = format!("t.{}", quoted(&column.name));
    match &column.cast {
        Some(cast) => format!("{} AS {}", cast.of(&reference), quoted(&column.name)),
        None => reference,
    }
}

/// The columns of the result. What is part of its order stays text: it comes back as the value to go on behind.
pub(super) fn announced(columns: &[&TableColumn], composites: Composites, order: Option<&KeyOrder>) -> Vec<Column> {
    let announced = |(index, column): (usize, &&TableColumn)| {
        let announced = Column::new(column.name.clone(), column.type_name.clone(), column.cast.clone());
        let announced = Column {
            nullable: column.nullable,
            composite: column.composite.clone(),
            ..announced.with_modifier(column.modifier)
        };
        let text = order.is_some_and(|order| order.has(index));
        if text { announced } else { announced.into_record(composites) }
    };
    columns.iter().enumerate().map(announced).collect()
}

/// A statement in the making.
pub(super) struct Text<'a> {
    table: &'a Table,
    pub(super) sql: String,
    pub(super) parameters: Vec<TypeName>,
    pub(super) arguments: Vec<Argument>,
    /// It has a WHERE.
    pub(super) conditioned: bool,
}

impl<'a> Text<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self { table, sql: String::new(), parameters: Vec::new(), arguments: Vec::new(), conditioned: false }
    }

    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    pub(super) fn test(&mut self, test: &Test) -> Result<(), Error> {
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
        Ok(format!("{} {}", reference(column), operator.written()))
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

    pub(super) fn order_by(&self, order_by: &[Order]) -> Result<String, Error> {
        let mut words = String::new();
        for (i, order) in order_by.iter().enumerate() {
            words.push_str(if i == 0 { " ORDER BY " } else { ", " });
            let column = ordered_by(self.table, i, order)?;
            let direction = if order.descending { " DESC" } else { "" };
            let nulls = order.nulls_first.map_or("", |first| if first { " NULLS FIRST" } else { " NULLS LAST" });
            words.push_str(&format!("{}{direction}{nulls}", reference(column)));
        }
        Ok(words)
    }

    /// The order, behind the condition for what is still to come.
    pub(super) fn order_by_key(
        &mut self,
        order: &KeyOrder,
        columns: &[Column],
        read: &TableRead,
        resume: &Resume,
    ) -> Result<(String, Option<Keyset>), Error> {
        let ordered = order.ordered(columns, self.parameters.len(), resume)?;
        self.parameters.extend(ordered.parameters);
        let word = if self.conditioned { "AND" } else { "WHERE" };
        let condition = ordered.condition.map_or_else(String::new, |condition| format!(" {word} ({condition})"));
        let keyset = Keyset { limit: read.limit, ..ordered.keyset };
        Ok((format!("{condition} ORDER BY {}", ordered.order), Some(keyset)))
    }
}

/// The column that is sorted by in that place.
pub(super) fn ordered_by<'a>(table: &'a Table, index: usize, order: &Order) -> Result<&'a TableColumn, Error> {
    let path = || format!("statement.table.order_by[{index}]");
    let column = known(table, &order.column, path)?;
    if !column.operators.contains_key(&Relation::Less) {
        let (name, short) = (&column.name, &column.type_name.short);
        return Err(invalid(path(), format!("column {name:?} has type {short}, which has no order")));
    }
    Ok(column)
}

fn text_type() -> TypeName {
    TypeName { oid: TEXT, short: "text".to_owned(), qualified: "pg_catalog.text".to_owned() }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
