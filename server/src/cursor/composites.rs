//! The fields of composite types, from PostgreSQL's catalog.

use std::collections::{HashMap, hash_map::Entry};

use sqlx::{AssertSqlSafe, PgConnection, postgres::PgRow};

use super::{describe, session::Guard};
use crate::{
    db::pool,
    encode::codec::{Codec, TEXT, TEXT_ARRAY},
    error::{CallerText, Error},
    plan::{
        Column, TypeName,
        composite::{Composite, Composites, Compound, DEEPEST, RECORD},
        sql::Cast,
    },
    stop::Stop,
};

/// Those of these types, composites and arrays of them, that can be read field by field.
pub(super) async fn of(
    connection: &mut PgConnection,
    guard: &mut Guard,
    stop: &Stop,
    oids: &[u32],
) -> Result<HashMap<u32, Compound>, Error> {
    if oids.is_empty() {
        return Ok(HashMap::new());
    }
    let query = sqlx::raw_sql(AssertSqlSafe(sql(oids)));
    let rows = guard.run(stop, CallerText::NONE, query.fetch_all(connection)).await?;
    let catalog = Catalog::of(&rows).ok_or_else(|| Error::Internal("the catalog's answer: of types".to_owned()))?;
    Ok(oids.iter().filter_map(|oid| Some((*oid, catalog.compound(*oid)?))).collect())
}

/// All types that these consist of: of a domain its base type, of an array its elements' type, of a composite those of
/// its fields. One row for each field, and one for each type without fields.
fn sql(oids: &[u32]) -> String {
    let list: Vec<_> = oids.iter().map(u32::to_string).collect();
    format!(
        "WITH RECURSIVE reached AS (
    SELECT t.oid FROM pg_catalog.pg_type t WHERE t.oid IN ({})
    UNION SELECT part.type FROM reached JOIN pg_catalog.pg_type t ON t.oid = reached.oid CROSS JOIN LATERAL (
        SELECT t.typbasetype AS type WHERE t.typtype = 'd'
        UNION ALL SELECT t.typelem WHERE t.typoutput = 'array_out'::regproc
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS part
)
SELECT t.oid, t.typtype, t.typbasetype, CASE WHEN t.typoutput = 'array_out'::regproc THEN t.typelem ELSE 0 END,
       t.typarray, {cast}, {short}, {qualified}, a.attname, a.atttypid, a.atttypmod
FROM reached JOIN pg_catalog.pg_type t ON t.oid = reached.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
LEFT JOIN pg_catalog.pg_attribute a
  ON t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY t.oid, a.attnum",
        list.join(", "),
        cast = describe::CAST,
        short = describe::SHORT,
        qualified = describe::QUALIFIED,
    )
}

/// A type as the catalog has it.
#[derive(Debug)]
struct Type {
    name: TypeName,
    cast: Cast,
    is_composite: bool,
    is_enum: bool,
    /// Of a domain.
    base: Option<u32>,
    /// Of an array.
    element: Option<u32>,
    /// The type's array.
    array: u32,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    type_oid: u32,
    modifier: i32,
}

#[derive(Debug)]
struct Catalog(HashMap<u32, Type>);

impl Catalog {
    fn of(rows: &[PgRow]) -> Option<Self> {
        let mut types: HashMap<u32, Type> = HashMap::new();
        for row in rows {
            let oid = number(row, 0)?;
            let field = match pool::text(row, 8) {
                Some(name) => Some(Field {
                    name: name.to_owned(),
                    type_oid: number(row, 9)?,
                    modifier: pool::text(row, 10)?.parse().ok()?,
                }),
                None => None,
            };
            let known = match types.entry(oid) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(type_of(row, oid)?),
            };
            known.fields.extend(field);
        }
        Some(Self(types))
    }

    /// The type, or that which the domain is over.
    fn base(&self, mut oid: u32) -> Option<(u32, &Type)> {
        loop {
            let found = self.0.get(&oid)?;
            match found.base {
                Some(base) => oid = base,
                None => return Some((oid, found)),
            }
        }
    }

    fn compound(&self, oid: u32) -> Option<Compound> {
        match self.0.get(&oid)?.element {
            None => self.composite(oid, 0).map(|composite| Compound::One(composite.into())),
            Some(element) => {
                let composite = self.composite(self.base(element)?.0, 0).filter(Composite::is_plain);
                composite.map(|composite| Compound::Array(composite.into()))
            }
        }
    }

    fn composite(&self, oid: u32, depth: usize) -> Option<Composite> {
        let fields = &self.0.get(&oid).filter(|found| found.is_composite && depth < DEEPEST)?.fields;
        Composite::new(fields.iter().map(|field| self.column(field, depth)).collect::<Option<_>>()?)
    }

    /// A field as it arrives in a record.
    fn column(&self, field: &Field, depth: usize) -> Option<Column> {
        let (oid, known) = self.base(field.type_oid)?;
        let column = Column::new(field.name.clone(), known.name.clone(), known.cast.clone());
        // What a domain says of digits is not looked at, as it is not for columns.
        let column = column.with_modifier((oid == field.type_oid).then_some(field.modifier));
        if let Some(composite) = self.composite(oid, depth + 1) {
            let wire_oid = if composite.is_plain() { field.type_oid } else { RECORD };
            let column = Column { composite: Some(Compound::One(composite.into())), ..column };
            let column = column.into_record(Composites::Structs { in_lists: false });
            return Some(Column { wire_oid, composite: None, ..column });
        }
        Some(match Codec::of(self.binary_form(oid, known)) {
            Some(codec) => Column { codec, wire_oid: field.type_oid, cast: None, ..column },
            None => column,
        })
    }

    /// The type whose binary form the type has: an enum that of its label, a domain in an array that of its base.
    fn binary_form(&self, oid: u32, known: &Type) -> u32 {
        if known.is_enum {
            return TEXT;
        }
        match known.element.and_then(|element| self.base(element)) {
            Some((_, element)) if element.is_enum => TEXT_ARRAY,
            Some((_, element)) => element.array,
            None => oid,
        }
    }
}

fn type_of(row: &PgRow, oid: u32) -> Option<Type> {
    let kind = pool::text(row, 1)?;
    let cast = describe::cast(pool::text(row, 5)?);
    let short = Codec::type_name(oid).map_or_else(|| pool::text(row, 6).map(str::to_owned), Some)?;
    Some(Type {
        name: TypeName { oid, short, qualified: pool::text(row, 7)?.to_owned() },
        cast,
        is_composite: kind == "c",
        is_enum: kind == "e",
        base: (kind == "d").then_some(number(row, 2)?),
        element: Some(number(row, 3)?).filter(|element| *element != 0),
        array: number(row, 4)?,
        fields: Vec::new(),
    })
}

fn number(row: &PgRow, column: usize) -> Option<u32> {
    pool::text(row, column)?.parse().ok()
}
