//! The named queries: a folder of `.sql` files, read at start. The format is `plan::named`.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc};

use crate::{
    metrics::QueryCounts,
    plan::named::{NamedQuery, is_name},
};

/// The named queries by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queries(Arc<BTreeMap<String, Arc<NamedQuery>>>);

impl Queries {
    /// Reads a folder. A file that is wrong is reported in the log and left out; the others serve.
    ///
    /// # Errors
    /// Fails if the folder itself cannot be read.
    pub(crate) fn load(folder: &Path, counts: &QueryCounts) -> io::Result<Self> {
        let (mut queries, mut left_out) = (BTreeMap::new(), 0);
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            match read(&path) {
                Ok(query) => {
                    queries.insert(query.name.clone(), Arc::new(query));
                }
                Err(reason) => {
                    left_out += 1;
                    tracing::error!(file = %path.display(), %reason, "named query left out");
                }
            }
        }
        counts.loaded(queries.len(), left_out);
        tracing::info!(count = queries.len(), folder = %folder.display(), "named queries read");
        Ok(Self(Arc::new(queries)))
    }

    /// What is wrong with a folder's files, by file; nothing is logged.
    ///
    /// # Errors
    /// Fails if the folder itself cannot be read.
    pub(crate) fn check(folder: &Path) -> io::Result<Vec<String>> {
        let mut problems = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "sql")
                && let Err(reason) = read(&path)
            {
                problems.push(format!("{}: {reason}", path.file_name().unwrap_or_default().to_string_lossy()));
            }
        }
        problems.sort();
        Ok(problems)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<NamedQuery>> {
        self.0.get(name).cloned()
    }

    /// At most `count` queries after the one of that name, in order.
    pub(crate) fn after(&self, name: &str, count: usize) -> Vec<Arc<NamedQuery>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = if name.is_empty() { Unbounded } else { Excluded(name) };
        self.0.range::<str, _>((start, Unbounded)).take(count).map(|(_, query)| query.clone()).collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<NamedQuery>> {
        self.0.values()
    }
}

fn read(path: &Path) -> Result<NamedQuery, String> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).filter(|name| is_name(name));
    let name = name.ok_or("the file's name is not letters, digits, _ - . after a letter or _")?;
    let content = fs::read_to_string(path).map_err(|error| error.to_string())?;
    NamedQuery::parse(name, &content).map_err(|bad| bad.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_wrong_file_is_left_out_and_the_rest_is_paged_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (file, content) in
            [("b.sql", "select 2"), ("a.sql", "select 1"), ("bad.sql", "-- max_rows: x"), ("note.txt", "select 3")]
        {
            fs::write(folder.path().join(file), content).expect("written");
        }
        let queries = Queries::load(folder.path(), &Metrics::new().queries).expect("readable");
        let names = |after, count| queries.after(after, count).iter().map(|q| q.name.clone()).collect::<Vec<_>>();
        assert_eq!(names("", 10), ["a", "b"]);
        assert_eq!(names("", 1), ["a"]);
        assert_eq!(names("a", 10), ["b"]);
        assert!(queries.get("bad").is_none());
    }
}
