//! The statement of a part of a table read: the read with a condition of ours, over the table or over the tables that
//! it consists of; and that of a sample of one column.

use super::{
    Operator, Relation, Table, TableColumn,
    key::Order as KeyOrder,
    name::quoted,
    read::{Order, TableRead, invalid},
    render::{Rendered, Text, announced, chosen, known, reference, selected},
};
use crate::{
    error::Error,
    plan::{
        Described,
        composite::Composites,
        partition::{
            Part, Slice,
            ctid::{Place, PlaceForm, Run},
            key_range::{Key, Range},
        },
        resume::{Position, Resume},
        sql::Wrapped,
    },
};

/// Makes the statement of a part. Of pages, each row tells its place as well. A range of the primary key is read in the
/// key's order, so that it can be resumed.
pub(crate) fn render_part(
    table: &Table,
    read: &TableRead,
    part: &Part,
    resume: &Resume,
    composites: Composites,
) -> Result<Rendered, Error> {
    let columns = chosen(table, &read.columns)?;
    let by_place = matches!(part.slice, Some(Slice::Pages(_)));
    let mut places = None;
    let sorted = in_order(table, read, part, &columns);
    let order = if by_place { None } else { KeyOrder::of(table, &sorted, &columns, resume)? };
    let announced = announced(&columns, composites, order.as_ref());
    let list: Vec<_> = announced.iter().map(selected).collect();
    let mut text = Text::new(table);
    let filter = filter(&mut text, read)?;
    let mut arms = 0;
    let mut select = |place: &str, from: &str, condition: Option<&str>| {
        text.push(if arms == 0 { "" } else { "\nUNION ALL " });
        arms += 1;
        text.push(&format!("SELECT {}{place} FROM {from} AS t", list.join(", ")));
        conditions(&mut text, [condition, filter.as_deref()]);
    };
    match &part.slice {
        None => select("", &whole(table), None),
        Some(Slice::Pages(pages)) => {
            let from = behind(resume)?;
            let first = from.map_or(0, |place| place.run);
            let runs: Vec<_> = pages.runs.iter().zip(0_u32..).skip_while(|(_, index)| *index < first).collect();
            let form = match runs[..] {
                [(_, alone)] => PlaceForm::InRun(alone),
                _ => PlaceForm::WithRun,
            };
            places = Some(form);
            for (run, index) in runs {
                let name = format!("ONLY {}.{}", quoted(&run.schema), quoted(&run.name));
                let behind = from.as_ref().filter(|place| place.run == index);
                let comma = if list.is_empty() { "" } else { ", " };
                select(&format!("{comma}{}", form.sql(index)), &name, Some(&lies_in(run, behind)));
            }
        }
        Some(Slice::Range(range)) => select("", &whole(table), Some(&range.condition(&key(table, &range.column)?))),
        Some(Slice::Share(share)) => {
            let named = |name: &String| known(table, name, || "partition_by".to_owned()).map(reference);
            let references = share.columns.iter().map(named).collect::<Result<Vec<_>, _>>()?;
            select("", &whole(table), Some(&share.condition(&references)));
        }
    }
    if places.is_some() {
        text.push("\n");
        let Text { sql, parameters, arguments, .. } = text;
        let described = Described { parameters, columns: announced, query: Wrapped::ours(sql), places };
        return Ok(Rendered { described, arguments, keyset: None });
    }
    let (words, keyset) = match order {
        Some(order) => text.order_by_key(&order, &announced, &sorted, resume)?,
        None => (text.order_by(&sorted.order_by)?, None),
    };
    text.push(&words);
    if let Some(rows) = read.limit {
        let again = i64::from(keyset.as_ref().is_some_and(|keyset| keyset.seam.is_some()));
        text.push(&format!(" LIMIT {}", (rows - resume.rows()).max(0).saturating_add(again)));
    }
    text.push("\n");
    let Text { sql, parameters, arguments, .. } = text;
    let described = Described { parameters, columns: announced, query: Wrapped::ours(sql), places: None };
    Ok(Rendered { described, arguments, keyset })
}

