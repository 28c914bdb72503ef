//! The named queries that calls find. What is found is an immutable set; a reload puts another one in its place, so
//! that calls under way keep what they began with.
//!
//! `folder` reads the files, `versions` decides which version of each serves, and `follow` does both again when
//! files change or SIGHUP comes. The format of a file is `plan::named`.

mod folder;
pub(crate) mod follow;
mod versions;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

pub(crate) use self::folder::Folder;
use crate::{
    error::Error,
    plan::named::{BadFile, NamedQuery},
};

/// The named queries by name, as they are now. Clones see the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queries(Arc<RwLock<Arc<Set>>>);

/// What serves at one time.
#[derive(Debug, Default)]
pub(crate) struct Set {
    served: BTreeMap<String, Arc<NamedQuery>>,
    /// Queries without a version that could serve, and why.
    unusable: BTreeMap<String, BadFile>,
    counts: Counts,
}

/// How the named queries are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Queries that callers find.
    pub(crate) served: usize,
    /// Files of which the newest version is broken, whether or not an earlier one serves.
    pub(crate) broken: usize,
}

impl Queries {
    /// The query of that name; `None` if there is no file for it.
    ///
    /// # Errors
    /// QUERY_BROKEN if no version of its file can be used.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Arc<NamedQuery>>, Error> {
        let set = self.now();
        match (set.served.get(name), set.unusable.get(name)) {
            (Some(query), _) => Ok(Some(query.clone())),
            (None, Some(bad)) => Err(Error::QueryBroken { name: name.to_owned(), bad: bad.clone() }),
            (None, None) => Ok(None),
        }
    }

    /// At most `count` queries after the one of that name, in order.
    pub(crate) fn after(&self, name: &str, count: usize) -> Vec<Arc<NamedQuery>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = if name.is_empty() { Unbounded } else { Excluded(name) };
        self.now().served.range::<str, _>((start, Unbounded)).take(count).map(|(_, query)| query.clone()).collect()
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> Counts {
        self.now().counts
    }

    fn now(&self) -> Arc<Set> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, set: Set) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }
}
