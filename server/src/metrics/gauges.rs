//! What is read off the server's state whenever somebody asks, and costs nothing meanwhile.

use prometheus::{IntGauge, IntGaugeVec, Registry};

use super::{
    database::{CALLS, CONTROL, HOLDERS},
    int,
    names::{self, Metric},
};

/// The state of a server at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) streams: Used,
    pub(crate) queue: Used,
    pub(crate) memory: Used,
    pub(crate) plans: PlanUse,
    pub(crate) calls_pool: PoolUse,
    pub(crate) control_pool: PoolUse,
    pub(crate) holders_pool: PoolUse,
    pub(crate) max_connections: usize,
    pub(crate) database_up: bool,
    pub(crate) draining: bool,
}

/// How much of a bounded thing is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) used: usize,
    pub(crate) limit: usize,
}

/// The statements described before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlanUse {
    pub(crate) entries: usize,
    pub(crate) bytes: u64,
}

/// The connections of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolUse {
    pub(crate) idle: usize,
    pub(crate) in_use: usize,
    pub(crate) waiting: usize,
    pub(crate) limit: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Gauges {
    streams: [IntGauge; 2],
    queue: [IntGauge; 2],
    memory: [IntGauge; 2],
    plan_entries: IntGauge,
    plan_bytes: IntGauge,
    connections_limit: IntGauge,
    database_up: IntGauge,
    draining: IntGauge,
    pool_connections: IntGaugeVec,
    pool_limit: IntGaugeVec,
    pool_waiting: IntGaugeVec,
}

impl Gauges {
    pub(super) fn new(registry: &Registry) -> Self {
        let single = |metric: Metric| metric.gauges(registry).with_label_values::<&str>(&[]);
        names::BUILD.gauges(registry).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            streams: [names::STREAMS, names::STREAMS_LIMIT].map(single),
            queue: [names::QUEUE, names::QUEUE_LIMIT].map(single),
            memory: [names::MEMORY, names::MEMORY_LIMIT].map(single),
            plan_entries: single(names::PLAN_ENTRIES),
            plan_bytes: single(names::PLAN_BYTES),
            connections_limit: single(names::CONNECTIONS_LIMIT),
            database_up: single(names::DATABASE_UP),
            draining: single(names::DRAINING),
            pool_connections: names::POOL_CONNECTIONS.gauges(registry),
            pool_limit: names::POOL_LIMIT.gauges(registry),
            pool_waiting: names::POOL_WAITING.gauges(registry),
        }
    }

    pub(super) fn set(&self, state: &State) {
        for (gauges, used) in [(&self.streams, state.streams), (&self.queue, state.queue), (&self.memory, state.memory)]
        {
            gauges[0].set(int(used.used));
            gauges[1].set(int(used.limit));
        }
        self.plan_entries.set(int(state.plans.entries));
        self.plan_bytes.set(i64::try_from(state.plans.bytes).unwrap_or(i64::MAX));
        self.connections_limit.set(int(state.max_connections));
        self.database_up.set(i64::from(state.database_up));
        self.draining.set(i64::from(state.draining));
        self.set_pool(CALLS, state.calls_pool);
        self.set_pool(CONTROL, state.control_pool);
        self.set_pool(HOLDERS, state.holders_pool);
    }

    fn set_pool(&self, pool: &str, state: PoolUse) {
        self.pool_connections.with_label_values(&[pool, "idle"]).set(int(state.idle));
        self.pool_connections.with_label_values(&[pool, "in_use"]).set(int(state.in_use));
        self.pool_limit.with_label_values(&[pool]).set(int(state.limit));
        self.pool_waiting.with_label_values(&[pool]).set(int(state.waiting));
    }
}
