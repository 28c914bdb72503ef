//! The program `rowstream`: the client library at the command line. What it does is in `cli`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
