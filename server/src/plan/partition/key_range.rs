//! Parts by ranges of a key: half-open, in the order of the key's type and collation. The first is open below, the last
//! open above, and NULLs are in the last: so no value is left out, whatever the sample had, and none is in two.

use super::{Sized, Slice};
use crate::plan::sql::literal;

/// The rows whose key is in a range. Bounds are texts of the key's type, as PostgreSQL prints them.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Range {
    #[prost(string, tag = "1")]
    pub(crate) column: String,
    /// Belongs to it.
    #[prost(string, optional, tag = "2")]
    pub(crate) from: Option<String>,
    /// Does not.
    #[prost(string, optional, tag = "3")]
    pub(crate) until: Option<String>,
}

/// A value of a sample and how often it was seen, in the key's order. Without its text it is of no use as a bound
/// (it is very long).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) text: Option<String>,
    pub(crate) weight: f64,
}

/// A key in a statement: how it is referred to, its type for a cast, and its operators.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) reference: String,
    pub(crate) type_name: String,
    pub(crate) greater_or_equal: String,
    pub(crate) less: String,
}

impl Key {
    fn bound(&self, text: &str) -> String {
        format!("{}::{}", literal(text), self.type_name)
    }

    /// Whether these bounds ascend, as PostgreSQL compares them with the key's collation; `none` is the key as a scalar
    /// that is NULL.
    pub(crate) fn ascending(&self, bounds: &[String], none: &str) -> String {
        let pair = |pair: &[String]| {
            format!("COALESCE({none}, {}) {} {}", self.bound(&pair[0]), self.less, self.bound(&pair[1]))
        };
        let pairs: Vec<_> = bounds.windows(2).map(pair).collect();
        if pairs.is_empty() { "TRUE".to_owned() } else { pairs.join(" AND ") }
    }
}

impl Range {
    /// As SQL.
    pub(crate) fn condition(&self, key: &Key) -> String {
        let from =
            self.from.as_ref().map(|text| format!("{} {} {}", key.reference, key.greater_or_equal, key.bound(text)));
        let until = self.until.as_ref().map(|text| format!("{} {} {}", key.reference, key.less, key.bound(text)));
        match (from, until) {
            (Some(from), Some(until)) => format!("({from} AND {until})"),
            (Some(from), None) => format!("({from} OR {} IS NULL)", key.reference),
            (None, Some(until)) => format!("({until})"),
            (None, None) => "TRUE".to_owned(),
        }
    }
}

/// Where to cut, at most into `most` parts of about the same weight. A value that is more than a part by itself gets one
/// to itself, and the others are divided as if it were not there.
pub(crate) fn bounds(seen: &[Seen], most: usize) -> Vec<String> {
    let total: f64 = seen.iter().map(|seen| seen.weight).sum();
    let (mut left, mut parts) = (total, most);
    let mut bounds: Vec<String> = Vec::new();
    let mut cut = |text: &Option<String>, parts: &mut usize| match text {
        // The very first value is no cut: nothing known lies below it.
        Some(text) if *parts > 1 && bounds.last() != Some(text) => {
            bounds.push(text.clone());
            *parts -= 1;
            true
        }
        _ => false,
    };
    let mut filled = 0.0;
    for (i, value) in seen.iter().enumerate() {
        let target = left / f64::from(u32::try_from(parts).unwrap_or(u32::MAX).max(1));
        // Before this value, if that leaves the part nearer to what it should hold; after a heavy one, at the next.
        let nearer = filled > 0.0 && filled + value.weight / 2.0 >= target;
        if i > 0 && nearer && cut(&value.text, &mut parts) {
            left -= filled;
            filled = 0.0;
        }
        filled += value.weight;
    }
    bounds
}

