//! What the server counts and measures, for Prometheus.
//!
//! [`names`] lists every metric. [`calls`], [`database`] and [`connections`] hold those that are counted
//! as things happen, as handles that cost an atomic addition each; [`gauges`] those that are read off the
//! server's state when somebody asks. Who asks, and over what, is `admin`.
//!
//! Every server of a process has a set of its own: there is no global registry.

pub(crate) mod calls;
pub(crate) mod connections;
pub(crate) mod database;
#[cfg(test)]
mod documents;
pub(crate) mod gauges;
pub(crate) mod names;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use self::{
    calls::CallCounts,
    connections::ConnectionCounts,
    database::DatabaseCounts,
    gauges::{Gauges, State},
    names::{DURATIONS, Kind, Metric},
};
use crate::queries::Counts;

/// All metrics of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) calls: CallCounts,
    pub(crate) database: DatabaseCounts,
    pub(crate) connections: ConnectionCounts,
    pub(crate) queries: QueryCounts,
    gauges: Gauges,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("each name is registered once");
        Self {
            calls: CallCounts::new(&registry),
            database: DatabaseCounts::new(&registry),
            connections: ConnectionCounts::new(&registry),
            queries: QueryCounts::new(&registry),
            gauges: Gauges::new(&registry),
            registry,
        }
    }

    /// Everything in Prometheus's text format, with the gauges set to `state`.
    pub(crate) fn render(&self, state: &State) -> Result<String, prometheus::Error> {
        self.gauges.set(state);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// The named queries, as they were read.
#[derive(Clone, Debug)]
pub(crate) struct QueryCounts {
    queries: IntGaugeVec,
    loads: IntCounterVec,
}

impl QueryCounts {
    fn new(registry: &Registry) -> Self {
        let counts =
            Self { queries: names::NAMED_QUERIES.gauges(registry), loads: names::NAMED_QUERY_LOADS.counters(registry) };
        for outcome in ["ok", "failed"] {
            counts.loads.with_label_values(&[outcome]);
        }
        counts.show(Counts::default());
        counts
    }

    /// The folder was read.
    pub(crate) fn loaded(&self) {
        self.loads.with_label_values(&["ok"]).inc();
    }

    /// The folder could not be read; what was read before serves on.
    pub(crate) fn not_loaded(&self) {
        self.loads.with_label_values(&["failed"]).inc();
    }

    /// How the named queries are now.
    pub(crate) fn show(&self, Counts { served, broken }: Counts) {
        self.queries.with_label_values(&["served"]).set(int(served));
        self.queries.with_label_values(&["broken"]).set(int(broken));
    }
}

impl Metric {
    fn counters(&self, registry: &Registry) -> IntCounterVec {
        debug_assert_eq!(self.kind, Kind::Counter);
        let made = IntCounterVec::new(Opts::new(self.name, self.help), self.labels);
        register(registry, made.expect("a valid name and labels"))
    }

    fn gauges(&self, registry: &Registry) -> IntGaugeVec {
        debug_assert_eq!(self.kind, Kind::Gauge);
        let made = IntGaugeVec::new(Opts::new(self.name, self.help), self.labels);
        register(registry, made.expect("a valid name and labels"))
    }

    fn histograms(&self, registry: &Registry) -> HistogramVec {
        debug_assert_eq!(self.kind, Kind::Histogram);
        let options = HistogramOpts::new(self.name, self.help).buckets(DURATIONS.to_vec());
        register(registry, HistogramVec::new(options, self.labels).expect("a valid name, labels and buckets"))
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("each name is registered once");
    collector
}

/// A count as the gauges hold it.
fn int(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
