//! A `TableRead` as a validated request: bounds, the tree of conditions with the place of each in the
//! request, the words of `order_by`. What it names is looked for in the catalog by `render`.

use rowstream_contract::v1::{self, ComparisonOperator, Value, filter::Condition};

use super::{
    Relation,
    name::{TableName, quoted_prefix},
};
use crate::{error::Error, plan::param::text_value};

/// How deep a filter may be nested. Far below what protobuf decodes.
pub(crate) const MAX_DEPTH: usize = 32;
/// How many conditions a filter may have in all.
pub(crate) const MAX_NODES: usize = 1_000;
/// How many values a filter may have in all.
pub(crate) const MAX_VALUES: usize = 10_000;
/// How many columns may be named: PostgreSQL's limit for a table.
const MAX_COLUMNS: usize = 1_600;
/// How many columns may be sorted by: PostgreSQL's limit for an index.
const MAX_ORDER_BY: usize = 32;

const TABLE: &str = "statement.table";

/// What of a table is to be read.
#[derive(Clone, Debug)]
pub(crate) struct TableRead {
    pub(crate) table: TableName,
    /// The table's name as text, for logs.
    pub(crate) label: String,
    /// Empty: all.
    pub(crate) columns: Vec<String>,
    pub(crate) filter: Option<Test>,
    pub(crate) order_by: Vec<Order>,
    pub(crate) limit: Option<i64>,
}

/// A condition.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Column(ColumnTest),
}

/// A condition on a column.
#[derive(Clone, Debug)]
pub(crate) struct ColumnTest {
    pub(crate) column: String,
    /// Where in the request it stands.
    pub(crate) path: String,
    pub(crate) is: Is,
}

/// What is said of the column.
#[derive(Clone, Debug)]
pub(crate) enum Is {
    Null(bool),
    Compared(Relation, Placed),
    OneOf(Vec<Placed>),
    Between(Placed, Placed),
}

/// A value and its place in the request.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) path: String,
    pub(crate) value: Value,
}

/// One column to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) column: String,
    pub(crate) descending: bool,
    pub(crate) nulls_first: Option<bool>,
}

impl TableRead {
    /// Checks everything that can be known without the catalog.
    pub(crate) fn try_new(read: v1::TableRead) -> Result<Self, Error> {
        let at = |field: &str| format!("{TABLE}.{field}");
        let table = TableName::parse(&read.table).map_err(|message| invalid(at("table"), message))?;
        if read.columns.len() > MAX_COLUMNS {
            return Err(invalid(at("columns"), format!("are more than {MAX_COLUMNS}")));
        }
        for (i, name) in read.columns.iter().enumerate() {
            if read.columns[..i].contains(name) {
                return Err(invalid(format!("{TABLE}.columns[{i}]"), format!("{name:?} is there already")));
            }
        }
        let mut bounds = Bounds::default();
        let filter = read.filter.map(|filter| bounds.test(filter, &at("filter"), 1)).transpose()?;
        if read.order_by.len() > MAX_ORDER_BY {
            return Err(invalid(at("order_by"), format!("has more than {MAX_ORDER_BY} columns")));
        }
        let order = |(i, text): (usize, &String)| {
            order(text).map_err(|message| invalid(format!("{TABLE}.order_by[{i}]"), message))
        };
        let order_by = read.order_by.iter().enumerate().map(order).collect::<Result<_, _>>()?;
        let limit = match read.limit {
            ..0 => return Err(invalid(at("limit"), "is negative; 0 is no limit")),
            0 => None,
            rows => Some(rows),
        };
        let label = table.to_string();
        Ok(Self { table, label, columns: read.columns, filter, order_by, limit })
    }
}

/// What a filter has used up of its bounds.
#[derive(Default)]
struct Bounds {
    nodes: usize,
    values: usize,
}

