//! A distribution cut into bins that people can read: bounds such as 1, 1.5, 2.2, 3.3 ms, closer together the less the
//! times differ.

use super::{
    latency::Latency,
    numbers::{float, time, whole},
};

/// The steps of a decade (IEC 60063): each is about the one before times the same.
const SERIES: [&[u64]; 3] = [
    &[
        100, 110, 120, 130, 150, 160, 180, 200, 220, 240, 270, 300, 330, 360, 390, 430, 470, 510, 560, 620, 680, 750,
        820, 910,
    ],
    &[100, 120, 150, 180, 220, 270, 330, 390, 470, 560, 680, 820],
    &[100, 150, 220, 330, 470, 680],
];
const COARSEST: &[u64] = &[100, 220, 470];
/// The most bins, unless the times span many decades.
const MOST: usize = 16;

/// Times above `above` and up to `upto`, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bin {
    pub(super) above: u64,
    pub(super) upto: u64,
    pub(super) count: u64,
}

impl Bin {
    pub(super) fn label(&self) -> String {
        time(float(self.upto))
    }
}

/// The bins from the shortest time to the longest; none without any.
pub(super) fn bins(latency: &Latency) -> Vec<Bin> {
    if latency.is_empty() {
        return Vec::new();
    }
    let fitting = SERIES.iter().map(|series| bounds(series, latency)).find(|bounds| bounds.len() <= MOST + 1);
    let bounds = fitting.unwrap_or_else(|| bounds(COARSEST, latency));
    let counts = latency.counts(&bounds[1..]);
    let bin = |(edges, count): (&[u64], u64)| Bin { above: edges[0], upto: edges[1], count };
    bounds.windows(2).zip(counts).map(bin).collect()
}

/// The bounds of a series, from the last one below the shortest time to the first that is not below the longest.
fn bounds(series: &[u64], latency: &Latency) -> Vec<u64> {
    let (shortest, longest) = (latency.min(), latency.max());
    let decades = (0..).map(|decade| 10_f64.powi(decade) / 100.0);
    let all = decades.flat_map(|scale| series.iter().map(move |step| whole(float(*step) * scale)));
    let mut bounds = vec![0];
    for bound in all {
        match () {
            () if bound < shortest => bounds[0] = bound,
            () if bounds.last() != Some(&bound) => bounds.push(bound),
            () => {}
        }
        // The longest is told within a thousandth.
        if bound + bound / 999 >= longest && bounds.len() > 1 {
            break;
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(micros: &[u64]) -> Latency {
        let mut latency = Latency::default();
        micros.iter().for_each(|micros| latency.record(Duration::from_micros(*micros)));
        latency
    }

    #[test]
    fn bins_reach_from_the_shortest_to_the_longest_and_count_all() {
        for micros in [&[0][..], &[1], &[1_000], &[1, 1_000_000_000], &[900, 1_100, 5_000], &[0, 3, 70, 70_000_000]] {
            let bins = bins(&of(micros));
            assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), micros.len() as u64, "{micros:?}: {bins:?}");
            assert!(bins.first().unwrap().count > 0 && bins.last().unwrap().count > 0, "{micros:?}: {bins:?}");
            assert!(bins.len() <= 36 && bins.iter().all(|bin| bin.above < bin.upto || bin.upto == 0), "{bins:?}");
        }
        assert_eq!(bins(&Latency::default()), []);
    }

    #[test]
    fn the_less_the_times_differ_the_narrower_the_bins_are() {
        let narrow = bins(&of(&[1_000, 1_050, 1_900]));
        assert_eq!(
            narrow.iter().map(|bin| bin.upto).collect::<Vec<_>>(),
            [1_000, 1_100, 1_200, 1_300, 1_500, 1_600, 1_800, 2_000]
        );
        let wide = bins(&of(&[1_000, 1_000_000]));
        assert!(wide.len() <= 12 && wide.last().unwrap().label() == "1.00s", "{wide:?}");
    }
}
