//! `--print-config`: the settings as a file for `--config`, each with where it comes from.

use std::{ffi::OsStr, fmt::Write as _};

use super::sources::{Kind, Origin, Setting, Sources};

/// The file's text. A password in a URL is left out.
pub(super) fn file(sources: &Sources) -> String {
    let mut text =
        format!("# The settings of rowstream-server {}. Can be given to --config.\n\n", env!("CARGO_PKG_VERSION"));
    for setting in &sources.settings {
        let (value, note) = value(setting);
        let origin = match &setting.origin {
            Origin::Default if setting.values.is_empty() => "not set".to_owned(),
            Origin::Default => "default".to_owned(),
            Origin::Variable => format!("variable {}", setting.variable),
            Origin::Flag => format!("flag --{}", setting.flag),
            Origin::File { file, line } => format!("{}:{line}", file.display()).replace(char::is_control, "?"),
        };
        let unset = if value.is_some() { "" } else { "#" };
        let value = value.unwrap_or_else(|| quoted(OsStr::new(&setting.placeholder)));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<48} # {origin}{note}", format!("{unset}{} = {value}", setting.key()));
    }
    text
}

/// The value in TOML, if there is one, and what is to be said of it.
fn value(setting: &Setting) -> (Option<String>, &'static str) {
    let first = setting.values.first();
    match setting.kind {
        _ if first.is_none() && setting.kind != Kind::List => (None, ""),
        _ if setting.secret => match first.and_then(|value| without_password(&value.to_string_lossy())) {
            Some((url, false)) => (Some(quoted(OsStr::new(&url))), ""),
            Some((url, true)) => (Some(quoted(OsStr::new(&url))), "; the password is left out"),
            None => (None, "; not shown"),
        },
        Kind::Switch | Kind::Boolean | Kind::Integer | Kind::Number => {
            (first.map(|value| value.to_string_lossy().into_owned()), "")
        }
        Kind::Size | Kind::Text => (first.map(|value| quoted(value)), ""),
        Kind::List => {
            let values: Vec<_> = setting.values.iter().map(|value| quoted(value)).collect();
            (Some(format!("[{}]", values.join(", "))), "")
        }
    }
}

/// A URL without its password, wherever it stands, and whether there was one.
fn without_password(text: &str) -> Option<(String, bool)> {
    let mut url = url::Url::parse(text).ok()?;
    let is_secret = |name: &str| name.eq_ignore_ascii_case("password") || name.eq_ignore_ascii_case("sslpassword");
    let had = url.password().is_some() || url.query_pairs().any(|(name, _)| is_secret(&name));
    if !had {
        return Some((text.to_owned(), false));
    }
    url.set_password(None).ok()?;
    let kept: Vec<_> = url.query_pairs().into_owned().filter(|(name, _)| !is_secret(name)).collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Some((url.into(), true))
}

/// A basic string of TOML.
fn quoted(value: &OsStr) -> String {
    let mut text = String::from('"');
    for c in value.to_string_lossy().chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            // Writing to a String cannot fail.
            c if c.is_control() => drop(write!(text, "\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text + "\""
}
