//! `rowstream completions`: scripts for shells, made from the definition of the arguments.
//!
//! They complete commands, flags and, where the shell can, the values that are fixed. Names that only a
//! server knows are not completed: pressing a key should not send a call.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::{args::Arguments, failure::Failure, print_bytes};

/// What `rowstream completions --help` says about installing them.
pub(crate) const HELP: &str = "\
Where the script goes:
  bash        ~/.local/share/bash-completion/completions/rowstream
  zsh         a folder of $fpath, as _rowstream
  fish        ~/.config/fish/completions/rowstream.fish
  elvish      ~/.config/elvish/rc.elv, at its end
  powershell  $PROFILE, at its end";

pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "rowstream", &mut script);
    print_bytes(&script)
}
