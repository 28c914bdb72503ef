//! Finds PostgreSQL's programs: where packages put them is seldom on PATH.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::Error;

/// What must be together in one folder.
const NEEDED: [&str; 3] = ["initdb", "postgres", "psql"];

/// Folders that hold one folder a version, and what those are called.
const INSTALLED: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql"),
];

/// The folder that holds the programs: `ROWSTREAM_PG_BIN`, then PATH, then the newest installed version.
pub(crate) fn find() -> Result<PathBuf, Error> {
    let candidates = match env::var_os("ROWSTREAM_PG_BIN") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => {
            on_path().into_iter().chain(INSTALLED.iter().flat_map(|(root, prefix)| versions(root, prefix))).collect()
        }
    };
    candidates.iter().find(|folder| NEEDED.iter().all(|name| folder.join(name).is_file())).cloned().ok_or_else(|| {
        let mut looked_in: Vec<String> = candidates.iter().map(|folder| folder.display().to_string()).collect();
        looked_in.extend(INSTALLED.iter().map(|(root, prefix)| format!("{root}/{prefix}*/bin")));
        Error::NotInstalled { looked_in: looked_in.join(", ") }
    })
}

fn on_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// The `bin` folders of all versions under `root`, newest first.
fn versions(root: &str, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(Path::new(root))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@').parse().unwrap_or(0);
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, bin)| bin).filter(|bin| bin.is_dir()).collect()
}
