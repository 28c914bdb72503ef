//! How a result is divided into parts that are disjoint and together complete: which way ([`choose`]), and what each
//! part is ([`Part`]). Pure: sizes, statistics and samples come in (`cursor::places`, `cursor::sample`), and the SQL of
//! a part is made elsewhere (`table::render`, `sql`).

pub(crate) mod ctid;
pub(crate) mod hash;
pub(crate) mod key_range;

use ring::digest;
use rowstream_contract::v1;

use self::{ctid::Pages, hash::Share, key_range::Range};
use super::{Column, Source, request::invalid};
use crate::error::Error;

/// What a statement is, in a few bytes: other text or other columns are another statement. A table read has no text.
pub(crate) fn shape(source: &Source, columns: &[Column]) -> Vec<u8> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(source.sql().as_bytes());
    for column in columns {
        // No name has a NUL.
        hash.update(column.name.as_bytes());
        hash.update(&[0]);
        hash.update(&column.type_name.oid.to_be_bytes());
        if let Some(composite) = &column.composite {
            hash.update(composite.signature().as_bytes());
        }
    }
    hash.finish().as_ref()[..SHAPE].to_vec()
}

const SHAPE: usize = 16;

/// The most parts of one result.
const MOST: usize = 1_000;

/// Which rows of the result belong to a part. Travels in the part's token.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Part {
    /// All rows, where there is none.
    #[prost(oneof = "Slice", tags = "1, 2, 3")]
    pub(crate) slice: Option<Slice>,
}

/// A condition on the rows of a part.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Slice {
    /// They lie on these pages.
    #[prost(message, tag = "1")]
    Pages(Pages),
    /// Their key is in this range.
    #[prost(message, tag = "2")]
    Range(Range),
    /// Their hash is this one.
    #[prost(message, tag = "3")]
    Share(Share),
}

/// A part and about how much of the result it is: the sum over all parts is 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sized {
    pub(crate) part: Part,
    pub(crate) share: f64,
}

impl Sized {
    pub(crate) fn new(slice: Slice, share: f64) -> Self {
        Self { part: Part { slice: Some(slice) }, share }
    }

    /// All of it.
    pub(crate) fn whole() -> Self {
        Self { part: Part::default(), share: 1.0 }
    }
}

/// How a result is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    Single,
    Ctid,
    KeyRange,
    Hash,
}

impl Strategy {
    pub(crate) const fn wire(self) -> v1::PartitionStrategy {
        match self {
            Self::Single => v1::PartitionStrategy::Single,
            Self::Ctid => v1::PartitionStrategy::Ctid,
            Self::KeyRange => v1::PartitionStrategy::KeyRange,
            Self::Hash => v1::PartitionStrategy::Hash,
        }
    }
}

/// What the caller wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) partitions: usize,
    /// `None`: the server chooses.
    pub(crate) strategy: Option<Strategy>,
    pub(crate) by: Vec<String>,
}

impl Wish {
    /// Checks what can be known without the statement.
    pub(crate) fn try_new(partitions: i32, strategy: i32, by: Vec<String>) -> Result<Self, Error> {
        let partitions =
            usize::try_from(partitions).map_err(|_| invalid("partitions", "is negative; 0 is the default, 1"))?;
        let strategy = match v1::PartitionStrategy::try_from(strategy) {
            Ok(v1::PartitionStrategy::Unspecified) => None,
            Ok(v1::PartitionStrategy::Single) => Some(Strategy::Single),
            Ok(v1::PartitionStrategy::Ctid) => Some(Strategy::Ctid),
            Ok(v1::PartitionStrategy::KeyRange) => Some(Strategy::KeyRange),
            Ok(v1::PartitionStrategy::Hash) => Some(Strategy::Hash),
            Err(_) => return Err(invalid("partition_strategy", "is not one of SINGLE, CTID, KEY_RANGE and HASH")),
        };
        match (strategy, by.len()) {
            (_, 0) | (Some(Strategy::KeyRange), 1) | (Some(Strategy::Hash), _) => {}
            (Some(Strategy::KeyRange), _) => {
                return Err(invalid("partition_by", "names several columns; a range is of one"));
            }
            _ => return Err(invalid("partition_by", "goes with the strategies KEY_RANGE and HASH only")),
        }
        Ok(Self { partitions: partitions.clamp(1, MOST), strategy, by })
    }
}

/// What is known of a statement that bears on how it can be divided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Why not at all.
    pub(crate) whole: Option<&'static str>,
    /// Why not by pages.
    pub(crate) no_pages: Option<String>,
    /// Why not by a key.
    pub(crate) no_key: Option<String>,
    /// Ranges of that key can be made without running the statement once more.
    pub(crate) key_at_hand: bool,
}

/// A way to divide, and why it is taken, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) strategy: Strategy,
    pub(crate) reason: String,
}

