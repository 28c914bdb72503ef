use std::collections::HashMap;

use proptest::prelude::*;
use rowstream_contract::v1::{self, ComparisonOperator, Value, filter::Condition, value::Kind};
use sqlparser::{
    ast::{SetExpr, Statement},
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use super::{
    super::{super::sql::Cast, Kind as TableKind, Operator, Operators, name::TableName},
    *,
};

fn type_name(oid: u32, short: &str) -> TypeName {
    TypeName { oid, short: short.to_owned(), qualified: format!("pg_catalog.{short}") }
}

fn operators() -> Operators {
    let operator = |(symbol, relation): &(&str, Relation)| {
        let symbol = match *symbol {
            "LIKE" => "~~",
            "ILIKE" => "~~*",
            symbol => symbol,
        };
        let takes_text = matches!(relation, Relation::Like | Relation::LikeAnyCase);
        (*relation, Operator { schema: "pg_catalog".to_owned(), symbol: symbol.to_owned(), takes_text })
    };
    Relation::ALL.iter().map(operator).collect()
}

fn column(name: &str, type_name: TypeName) -> TableColumn {
    let is_array = type_name.short.ends_with("[]");
    let operators = if type_name.short == "point" { Operators::new() } else { operators() };
    TableColumn {
        name: name.to_owned(),
        type_name,
        cast: Cast::Text,
        modifier: None,
        nullable: None,
        is_array,
        is_composite: false,
        composite: None,
        from_text: false,
        operators,
    }
}

/// A column of each of these types, by turns.
fn table(name: TableName, columns: &[String]) -> Table {
    let types = [type_name(23, "int4"), type_name(25, "text"), type_name(1007, "int4[]"), type_name(600, "point")];
    let columns = columns.iter().zip(types.iter().cycle()).map(|(name, of)| column(name, of.clone())).collect();
    Table {
        oid: 1,
        version: String::new(),
        name,
        kind: TableKind::Table,
        estimated_rows: -1,
        comment: String::new(),
        attributes: 0,
        columns,
        primary_key: Vec::new(),
    }
}

fn orders() -> Table {
    let names = ["id", "na\"me", "tags", "at"].map(str::to_owned);
    table(TableName { schema: "public".to_owned(), name: "Or ders".to_owned() }, &names)
}

fn sql(read: v1::TableRead) -> Result<String, String> {
    let read = v1::TableRead { table: "t".to_owned(), ..read };
    let rendered = TableRead::try_new(read)
        .and_then(|read| render(&orders(), &read, Some(11), &Resume::default(), Composites::Text));
    rendered.map(|rendered| rendered.described.query.sql.trim_end().to_owned()).map_err(|error| error.to_string())
}

fn of(condition: Condition) -> v1::Filter {
    v1::Filter { condition: Some(condition) }
}

fn text(value: &str) -> Option<Value> {
    Some(Value { kind: Some(Kind::Text(value.to_owned())) })
}

fn compare(column: &str, operator: ComparisonOperator) -> v1::Filter {
    let comparison = v1::Comparison { column: column.to_owned(), operator: operator.into(), value: text("1") };
    of(Condition::Comparison(comparison))
}

fn one_of(column: &str, count: usize) -> v1::Filter {
    let values = vec![text("1").expect("a value"); count];
    of(Condition::In(v1::InList { column: column.to_owned(), values }))
}

#[test]
fn a_read_becomes_one_select_with_names_in_quotes_and_values_as_parameters() {
    let filters = vec![
        compare("id", ComparisonOperator::NotEqual),
        of(Condition::Not(Box::new(one_of("id", 2)))),
        one_of("tags", 2),
        one_of("id", 0),
        of(Condition::Or(v1::FilterList::default())),
        of(Condition::IsNotNull("at".to_owned())),
    ];
    let read = v1::TableRead {
        columns: vec!["na\"me".to_owned(), "at".to_owned()],
        filter: Some(of(Condition::And(v1::FilterList { filters }))),
        order_by: vec!["\"na\"\"me\" desc nulls last".to_owned(), "id".to_owned()],
        limit: 100,
        ..v1::TableRead::default()
    };
    let expected = r#"SELECT t."na""me", t."at"::text AS "at" FROM "public"."Or ders" AS t WHERE (
        (t."id" OPERATOR("pg_catalog".<>) $1) AND
        (NOT (t."id" OPERATOR("pg_catalog".=) ANY (ARRAY[$2, $3]))) AND
        (t."tags" OPERATOR("pg_catalog".=) $4 OR t."tags" OPERATOR("pg_catalog".=) $5) AND
        FALSE AND FALSE AND (t."at" IS NOT NULL))
        ORDER BY t."na""me" DESC NULLS LAST, t."id" LIMIT 11"#;
    let words = |sql: &str| sql.split_whitespace().collect::<Vec<_>>().join(" ").replace("( (", "((");
    assert_eq!(sql(read).map(|sql| words(&sql)), Ok(words(expected)));
}

