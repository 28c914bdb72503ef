//! The folder of named queries: which files there are, whether they have changed, and what is in them.
//!
//! Changes are found by looking, not by being told: inotify says nothing on network file systems, and of a folder
//! that is a link to be swapped (a Kubernetes ConfigMap) it keeps watching the old one.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::plan::{
    MAX_SQL_BYTES,
    declared::is_name,
    named::{BadFile, NamedQuery},
};

/// The most files of named queries.
const MAX_FILES: usize = 10_000;

/// Where the named queries are.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// A look at the folder: its files, each with what would differ if it had changed.
pub(super) type Look = BTreeMap<PathBuf, Stamp>;

/// What of a file's metadata tells that it has changed, behind links too: device, inode, size, and the times of the
/// last change of content and of metadata. `None` if they are not to be had.
type Stamp = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

/// What is in the files, by query name.
pub(super) type Contents = BTreeMap<String, Result<NamedQuery, BadFile>>;

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The file of a query.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.sql"))
    }

    /// Looks without reading any file.
    ///
    /// # Errors
    /// Fails if the folder cannot be read, or holds too many files.
    pub(super) fn look(&self) -> io::Result<Look> {
        let mut look = Look::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let metadata = match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => continue,
                Ok(metadata) => Some(metadata),
                // Gone since it was listed, or a link to nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => None,
            };
            look.insert(path, metadata.as_ref().map(stamp));
            if look.len() > MAX_FILES {
                return Err(io::Error::other(format!("it holds more than {MAX_FILES} .sql files")));
            }
        }
        Ok(look)
    }

    /// Reads the files of a look. One that has gone since is left out.
    pub(super) fn read(look: &Look) -> Contents {
        let read = |path: &PathBuf| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let query = match content(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(error) => Err(BadFile::at_line(1, format!("the file cannot be read: {error}"))),
                Ok(_) if !is_name(&name) => {
                    let message = format!("the file's name {name:?} is not letters, digits, _ - . after a letter or _");
                    Err(BadFile::at_line(1, message))
                }
                Ok(bytes) => text(bytes).and_then(|text| NamedQuery::parse(&name, &text)),
            };
            Some((name, query))
        };
        look.keys().filter_map(read).collect()
    }

    /// What is wrong with its files, each with file, line and reason.
    ///
    /// # Errors
    /// Fails if the folder itself cannot be read.
    pub(crate) fn problems(&self) -> io::Result<Vec<String>> {
        let broken =
            |(name, query): (String, Result<NamedQuery, BadFile>)| Some(format!("{name}.sql: {}", query.err()?));
        Ok(Self::read(&self.look()?).into_iter().filter_map(broken).collect())
    }
}

fn stamp(of: &Metadata) -> (u64, u64, u64, (i64, i64), (i64, i64)) {
    (of.dev(), of.ino(), of.size(), (of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec()))
}

/// A file's bytes; of one that is too large, enough to see that it is.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        // To read a pipe would wait for a writer.
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_SQL_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, BadFile> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        BadFile::at_position(&valid, valid.chars().count() + 1, "the file is not valid UTF-8")
    })?;
    // The mark that some editors begin a file with.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn told(contents: &Contents) -> Vec<String> {
        let told = |(name, query): (&String, &Result<NamedQuery, BadFile>)| match query {
            Ok(query) => format!("{name}: {}", query.sql),
            Err(bad) => format!("{name}: {bad}"),
        };
        contents.iter().map(told).collect()
    }

    #[test]
    fn each_file_is_read_or_refused_by_itself() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let files: [(&str, &[u8]); 7] = [
            ("b.sql", b"select 2"),
            ("a.sql", b"\xef\xbb\xbfselect 1"),
            ("bad.sql", b"-- max_rows: x"),
            ("latin.sql", b"select 1,\n '\xe4'"),
            ("1st.sql", b"select 3"),
            ("long.sql", &vec![b' '; MAX_SQL_BYTES + 1]),
            ("note.txt", b"select 3"),
        ];
        for (file, content) in files {
            fs::write(temporary.path().join(file), content).expect("written");
        }
        fs::create_dir(temporary.path().join("folder.sql")).expect("a folder");
        symlink("/dev/null", temporary.path().join("device.sql")).expect("a link");
        symlink("nowhere", temporary.path().join("dangling.sql")).expect("a link");
        let look = Folder::new(temporary.path().to_owned()).look().expect("readable");
        assert_eq!(
            told(&Folder::read(&look)),
            [
                "1st: line 1: the file's name \"1st\" is not letters, digits, _ - . after a letter or _",
                "a: select 1",
                "b: select 2",
                "bad: line 1: max_rows \"x\" is not a number above 0",
                "device: line 1: the file cannot be read: it is not a regular file",
                "latin: line 2, column 3: the file is not valid UTF-8",
                "long: line 1: the file is larger than 1 MiB",
            ]
        );
    }

    #[test]
    fn every_way_of_changing_a_file_shows_in_a_look() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let (root, folder) = (temporary.path(), Folder::new(temporary.path().to_owned()));
        for version in ["one", "two"] {
            fs::create_dir(root.join(version)).expect("a folder");
            fs::write(root.join(version).join("linked.sql"), "select 1").expect("written");
        }
        symlink("one", root.join("..data")).expect("a link");
        symlink("..data/linked.sql", root.join("linked.sql")).expect("a link");
        fs::write(root.join("plain.sql"), "select 1").expect("written");
        let changes: [(&str, &dyn Fn()); 4] = [
            ("rewritten", &|| fs::write(root.join("plain.sql"), "select 22").expect("written")),
            ("replaced", &|| {
                fs::write(root.join("new"), "select 33").expect("written");
                fs::rename(root.join("new"), root.join("plain.sql")).expect("renamed");
            }),
            ("a link further up swapped", &|| {
                symlink("two", root.join("..new")).expect("a link");
                fs::rename(root.join("..new"), root.join("..data")).expect("renamed");
            }),
            ("removed", &|| fs::remove_file(root.join("plain.sql")).expect("removed")),
        ];
        let mut before = folder.look().expect("readable");
        assert_eq!(before, folder.look().expect("readable"), "nothing has changed");
        for (how, change) in changes {
            change();
            let after = folder.look().expect("readable");
            assert_ne!(before, after, "{how}");
            before = after;
        }
    }
}
