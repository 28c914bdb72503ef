//! How a statement's result is divided in a session's snapshot: what `plan::partition` has to know is asked for, and
//! what it decides is done.

use super::sessions::Finding;
use crate::{
    cursor::{
        places::{self, Places},
        sample,
    },
    error::Error,
    plan::{
        self, Argument, Described, Source,
        estimate::Estimate,
        partition::{
            self, Chosen, Facts, Sized, Strategy, Wish, ctid, hash,
            key_range::{self, Key},
        },
        request::invalid,
        sql,
        table::{
            Kind, Table,
            read::TableRead,
            render::Rendered,
            slice::{key, render_column},
        },
    },
};

/// How many rows a sample is to have, about.
const SAMPLE_ROWS: f64 = 30_000.0;
/// Below so many rows a table is read whole for a sample.
const SMALL_ROWS: f64 = 100_000.0;

/// What is known of the statement.
pub(super) struct Known<'a> {
    pub(super) table: Option<&'a Table>,
    pub(super) described: &'a Described,
    pub(super) arguments: &'a [Argument],
    pub(super) estimate: &'a Estimate,
}

/// A result, divided.
#[derive(Debug)]
pub(crate) struct Divided {
    pub(crate) chosen: Chosen,
    /// The columns that tell in which part a row is; none also for a hash of all columns of a statement.
    pub(crate) by: Vec<String>,
    pub(crate) parts: Vec<Sized>,
}

impl Divided {
    fn whole(chosen: Chosen) -> Self {
        Self { chosen, by: Vec::new(), parts: vec![Sized::whole()] }
    }
}

/// Divides.
pub(super) async fn divide(finding: &mut Finding<'_>, known: &Known<'_>, wish: &Wish) -> Result<Divided, Error> {
    let source = finding.statement.source.clone();
    let mut facts = Facts { whole: whole(&source, known), ..Facts::default() };
    if facts.whole.is_none() && wish.strategy != Some(Strategy::Single) {
        return match (&source, known.table) {
            (Source::Table(read), Some(table)) => of_table(finding, known, table, read, wish, facts).await,
            _ => of_query(finding, known, &source, wish, facts).await,
        };
    }
    facts.no_pages = Some("it is read as a whole".to_owned());
    Ok(Divided::whole(partition::choose(wish, &facts)?))
}

