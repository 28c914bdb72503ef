//! Where each setting's value comes from: a flag over an environment variable over the file over the default.
//!
//! A setting is an argument of `Args` with an environment variable; its key in the file is the flag's name with
//! `_` for `-`. Nothing here knows a setting by name, so that a new one is one entry in `Args`. What the
//! environment and the file hold is checked here, value by value, so that a message names it as it was written;
//! then everything goes through clap once more as if it had been typed.

use std::{
    any::TypeId,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use bytesize::ByteSize;
use clap::{
    Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _,
    builder::Resettable,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::{Args, ConfigError, file};

/// The argument that names the file; the only one with a variable that is no setting.
const CONFIG: &str = "config";

/// All settings, and where each has its value from.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(super) settings: Vec<Setting>,
}

/// One setting.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The flag's name, without `--`.
    pub(super) flag: String,
    pub(super) variable: String,
    pub(super) kind: Kind,
    /// Its value is shown nowhere.
    pub(super) secret: bool,
    pub(super) origin: Origin,
    /// As text: of a list each element, of a boolean `true` or `false`; empty if there is none.
    pub(super) values: Vec<OsString>,
    /// What stands for the value in the help.
    pub(super) placeholder: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Flag,
    Variable,
    File { file: PathBuf, line: usize },
    Default,
}

/// What a value looks like in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A flag that takes no value.
    Switch,
    Boolean,
    Integer,
    Number,
    /// Text with a unit, or a number of bytes.
    Size,
    List,
    Text,
}

