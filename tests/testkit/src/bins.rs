//! Finds the programs of this workspace that cargo has built.

use std::{env, path::PathBuf};

/// The path of a program of this workspace, beside the test or example that asks.
///
/// Cargo sets `CARGO_BIN_EXE_*` only for tests of the package that owns the program; this works from
/// every package.
///
/// # Panics
///
/// If the program has not been built.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    let this = env::current_exe().expect("the path of this program is known");
    // A test is at target/<profile>/deps/NAME, an example at target/<profile>/examples/NAME.
    let profile = this.parent().and_then(|deps| deps.parent()).expect("cargo runs tests inside a target folder");
    let path = profile.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} has not been built; run `cargo build --workspace --bins` first", path.display());
    path
}
