//! Parts by the places where rows lie: ranges of pages of a table, or of the leaves of one that is partitioned or
//! inherited from. All are of about the same number of pages, and a part may go over several leaves.

use super::{super::BYTEA, Sized, Slice};

/// A table that holds rows itself, with the size it had when the snapshot was taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) pages: u32,
}

/// Pages of leaves, in the order that they are read in.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Pages {
    #[prost(message, repeated, tag = "1")]
    pub(crate) runs: Vec<Run>,
}

/// Consecutive pages of one leaf.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Run {
    #[prost(string, tag = "1")]
    pub(crate) schema: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(uint32, tag = "3")]
    pub(crate) from: u32,
    /// The first page that is no longer of it. Without it the run goes to the end of the leaf, which may have grown:
    /// what lies there is not of the snapshot, or was there when the pages were counted.
    #[prost(uint32, optional, tag = "4")]
    pub(crate) until: Option<u32>,
}

/// Where a row lies: in which run of its part, on which page, and as which item of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) run: u32,
    pub(crate) page: u32,
    pub(crate) item: u16,
}

impl Place {
    /// How long it is as bytes.
    pub(crate) const BYTES: usize = 10;

    /// From those bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let (run, rest) = bytes.split_first_chunk()?;
        let (page, item) = rest.split_first_chunk()?;
        let (run, page) = (u32::from_be_bytes(*run), u32::from_be_bytes(*page));
        Some(Self { run, page, item: u16::from_be_bytes(item.try_into().ok()?) })
    }
}

/// How rows tell their places, in one more value behind their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlaceForm {
    /// All of them lie in this run: by their `ctid`, which is half the work of the other.
    InRun(u32),
    /// By the number of the run and the `ctid`, as bytes.
    WithRun,
}

/// PostgreSQL's OID of `tid`.
const TID: u32 = 27;

impl PlaceForm {
    /// The value for a row `t` of a run, as SQL.
    pub(crate) fn sql(self, run: u32) -> String {
        match self {
            Self::InRun(_) => "t.ctid".to_owned(),
            Self::WithRun => format!("'\\x{run:08x}'::pg_catalog.bytea || pg_catalog.tidsend(t.ctid)"),
        }
    }

    /// PostgreSQL's type of the value.
    pub(crate) const fn oid(self) -> u32 {
        match self {
            Self::InRun(_) => TID,
            Self::WithRun => BYTEA,
        }
    }

    /// The place that a value tells, as bytes that ascend in the order that rows are read in.
    #[inline]
    pub(crate) fn place(self, value: &[u8]) -> Option<[u8; Place::BYTES]> {
        match self {
            Self::InRun(run) => {
                let tid: &[u8; 6] = value.try_into().ok()?;
                let mut place = [0; Place::BYTES];
                place[..4].copy_from_slice(&run.to_be_bytes());
                place[4..].copy_from_slice(tid);
                Some(place)
            }
            Self::WithRun => value.try_into().ok(),
        }
    }
}

/// Divides into at most `most` parts. No page is in two of them; each leaf's last run is open-ended, empty leaves too.
pub(crate) fn divide(leaves: &[Leaf], most: usize) -> Vec<Sized> {
    let total: u64 = leaves.iter().map(|leaf| u64::from(leaf.pages)).sum();
    let count = (most as u64).min(total).max(1);
    // Part i ends before this page, counted over all leaves.
    let end = |i: u64| u64::try_from(u128::from(total) * u128::from(i + 1) / u128::from(count)).unwrap_or(total);
    let mut parts: Vec<Pages> = vec![Pages::default()];
    let (mut part, mut at) = (0, 0_u64);
    for leaf in leaves {
        let last = at + u64::from(leaf.pages);
        let mut from = 0;
        // What lies behind a boundary goes to the next part, so that the leaf's end is open in the last one only.
        while part + 1 < count && end(part) < last {
            let until = u32::try_from(end(part) - at).unwrap_or(u32::MAX);
            if until > from {
                push(&mut parts, leaf, from, Some(until));
            }
            (from, part) = (until, part + 1);
            parts.push(Pages::default());
        }
        push(&mut parts, leaf, from, None);
        at = last;
    }
    let share = 1.0 / f64::from(u32::try_from(parts.len()).unwrap_or(1).max(1));
    parts.into_iter().map(|pages| Sized::new(Slice::Pages(pages), share)).collect()
}

