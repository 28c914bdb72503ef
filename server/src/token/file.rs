//! The file of keys: one or two lines of 64 hexadecimal digits, the key that signs first.

use std::{fs, path::Path};

use data_encoding::HEXLOWER_PERMISSIVE;

use super::{KEY, Key, Keys};

/// How many keys a file may hold: the one that signs, and the one before it.
const MOST: usize = 2;
/// How one comes by a key.
const MAKE: &str = "make one with: openssl rand -hex 32";

impl Keys {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// Names the line and what would be right; never a key.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<_> = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()).collect();
        match lines.len() {
            0 => return Err(format!("holds no key; {MAKE}")),
            1..=MOST => {}
            several => {
                return Err(format!("holds {several} keys; at most {MOST}: the present one, then the one before"));
            }
        }
        let key = |(line, digits): &(usize, &str)| {
            let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
            let bytes: Option<[u8; KEY]> = bytes.and_then(|bytes| bytes.try_into().ok());
            bytes
                .map(|bytes| Key::new(&bytes))
                .ok_or_else(|| format!("line {}: is not 64 hexadecimal digits; {MAKE}", line + 1))
        };
        lines.iter().map(key).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Kind;

    #[test]
    fn one_or_two_keys_are_read_and_the_first_one_signs() {
        let (first, second) = ("0a".repeat(KEY), "FF".repeat(KEY));
        let both = Keys::parse(&format!("{first}\n\n  {second}\r\n")).expect("two keys");
        let token = both.seal(Kind::Session, &());
        Keys::parse(&first).expect("a key").open::<()>(Kind::Session, &token).expect("of the first");
        assert!(Keys::parse(&second).expect("a key").open::<()>(Kind::Session, &token).is_err());
    }

    #[test]
    fn what_is_no_key_is_told_by_its_line_and_never_shown() {
        for (text, expected) in [
            (String::new(), "holds no key"),
            ("00".repeat(KEY - 1), "line 1: is not 64 hexadecimal digits"),
            (format!("{}\nsecret", "00".repeat(KEY)), "line 2: is not 64 hexadecimal digits"),
            (format!("{}\n", "00".repeat(KEY)).repeat(3), "holds 3 keys"),
        ] {
            let refused = Keys::parse(&text).expect_err("refused");
            assert!(refused.starts_with(expected) && !refused.contains("secret"), "{refused}");
        }
    }
}