#[test]
fn what_the_table_does_not_have_is_named_with_its_place() {
    let read = |filter| v1::TableRead { filter: Some(filter), ..v1::TableRead::default() };
    for (read, message) in [
        (
            v1::TableRead { columns: vec!["ID".to_owned()], ..v1::TableRead::default() },
            "statement.table.columns[0]: table public.Or ders has no column \"ID\"; it has: id, na\"me, tags, at",
        ),
        (
            read(of(Condition::Not(Box::new(compare("x", ComparisonOperator::Equal))))),
            "statement.table.filter.not.comparison: table public.Or ders has no column \"x\"",
        ),
        (
            read(compare("at", ComparisonOperator::Less)),
            "statement.table.filter.comparison: column \"at\" has type point, which has no operator <",
        ),
        (read(one_of("at", 0)), "statement.table.filter.in: column \"at\" has type point, which has no operator ="),
        (
            v1::TableRead { order_by: vec!["at".to_owned()], ..v1::TableRead::default() },
            "statement.table.order_by[0]: column \"at\" has type point, which has no order",
        ),
    ] {
        let refused = sql(read).expect_err(message);
        assert!(refused.starts_with(message), "{refused}");
    }
}

// === No name and no value changes the statement's shape

/// Names that try to get out of their quotes, and ordinary ones.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        prop::sample::select(vec![
            "\"",
            "\"\"",
            "'",
            "''",
            "\\",
            "$$",
            "$a$",
            "$1",
            "--",
            "/*",
            "*/",
            ";",
            "\n",
            "\r",
            "\t",
            " ",
            ".",
            ",",
            "(",
            ")",
            "[",
            "]",
            "E'",
            "U&\"",
            "\u{2028}",
            "\u{feff}",
            "ä",
            "select",
            "drop table x",
            "\" OR TRUE --",
            "::",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9_]{1,6}",
        any::<char>().prop_filter("no NUL in PostgreSQL's names", |c| *c != '\0').prop_map(|c| c.to_string()),
    ];
    prop::collection::vec(pieces, 1..6).prop_map(|pieces| pieces.concat())
}

/// A condition over columns that are given by number.
fn filter() -> impl Strategy<Value = v1::Filter> {
    let value = hostile().prop_map(|value| Value { kind: Some(Kind::Text(value)) }).boxed();
    let number = |columns: Vec<usize>| prop::sample::select(columns).prop_map(|number| number.to_string());
    let leaf = prop_oneof![
        (number(vec![0, 1, 2, 4, 5, 6]), 1..7_i32, value.clone()).prop_map(|(column, operator, value)| {
            of(Condition::Comparison(v1::Comparison { column, operator, value: Some(value) }))
        }),
        (number(vec![0, 1, 2, 4]), prop::collection::vec(value.clone(), 0..4))
            .prop_map(|(column, values)| of(Condition::In(v1::InList { column, values }))),
        (number(vec![0, 1, 5]), value.clone(), value).prop_map(|(column, low, high)| {
            of(Condition::Between(v1::Between { column, low: Some(low), high: Some(high) }))
        }),
        (number(vec![1, 5]), hostile(), any::<bool>()).prop_map(|(column, pattern, case_insensitive)| {
            let pattern = pattern.replace('\\', "\\\\");
            of(Condition::Like(v1::Like { column, pattern, case_insensitive }))
        }),
        number(vec![0, 3, 7]).prop_map(|column| of(Condition::IsNull(column))),
        number(vec![0, 3, 7]).prop_map(|column| of(Condition::IsNotNull(column))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|filters| v1::FilterList { filters });
        prop_oneof![
            list.clone().prop_map(|list| of(Condition::And(list))),
            list.prop_map(|list| of(Condition::Or(list))),
            inner.prop_map(|inner| of(Condition::Not(Box::new(inner)))),
        ]
    })
}

/// Puts the names where the numbers stand.
fn named(filter: v1::Filter, names: &[String]) -> v1::Filter {
    let name = |number: String| names[number.parse::<usize>().expect("a number")].clone();
    let list = |list: v1::FilterList| v1::FilterList {
        filters: list.filters.into_iter().map(|filter| named(filter, names)).collect(),
    };
    of(match filter.condition.expect("generated whole") {
        Condition::And(filters) => Condition::And(list(filters)),
        Condition::Or(filters) => Condition::Or(list(filters)),
        Condition::Not(inner) => Condition::Not(Box::new(named(*inner, names))),
        Condition::Comparison(it) => Condition::Comparison(v1::Comparison { column: name(it.column), ..it }),
        Condition::In(it) => Condition::In(v1::InList { column: name(it.column), ..it }),
        Condition::Between(it) => Condition::Between(v1::Between { column: name(it.column), ..it }),
        Condition::Like(it) => Condition::Like(v1::Like { column: name(it.column), ..it }),
        Condition::IsNull(column) => Condition::IsNull(name(column)),
        Condition::IsNotNull(column) => Condition::IsNotNull(name(column)),
    })
}