/// Where a part by pages goes on.
fn behind(resume: &Resume) -> Result<Option<Place>, Error> {
    match resume.position() {
        None => Ok(None),
        Some(Position::Place(bytes)) => Place::parse(bytes).map(Some).ok_or(Error::InvalidToken("resume_token")),
        Some(Position::Keyset(_)) => Err(Error::InvalidToken("resume_token")),
    }
}

/// The read, sorted if it is a range of the whole primary key, which is among its columns, and is not sorted otherwise.
fn in_order(table: &Table, read: &TableRead, part: &Part, columns: &[&TableColumn]) -> TableRead {
    let mut read = read.clone();
    if let Some(Slice::Range(Range { column, .. })) = &part.slice
        && read.order_by.is_empty()
        && table.primary_key == [column.as_str()]
        && columns.iter().any(|known| known.name == *column)
    {
        read.order_by.push(Order { column: column.clone(), descending: false, nulls_first: None });
    }
    read
}

/// One column of the rows, of about `percent` of the table's pages if that is given.
pub(crate) fn render_column(
    table: &Table,
    read: &TableRead,
    column: &str,
    percent: Option<f64>,
) -> Result<Rendered, Error> {
    let column = known(table, column, || "partition_by".to_owned())?;
    let mut text = Text::new(table);
    let filter = filter(&mut text, read)?;
    let sample = percent.map_or_else(String::new, |percent| format!(" TABLESAMPLE SYSTEM ({percent:.6})"));
    text.push(&format!("SELECT {} FROM {} AS t{sample}", reference(column), whole(table)));
    conditions(&mut text, [filter.as_deref()]);
    let Text { sql, parameters, arguments, .. } = text;
    let described = Described {
        parameters,
        columns: announced(&[column], Composites::Text, None),
        query: Wrapped::ours(sql),
        places: None,
    };
    Ok(Rendered { described, arguments, keyset: None })
}

/// A column as a key to divide by.
///
/// # Errors
/// There is no such column, or its type has no order.
pub(crate) fn key(table: &Table, name: &str) -> Result<Key, Error> {
    let column = known(table, name, || "partition_by".to_owned())?;
    let operator = |relation| {
        let operator = column.operators.get(&relation).filter(|operator| !operator.takes_text);
        let unordered = || {
            let short = &column.type_name.short;
            invalid("partition_by", format!("column {name:?} has type {short}, which has no order"))
        };
        operator.map(Operator::written).ok_or_else(unordered)
    };
    Ok(Key {
        reference: reference(column),
        type_name: column.type_name.qualified.clone(),
        greater_or_equal: operator(Relation::GreaterOrEqual)?,
        less: operator(Relation::Less)?,
    })
}

/// The filter's condition, and its values among the parameters. It can stand in several places.
fn filter(text: &mut Text<'_>, read: &TableRead) -> Result<Option<String>, Error> {
    let Some(filter) = &read.filter else { return Ok(None) };
    text.test(filter)?;
    Ok(Some(std::mem::take(&mut text.sql)))
}

fn conditions<const N: usize>(text: &mut Text<'_>, conditions: [Option<&str>; N]) {
    text.conditioned = false;
    for condition in conditions.into_iter().flatten() {
        text.push(if text.conditioned { " AND " } else { " WHERE " });
        text.push(condition);
        text.conditioned = true;
    }
}

/// The table as a whole, as FROM names it.
fn whole(table: &Table) -> String {
    format!("{}.{}", quoted(&table.name.schema), quoted(&table.name.name))
}

/// What of its table a run of pages is, from behind a place in it if there is one.
fn lies_in(run: &Run, behind: Option<&Place>) -> String {
    let from = match behind {
        Some(Place { page, item, .. }) => format!("t.ctid > '({page},{item})'::pg_catalog.tid"),
        None => format!("t.ctid >= '({},0)'::pg_catalog.tid", run.from),
    };
    run.until.map_or(from.clone(), |until| format!("{from} AND t.ctid < '({until},0)'::pg_catalog.tid"))
}
