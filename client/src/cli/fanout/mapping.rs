//! Which column gives which parameter its value, and whether the values of a record suit their types.
//!
//! All that can be known without running anything is settled here: a record that passes may still be
//! refused by PostgreSQL, and one that does not pass would be.

use rowstream_client::{Call, Parameter};

use super::{
    input::{InputColumns, Record},
    types::Kind,
    values,
};

/// How much of a value a message shows, in characters.
const SHOWN_CHARS: usize = 60;

/// What happens to columns that are for no parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExtraColumns {
    /// They come back in the output, with the input
    Keep,
    /// They are left out
    Drop,
}

impl ExtraColumns {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
        }
    }
}

/// From columns to parameters.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    targets: Vec<Target>,
    named: bool,
    extra: Option<ExtraColumns>,
}

/// A parameter, and the column that it takes its value from.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    type_name: String,
    kind: Kind,
    required: bool,
    column: Option<String>,
    /// Whether --map has named the column.
    mapped: bool,
}

/// The mapping of one set of columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// For each parameter the place of its value; `None` leaves it to its default.
    cells: Vec<Option<usize>>,
    /// The columns that belong to the output.
    pub(crate) shown: Vec<usize>,
}

impl Mapping {
    /// The mapping for a query's parameters, or for SQL's if it has no name. `maps` are those of --map.
    pub(crate) fn try_new(
        parameters: &[Parameter],
        named: bool,
        maps: &[String],
        extra: Option<ExtraColumns>,
    ) -> Result<Self, String> {
        let mut mapping =
            Self { targets: parameters.iter().map(|parameter| Target::new(parameter, named)).collect(), named, extra };
        for map in maps {
            mapping.apply(map)?;
        }
        Ok(mapping)
    }

    /// Takes up the columns of the first record. For SQL their order counts, unless --map has said what is what.
    /// `always`: every record has these columns, so those that --map names must be among them.
    pub(crate) fn settle(&mut self, columns: &InputColumns, always: bool) -> Result<(), String> {
        if !self.named && !self.targets.iter().any(|target| target.mapped) {
            return self.take_in_order(columns);
        }
        let gone =
            |target: &&Target| target.mapped && !target.column.as_ref().is_some_and(|name| columns.contains(name));
        match self.targets.iter().find(gone) {
            Some(target) if always => Err(self.missing(target, columns)),
            _ => Ok(()),
        }
    }

    /// Takes up one --map.
    fn apply(&mut self, map: &str) -> Result<(), String> {
        let (column, parameter) =
            map.rsplit_once('=').ok_or_else(|| format!("--map {map:?}: write COLUMN=PARAMETER"))?;
        let known = self.names();
        let target = self.targets.iter_mut().find(|target| target.is_called(parameter));
        let target =
            target.ok_or_else(|| format!("--map {map:?}: there is no parameter {parameter:?}; there is {known}"))?;
        if std::mem::replace(&mut target.mapped, true) {
            return Err(format!("--map {map:?}: the parameter {parameter:?} has a column already"));
        }
        target.column = Some(column.to_owned());
        Ok(())
    }

    /// $1 is the first column, $2 the second.
    fn take_in_order(&mut self, columns: &InputColumns) -> Result<(), String> {
        if columns.len() < self.targets.len() {
            let (names, given) = (self.names(), list(columns.iter()));
            return Err(format!("the SQL takes {names}, and the input has fewer columns: {given}"));
        }
        for (target, column) in self.targets.iter_mut().zip(columns.iter()) {
            target.column = Some(column.clone());
        }
        Ok(())
    }

    /// Finds the parameters' values among these columns, or says what is missing or too much.
    pub(crate) fn resolve(&self, columns: &InputColumns) -> Result<Resolved, String> {
        let place = |target: &Target| {
            let at = target.column.as_ref().and_then(|name| columns.iter().position(|column| column == name));
            if at.is_none() && target.required {
                return Err(self.missing(target, columns));
            }
            Ok(at)
        };
        let cells = self.targets.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let is_extra = |at: &usize| !cells.contains(&Some(*at));
        let mut shown: Vec<_> = (0..columns.len()).collect();
        match self.extra {
            Some(ExtraColumns::Keep) => {}
            Some(ExtraColumns::Drop) => shown.retain(|at| !is_extra(at)),
            None => {
                if let Some(at) = shown.iter().copied().find(is_extra) {
                    return Err(self.superfluous(&columns[at]));
                }
            }
        }
        Ok(Resolved { cells, shown })
    }

    /// Says what is wrong with a record's values, if anything is.
    pub(crate) fn check(&self, resolved: &Resolved, record: &Record) -> Result<(), String> {
        for (target, cell) in self.targets.iter().zip(&resolved.cells) {
            let Some(at) = *cell else { continue };
            if !values::accepts(target.kind, &record.cells[at]) {
                let value = record.cells[at].text().unwrap_or_default();
                let cut: String = value.chars().take(SHOWN_CHARS).collect();
                let dots = if cut.len() < value.len() { "..." } else { "" };
                return Err(format!("column {:?}: {cut:?}{dots} is no {}", record.columns[at], target.type_name));
            }
        }
        Ok(())
    }

    /// Binds a record's values.
    pub(crate) fn bind(&self, resolved: &Resolved, record: &Record, mut call: Call) -> Call {
        for (target, cell) in self.targets.iter().zip(&resolved.cells) {
            let Some(cell) = cell.map(|at| &record.cells[at]) else { continue };
            let value = values::value(target.kind, cell);
            call = if self.named { call.bind_named(&target.name, value) } else { call.bind(value) };
        }
        call
    }

