//! Rows in PostgreSQL's binary form, made here without a PostgreSQL: like those of the two tables that `benches/peers`
//! reads, and the same in every run. TPC-H's own generator first makes a text of 300 MB, which takes minutes under
//! callgrind.

mod binary;

use rowstream_client::Columns;
use rowstream_contract::v1::Column;
use rowstream_server::bench::BinaryRow;

use self::binary::Row;

const TEXT: u32 = 25;
const BPCHAR: u32 = 1042;
const NUMERIC: u32 = 1700;
const DATE: u32 = 1082;
const INT8: u32 = 20;
const INT4: u32 = 23;

const COMMENT: &str = "quickly ironic deposits wake furiously even accounts";

/// A table in memory.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    names: &'static [&'static str],
    pub(crate) oids: &'static [u32],
    pub(crate) rows: Vec<BinaryRow>,
}

impl Table {
    /// All of them, with so many rows each.
    pub(crate) fn all(rows: usize) -> [Self; 2] {
        [Self::lineitem(rows), Self::events(rows)]
    }

    /// TPC-H's: numbers, dates and short texts.
    fn lineitem(rows: usize) -> Self {
        Self {
            name: "lineitem",
            names: &[
                "l_orderkey",
                "l_partkey",
                "l_suppkey",
                "l_linenumber",
                "l_quantity",
                "l_extendedprice",
                "l_discount",
                "l_tax",
                "l_returnflag",
                "l_linestatus",
                "l_shipdate",
                "l_commitdate",
                "l_receiptdate",
                "l_shipinstruct",
                "l_shipmode",
                "l_comment",
            ],
            oids: &[
                INT8, INT8, INT8, INT4, NUMERIC, NUMERIC, NUMERIC, NUMERIC, BPCHAR, BPCHAR, DATE, DATE, DATE, TEXT,
                TEXT, TEXT,
            ],
            rows: {
                let mut random = fastrand::Rng::with_seed(1);
                (1..).take(rows).map(|number| line_item(number, &mut random)).collect()
            },
        }
    }

    /// jsonb, text[], timestamps and NULLs.
    fn events(rows: usize) -> Self {
        Self {
            name: "events",
            names: &["id", "kind", "at", "message", "detail", "value", "tags"],
            oids: &[INT8, INT4, 1184, TEXT, 3802, 701, 1009],
            rows: (1_u32..).take(rows).map(event).collect(),
        }
    }

    /// The columns as a server announces them.
    pub(crate) fn columns(&self) -> Columns {
        let column = |(name, oid): (&&str, &u32)| Column {
            name: (*name).to_owned(),
            type_name: String::new(),
            type_oid: *oid,
            nullable: None,
        };
        self.names.iter().zip(self.oids).map(column).collect::<Vec<_>>().into()
    }
}

fn line_item(number: i64, random: &mut fastrand::Rng) -> BinaryRow {
    let mut row = Row::default();
    row.int8(number / 4).int8(random.i64(1..=200_000)).int8(random.i64(1..=10_000)).int4(random.i32(1..=7));
    row.numeric_cents(random.i64(1..=50) * 100).numeric_cents(random.i64(90_000..=10_494_950));
    row.numeric_cents(random.i64(0..=10)).numeric_cents(random.i64(0..=8));
    row.text(one_of(&["A", "N", "R"], random)).text(one_of(&["F", "O"], random));
    let shipped = random.i32(8_037..=10_561);
    row.date(shipped).date(shipped + random.i32(-60..=60)).date(shipped + random.i32(1..=30));
    row.text(one_of(&["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"], random));
    row.text(one_of(&["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"], random));
    row.text(&COMMENT[..random.usize(10..=43)]);
    row.into()
}

fn one_of<'a>(texts: &[&'a str], random: &mut fastrand::Rng) -> &'a str {
    texts[random.usize(..texts.len())]
}

fn event(number: u32) -> BinaryRow {
    let (id, hash) = (i64::from(number), number.wrapping_mul(2_654_435_761) >> 1);
    let mut row = Row::default();
    row.int8(id).int4((hash % 40).cast_signed()).timestamptz(820_540_800_000_000 + id * 1_234_567);
    match number % 10 {
        0 => row.null(),
        _ => row.text(&format!("event {number} of {hash:032x}")),
    };
    let (user, path, ms) = (hash % 100_000, number % 1000, hash % 5000 / 8);
    row.jsonb(&format!(
        r#"{{"ms": {ms}, "ok": {}, "path": "/items/{path}", "user": {user}}}"#,
        !number.is_multiple_of(7)
    ));
    match number % 20 {
        0 => row.null(),
        _ => row.float8(f64::from(number).sqrt()),
    };
    row.text_array(&[&format!("region-{}", number % 12), &format!("plan-{}", hash % 4)]);
    row.into()
}