/// The statement for these names, as tokens, and its values.
fn statement(names: &[String], filter: &v1::Filter, order: &[usize], limit: i64) -> (String, Vec<Token>, Vec<Value>) {
    let table = table(TableName { schema: names[8].clone(), name: names[9].clone() }, &names[..8]);
    let quoted = |name: &String| format!("\"{}\" desc", name.replace('"', "\"\""));
    let read = v1::TableRead {
        table: table.name.to_string(),
        columns: names[..8].to_vec(),
        filter: Some(named(filter.clone(), names)),
        order_by: order.iter().map(|number| quoted(&names[*number])).collect(),
        limit,
    };
    let rendered =
        render(&table, &TableRead::try_new(read).expect("valid"), None, &Resume::default(), Composites::Text)
            .expect("rendered");
    let sql = rendered.described.query.sql;
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, &sql).tokenize().expect("tokens");
    (sql, tokens, rendered.arguments.into_iter().map(|argument| argument.value).collect())
}

/// The values in the order in which they stand in the request.
fn values(filter: &v1::Filter, into: &mut Vec<Value>) {
    match filter.condition.as_ref().expect("generated whole") {
        Condition::And(list) | Condition::Or(list) => list.filters.iter().for_each(|filter| values(filter, into)),
        Condition::Not(inner) => values(inner, into),
        Condition::Comparison(it) => into.extend(it.value.clone()),
        Condition::In(it) => into.extend(it.values.clone()),
        Condition::Between(it) => into.extend(it.low.iter().chain(&it.high).cloned()),
        Condition::Like(it) => into.extend(text(&it.pattern)),
        Condition::IsNull(_) | Condition::IsNotNull(_) => {}
    }
}

proptest! {
    /// The oracle is another lexer and parser: a statement with hostile names is, token by token, the one
    /// with tame names, but for the names themselves; it holds no literal but its LIMIT; and it is exactly
    /// one SELECT.
    #[test]
    fn no_name_and_no_value_changes_the_statement(
        names in prop::collection::hash_set(hostile(), 10),
        filter in filter(),
        order in prop::collection::vec(prop::sample::select(vec![0_usize, 1, 2]), 0..3),
        limit in 0..100_i64,
    ) {
        let names: Vec<String> = names.into_iter().collect();
        prop_assume!(names.iter().map(String::len).sum::<usize>() < 400);
        let tame: Vec<String> = (0..10).map(|number| format!("n{number}")).collect();
        let (sql, tokens, arguments) = statement(&names, &filter, &order, limit);
        let (tame_sql, tame_tokens, _) = statement(&tame, &filter, &order, limit);

        let places: HashMap<&str, &str> = tame.iter().map(String::as_str).zip(names.iter().map(String::as_str)).collect();
        prop_assert_eq!(tokens.len(), tame_tokens.len(), "{}", sql);
        let mut placeholders = 0;
        for (token, tame) in tokens.iter().zip(&tame_tokens) {
            match (token, tame) {
                (Token::Word(ours), Token::Word(tame)) if ours.quote_style == Some('"') => {
                    let expected = places.get(tame.value.as_str()).copied().unwrap_or(&tame.value);
                    prop_assert_eq!(&ours.value, expected, "{}", sql);
                }
                (Token::Placeholder(_), _) => placeholders += 1,
                (Token::Number(..), _) => {
                    let last = format!(" LIMIT {limit}\n");
                    prop_assert!(sql.ends_with(&last), "{}", sql);
                }
                _ => {}
            }
            if !matches!(token, Token::Word(_)) {
                prop_assert_eq!(token, tame);
            }
            prop_assert!(!matches!(token, Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_)
                | Token::DollarQuotedString(_) | Token::UnicodeStringLiteral(_) | Token::SemiColon), "{}", sql);
        }

        let mut expected = Vec::new();
        values(&filter, &mut expected);
        prop_assert_eq!(placeholders, expected.len());
        prop_assert_eq!(arguments, expected);

        // sqlparser knows ANY behind a plain operator only.
        let plain = tame_sql.replace("OPERATOR(\"pg_catalog\".=) ANY", "= ANY");
        let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &plain).expect(&plain);
        let one_select = matches!(&parsed[..], [Statement::Query(query)] if matches!(*query.body, SetExpr::Select(_)));
        prop_assert!(one_select, "{}", plain);
    }
}
