//! The files of an export's directory.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// The names of the files that an export makes.
pub(in crate::cli::export) fn parts(directory: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.filter(|name| name.as_ref().map_or(true, |name| of_partition(name).is_some())).collect()
}

/// Of which partition a file is, if its name is as `Asked::file_name` makes them.
pub(super) fn of_partition(name: &str) -> Option<usize> {
    let (partition, file) = name.strip_prefix("part-")?.split_once('.')?.0.split_once('-')?;
    let number = |text: &str| text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if number(partition) && number(file) { partition.parse().ok() } else { None }
}

/// Makes a directory that outlasts a crash.
pub(super) fn create(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create(parent)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
        created => created?,
    }
    sync(parent)
}

/// What is not there need not be removed, or read.
pub(super) fn gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_an_export_makes_them_are_its_own() {
        for (name, partition) in [
            ("part-0001-0001.csv", Some(1)),
            ("part-1000-12345.jsonl.gz", Some(1000)),
            ("part-1-1.csv", None),
            ("part-0001.csv", None),
            ("part-0001-0001", None),
            ("part-0001-000x.csv", None),
            ("part-of-mine.txt", None),
            ("manifest.json", None),
        ] {
            assert_eq!(of_partition(name), partition, "{name}");
        }
    }
}