fn push(parts: &mut [Pages], leaf: &Leaf, from: u32, until: Option<u32>) {
    if let Some(pages) = parts.last_mut() {
        pages.runs.push(Run { schema: leaf.schema.clone(), name: leaf.name.clone(), from, until });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(pages: &[u32]) -> Vec<Leaf> {
        let leaf = |(i, pages): (usize, &u32)| Leaf { schema: "s".to_owned(), name: format!("t{i}"), pages: *pages };
        pages.iter().enumerate().map(leaf).collect()
    }

    fn runs(parts: &[Sized]) -> Vec<Vec<(String, u32, Option<u32>)>> {
        let runs = |part: &Sized| match &part.part.slice {
            Some(Slice::Pages(pages)) => pages.runs.iter().map(|run| (run.name.clone(), run.from, run.until)).collect(),
            other => panic!("{other:?}"),
        };
        parts.iter().map(runs).collect()
    }

    #[test]
    fn a_place_is_read_from_the_bytes_that_postgresql_sends() {
        let bytes = [0, 0, 0, 2, 0, 1, 0, 0, 0, 9];
        assert_eq!(Place::parse(&bytes), Some(Place { run: 2, page: 65_536, item: 9 }));
        assert_eq!(Place::parse(&bytes[1..]), None);
        let with_run = "'\\x000000ff'::pg_catalog.bytea || pg_catalog.tidsend(t.ctid)";
        assert_eq!((PlaceForm::WithRun.sql(255), PlaceForm::InRun(255).sql(255)), (with_run.into(), "t.ctid".into()));
        let place = [0, 0, 0, 255, 0, 0, 1, 0, 0, 9];
        assert_eq!(PlaceForm::WithRun.place(&place), Some(place));
        assert_eq!(PlaceForm::InRun(255).place(&place[4..]), Some(place));
        assert_eq!((PlaceForm::InRun(255).place(&place), PlaceForm::WithRun.place(&place[4..])), (None, None));
    }

    #[test]
    fn a_table_is_cut_into_runs_of_the_same_length_and_the_last_one_is_open() {
        let t = || "t0".to_owned();
        assert_eq!(
            runs(&divide(&leaves(&[10]), 3)),
            [vec![(t(), 0, Some(3))], vec![(t(), 3, Some(6))], vec![(t(), 6, None)]]
        );
        assert_eq!(runs(&divide(&leaves(&[0]), 3)), [vec![(t(), 0, None)]]);
        assert_eq!(runs(&divide(&leaves(&[2]), 3)), [vec![(t(), 0, Some(1))], vec![(t(), 1, None)]]);
    }

    proptest! {
        #[test]
        fn every_page_of_every_leaf_is_in_exactly_one_part_and_parts_are_balanced(
            pages in prop::collection::vec(0..50_u32, 1..8),
            most in 1..20_usize,
        ) {
            let parts = divide(&leaves(&pages), most);
            prop_assert!(parts.len() <= most);
            let total: u32 = pages.iter().sum();
            let sizes: Vec<u32> = runs(&parts).iter().map(|runs| {
                runs.iter().map(|(name, from, until)| {
                    let leaf: usize = name[1..].parse().expect("a number");
                    until.unwrap_or(pages[leaf]) - from
                }).sum()
            }).collect();
            prop_assert_eq!(sizes.iter().sum::<u32>(), total);
            if let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) {
                prop_assert!(most - least <= 1, "{:?}", sizes);
            }
            for (i, pages) in pages.iter().enumerate() {
                let mut of_leaf: Vec<_> =
                    runs(&parts).into_iter().flatten().filter(|(name, ..)| *name == format!("t{i}")).collect();
                of_leaf.sort_by_key(|(_, from, _)| *from);
                prop_assert_eq!(of_leaf.first().map(|(_, from, _)| *from), Some(0));
                prop_assert_eq!(of_leaf.last().and_then(|(_, _, until)| *until), None);
                prop_assert!(of_leaf.windows(2).all(|pair| pair[0].2 == Some(pair[1].1) && pair[1].1 <= *pages));
            }
        }
    }
}
