//! How many rows the next FETCH asks for.
//!
//! The first is small, so that the first row comes early. The following ones aim at a number of
//! bytes, from the row sizes seen. Rows of a FETCH pass through a tuplestore in PostgreSQL, which
//! spills to disk past `work_mem`; the aim stays well below it.

/// Rows of the first FETCH.
const FIRST: i64 = 64;
/// The most a FETCH grows over the one before: row sizes seen so far may not be typical.
const GROWTH: i64 = 8;
/// The most rows of one FETCH, however small they are.
const MOST: i64 = 65_536;
/// The part of `work_mem` that the rows of one FETCH may fill: they take more room there than on the
/// wire (a header per row, alignment).
const WORK_MEM_SHARE: usize = 4;

#[derive(Debug)]
pub(crate) struct FetchSize {
    target_bytes: i64,
    rows: i64,
    rows_seen: i64,
    bytes_seen: i64,
}

impl FetchSize {
    pub(crate) fn new(target_bytes: usize, work_mem: usize) -> Self {
        let target = target_bytes.min(work_mem / WORK_MEM_SHARE);
        Self { target_bytes: i64::try_from(target).unwrap_or(i64::MAX), rows: FIRST, rows_seen: 0, bytes_seen: 0 }
    }

    /// How many rows to ask for now.
    pub(crate) fn rows(&self) -> i64 {
        self.rows
    }

    /// Learns from what the last FETCH brought.
    pub(crate) fn learn(&mut self, rows: i64, bytes: i64) {
        self.rows_seen += rows;
        self.bytes_seen += bytes;
        if self.rows_seen > 0 {
            let row = (self.bytes_seen / self.rows_seen).max(1);
            self.rows = (self.target_bytes / row).clamp(1, MOST.min(self.rows.saturating_mul(GROWTH)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetches_grow_toward_the_target_and_no_further() {
        let mut size = FetchSize::new(256 * 1024, 4 << 20);
        assert_eq!(size.rows(), 64);
        size.learn(64, 64 * 200);
        assert_eq!(size.rows(), 512);
        size.learn(512, 512 * 200);
        assert_eq!(size.rows(), 1310);
    }

    #[test]
    fn large_rows_are_fetched_one_by_one() {
        let mut size = FetchSize::new(256 * 1024, 4 << 20);
        size.learn(64, 64 << 20);
        assert_eq!(size.rows(), 1);
    }

    #[test]
    fn a_small_work_mem_bounds_a_fetch() {
        let mut size = FetchSize::new(256 * 1024, 64 * 1024);
        size.learn(64, 64 * 100);
        assert_eq!(size.rows(), 163);
    }
}