/// The parts between the bounds, with the share of the sample that each has.
pub(crate) fn divide(column: &str, bounds: &[String], seen: &[Seen], nulls: f64) -> Vec<Sized> {
    let total: f64 = seen.iter().map(|seen| seen.weight).sum::<f64>() + nulls;
    let mut weights = vec![0.0; bounds.len() + 1];
    let mut part = 0;
    for value in seen {
        if part < bounds.len() && value.text.as_ref() == Some(&bounds[part]) {
            part += 1;
        }
        weights[part] += value.weight;
    }
    weights[bounds.len()] += nulls;
    let share = |weight: f64| {
        if total > 0.0 { weight / total } else { 1.0 / f64::from(u32::try_from(bounds.len() + 1).unwrap_or(1)) }
    };
    let range = |i: usize| Range {
        column: column.to_owned(),
        from: i.checked_sub(1).map(|i| bounds[i].clone()),
        until: bounds.get(i).cloned(),
    };
    weights.iter().enumerate().map(|(i, weight)| Sized::new(Slice::Range(range(i)), share(*weight))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(weights: &[f64]) -> Vec<Seen> {
        let value = |(i, weight): (usize, &f64)| Seen { text: Some(format!("{i:04}")), weight: *weight };
        weights.iter().enumerate().map(value).collect()
    }

    fn shares(weights: &[f64], most: usize) -> Vec<f64> {
        let seen = seen(weights);
        divide("k", &bounds(&seen, most), &seen, 0.0).iter().map(|part| part.share).collect()
    }

    #[test]
    fn equal_values_are_cut_into_equal_parts() {
        assert_eq!(shares(&[1.0; 100], 4), [0.25; 4]);
        assert_eq!(shares(&[1.0; 3], 8).len(), 3);
        assert_eq!(shares(&[], 8), [1.0]);
    }

    #[test]
    fn a_value_that_is_nearly_everything_gets_a_part_to_itself_and_the_others_are_divided() {
        let mut weights = vec![1.0; 101];
        weights[40] = 900.0;
        let shares = shares(&weights, 8);
        assert_eq!(shares.len(), 8);
        let heavy = shares.iter().filter(|share| **share > 0.5).count();
        let mut light: Vec<_> = shares.iter().filter(|share| **share < 0.5).copied().collect();
        light.sort_by(f64::total_cmp);
        assert_eq!(heavy, 1);
        assert!(light[light.len() - 1] <= 0.05, "{light:?}");
    }

    #[test]
    fn nulls_are_in_the_last_part_and_the_first_and_last_are_open() {
        let key = Key {
            reference: "t.\"k\"".to_owned(),
            type_name: "pg_catalog.int4".to_owned(),
            greater_or_equal: ">=".to_owned(),
            less: "<".to_owned(),
        };
        let range = |from: Option<&str>, until: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            Range { column: "k".to_owned(), from: own(from), until: own(until) }.condition(&key)
        };
        assert_eq!(range(None, Some("1")), "(t.\"k\" < '1'::pg_catalog.int4)");
        assert_eq!(range(Some("1"), Some("2")), "(t.\"k\" >= '1'::pg_catalog.int4 AND t.\"k\" < '2'::pg_catalog.int4)");
        assert_eq!(range(Some("2"), None), "(t.\"k\" >= '2'::pg_catalog.int4 OR t.\"k\" IS NULL)");
        assert_eq!(range(None, None), "TRUE");
    }

    proptest! {
        #[test]
        fn parts_are_contiguous_at_most_as_many_as_wished_and_no_larger_than_they_must_be(
            weights in prop::collection::vec(1.0..100.0_f64, 0..200),
            most in 1..20_usize,
        ) {
            let seen = seen(&weights);
            let parts = divide("k", &bounds(&seen, most), &seen, 5.0);
            prop_assert!(!parts.is_empty() && parts.len() <= most);
            let ranges: Vec<Range> = parts.iter().map(|part| match &part.part.slice {
                Some(Slice::Range(range)) => range.clone(),
                other => panic!("{other:?}"),
            }).collect();
            prop_assert_eq!(&ranges[0].from, &None);
            prop_assert_eq!(&ranges[ranges.len() - 1].until, &None);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].until.is_some() && pair[0].until == pair[1].from));
            let total: f64 = parts.iter().map(|part| part.share).sum();
            prop_assert!((total - 1.0).abs() < 1e-9);
        }
    }
}
