//! `rowstream --print-proto`: the contract's own text, for generating clients in other languages.
//!
//! The files are those that this program was built from, with their comments.

use std::{fs, path::Path};

use rowstream_contract::PROTO_FILES;

use super::{failure::Failure, print};

/// Prints all files, each below a line with its path, or writes them under a folder by their paths,
/// which makes that folder an import path for protoc and a module for buf.
pub(crate) fn run(directory: Option<&Path>) -> Result<(), Failure> {
    let Some(directory) = directory else {
        return print(&PROTO_FILES.iter().map(|(path, text)| format!("// ---- {path}\n{text}\n")).collect::<String>());
    };
    for (path, text) in PROTO_FILES {
        write(&directory.join(path), text)?;
    }
    Ok(())
}

/// Writes a file and the folders above it.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text)).map_err(|source| Failure::output(Some(path.to_owned()), source))
}
