//! Text from elsewhere, made safe to show on a terminal: nothing in it can move the cursor, change
//! colours or hide what follows.

use std::fmt::{self, Write as _};

/// Appends the text with control characters, and the characters that reverse the direction of
/// writing, in escaped form.
pub fn write_visible(text: &str, out: &mut String) {
    // Writing to a String does not fail.
    let written = write!(out, "{}", Visible(text));
    debug_assert!(written.is_ok());
}

/// Displays a text with what could drive a terminal escaped.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(is_dangerous) {
            let (plain, from) = rest.split_at(at);
            f.write_str(plain)?;
            let mut chars = from.chars();
            match chars.next() {
                Some(control @ ('\n' | '\r' | '\t')) => write!(f, "{}", control.escape_default())?,
                Some(control) if control.is_ascii() => write!(f, "\\x{:02x}", u32::from(control))?,
                Some(control) => write!(f, "\\u{{{:x}}}", u32::from(control))?,
                None => {}
            }
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_drives_a_terminal_comes_through() {
        for (text, shown) in [
            ("plain é 漢", "plain é 漢"),
            ("a\u{1b}[31mred", "a\\x1b[31mred"),
            ("line\nfeed\r\ttab", "line\\nfeed\\r\\ttab"),
            ("c1 \u{9b}2J", "c1 \\u{9b}2J"),
            ("bidi \u{202e}gpj", "bidi \\u{202e}gpj"),
            ("\u{7f}", "\\x7f"),
        ] {
            let mut out = String::new();
            write_visible(text, &mut out);
            assert_eq!(out, shown);
        }
    }
}