/// Why a result cannot be divided at all.
fn whole(source: &Source, known: &Known<'_>) -> Option<&'static str> {
    match source {
        Source::Table(read) if read.limit.is_some() => Some("the read has a limit"),
        Source::Named(query) if query.max_rows.is_some() => Some("the named query has a limit of rows"),
        _ if known.described.columns.is_empty() => Some("the statement has no column"),
        _ => None,
    }
}

async fn of_table(
    finding: &mut Finding<'_>,
    known: &Known<'_>,
    table: &Table,
    read: &TableRead,
    wish: &Wish,
    mut facts: Facts,
) -> Result<Divided, Error> {
    let places = match (table.kind, read.order_by.is_empty()) {
        (Kind::View, _) => Places::None("the table is a view".to_owned()),
        (_, false) => Places::None("the read is sorted".to_owned()),
        _ => places::of(finding.session, &finding.call.stop, table).await?,
    };
    let default = || table.primary_key.first().or_else(|| table.columns.first().map(|column| &column.name)).cloned();
    let by = wish.by.first().cloned().or_else(default).unwrap_or_default();
    let ordered = key(table, &by);
    facts.no_key = ordered.as_ref().err().map(ToString::to_string);
    facts.key_at_hand = !table.primary_key.is_empty() && can_be_sampled(table.kind);
    let leaves = match places {
        Places::Known(leaves) => leaves,
        Places::None(why) => {
            facts.no_pages = Some(why);
            Vec::new()
        }
    };
    let chosen = partition::choose(wish, &facts)?;
    let (by, parts) = match chosen.strategy {
        Strategy::Single => return Ok(Divided::whole(chosen)),
        Strategy::Ctid => (Vec::new(), ctid::divide(&leaves, wish.partitions)),
        Strategy::KeyRange => {
            let rows = known.estimate.rows;
            let percent = (rows > SMALL_ROWS && can_be_sampled(table.kind)).then(|| 100.0 * SAMPLE_ROWS / rows);
            let none = render_column(table, read, &by, None)?;
            let sampled = render_column(table, read, &by, percent)?;
            let parts = ranges(finding, &by, &ordered?, &none, &sampled, wish.partitions).await?;
            (vec![by], parts)
        }
        Strategy::Hash => {
            let columns = if wish.by.is_empty() { hashed(table) } else { wish.by.clone() };
            if let Some(unknown) = columns.iter().find(|name| table.column(name).is_none()) {
                return Err(invalid("partition_by", &format!("table {} has no column {unknown:?}", table.name)));
            }
            let parts = hash::divide(&columns, wish.partitions);
            (columns, parts)
        }
    };
    Ok(Divided { chosen, by, parts })
}

fn can_be_sampled(kind: Kind) -> bool {
    matches!(kind, Kind::Table | Kind::Partitioned | Kind::Materialized)
}

/// The columns that a table is hashed by: what tells its rows apart, or all of them.
fn hashed(table: &Table) -> Vec<String> {
    if table.primary_key.is_empty() {
        return table.columns.iter().map(|column| column.name.clone()).collect();
    }
    table.primary_key.clone()
}

async fn of_query(
    finding: &mut Finding<'_>,
    known: &Known<'_>,
    source: &Source,
    wish: &Wish,
    mut facts: Facts,
) -> Result<Divided, Error> {
    let columns = &known.described.columns;
    for name in &wish.by {
        index_of(known.described, name)?;
    }
    facts.no_pages = Some("it is no table".to_owned());
    // A statement with a limit need not have the same rows when it is run again.
    if wish.strategy.is_none() && known.estimate.json.contains("\"Limit\"") {
        facts.whole = Some("the statement has a LIMIT");
    }
    let wants_key = wish.strategy == Some(Strategy::KeyRange);
    let by = match wants_key {
        true => ordered_column(finding, known.described, wish).await?,
        false => None,
    };
    facts.no_key = (wants_key && by.is_none())
        .then(|| "there is no column of a name of its own whose type has an order".to_owned());
    let chosen = partition::choose(wish, &facts)?;
    let (by, parts) = match (chosen.strategy, by) {
        (Strategy::KeyRange, Some(index)) => {
            let key = key_of(known.described, index);
            let rows = known.estimate.rows;
            let some =
                if rows > SMALL_ROWS { format!("random() < {:.9}", SAMPLE_ROWS / rows) } else { "TRUE".to_owned() };
            let (none, sampled) = (column_of(source, known, index, "FALSE"), column_of(source, known, index, &some));
            let name = &columns[index].name;
            (vec![name.clone()], ranges(finding, name, &key, &none, &sampled, wish.partitions).await?)
        }
        (Strategy::Hash, _) => (wish.by.clone(), hash::divide(&wish.by, wish.partitions)),
        _ => return Ok(Divided::whole(chosen)),
    };
    Ok(Divided { chosen, by, parts })
}

/// The column to make ranges of: the one that was asked for, or the first that has an order.
async fn ordered_column(finding: &mut Finding<'_>, described: &Described, wish: &Wish) -> Result<Option<usize>, Error> {
    let types: Vec<u32> = described.columns.iter().map(|column| column.type_name.oid).collect();
    let ordered = sample::ordered(finding.session, &finding.call.stop, &types).await?;
    let mut candidates = match wish.by.first() {
        Some(name) => vec![index_of(described, name)?],
        None => (0..types.len()).collect(),
    };
    candidates.retain(|index| {
        ordered.contains(&types[*index]) && index_of(described, &described.columns[*index].name).is_ok()
    });
    Ok(candidates.first().copied())
}

/// One column of those rows of a statement that meet a condition.
fn column_of(source: &Source, known: &Known<'_>, index: usize, condition: &str) -> Rendered {
    let query = sql::column_of(source.sql(), known.described.columns.len(), index, condition);
    let described = Described { query, ..known.described.clone() };
    Rendered { described, arguments: known.arguments.to_vec(), keyset: None }
}

/// The place of a column of that name.
pub(super) fn index_of(described: &Described, name: &str) -> Result<usize, Error> {
    plan::named(&described.columns, name).map_err(|several| match several {
        true => invalid("partition_by", &format!("several columns are called {name:?}")),
        false => invalid("partition_by", &format!("the statement has no column {name:?}")),
    })
}

/// A column of a statement as a key to divide by.
pub(super) fn key_of(described: &Described, index: usize) -> Key {
    Key {
        reference: sql::column(index),
        type_name: described.columns[index].type_name.qualified.clone(),
        greater_or_equal: ">=".to_owned(),
        less: "<".to_owned(),
    }
}

/// Ranges of a key, by a sample of it.
async fn ranges(
    finding: &mut Finding<'_>,
    column: &str,
    key: &Key,
    none: &Rendered,
    sampled: &Rendered,
    most: usize,
) -> Result<Vec<Sized>, Error> {
    let bound = finding.bind(&sampled.described, &sampled.arguments).await?;
    let sample = sample::of(finding.session, &finding.call.stop, &sampled.described, bound).await?;
    let bounds = key_range::bounds(&sample.seen, most);
    let bound = finding.bind(&none.described, &none.arguments).await?;
    let ascending = sample::ascends(finding.session, &finding.call.stop, &none.described, key, &bounds, bound).await?;
    // Where values as text do not lead back to the same order, there is nothing to cut at.
    let bounds = if ascending { bounds } else { Vec::new() };
    Ok(key_range::divide(column, &bounds, &sample.seen, sample.nulls))
}
