//! A distribution of times: an HDR histogram of microseconds with three digits, which grows with the largest.
//!
//! In a report it is told in figures for whoever looks, and whole, in HdrHistogram's own V2 form (deflated, base64), so
//! that reports can be added up and other tools read them.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer as _, V2DeflateSerializer},
};
use serde::{Deserialize, Serialize, de, ser};

/// What is longer counts as this: 2^60 microseconds, 36,000 years.
const LONGEST: u64 = 1 << 60;

/// Times, as many as wanted, within 0.1 %.
#[derive(Clone, Debug)]
pub(super) struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are within 0 to 5")))
    }
}

impl Latency {
    pub(super) fn record(&mut self, time: Duration) {
        // It grows as needed.
        let _ = self.0.record(time.as_micros().try_into().unwrap_or(u64::MAX).min(LONGEST));
    }

    pub(super) fn clear(&mut self) {
        // `clear` would keep the longest.
        self.0.reset();
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What so many percent are not longer than, in microseconds; 0 without any.
    pub(super) fn percentile(&self, percent: f64) -> u64 {
        // The value at the upper end of a bucket may be above the largest that was recorded.
        self.0.value_at_percentile(percent).min(self.max())
    }

    pub(super) fn min(&self) -> u64 {
        if self.is_empty() { 0 } else { self.0.min() }
    }

    pub(super) fn max(&self) -> u64 {
        self.0.max()
    }

    pub(super) fn mean(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.0.mean() }
    }

    /// How many lie up to each of these bounds, which rise, and above the one before; the last takes all above it too.
    pub(super) fn counts(&self, bounds: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; bounds.len()];
        for step in self.0.iter_recorded() {
            let value = self.0.lowest_equivalent(step.value_iterated_to());
            let place = bounds.partition_point(|bound| *bound < value).min(bounds.len().saturating_sub(1));
            counts[place] += step.count_at_value();
        }
        counts
    }

    /// The percentiles at which the distribution is shown: closer together towards its end, as far as there are values.
    pub(super) fn spectrum(&self) -> Vec<(f64, u64)> {
        let mut spectrum = Vec::new();
        if self.is_empty() {
            return spectrum;
        }
        let steps = self.0.iter_quantiles(5);
        for step in steps {
            let percent = step.quantile_iterated_to() * 100.0;
            spectrum.push((percent, step.value_iterated_to().min(self.max())));
        }
        spectrum
    }
}

/// How a distribution is written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    count: u64,
    min_us: u64,
    mean_us: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
    hdr: String,
}

impl Serialize for Latency {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(ser::Error::custom)?;
        let written = Written {
            count: self.count(),
            min_us: self.min(),
            mean_us: (self.mean() * 10.0).round() / 10.0,
            p50_us: self.percentile(50.0),
            p90_us: self.percentile(90.0),
            p99_us: self.percentile(99.0),
            p999_us: self.percentile(99.9),
            max_us: self.max(),
            hdr: BASE64_STANDARD.encode(bytes),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let bad = |problem: &str| de::Error::custom(format!("\"hdr\" is no histogram in base64: {problem}"));
        let bytes = BASE64_STANDARD.decode(&written.hdr).map_err(|error| bad(&error.to_string()))?;
        let histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| bad(&error.to_string()))?;
        if histogram.len() != written.count {
            let problem = format!("\"count\" is {}, but \"hdr\" holds {}", written.count, histogram.len());
            return Err(de::Error::custom(problem));
        }
        Ok(Self(histogram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Latency {
        let mut latency = Latency::default();
        micros.into_iter().for_each(|micros| latency.record(Duration::from_micros(micros)));
        latency
    }

    #[test]
    fn percentiles_are_within_a_thousandth_and_never_above_the_longest() {
        let latency = of(1..=100_000);
        for (percent, exact) in [(50.0, 50_000.0), (99.0, 99_000.0), (99.9, 99_900.0)] {
            let found = super::super::numbers::float(latency.percentile(percent));
            assert!((found / exact - 1.0).abs() < 1e-3, "p{percent} is {found}");
        }
        let longest = of([1, 1_234_567]);
        assert_eq!(longest.percentile(100.0), longest.max());
        assert_eq!(Latency::default().percentile(99.0), 0);
        assert_eq!(of([0, u64::MAX]).count(), 2, "times of any length are kept");
    }

    #[test]
    fn every_time_is_counted_once_whatever_the_bounds_are() {
        let latency = of((0..20).map(|power| 1 << power).chain(0..5_000));
        for bounds in [&[10, 50, 100, 1_000, 100_000, 10_000_000][..], &[1], &[2_047, 2_048, 2_049, 4_097]] {
            assert_eq!(latency.counts(bounds).iter().sum::<u64>(), 5_020, "{bounds:?}");
        }
        assert_eq!(of([0, 1, 10, 11, 12, 99]).counts(&[1, 10, 11]), [2, 1, 3]);
    }

    #[test]
    fn a_report_holds_all_of_it_and_other_tools_can_read_it() {
        let latency = of([1, 10, 10, 100, 1_000_000]);
        let json = serde_json::to_value(&latency).unwrap();
        // What the compressed V2 form begins with in every implementation: the cookie 0x1c849314.
        assert!(json["hdr"].as_str().unwrap().starts_with("HISTFAAA"), "{json}");
        assert_eq!((&json["count"], &json["p50_us"]), (&5.into(), &10.into()));
        let read: Latency = serde_json::from_value(json.clone()).unwrap();
        assert_eq!((read.count(), read.percentile(50.0)), (5, 10));
        for (key, value, told) in
            [("hdr", "SElTVA==".into(), "no histogram"), ("hdr", "?".into(), "base64"), ("count", 4.into(), "holds 5")]
        {
            let mut broken = json.clone();
            broken[key] = value;
            let error = serde_json::from_value::<Latency>(broken).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