    fn missing(&self, target: &Target, columns: &InputColumns) -> String {
        let Target { name, type_name, .. } = target;
        let columns = list(columns.iter());
        match &target.column {
            Some(column) if column != name => {
                format!("no column {column:?} for the parameter {name:?}; there is {columns}")
            }
            _ => format!(
                "no column for the parameter {name:?} ({type_name}); there is {columns}; \
                 --map COLUMN={name} names the one to take"
            ),
        }
    }

    fn names(&self) -> String {
        list(self.targets.iter().map(|target| &target.name))
    }

    fn superfluous(&self, column: &str) -> String {
        let parameters = self.names();
        format!(
            "the column {column:?} is for no parameter; there is {parameters}. \
             --map {column}=PARAMETER gives it one, --extra-columns keep or drop takes it as it is"
        )
    }
}

impl Target {
    fn new(parameter: &Parameter, named: bool) -> Self {
        let name = if named { parameter.name.clone() } else { format!("${}", parameter.position) };
        let kind = Kind::of(parameter.type_oid, &parameter.type_name);
        let column = named.then(|| name.clone());
        Self {
            name,
            type_name: parameter.type_name.clone(),
            kind,
            required: parameter.required || !named,
            column,
            mapped: false,
        }
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.name.strip_prefix('$').is_some_and(|position| position == name)
    }
}

/// Names for a message: `"a", "b"`.
fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(|name| format!("{name:?}")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cli::fanout::{input::Cell, testing::parameter};

    fn columns(names: &[&str]) -> InputColumns {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// A query with a required `id int4` and an optional `since date`.
    fn named(maps: &[&str], extra: Option<ExtraColumns>) -> Result<Mapping, String> {
        let parameters = [parameter(1, "id", "int4", 23, true), parameter(2, "since", "date", 1082, false)];
        Mapping::try_new(&parameters, true, &strings(maps), extra)
    }

    fn sql(maps: &[&str], extra: Option<ExtraColumns>, first: &[&str]) -> Result<Mapping, String> {
        let parameters = [parameter(1, "", "int4", 23, true), parameter(2, "", "text", 25, true)];
        let mut mapping = Mapping::try_new(&parameters, false, &strings(maps), extra)?;
        mapping.settle(&columns(first), true)?;
        Ok(mapping)
    }

    #[test]
    fn names_are_matched_and_sql_counts() {
        let resolved =
            |cells: &[Option<usize>], shown: &[usize]| Ok(Resolved { cells: cells.into(), shown: shown.into() });
        let (keep, drop) = (Some(ExtraColumns::Keep), Some(ExtraColumns::Drop));
        for (mapping, given, expected) in [
            (named(&[], None), &["since", "id"][..], resolved(&[Some(1), Some(0)], &[0, 1])),
            (named(&[], None), &["id"], resolved(&[Some(0), None], &[0])),
            (named(&["key=id"], None), &["key"], resolved(&[Some(0), None], &[0])),
            (named(&["a=b=id"], None), &["a=b"], resolved(&[Some(0), None], &[0])),
            (named(&[], keep), &["x", "id"], resolved(&[Some(1), None], &[0, 1])),
            (named(&[], drop), &["x", "id"], resolved(&[Some(1), None], &[1])),
            (sql(&[], None, &["a", "b"]), &["b", "a"], resolved(&[Some(1), Some(0)], &[0, 1])),
            (sql(&[], keep, &["a", "b", "c"]), &["a", "b", "c"], resolved(&[Some(0), Some(1)], &[0, 1, 2])),
            (sql(&["c=1", "a=$2"], drop, &["a", "b", "c"]), &["a", "b", "c"], resolved(&[Some(2), Some(0)], &[0, 2])),
        ] {
            assert_eq!(mapping.unwrap().resolve(&columns(given)), expected, "{given:?}");
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_named_with_what_to_write() {
        for (told, mapping, given) in [
            (
                "no column for the parameter \"id\" (int4); there is \"key\"; --map COLUMN=id",
                named(&[], None),
                &["key"][..],
            ),
            ("no column \"key\" for the parameter \"id\"; there is \"id\"", named(&["key=id"], None), &["id"]),
            ("the column \"x\" is for no parameter; there is \"id\", \"since\"", named(&[], None), &["id", "x"]),
            ("no column \"b\" for the parameter \"$2\"", sql(&[], None, &["a", "b"]), &["a"]),
        ] {
            let problem = mapping.unwrap().resolve(&columns(given)).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
        for (told, mapping) in [
            ("write COLUMN=PARAMETER", named(&["id"], None)),
            ("no parameter \"key\"; there is \"id\", \"since\"", named(&["id=key"], None)),
            ("\"id\" has a column already", named(&["a=id", "b=id"], None)),
            ("no column \"c\" for the parameter \"$1\"", sql(&["c=1"], None, &["a"])),
            ("the SQL takes \"$1\", \"$2\", and the input has fewer columns: \"a\"", sql(&[], None, &["a"])),
        ] {
            let problem = mapping.unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_named_with_its_column() {
        let mapping = named(&[], None).unwrap();
        let columns = columns(&["id", "since"]);
        let resolved = mapping.resolve(&columns).unwrap();
        let problem = |id: Cell| {
            let record = Record { position: 0, line: 2, columns: Arc::clone(&columns), cells: vec![id, Cell::Null] };
            mapping.check(&resolved, &record).err()
        };
        assert_eq!(problem(Cell::Text("7".into())), None);
        assert_eq!(problem(Cell::Json("7".into())), None);
        assert_eq!(problem(Cell::Null), None);
        assert_eq!(problem(Cell::Text("abc".into())).as_deref(), Some("column \"id\": \"abc\" is no int4"));
        let long = problem(Cell::Text("x".repeat(1000))).unwrap();
        assert!(long.len() < 100 && long.ends_with("x\"... is no int4"), "{long}");
    }
}