impl Bounds {
    fn test(&mut self, filter: v1::Filter, path: &str, depth: usize) -> Result<Test, Error> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(invalid(path, format!("the filter has more than {MAX_NODES} conditions")));
        }
        if depth > MAX_DEPTH {
            return Err(invalid(path, format!("the filter is nested deeper than {MAX_DEPTH}")));
        }
        let condition = filter.condition.ok_or_else(|| {
            invalid(path, "needs one of and, or, not, comparison, in, between, like, is_null, is_not_null")
        })?;
        let path = format!("{path}.{}", field(&condition));
        Ok(match condition {
            Condition::And(list) => Test::All(self.tests(list, &path, depth)?),
            Condition::Or(list) => Test::Any(self.tests(list, &path, depth)?),
            Condition::Not(inner) => Test::Not(Box::new(self.test(*inner, &path, depth + 1)?)),
            Condition::Comparison(comparison) => self.comparison(comparison, path)?,
            Condition::In(list) => {
                let place = |(i, value)| self.value(Some(value), format!("{path}.values[{i}]"));
                let values = list.values.into_iter().enumerate().map(place).collect::<Result<_, _>>()?;
                on_column(list.column, path, Is::OneOf(values))?
            }
            Condition::Between(between) => {
                let low = self.value(between.low, format!("{path}.low"))?;
                let high = self.value(between.high, format!("{path}.high"))?;
                on_column(between.column, path, Is::Between(low, high))?
            }
            Condition::Like(like) => self.like(like, path)?,
            Condition::IsNull(column) => on_column(column, path, Is::Null(true))?,
            Condition::IsNotNull(column) => on_column(column, path, Is::Null(false))?,
        })
    }

    fn tests(&mut self, list: v1::FilterList, path: &str, depth: usize) -> Result<Vec<Test>, Error> {
        let test = |(i, filter)| self.test(filter, &format!("{path}.filters[{i}]"), depth + 1);
        list.filters.into_iter().enumerate().map(test).collect()
    }

    fn comparison(&mut self, comparison: v1::Comparison, path: String) -> Result<Test, Error> {
        let relation = match comparison.operator() {
            ComparisonOperator::Equal => Relation::Equal,
            ComparisonOperator::NotEqual => Relation::NotEqual,
            ComparisonOperator::Less => Relation::Less,
            ComparisonOperator::LessOrEqual => Relation::LessOrEqual,
            ComparisonOperator::Greater => Relation::Greater,
            ComparisonOperator::GreaterOrEqual => Relation::GreaterOrEqual,
            ComparisonOperator::Unspecified => {
                return Err(invalid(format!("{path}.operator"), "is required: EQUAL, NOT_EQUAL, LESS, ..."));
            }
        };
        let value = self.value(comparison.value, format!("{path}.value"))?;
        on_column(comparison.column, path, Is::Compared(relation, value))
    }

    fn like(&mut self, like: v1::Like, path: String) -> Result<Test, Error> {
        let backslashes = like.pattern.bytes().rev().take_while(|byte| *byte == b'\\').count();
        if backslashes % 2 == 1 {
            let message = "ends in a lone backslash; double it to match a backslash";
            return Err(invalid(format!("{path}.pattern"), message));
        }
        let relation = if like.case_insensitive { Relation::LikeAnyCase } else { Relation::Like };
        let value = self.value(Some(text_value(&like.pattern)), format!("{path}.pattern"))?;
        on_column(like.column, path, Is::Compared(relation, value))
    }

    /// A value to compare with; NULL compares with nothing, which is never what was meant.
    fn value(&mut self, value: Option<Value>, path: String) -> Result<Placed, Error> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(invalid(path, format!("the filter has more than {MAX_VALUES} values")));
        }
        match value {
            Some(value) if value.kind.is_some() => Ok(Placed { path, value }),
            _ => Err(invalid(path, "is NULL, which no value equals or precedes; use is_null or is_not_null")),
        }
    }
}

fn on_column(column: String, path: String, is: Is) -> Result<Test, Error> {
    if column.is_empty() {
        return Err(invalid(path, "names no column"));
    }
    Ok(Test::Column(ColumnTest { column, path, is }))
}

/// The field's name in the `.proto` file.
const fn field(condition: &Condition) -> &'static str {
    match condition {
        Condition::And(_) => "and",
        Condition::Or(_) => "or",
        Condition::Not(_) => "not",
        Condition::Comparison(_) => "comparison",
        Condition::In(_) => "in",
        Condition::Between(_) => "between",
        Condition::Like(_) => "like",
        Condition::IsNull(_) => "is_null",
        Condition::IsNotNull(_) => "is_not_null",
    }
}

/// Reads `column [asc|desc] [nulls first|last]`.
fn order(text: &str) -> Result<Order, String> {
    let (column, rest) = match quoted_prefix(text.trim()) {
        Some(read) => read?,
        None => {
            let text = text.trim();
            let (column, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
            (column.to_owned(), rest)
        }
    };
    if column.is_empty() {
        return Err("names no column".to_owned());
    }
    let words = rest.to_ascii_lowercase();
    let mut words = words.split_whitespace().collect::<Vec<_>>();
    let descending = matches!(words.first(), Some(&"desc"));
    if matches!(words.first(), Some(&("asc" | "desc"))) {
        words.remove(0);
    }
    let nulls_first = match words[..] {
        [] => None,
        ["nulls", "first"] => Some(true),
        ["nulls", "last"] => Some(false),
        _ => {
            return Err(format!(
                "{text:?} is not a column, then optionally asc or desc, then optionally nulls first or nulls last; \
                 put a column with a blank in its name into double quotes"
            ));
        }
    };
    Ok(Order { column, descending, nulls_first })
}

pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Error {
    Error::InvalidField { field: field.into(), message: message.into() }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
