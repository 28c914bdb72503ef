//! An axis: where a value lies on it, and which values are marked.

use crate::cli::bench::numbers::whole;

/// From the least value to the greatest, to a position between 0 and 1.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    least: f64,
    greatest: f64,
    logarithmic: bool,
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to a round number that is not below the greatest value.
    pub(super) fn linear(greatest: f64, label: impl Fn(f64) -> String) -> Self {
        let step = round_step(greatest / 5.0);
        let steps = (greatest / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=whole(steps)).map(|tick| super::float(tick) * step).map(|value| (value, label(value)));
        Self { least: 0.0, greatest: steps * step, logarithmic: false, ticks: ticks.collect() }
    }

    /// From 0 to the greatest value itself, with marks at round numbers.
    pub(super) fn upto(greatest: f64, label: impl Fn(f64) -> String) -> Self {
        let mut axis = Self::linear(greatest, label);
        axis.ticks.retain(|(value, _)| *value <= greatest);
        Self { greatest, ..axis }
    }

    /// In which equal distances are equal ratios; both values are above 0.
    pub(super) fn logarithmic(least: f64, greatest: f64, label: impl Fn(f64) -> String) -> Self {
        let (least, greatest) = (least.max(1e-9), greatest.max(least * 1.5));
        let decades = (greatest / least).log10();
        let within: &[f64] = match decades {
            ..1.5 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
            1.5..3.0 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let first = least.log10().floor();
        // A few decades: what a u64 can hold is 20.
        let all = (0..24).flat_map(|decade| {
            let scale = 10_f64.powf(first + f64::from(decade));
            within.iter().map(move |factor| factor * scale)
        });
        // Rounding must not lose a mark at the very edge.
        let ticks: Vec<f64> = all.filter(|value| (least * 0.999..=greatest * 1.001).contains(value)).collect();
        let ticks = ticks.into_iter().map(|value| (value, label(value))).collect();
        Self { least, greatest, logarithmic: true, ticks }
    }

    /// With marks of its own, from the first to `greatest`.
    pub(super) fn marked(greatest: f64, ticks: Vec<(f64, String)>) -> Self {
        Self { least: 0.0, greatest, logarithmic: false, ticks }
    }

    pub(super) fn position(&self, value: f64) -> f64 {
        let (least, greatest) = (self.least, self.greatest);
        let position = match self.logarithmic {
            true => (value.max(least) / least).ln() / (greatest / least).ln(),
            false => (value - least) / (greatest - least),
        };
        position.clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, not below the value.
fn round_step(value: f64) -> f64 {
    let value = if value > 0.0 && value.is_finite() { value } else { 0.2 };
    let scale = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * scale >= value * 0.999_999);
    factor.unwrap_or(10.0) * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> String {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn marks_are_round_and_the_axis_holds_all_values() {
        let plain = |value: f64| format!("{value}");
        for (greatest, expected) in [(1000.0, "0 200 400 600 800 1000"), (7.0, "0 2 4 6 8"), (0.0, "0 0.2")] {
            assert_eq!(labels(&Axis::linear(greatest, plain)), expected, "{greatest}");
        }
        assert_eq!(labels(&Axis::upto(7.0, plain)), "0 2 4 6");
        let rounded = |value: f64| format!("{}", value.round());
        assert_eq!(labels(&Axis::logarithmic(100.0, 1e6, rounded)), "100 1000 10000 100000 1000000");
        assert_eq!(labels(&Axis::logarithmic(90.0, 210.0, rounded)), "100 150 200");
    }

    #[test]
    fn positions_are_within_the_axis_and_keep_the_order() {
        for axis in [Axis::upto(50.0, |_| String::new()), Axis::logarithmic(1.0, 50.0, |_| String::new())] {
            let positions: Vec<_> = [0.0, 1.0, 2.0, 10.0, 50.0, 99.0].map(|value| axis.position(value)).into();
            assert!(positions.iter().all(|position| (0.0..=1.0).contains(position)), "{positions:?}");
            assert!(positions.is_sorted(), "{positions:?}");
        }
        let axis = Axis::logarithmic(1.0, 100.0, |_| String::new());
        assert!((axis.position(10.0) - 0.5).abs() < 1e-9);
    }
}
