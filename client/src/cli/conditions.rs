//! Which rows of a table, as typed: `--where` for what is plain, `--filter` for the whole tree. No SQL: a
//! column, an operator, a value.

use rowstream_client::{ColumnRef, Filter, TableRead, col};

use super::{args::TableOptions, failure::Failure};

/// What `rowstream query --help` says about them.
pub(crate) const HELP: &str = "\
Tables:
  rowstream query --table sales.orders --columns id,total --where 'total >= 100'
      --where 'status = O' --where 'shipped is null' --order-by 'total desc' --limit 10

  --where takes COLUMN OPERATOR VALUE with = != < <= > >= and ~ (matches a pattern: % is
  any text, _ one character), !~ (does not), ~* and !~* (upper and lower case alike); or
  COLUMN is null, COLUMN is not null. All of them must hold. The value is the rest of the
  text without the blanks around it, read as PostgreSQL reads the column's type. A column
  with a blank or an operator in its name is put into double quotes.
  --filter takes any condition in the JSON form of the contract's message Filter.";

/// What an operator makes of a column and a value.
type Condition = fn(ColumnRef, &str) -> Filter;

/// The operators, those first that begin like another.
const OPERATORS: [(&str, Condition); 12] = [
    ("!~*", |column, value| !column.ilike(value)),
    ("!~", |column, value| !column.like(value)),
    ("~*", |column, value| column.ilike(value)),
    ("~", |column, value| column.like(value)),
    ("!=", |column, value| column.ne(value)),
    ("<>", |column, value| column.ne(value)),
    ("<=", |column, value| column.le(value)),
    (">=", |column, value| column.ge(value)),
    ("==", |column, value| column.eq(value)),
    ("=", |column, value| column.eq(value)),
    ("<", |column, value| column.lt(value)),
    (">", |column, value| column.gt(value)),
];

/// The read of a table with these options.
pub(crate) fn apply(mut read: TableRead, options: &TableOptions) -> Result<TableRead, Failure> {
    let mut filters = Vec::new();
    for text in &options.conditions {
        filters.push(condition(text).map_err(|told| Failure::Usage(format!("--where {text:?}: {told}")))?);
    }
    for json in &options.filter {
        filters.push(Filter::from_json(json).map_err(|error| Failure::Usage(format!("--filter: {error}")))?);
    }
    if !filters.is_empty() {
        let one = if filters.len() == 1 { filters.pop() } else { None };
        read = read.filter(one.unwrap_or_else(|| Filter::and(filters)));
    }
    let columns = options.columns.iter().chain(&options.column);
    Ok(read.columns(columns).order_by(&options.order_by).limit(options.limit.unwrap_or(0)))
}

/// Reads `COLUMN OPERATOR VALUE`, `COLUMN is null` or `COLUMN is not null`.
fn condition(text: &str) -> Result<Filter, String> {
    let (column, rest) = column(text.trim())?;
    if column.is_empty() {
        return Err("names no column".to_owned());
    }
    for (operator, filter) in OPERATORS {
        if let Some(value) = rest.strip_prefix(operator) {
            return Ok(filter(col(column), value.trim()));
        }
    }
    let words: Vec<_> = rest.split_whitespace().map(str::to_ascii_lowercase).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["is", "null"] => Ok(col(column).is_null()),
        ["is", "not", "null"] => Ok(col(column).is_not_null()),
        _ => Err("write COLUMN OPERATOR VALUE with = != < <= > >= ~ !~ ~* !~*, or COLUMN is null".to_owned()),
    }
}

/// The column that a condition begins with, and the rest from its operator on.
fn column(text: &str) -> Result<(String, &str), String> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(['=', '!', '<', '>', '~']).or_else(|| text.find(char::is_whitespace));
        let (column, rest) = text.split_at(end.unwrap_or(text.len()));
        return Ok((column.trim_end().to_owned(), rest.trim_start()));
    };
    let mut column = String::new();
    loop {
        let end = rest.find('"').ok_or("the column has no closing quote")?;
        column.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(tail) => {
                column.push('"');
                rest = tail;
            }
            None => return Ok((column, rest.trim_start())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_a_column_an_operator_and_the_rest() {
        for (text, filter) in [
            ("price>=10", col("price").ge("10")),
            ("price <> 10 ", col("price").ne("10")),
            ("a=b=c", col("a").eq("b=c")),
            ("a ==  x y", col("a").eq("x y")),
            ("a=", col("a").eq("")),
            ("a = is null", col("a").eq("is null")),
            ("name ~ A%", col("name").like("A%")),
            ("name!~*a_", !col("name").ilike("a_")),
            ("a  IS  Not null", col("a").is_not_null()),
            ("a is null", col("a").is_null()),
            ("\"a <= \"\"b\" < 1", col("a <= \"b").lt("1")),
            ("\"a\"is null", col("a").is_null()),
            ("a='x'; drop table t --", col("a").eq("'x'; drop table t --")),
        ] {
            assert_eq!(condition(text), Ok(filter), "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_told() {
        for text in ["", "a", "= 1", "\"a", "a b", "a is", "\"\" = 1", "a in (1)", "a is null or b is null"] {
            assert!(condition(text).is_err(), "{text}");
        }
    }
}
