use rowstream_contract::v1::value::Kind;

use super::*;

pub(crate) fn int(value: i64) -> Option<Value> {
    Some(Value { kind: Some(Kind::Int64(value)) })
}

fn of(condition: Condition) -> v1::Filter {
    v1::Filter { condition: Some(condition) }
}

fn list(filters: Vec<v1::Filter>) -> v1::FilterList {
    v1::FilterList { filters }
}

fn comparison(value: Option<Value>) -> v1::Filter {
    let operator = ComparisonOperator::Equal.into();
    of(Condition::Comparison(v1::Comparison { column: "a".to_owned(), operator, value }))
}

fn read(filter: v1::Filter) -> Result<TableRead, String> {
    let read = v1::TableRead { table: "t".to_owned(), filter: Some(filter), ..v1::TableRead::default() };
    TableRead::try_new(read).map_err(|error| error.to_string())
}

fn nested(depth: usize) -> v1::Filter {
    (1..depth).fold(comparison(int(1)), |inner, _| of(Condition::Not(Box::new(inner))))
}

#[test]
fn a_bad_condition_is_named_by_its_place_in_the_request() {
    for (filter, message) in [
        (v1::Filter::default(), "statement.table.filter: needs one of and, or"),
        (
            of(Condition::And(list(vec![comparison(int(1)), of(Condition::Not(Box::default()))]))),
            "statement.table.filter.and.filters[1].not: needs one of",
        ),
        (
            of(Condition::Or(list(vec![comparison(None)]))),
            "statement.table.filter.or.filters[0].comparison.value: is NULL, which no value equals",
        ),
        (comparison(Some(Value::default())), "statement.table.filter.comparison.value: is NULL"),
        (
            of(Condition::Comparison(v1::Comparison { column: "a".to_owned(), operator: 99, value: int(1) })),
            "statement.table.filter.comparison.operator: is required",
        ),
        (
            of(Condition::In(v1::InList { column: "a".to_owned(), values: vec![Value::default()] })),
            "statement.table.filter.in.values[0]: is NULL",
        ),
        (
            of(Condition::Between(v1::Between { column: "a".to_owned(), low: int(1), high: None })),
            "statement.table.filter.between.high: is NULL",
        ),
        (of(Condition::IsNull(String::new())), "statement.table.filter.is_null: names no column"),
        (
            of(Condition::Like(v1::Like { pattern: r"a\\\".to_owned(), ..v1::Like::default() })),
            "statement.table.filter.like.pattern: ends in a lone backslash",
        ),
    ] {
        let refused = read(filter).expect_err(message);
        assert!(refused.starts_with(message), "{refused}");
    }
}

#[test]
fn depth_nodes_and_values_have_a_bound() {
    assert!(read(nested(MAX_DEPTH)).is_ok());
    assert!(read(nested(MAX_DEPTH + 1)).expect_err("too deep").contains("nested deeper than 32"));
    let flat = |nodes: usize| read(of(Condition::And(list(vec![comparison(int(1)); nodes - 1]))));
    assert!(flat(MAX_NODES).is_ok());
    assert!(flat(MAX_NODES + 1).expect_err("too many").contains("more than 1000 conditions"));
    let values = |count| {
        let values = vec![Value { kind: Some(Kind::Int64(1)) }; count];
        read(of(Condition::In(v1::InList { column: "a".to_owned(), values })))
    };
    assert!(values(MAX_VALUES).is_ok());
    assert!(values(MAX_VALUES + 1).expect_err("too many").contains("more than 10000 values"));
}

#[test]
fn an_order_is_a_column_and_words_behind_it() {
    let order = |text: &str| order(text).map(|order| (order.column, order.descending, order.nulls_first));
    for (text, column, descending, nulls_first) in [
        ("a", "a", false, None),
        (" a  DESC ", "a", true, None),
        ("a asc nulls first", "a", false, Some(true)),
        ("a Nulls Last", "a", false, Some(false)),
        ("\"a \"\"b\" desc", "a \"b", true, None),
        ("\"a\"desc", "a", true, None),
        ("ä;drop", "ä;drop", false, None),
    ] {
        assert_eq!(order(text), Ok((column.to_owned(), descending, nulls_first)), "{text}");
    }
    for text in ["", " ", "\"\"", "\"a", "a b", "a desc desc", "a nulls", "a desc, b", "a desc nulls first --"] {
        assert!(order(text).is_err(), "{text}");
    }
}

#[test]
fn a_column_named_twice_and_a_negative_limit_are_refused() {
    let refusal = |read| TableRead::try_new(read).expect_err("refused").to_string();
    let table = || "t".to_owned();
    let twice = v1::TableRead { table: table(), columns: vec![table(), table()], ..v1::TableRead::default() };
    assert_eq!(refusal(twice), "statement.table.columns[1]: \"t\" is there already");
    let negative = v1::TableRead { table: table(), limit: -1, ..v1::TableRead::default() };
    assert_eq!(refusal(negative), "statement.table.limit: is negative; 0 is no limit");
    let sorted =
        v1::TableRead { table: table(), order_by: vec![table(); MAX_ORDER_BY + 1], ..v1::TableRead::default() };
    assert_eq!(refusal(sorted), "statement.table.order_by: has more than 32 columns");
}
