//! What PostgreSQL has told of statements seen before, so that they need not be described again.
//!
//! An entry can be out of date after DDL. Whoever uses one compares the first row with it
//! (`cursor::read`), and describes again an empty result whose entry is older than [`FRESH`].

use std::{sync::Arc, time::Duration};

use quick_cache::{Weighter, sync::Cache};
use tokio::time::Instant;

use crate::{
    metrics::{database::PlanCounts, gauges::PlanUse},
    plan::{Described, Source},
};

/// All entries together, in bytes of SQL text and an estimate of the rest.
const CAPACITY: u64 = 16 << 20;
const ENTRY_OVERHEAD: usize = 4096;
/// How long an entry is taken for true where no row shows that it is.
const FRESH: Duration = Duration::from_secs(10);

/// A described statement and when that was.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) described: Arc<Described>,
    at: Instant,
}

impl Plan {
    /// Just described.
    pub(crate) fn new(described: Described) -> Self {
        Self { described: Arc::new(described), at: Instant::now() }
    }

    /// The same plan for the statement that has been made of it.
    pub(crate) fn with(&self, described: Described) -> Self {
        Self { described: Arc::new(described), at: self.at }
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }
}

#[derive(Clone)]
struct ByText;

impl Weighter<String, Plan> for ByText {
    fn weight(&self, key: &String, _: &Plan) -> u64 {
        (key.len() * 3 + ENTRY_OVERHEAD) as u64
    }
}

/// The cache. Bounded by weight.
pub(crate) struct Plans {
    cache: Cache<String, Plan, ByText>,
    counts: PlanCounts,
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plans({} entries)", self.cache.len())
    }
}

impl Plans {
    pub(crate) fn new(counts: PlanCounts) -> Self {
        Self { cache: Cache::with_weighter(1024, CAPACITY, ByText), counts }
    }

    pub(crate) fn get(&self, source: &Source) -> Option<Plan> {
        let found = self.cache.get(&key(source));
        if found.is_some() {
            self.counts.hits.inc()
        } else {
            self.counts.misses.inc()
        }
        found
    }

    pub(crate) fn insert(&self, source: &Source, described: Described) -> Plan {
        let plan = Plan::new(described);
        self.cache.insert(key(source), plan.clone());
        plan
    }

    pub(crate) fn forget(&self, source: &Source) {
        if self.cache.remove(&key(source)).is_some() {
            self.counts.forgotten.inc();
        }
    }

    pub(crate) fn used(&self) -> PlanUse {
        PlanUse { entries: self.cache.len(), bytes: self.cache.weight() }
    }
}

/// The text, and the types it is declared with: the same text with other types is another statement.
fn key(source: &Source) -> String {
    let types: Vec<&str> = source.declared_types().collect();
    format!("{}\0{}", types.join(","), source.sql())
}
