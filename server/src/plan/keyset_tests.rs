use super::*;
use crate::plan::{resume::Mark, sql::Cast};

fn column(name: &str, oid: u32) -> Column {
    let type_name = TypeName { oid, short: format!("t{oid}"), qualified: format!("pg_catalog.t{oid}") };
    Column::new(name.to_owned(), type_name, Cast::Text)
}

fn described() -> Described {
    let columns = vec![column("id", 20), column("na\"me", 25), column("mood", 99_999)];
    Described { parameters: Vec::new(), columns, query: sql::plain("select 1"), places: None }
}

fn by(names: &[&str], values: Option<&[Option<&[u8]>]>) -> Resume {
    let key: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut resume = Resume { key, ..Resume::default() };
    if let Some(values) = values {
        let (_, keyset) = of_statement(&described(), "table t;", &resume).expect("valid").expect("an order");
        let mut last = Key::default();
        values.iter().for_each(|value| last.push(*value));
        let position = Some(Position::Keyset(last.0));
        resume.from = Some(Mark { fingerprint: Vec::new(), shape: keyset.shape, rows: 5, position });
    }
    resume
}

fn sql_of(resume: &Resume) -> (String, Keyset) {
    let (described, keyset) = of_statement(&described(), "table t;", resume).expect("valid").expect("an order");
    (described.query.sql, keyset)
}

const HEAD: &str =
    "SELECT q.c0 AS \"id\", q.c1 AS \"na\"\"me\", q.c2::text AS \"mood\" FROM (\ntable t \n) AS q(c0, c1, c2)\n";

#[test]
fn a_statement_begins_in_the_order_of_its_key() {
    let (sql, keyset) = sql_of(&by(&["id"], None));
    assert_eq!(sql, format!("{HEAD}ORDER BY q.c0\n"));
    assert_eq!((keyset.columns, keyset.behind.len(), keyset.seam), (vec![(0, false)], 0, None));
    let (sql, _) = sql_of(&by(&["na\"me", "id"], None));
    assert_eq!(sql, format!("{HEAD}ORDER BY q.c1, q.c0, (q.c1::text COLLATE \"C\")\n"));
}

#[test]
fn it_goes_on_with_the_row_that_was_the_last() {
    let (sql, keyset) = sql_of(&by(&["id"], Some(&[Some(&[1, 2])])));
    let condition = "((q.c0 > $1 OR q.c0 IS NULL)) OR (q.c0 = $1)";
    assert_eq!(sql, format!("{HEAD}WHERE ({condition})\nORDER BY q.c0\n"));
    assert_eq!(keyset.behind, [vec![1, 2]]);
    assert!(keyset.seam.is_some());
}

#[test]
fn behind_null_there_is_nothing_but_what_the_other_columns_tell_apart() {
    let (sql, keyset) = sql_of(&by(&["mood", "id"], Some(&[None, Some(&[9])])));
    let tie = "(q.c2::text COLLATE \"C\")";
    let same = "q.c2 IS NULL AND q.c0 = $1";
    let condition = format!("(q.c2 IS NULL AND (q.c0 > $1 OR q.c0 IS NULL)) OR ({same} AND {tie} IS NULL)");
    assert_eq!(sql, format!("{HEAD}WHERE ({condition})\nORDER BY q.c2, q.c0, {tie}\n"));
    assert_eq!(keyset.behind, [vec![9]]);
}

#[test]
fn a_value_that_travelled_as_text_is_compared_as_its_type() {
    let (sql, _) = sql_of(&by(&["mood"], Some(&[Some(b"sad")])));
    let (value, tie) = ("$1::text::pg_catalog.t99999", "(q.c2::text COLLATE \"C\")");
    assert!(sql.contains(&format!("q.c2 > {value}")), "{sql}");
    assert!(sql.contains(&format!("{tie} OPERATOR(pg_catalog.>) ({value})::text")), "{sql}");
}

#[test]
fn a_key_that_is_unique_and_never_null_is_a_range_of_its_index() {
    let operators = Operators::plain();
    let term = |expression: &str, value: &str, descending| Term {
        expression: expression.to_owned(),
        value: Some(value.to_owned()),
        descending,
        nulls_first: descending,
        nullable: false,
        operators: &operators,
    };
    let terms = [term("a", "$1", false), term("b", "$2", true)];
    assert_eq!(condition(&terms, false), "a >= $1 AND ((a > $1) OR (a = $1 AND b < $2))");
    assert_eq!(terms.iter().map(Term::order).collect::<Vec<_>>(), ["a", "b DESC"]);
}

#[test]
fn another_shape_is_another_schema() {
    let mut resume = by(&["id"], Some(&[Some(&[1])]));
    resume.from.as_mut().expect("set").shape[0] ^= 1;
    assert!(matches!(of_statement(&described(), "table t;", &resume), Err(Error::SchemaChanged)));
}
