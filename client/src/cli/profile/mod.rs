//! Profiles: settings under a name, in a file of the user's, for those who talk to several servers.
//!
//! Here is which file and which profile of it count, and how its settings join what flags and
//! environment variables say; those win. What may stand in the file is in `file`.

mod file;

use std::path::{Path, PathBuf};

use rowstream_client::sink::Visible;

use self::file::{File, Settings};
use super::{
    args::{Command, Connection, Profile},
    failure::Failure,
    print,
};

/// Fills in what neither a flag nor an environment variable has said.
pub(crate) fn apply(choice: &Profile, connection: &mut Connection, command: &mut Command) -> Result<(), Failure> {
    let settings = chosen(choice)?;
    if connection.endpoint.is_empty() {
        connection.endpoint = settings.endpoint.0;
    }
    if connection.cacert.is_none() {
        connection.cacert = settings.cacert.map(readable).transpose()?;
    }
    connection.server_name = connection.server_name.take().or(settings.server_name);
    connection.deadline = connection.deadline.or(settings.deadline);
    connection.connect_timeout = connection.connect_timeout.or(settings.connect_timeout);
    if let Command::Query(query) = command {
        query.format = query.format.or(settings.format);
        query.max_rows = query.max_rows.or(settings.max_rows);
    }
    Ok(())
}

/// Refuses a profile's certificate file that cannot be opened, where it is still known that it is the profile's.
fn readable(cacert: PathBuf) -> Result<PathBuf, Failure> {
    match std::fs::File::open(&cacert) {
        Ok(_) => Ok(cacert),
        Err(error) => Err(Failure::Config(format!("the profile's cacert {}: {error}", cacert.display()))),
    }
}

/// `rowstream profiles`: names and endpoints; a star marks the one that counts now.
pub(crate) fn list(choice: &Profile) -> Result<(), Failure> {
    let Some((path, file)) = read(choice)? else {
        return print("");
    };
    let current = current(choice, &path, &file)?;
    let width = file.profiles.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let line = |(name, settings): (&String, &Settings)| {
        let mark = if Some(name.as_str()) == current { '*' } else { ' ' };
        let endpoints = settings.endpoint.0.join(",");
        let line = format!("{mark} {name:width$}  {}", if endpoints.is_empty() { "-" } else { &endpoints });
        format!("{}\n", Visible(&line))
    };
    print(&file.profiles.iter().map(line).collect::<String>())
}

/// The settings of the profile that counts; none if there is no file or no choice.
fn chosen(choice: &Profile) -> Result<Settings, Failure> {
    let Some((path, mut file)) = read(choice)? else { return Ok(Settings::default()) };
    let name = current(choice, &path, &file)?.map(str::to_owned);
    let mut settings = name.and_then(|name| file.profiles.remove(&name)).unwrap_or_default();
    // The file means the same wherever the program is run from.
    let folder = path.parent().unwrap_or(Path::new(""));
    settings.cacert = settings.cacert.map(|cacert| folder.join(cacert));
    Ok(settings)
}

/// The name of the profile that counts, which exists.
fn current<'a>(choice: &'a Profile, path: &Path, file: &'a File) -> Result<Option<&'a str>, Failure> {
    let (name, asked_by) = match (&choice.profile, &file.default) {
        (Some(name), _) => (name.as_str(), "--profile or ROWSTREAM_PROFILE"),
        (None, Some(name)) => (name.as_str(), "default"),
        (None, None) => return Ok(None),
    };
    if file.profiles.contains_key(name) {
        return Ok(Some(name));
    }
    let known: Vec<_> = file.profiles.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
    Err(Failure::Config(format!("{asked_by}: no profile {name:?} in {}; {known}", path.display())))
}

/// The file that is named, or the one at the usual place, which may be missing unless a profile is
/// asked for.
fn read(choice: &Profile) -> Result<Option<(PathBuf, File)>, Failure> {
    let required = choice.profiles_file.is_some() || choice.profile.is_some();
    let Some(path) = choice.profiles_file.clone().or_else(usual_place) else {
        return match &choice.profile {
            Some(name) => Err(Failure::Config(format!(
                "--profile {name}: there is no place for profiles; set HOME, XDG_CONFIG_HOME or --profiles-file"
            ))),
            None => Ok(None),
        };
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => match file::parse(&text) {
            Ok(file) => Ok(Some((path, file))),
            Err(problem) => Err(Failure::Config(format!("{}{problem}", path.display()))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => Ok(None),
        Err(error) => Err(Failure::Config(format!("cannot read {}: {error}", path.display()))),
    }
}

/// `rowstream/config.toml` in $XDG_CONFIG_HOME, which counts only if it is absolute, or in ~/.config.
fn usual_place() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(base.join("rowstream").join("config.toml"))
}
