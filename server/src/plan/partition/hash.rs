//! Parts by a hash of columns, NULLs included: for any statement, each part runs it whole and keeps its share.

use super::{Sized, Slice};

/// The rows whose hash leaves this remainder.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Share {
    #[prost(string, repeated, tag = "1")]
    pub(crate) columns: Vec<String>,
    #[prost(uint32, tag = "2")]
    pub(crate) of: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) index: u32,
}

/// Divides into so many parts.
pub(crate) fn divide(columns: &[String], parts: usize) -> Vec<Sized> {
    let of = u32::try_from(parts).unwrap_or(u32::MAX).max(1);
    let part = |index| Share { columns: columns.to_vec(), of, index };
    (0..of).map(|index| Sized::new(Slice::Share(part(index)), 1.0 / f64::from(of))).collect()
}

impl Share {
    /// As SQL, over the columns as they are referred to there. The row as text is never NULL, whatever its columns are.
    pub(crate) fn condition(&self, references: &[String]) -> String {
        format!(
            "(pg_catalog.hashtextextended(ROW({})::pg_catalog.text COLLATE \"C\", 0) & {}) % {} = {}",
            references.join(", "),
            i64::MAX,
            self.of,
            self.index
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_one_remainder_of_the_same_hash() {
        let parts = divide(&["a".to_owned()], 3);
        assert_eq!(parts.len(), 3);
        let condition = |sized: &Sized| match &sized.part.slice {
            Some(Slice::Share(share)) => share.condition(&["q.c0".to_owned()]),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            condition(&parts[2]),
            "(pg_catalog.hashtextextended(ROW(q.c0)::pg_catalog.text COLLATE \"C\", 0) & 9223372036854775807) % 3 = 2"
        );
        assert!(condition(&parts[0]).ends_with(" = 0"));
    }
}
