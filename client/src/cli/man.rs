//! `rowstream man`: the manual pages, made from the definition of the arguments.

use std::{fs, io, path::Path};

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::{args::Arguments, failure::Failure};

/// Writes a page for the program and one for each command.
pub(crate) fn run(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|source| Failure::output(Some(directory.to_owned()), source))?;
    // The command `help` prints what these pages say.
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    for command in all(&program) {
        let notes = command.get_after_help().map(ToString::to_string);
        let man = Man::new(command.clone().after_help(None::<&str>));
        let path = directory.join(man.get_filename());
        let written = page(&man, notes.as_deref()).and_then(|page| fs::write(&path, page));
        written.map_err(|source| Failure::output(Some(path), source))?;
    }
    Ok(())
}

/// A command and all below it.
fn all(command: &clap::Command) -> Vec<&clap::Command> {
    [command].into_iter().chain(command.get_subcommands().flat_map(all)).collect()
}

/// A page, with the notes that follow a command's help as they stand there: they are laid out by hand.
fn page(man: &Man, notes: Option<&str>) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    if let Some(notes) = notes {
        page.extend_from_slice(b".SH NOTES\n.nf\n");
        for line in notes.lines() {
            page.extend_from_slice(b"\\&");
            page.extend_from_slice(line.replace('\\', "\\e").replace('-', "\\-").as_bytes());
            page.push(b'\n');
        }
        page.extend_from_slice(b".fi\n");
    }
    Ok(page)
}
