//! Which version of each file serves. Pure: reading the files is `folder`, asking PostgreSQL is `follow`.
//!
//! The newest version serves unless it is broken, in its header or by PostgreSQL's verdict. Then the last one that
//! passed stays. Without such a one, a version that PostgreSQL refuses serves all the same, because each call asks
//! PostgreSQL anew (its table may come to be), and a file that cannot be read as a query is told to whoever calls it.

use std::{collections::BTreeMap, sync::Arc};

use super::{Counts, Set, folder::Contents};
use crate::plan::named::{BadFile, NamedQuery};

/// Every file there is.
#[derive(Debug, Default)]
pub(super) struct Versions(BTreeMap<String, File>);

#[derive(Debug)]
struct File {
    newest: Result<Arc<NamedQuery>, BadFile>,
    /// What PostgreSQL says of the newest; `None` while it has not been asked.
    verdict: Option<Result<(), BadFile>>,
    /// The last version that may stand in for a broken newest one.
    good: Option<Good>,
}

#[derive(Debug)]
struct Good {
    query: Arc<NamedQuery>,
    /// PostgreSQL has said so.
    passed: bool,
}

/// A file whose newest version is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) name: String,
    pub(super) bad: BadFile,
    /// An earlier version serves.
    pub(super) earlier_serves: bool,
}

impl Versions {
    /// Takes in what the files hold now; answers how many have come, changed or gone.
    pub(super) fn update(&mut self, contents: Contents) -> usize {
        let before = self.0.len();
        self.0.retain(|name, _| contents.contains_key(name));
        let mut changes = before - self.0.len();
        for (name, content) in contents {
            let newest = content.map(Arc::new);
            match self.0.get_mut(&name) {
                Some(file) if file.newest == newest => continue,
                Some(file) => (file.newest, file.verdict) = (newest, None),
                None => drop(self.0.insert(name, File { newest, verdict: None, good: None })),
            }
            changes += 1;
        }
        changes
    }

    /// What PostgreSQL has not passed yet.
    pub(super) fn to_check(&self) -> Vec<Arc<NamedQuery>> {
        let open = self.0.values().filter(|file| !matches!(file.verdict, Some(Ok(()))));
        open.filter_map(|file| file.newest.as_ref().ok().cloned()).collect()
    }

    /// Notes what PostgreSQL says of a query.
    pub(super) fn judge(&mut self, name: &str, verdict: Result<(), BadFile>) {
        if let Some(file) = self.0.get_mut(name) {
            file.verdict = Some(verdict);
        }
    }

    /// What is to serve from now on.
    pub(super) fn settle(&mut self) -> Set {
        let mut set = Set::default();
        for (name, file) in &mut self.0 {
            file.settle();
            match (file.serving(), &file.newest) {
                (Some(query), _) => drop(set.served.insert(name.clone(), query)),
                (None, Err(bad)) => drop(set.unusable.insert(name.clone(), bad.clone())),
                (None, Ok(_)) => {}
            }
        }
        set.counts = Counts { served: set.served.len(), broken: self.broken().len() };
        set
    }

    /// The files that need mending.
    pub(super) fn broken(&self) -> Vec<Broken> {
        let broken = |(name, file): (&String, &File)| {
            let bad = file.bad()?.clone();
            Some(Broken { name: name.clone(), bad, earlier_serves: file.good.is_some() })
        };
        self.0.iter().filter_map(broken).collect()
    }
}

impl File {
    fn bad(&self) -> Option<&BadFile> {
        match (&self.newest, &self.verdict) {
            (Err(bad), _) | (Ok(_), Some(Err(bad))) => Some(bad),
            (Ok(_), _) => None,
        }
    }

    /// Makes the newest version the good one if it is; one that PostgreSQL has not seen takes the place only of
    /// another such.
    fn settle(&mut self) {
        let passed = matches!(self.verdict, Some(Ok(())));
        if self.bad().is_none()
            && (passed || !self.good.as_ref().is_some_and(|good| good.passed))
            && let Ok(newest) = &self.newest
        {
            self.good = Some(Good { query: newest.clone(), passed });
        } else if let (Some(Err(_)), Ok(newest), Some(good)) = (&self.verdict, &self.newest, &self.good)
            && good.query == *newest
        {
            // Taken for good before PostgreSQL was asked.
            self.good = None;
        }
    }

    fn serving(&self) -> Option<Arc<NamedQuery>> {
        let newest = self.newest.as_ref().ok();
        if self.bad().is_none() {
            return newest.cloned();
        }
        self.good.as_ref().map(|good| &good.query).or(newest).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad() -> BadFile {
        BadFile::at_line(1, "bad")
    }

    /// What serves after one file `q` has taken these contents, each with PostgreSQL's verdict, and how many are broken.
    fn after(steps: &[(&str, Option<bool>)]) -> (String, usize) {
        let mut versions = Versions::default();
        let mut set = Set::default();
        for (content, passes) in steps {
            versions.update(Contents::from([("q".to_owned(), NamedQuery::parse("q", content))]));
            if let Some(passes) = passes {
                versions.judge("q", if *passes { Ok(()) } else { Err(bad()) });
            }
            set = versions.settle();
        }
        let serves = set.served.get("q").map(|query| query.sql.clone());
        let unusable = set.unusable.get("q").map(ToString::to_string);
        (serves.or(unusable).expect("one of the two"), set.counts.broken)
    }

    #[test]
    fn the_newest_version_serves_and_a_broken_one_leaves_the_last_good_one_in_service() {
        const HEADER: &str = "-- max_rows: x";
        let unusable = "line 1: max_rows \"x\" is not a number above 0";
        for (steps, serves, broken) in [
            (&[("one", Some(true))][..], "one", 0),
            (&[("one", Some(true)), ("two", Some(true))], "two", 0),
            (&[("one", Some(true)), (HEADER, None)], "one", 1),
            (&[("one", Some(true)), ("two", Some(false))], "one", 1),
            (&[("one", Some(true)), ("two", Some(false)), (HEADER, None), ("two", Some(true))], "two", 0),
            (&[("one", Some(true)), (HEADER, None), ("one", None)], "one", 0),
            // PostgreSQL could not be asked.
            (&[("one", Some(true)), ("two", None)], "two", 0),
            (&[("one", Some(true)), ("two", None), (HEADER, None)], "one", 1),
            (&[("one", None), ("two", None), (HEADER, None)], "two", 1),
            (&[("one", None), ("one", Some(false)), (HEADER, None)], unusable, 1),
            // Nothing was ever good.
            (&[(HEADER, None)], unusable, 1),
            (&[("one", Some(false))], "one", 1),
            (&[("one", Some(false)), ("two", Some(false))], "two", 1),
            (&[("one", Some(false)), ("one", Some(true)), (HEADER, None)], "one", 1),
        ] {
            assert_eq!(after(steps), (serves.to_owned(), broken), "{steps:?}");
        }
    }

    #[test]
    fn a_file_that_is_gone_takes_its_query_away() {
        let mut versions = Versions::default();
        let file = |name: &str| (name.to_owned(), NamedQuery::parse(name, "select 1"));
        assert_eq!(versions.update(Contents::from([file("a"), file("b")])), 2);
        assert_eq!(versions.update(Contents::from([file("b"), file("c")])), 2);
        assert_eq!(versions.update(Contents::from([file("b"), file("c")])), 0);
        assert_eq!(versions.settle().served.keys().collect::<Vec<_>>(), ["b", "c"]);
    }
}