/// Chooses how to divide.
///
/// # Errors
/// The way that was asked for is not possible; says why, and what is.
pub(crate) fn choose(wish: &Wish, facts: &Facts) -> Result<Chosen, Error> {
    let chosen = |strategy, reason: &str| Ok(Chosen { strategy, reason: reason.to_owned() });
    let refused = |strategy: &str, why: &str| {
        Err(invalid(
            "partition_strategy",
            &format!("{strategy} is not possible: {why}; leave it to the server, or ask for SINGLE"),
        ))
    };
    let asked = "the caller asked for it";
    match (wish.strategy, facts.whole) {
        (Some(Strategy::Single), _) => return chosen(Strategy::Single, asked),
        // By pages it could be resumed.
        (None, _) if wish.partitions == 1 && facts.no_pages.is_some() => {
            return chosen(Strategy::Single, "one partition was asked for");
        }
        (None, Some(why)) => return chosen(Strategy::Single, &format!("{why}, so it is read as a whole")),
        (Some(_), Some(why)) => return refused("a division", why),
        _ => {}
    }
    match (wish.strategy, &facts.no_pages, &facts.no_key) {
        (Some(Strategy::Ctid), Some(why), _) => refused("CTID", why),
        (Some(Strategy::KeyRange), _, Some(why)) => refused("KEY_RANGE", why),
        (Some(strategy), ..) => chosen(strategy, asked),
        (None, None, _) => chosen(Strategy::Ctid, "a table's pages are each read once"),
        (None, Some(why), None) if facts.key_at_hand => {
            chosen(Strategy::KeyRange, &format!("{why}; ranges of a key are made from a sample of it"))
        }
        (None, Some(why), _) => {
            chosen(Strategy::Hash, &format!("{why}, and no key is at hand; a hash divides anything"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(partitions: i32, strategy: v1::PartitionStrategy, by: &[&str]) -> Result<Wish, String> {
        let by = by.iter().map(|name| (*name).to_owned()).collect();
        Wish::try_new(partitions, strategy.into(), by).map_err(|error| error.to_string())
    }

    #[test]
    fn a_wish_is_bounded_and_its_columns_go_with_its_strategy() {
        use v1::PartitionStrategy::{Ctid, Hash, KeyRange, Unspecified};
        assert_eq!(wish(0, Unspecified, &[]).expect("the default").partitions, 1);
        assert_eq!(wish(i32::MAX, Unspecified, &[]).expect("lowered").partitions, MOST);
        assert!(wish(4, Hash, &["a", "b"]).is_ok() && wish(4, KeyRange, &["a"]).is_ok());
        assert!(wish(-1, Unspecified, &[]).expect_err("negative").starts_with("partitions: "));
        assert!(wish(4, KeyRange, &["a", "b"]).expect_err("two").starts_with("partition_by: names several"));
        assert!(wish(4, Ctid, &["a"]).expect_err("no key").starts_with("partition_by: goes with"));
        assert!(wish(4, Unspecified, &["a"]).expect_err("no key").starts_with("partition_by: goes with"));
    }

    #[test]
    fn the_server_takes_the_first_way_that_is_possible_and_says_why() {
        let why = || Some("it is a view".to_owned());
        let facts = |no_pages, no_key, key_at_hand| Facts { whole: None, no_pages, no_key, key_at_hand };
        let any = Wish { partitions: 4, strategy: None, by: Vec::new() };
        for (facts, expected) in [
            (facts(None, None, true), Strategy::Ctid),
            (facts(why(), None, true), Strategy::KeyRange),
            (facts(why(), None, false), Strategy::Hash),
            (facts(why(), why(), false), Strategy::Hash),
            (Facts { whole: Some("it has a limit"), ..Facts::default() }, Strategy::Single),
        ] {
            assert_eq!(choose(&any, &facts).expect("always possible").strategy, expected, "{facts:?}");
        }
        let one = Wish { partitions: 1, ..any };
        for (facts, expected) in
            [(facts(why(), None, true), Strategy::Single), (facts(None, None, true), Strategy::Ctid)]
        {
            assert_eq!(choose(&one, &facts).expect("one").strategy, expected, "{facts:?}");
        }
    }

    #[test]
    fn a_way_that_is_asked_for_is_taken_or_refused_with_the_reason() {
        let asked = |strategy| Wish { partitions: 4, strategy: Some(strategy), by: Vec::new() };
        let facts = Facts { no_pages: Some("it is a view".to_owned()), ..Facts::default() };
        let refused = choose(&asked(Strategy::Ctid), &facts).expect_err("a view").to_string();
        assert_eq!(
            refused,
            "partition_strategy: CTID is not possible: it is a view; leave it to the server, or ask for SINGLE"
        );
        assert_eq!(choose(&asked(Strategy::Hash), &facts).expect("possible").strategy, Strategy::Hash);
        let whole = Facts { whole: Some("it has a limit"), ..Facts::default() };
        assert!(choose(&asked(Strategy::Hash), &whole).is_err());
        assert_eq!(choose(&asked(Strategy::Single), &whole).expect("possible").strategy, Strategy::Single);
    }
}
