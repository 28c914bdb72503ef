//! A log of JSON lines, as the server writes it where nobody looks at a terminal.

use serde_json::Value;

/// One line of a log.
#[derive(Debug)]
pub struct Line(Value);

impl Line {
    /// What it says; empty if that is not a text.
    #[must_use]
    pub fn message(&self) -> &str {
        self.0["message"].as_str().unwrap_or_default()
    }

    /// A field that is text.
    ///
    /// # Panics
    ///
    /// If it is not, or is not there.
    #[must_use]
    pub fn text(&self, field: &str) -> String {
        self.0[field].as_str().unwrap_or_else(|| panic!("no text {field:?} in {}", self.0)).to_owned()
    }

    /// A field that counts.
    ///
    /// # Panics
    ///
    /// If it does not, or is not there.
    #[must_use]
    pub fn count(&self, field: &str) -> i64 {
        self.0[field].as_i64().unwrap_or_else(|| panic!("no count {field:?} in {}", self.0))
    }

    /// A field that is a number, and not negative.
    ///
    /// # Panics
    ///
    /// If it is not, or is not there.
    #[must_use]
    pub fn number(&self, field: &str) -> f64 {
        let number = self.0[field].as_f64().filter(|number| *number >= 0.0);
        number.unwrap_or_else(|| panic!("no number {field:?} in {}", self.0))
    }
}

pub(super) fn parse(text: &str) -> Vec<Line> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the log line {line}"));
    text.lines().map(parse).map(Line).collect()
}
