//! Which way a result is read from PostgreSQL, and why, in a sentence for people. Pure: what each way does is in
//! `cursor`.

use rowstream_contract::v1;

use super::{
    options::{Encoding, ReadOptions, Strategy},
    request::invalid,
};
use crate::error::Error;

/// How PostgreSQL is asked for the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `DECLARE` and `FETCH`.
    Cursor,
    /// The statement by itself, run to its end.
    Portal,
    /// `COPY (...) TO STDOUT`.
    Copy,
}

/// A way and the reason for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) way: Way,
    pub(crate) reason: &'static str,
}

impl Way {
    /// The name in the contract.
    pub(crate) const fn wire(self) -> v1::Strategy {
        match self {
            Self::Cursor => v1::Strategy::Cursor,
            Self::Portal => v1::Strategy::Portal,
            Self::Copy => v1::Strategy::Copy,
        }
    }

    /// For the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cursor => "cursor",
            Self::Portal => "portal",
            Self::Copy => "copy",
        }
    }
}

impl Chosen {
    const fn new(way: Way, reason: &'static str) -> Self {
        Self { way, reason }
    }
}

/// Chooses for a statement, or a part of one, that has so many parameters, of which so many last ones only say where it
/// goes on.
pub(crate) fn choose(options: &ReadOptions, part: bool, parameters: usize, behind: usize) -> Result<Chosen, Error> {
    let asked = |way| Ok(Chosen::new(way, "the caller asked for it"));
    match options.strategy {
        Strategy::Auto => Ok(auto(options, part && parameters == 0)),
        Strategy::Cursor => asked(Way::Cursor),
        Strategy::Portal => asked(Way::Portal),
        Strategy::Copy if parameters == 0 => asked(Way::Copy),
        Strategy::Copy if parameters == behind => {
            Ok(Chosen::new(Way::Portal, "the caller asked for COPY, which cannot go on behind a key"))
        }
        Strategy::Copy => {
            let message = format!(
                "COPY takes no values, and this read has {parameters}; ask for STRATEGY_PORTAL or STRATEGY_CURSOR"
            );
            Err(invalid("strategy", &message))
        }
    }
}

fn auto(options: &ReadOptions, part_without_values: bool) -> Chosen {
    match options.encoding {
        _ if options.max_rows.is_some() => {
            Chosen::new(Way::Cursor, "there is a limit on rows; a cursor computes few beyond it")
        }
        _ if part_without_values => {
            Chosen::new(Way::Copy, "parts are read at once, and share the processors; COPY is the least work in all")
        }
        Encoding::Rows => Chosen::new(Way::Cursor, "rows may be taken slowly; a cursor can wait at no cost"),
        Encoding::Arrow(_) => {
            Chosen::new(Way::Portal, "Arrow without a limit is a bulk read; run whole, it is fastest")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encode::batch::BatchLimits, plan::options::ArrowOptions};

    const ARROW: Encoding = Encoding::Arrow(ArrowOptions {
        compression: crate::plan::options::ArrowCompression::None,
        unrepresentable_as_null: false,
        arrays_as_text: false,
    });

    fn options(strategy: Strategy, encoding: Encoding, max_rows: Option<i64>) -> ReadOptions {
        let limits = BatchLimits { first_bytes: 1, bytes: 1, rows: 1, message_bytes: 1, row_bytes: 1 };
        ReadOptions { max_rows, limits, encoding, strategy }
    }

    fn way(strategy: Strategy, encoding: Encoding, max_rows: Option<i64>, parameters: usize) -> Way {
        choose(&options(strategy, encoding, max_rows), false, parameters, 0).expect("allowed").way
    }

    #[test]
    fn without_a_wish_bulk_reads_run_whole_and_others_by_a_cursor() {
        for (encoding, max_rows, parameters, expected) in [
            (Encoding::Rows, None, 0, Way::Cursor),
            (Encoding::Rows, None, 2, Way::Cursor),
            (Encoding::Rows, Some(5), 0, Way::Cursor),
            (ARROW, None, 0, Way::Portal),
            (ARROW, None, 1, Way::Portal),
            (ARROW, Some(5), 0, Way::Cursor),
            (ARROW, Some(5), 1, Way::Cursor),
        ] {
            let chosen = way(Strategy::Auto, encoding, max_rows, parameters);
            assert_eq!(chosen, expected, "{encoding:?} {max_rows:?} {parameters}");
        }
    }

    #[test]
    fn a_part_is_copied_if_nothing_stands_against_it() {
        for (strategy, encoding, max_rows, parameters, expected) in [
            (Strategy::Auto, ARROW, None, 0, Way::Copy),
            (Strategy::Auto, Encoding::Rows, None, 0, Way::Copy),
            (Strategy::Auto, ARROW, None, 1, Way::Portal),
            (Strategy::Auto, Encoding::Rows, None, 1, Way::Cursor),
            (Strategy::Auto, ARROW, Some(5), 0, Way::Cursor),
            (Strategy::Portal, ARROW, None, 0, Way::Portal),
        ] {
            let chosen = choose(&options(strategy, encoding, max_rows), true, parameters, 0).expect("allowed").way;
            assert_eq!(chosen, expected, "{strategy:?} {encoding:?} {max_rows:?} {parameters}");
        }
    }

    #[test]
    fn a_wish_is_granted_but_for_copy_with_values() {
        for (strategy, parameters, expected) in [
            (Strategy::Cursor, 1, Way::Cursor),
            (Strategy::Portal, 0, Way::Portal),
            (Strategy::Portal, 1, Way::Portal),
            (Strategy::Copy, 0, Way::Copy),
        ] {
            assert_eq!(way(strategy, ARROW, Some(1), parameters), expected);
        }
        let refused = choose(&options(Strategy::Copy, Encoding::Rows, None), false, 2, 1).expect_err("has values");
        let expected =
            "strategy: COPY takes no values, and this read has 2; ask for STRATEGY_PORTAL or STRATEGY_CURSOR";
        assert_eq!(refused.to_string(), expected);
    }
}