/// Reads arguments (the program's name first), the environment and the file.
pub(super) fn resolve(
    arguments: Vec<OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(Args, Sources), ConfigError> {
    let command = Args::command();
    let bare = bare(command.clone());
    let typed = bare.clone().try_get_matches_from(&arguments).map_err(|error| match error.kind() {
        // The whole help, which tells the variables too.
        ErrorKind::DisplayHelp => command.clone().try_get_matches_from(&arguments).err().unwrap_or(error),
        _ => error,
    })?;
    let is_setting = |arg: &&Arg| arg.get_env().is_some() && arg.get_id() != CONFIG;
    let mut sources = Sources { settings: command.get_arguments().filter(is_setting).map(Setting::new).collect() };
    let mut problems = Vec::new();
    sources.take_file(path(&typed, &command, &variable), &bare, &mut problems);
    sources.take_variables(&variable, &bare, &mut problems);
    sources.take_flags(&typed);
    if !problems.is_empty() {
        return Err(ConfigError::Value(problems.join("\n")));
    }
    let matches = bare.try_get_matches_from(sources.arguments(arguments))?;
    Ok((Args::from_arg_matches(&matches)?, sources))
}

/// The command without what would read the environment.
fn bare(command: Command) -> Command {
    command.mut_args(|arg| if arg.get_env().is_some() { arg.env(Resettable::Reset) } else { arg })
}

/// The file's path, from the flag or the variable.
fn path(typed: &ArgMatches, command: &Command, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = command.get_arguments().find(|arg| arg.get_id() == CONFIG).and_then(Arg::get_env);
    let from_variable = || Some(PathBuf::from(variable(named?.to_str()?)?));
    typed.get_one::<PathBuf>(CONFIG).cloned().or_else(from_variable)
}

// === impl Sources ===

impl Sources {
    fn take_file(&mut self, path: Option<PathBuf>, bare: &Command, problems: &mut Vec<String>) {
        let Some(path) = path else { return };
        let entries = match file::read(&path) {
            Ok(entries) => entries,
            Err(problem) => return problems.push(problem),
        };
        for entry in entries {
            let at = format!("{}:{}", path.display(), entry.line);
            let Some(setting) = self.settings.iter_mut().find(|setting| setting.key() == entry.key) else {
                problems.push(format!("{at}: there is no setting {}{}", entry.key, self.nearest(&entry.key)));
                continue;
            };
            let values = setting
                .kind
                .texts(&entry.value)
                .and_then(|values| values.iter().try_for_each(|value| setting.check(value, bare)).map(|()| values));
            match values {
                Ok(values) => setting.set(values, Origin::File { file: path.clone(), line: entry.line }),
                Err(reason) if setting.secret => problems.push(format!("{at}: {}: {reason}", entry.key)),
                Err(reason) => problems.push(format!("{at}: {} = {}: {reason}", entry.key, entry.written)),
            }
        }
    }

    fn take_variables(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
        bare: &Command,
        problems: &mut Vec<String>,
    ) {
        for setting in &mut self.settings {
            let Some(value) = variable(&setting.variable) else { continue };
            match setting.kind.plain(&value).and_then(|value| setting.check(&value, bare).map(|()| value)) {
                Ok(value) => setting.set(vec![value], Origin::Variable),
                Err(reason) if setting.secret => problems.push(format!("{}: {reason}", setting.variable)),
                Err(reason) => {
                    problems.push(format!("{}={}: {reason}", setting.variable, value.to_string_lossy()));
                }
            }
        }
    }

    fn take_flags(&mut self, typed: &ArgMatches) {
        for setting in &mut self.settings {
            let id = setting.key();
            if typed.value_source(&id) == Some(ValueSource::CommandLine) {
                let raw = typed.get_raw(&id).into_iter().flatten().map(OsStr::to_owned).collect();
                let values = if setting.kind == Kind::Switch { vec!["true".into()] } else { raw };
                setting.set(values, Origin::Flag);
            }
        }
    }

    /// The arguments as if all had been typed. What was typed comes last: it may end in `--`.
    fn arguments(&self, mut typed: Vec<OsString>) -> Vec<OsString> {
        let untyped = |setting: &&Setting| matches!(setting.origin, Origin::Variable | Origin::File { .. });
        let rest = typed.split_off(typed.len().min(1));
        typed.extend(self.settings.iter().filter(untyped).flat_map(Setting::arguments));
        typed.extend(rest);
        typed
    }

    fn nearest(&self, key: &str) -> String {
        let likeness = |setting: &Setting| strsim::jaro(&setting.key(), &key.to_lowercase());
        let nearest =
            self.settings.iter().map(|setting| (likeness(setting), setting)).max_by(|a, b| a.0.total_cmp(&b.0));
        nearest.filter(|(likeness, _)| *likeness > 0.7).map_or_else(
            || "; docs/configuration.md has them all, and --print-config prints them".to_owned(),
            |(_, setting)| format!("; did you mean {}?", setting.key()),
        )
    }

    /// A message that speaks of flags, with each named as its value was given: by a variable, or in the file.
    pub(crate) fn as_written(&self, message: &str) -> String {
        let mut told = String::new();
        let mut rest = message;
        while let Some(at) = rest.find("--") {
            let name = &rest[at + 2..];
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(name.len());
            told.push_str(&rest[..at]);
            match self.settings.iter().find(|setting| setting.flag == name[..end]) {
                Some(setting) => told.push_str(&setting.name()),
                None => told.push_str(&rest[at..at + 2 + end]),
            }
            rest = &name[end..];
        }
        told + rest
    }
}

// === impl Setting ===

impl Setting {
    fn new(arg: &Arg) -> Self {
        let kind = Kind::of(arg);
        let defaults = arg.get_default_values().iter().map(|value| value.as_os_str().to_owned());
        let values = if kind == Kind::Switch { vec!["false".into()] } else { defaults.collect() };
        let text = |text: Option<&OsStr>| text.unwrap_or_default().to_string_lossy().into_owned();
        let placeholder = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        Self {
            flag: arg.get_long().unwrap_or_default().to_owned(),
            variable: text(arg.get_env()),
            kind,
            secret: arg.is_hide_env_values_set(),
            origin: Origin::Default,
            values,
            placeholder: placeholder.unwrap_or_default(),
        }
    }

    /// Its name in the file, and in clap.
    pub(super) fn key(&self) -> String {
        self.flag.replace('-', "_")
    }

    /// Its name where its value was given.
    fn name(&self) -> String {
        match &self.origin {
            Origin::Flag | Origin::Default => format!("--{}", self.flag),
            Origin::Variable => self.variable.clone(),
            Origin::File { file, line } => format!("{} ({}:{line})", self.key(), file.display()),
        }
    }

    fn set(&mut self, values: Vec<OsString>, origin: Origin) {
        (self.values, self.origin) = (values, origin);
    }

    fn arguments(&self) -> Vec<OsString> {
        match self.kind {
            Kind::Switch if self.values.iter().any(|value| value == "true") => vec![self.long()],
            Kind::Switch => Vec::new(),
            _ => self.values.iter().map(|value| self.with(value)).collect(),
        }
    }

    fn long(&self) -> OsString {
        OsString::from(format!("--{}", self.flag))
    }

    fn with(&self, value: &OsStr) -> OsString {
        let mut argument = self.long();
        argument.push("=");
        argument.push(value);
        argument
    }

    /// Whether clap takes the value; if not, why, and what would be right.
    fn check(&self, value: &OsStr, bare: &Command) -> Result<(), String> {
        if self.kind == Kind::Switch {
            return Ok(());
        }
        let parsed = bare.clone().try_get_matches_from([OsString::new(), self.with(value)]);
        parsed.map(drop).map_err(|error| match self.kind {
            Kind::Integer => format!("{}; write a whole number", reason(&error)),
            Kind::Number => format!("{}; write a number", reason(&error)),
            Kind::Size => format!("{}; write it like 64KiB or 4MiB", reason(&error)),
            _ => reason(&error),
        })
    }
}

/// Why clap refused a value.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() => format!("write one of {}", valid.join(", ")),
        _ if error.get(ContextKind::InvalidValue).is_some() => "a value is missing".to_owned(),
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

// === impl Kind ===

impl Kind {
    fn of(arg: &Arg) -> Self {
        let id = arg.get_value_parser().type_id();
        let is = |known: &[TypeId]| known.iter().any(|known| id == *known);
        match arg.get_action() {
            ArgAction::SetTrue => Self::Switch,
            ArgAction::Append => Self::List,
            _ if is(&[TypeId::of::<bool>()]) => Self::Boolean,
            _ if is(&[TypeId::of::<usize>(), TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>()]) => {
                Self::Integer
            }
            _ if is(&[TypeId::of::<f64>()]) => Self::Number,
            _ if is(&[TypeId::of::<ByteSize>()]) => Self::Size,
            _ => Self::Text,
        }
    }

    /// A value of the file as text.
    fn texts(self, value: &file::Value) -> Result<Vec<OsString>, String> {
        use file::Value::{Boolean, Float, Integer, List, Text};
        let one = |text: &str| Ok(vec![text.into()]);
        match (self, value) {
            (Self::Switch | Self::Boolean, Boolean(is)) => one(&is.to_string()),
            (Self::Integer | Self::Number | Self::Size, Integer(text)) => one(text),
            (Self::Number, Float(text)) => one(text),
            (Self::Size | Self::Text, Text(text)) => one(text),
            (Self::List, List(values)) => {
                let text = |value: &file::Value| if let Text(text) = value { Some(text.into()) } else { None };
                values.iter().map(text).collect::<Option<_>>().ok_or_else(|| self.expected())
            }
            _ => Err(self.expected()),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Switch | Self::Boolean => "write true or false, without quotes",
            Self::Integer => "write a whole number, without quotes",
            Self::Number => "write a number, without quotes",
            Self::Size => "write text like \"4MiB\", or a number of bytes",
            Self::List => "write a list of texts, like [\"one\", \"two\"]",
            Self::Text => "write text, in quotes",
        }
        .to_owned()
    }

    /// A value of the environment; of a boolean, in the one form.
    fn plain(self, value: &OsStr) -> Result<OsString, String> {
        match (self, value.to_str()) {
            (Self::Switch | Self::Boolean, Some("true" | "1")) => Ok("true".into()),
            (Self::Switch | Self::Boolean, Some("false" | "0")) => Ok("false".into()),
            (Self::Switch | Self::Boolean, _) => Err("write true, false, 1 or 0".to_owned()),
            _ => Ok(value.to_owned()),
        }
    }
}
