//! Whether a text can be a value of a PostgreSQL type, where that is plain: a value that is refused here
//! would be refused by PostgreSQL, and what is accepted may still be. Types that are read in many ways
//! (dates, times, intervals, everything else) are left to PostgreSQL.

use serde::de::IgnoredAny;

/// PostgreSQL's OIDs, by the way that a text of the type is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer {
        min: i128,
        max: i128,
    },
    Number,
    Bool,
    Uuid,
    Json,
    /// An array, whose elements are read so.
    Array(&'static Kind),
    /// An array of something else.
    OtherArray,
    Other,
}

const INT2: Kind = Kind::Integer { min: i16::MIN as i128, max: i16::MAX as i128 };
const INT4: Kind = Kind::Integer { min: i32::MIN as i128, max: i32::MAX as i128 };
const INT8: Kind = Kind::Integer { min: i64::MIN as i128, max: i64::MAX as i128 };
/// A negative number is read as unsigned.
const OID: Kind = Kind::Integer { min: i32::MIN as i128, max: u32::MAX as i128 };

impl Kind {
    /// The kind of a type, by its OID; by its name alone if that is unknown.
    pub(crate) fn of(type_oid: u32, type_name: &str) -> Self {
        match type_oid {
            16 => Self::Bool,
            20 => INT8,
            21 => INT2,
            23 => INT4,
            26 => OID,
            700 | 701 | 1700 => Self::Number,
            2950 => Self::Uuid,
            114 | 3802 => Self::Json,
            1000 => Self::Array(&Self::Bool),
            1005 => Self::Array(&INT2),
            1007 => Self::Array(&INT4),
            1016 => Self::Array(&INT8),
            1028 => Self::Array(&OID),
            1021 | 1022 | 1231 => Self::Array(&Self::Number),
            2951 => Self::Array(&Self::Uuid),
            199 | 3807 => Self::Array(&Self::Json),
            _ if type_name.ends_with("[]") => Self::OtherArray,
            _ => Self::Other,
        }
    }

    pub(crate) fn is_array(self) -> bool {
        matches!(self, Self::Array(_) | Self::OtherArray)
    }

    /// Whether the text may be a value.
    pub(crate) fn accepts(self, text: &str) -> bool {
        let trimmed = text.trim_ascii();
        match self {
            Self::Integer { min, max } => integer(trimmed).is_some_and(|number| (min..=max).contains(&number)),
            Self::Number => is_number(trimmed),
            Self::Bool => is_bool(trimmed),
            Self::Uuid => is_uuid(text),
            Self::Json => serde_json::from_str::<IgnoredAny>(text).is_ok(),
            // `{1,2}`, and `[0:1]={1,2}`.
            Self::Array(_) | Self::OtherArray => trimmed.starts_with(['{', '[']),
            Self::Other => true,
        }
    }
}

/// An integer as `int8in` reads it, since PostgreSQL 16 also as 0x10, 0o7, 0b1 and `1_000`.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits),
    };
    let digits = digits.replace('_', "");
    // from_str_radix takes a sign of its own.
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(&digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

/// A number as `float8in` and `numeric_in` read it, together.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if ["nan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
        return true;
    }
    if unsigned.get(..2).is_some_and(|lead| {
        lead.starts_with('0') && !lead.ends_with(|c: char| c.is_ascii_digit() || ".eE_".contains(c))
    }) {
        // Hexadecimal and the like: PostgreSQL tells.
        return unsigned.len() > 2;
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let any = whole.bytes().chain(fraction.bytes()).any(|byte| byte.is_ascii_digit());
    let exponent = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    any && digits(whole) && digits(fraction) && exponent
}

/// A unique beginning of one of the words, or a digit.
fn is_bool(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    matches!(text.as_str(), "0" | "1")
        || ["true", "false", "yes", "no"].iter().any(|word| begins(word, 1))
        || ["on", "off"].iter().any(|word| begins(word, 2))
}

/// 32 digits, in braces or not, with a hyphen after any group of four.
fn is_uuid(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
    let digits = inner.bytes().filter(u8::is_ascii_hexdigit).count();
    digits == 32 && inner.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgresql_would_refuse_is_refused_and_what_it_reads_is_not() {
        let number = [
            "1",
            "-1.5",
            ".5",
            "5.",
            "1e10",
            "+1E-3",
            "NaN",
            "-Infinity",
            "inf",
            " 7 ",
            "0x1F",
            "1_000",
            "0",
            "0.0",
            "0e1",
        ];
        for (oid, good, bad) in [
            (
                23,
                &["0", " -7 ", "+7", "2147483647", "0x7f", "1_000"][..],
                &["", "abc", "1.0", "2147483648", "--1", "1e3", "0x"][..],
            ),
            (21, &["32767"], &["32768"]),
            (20, &["9223372036854775807", "-9223372036854775808"], &["9223372036854775808"]),
            (26, &["4294967295", "-1"], &["4294967296"]),
            (701, &number, &["", "abc", "1.2.3", "e5", "1e", ".", "0x"]),
            (1700, &number, &["12,5", "1 2"]),
            (16, &["t", "TRUE", "fal", "y", "no", "on", "of", "0", "1"], &["", "o", "2", "maybe", "truely"]),
            (
                2950,
                &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"],
                &["", "a0eebc99", "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
            ),
            (3802, &["{\"a\":1}", "null", "1e400", "\"x\""], &["", "{", "{a:1}"]),
            (1007, &["{1,2}", "[0:1]={1,2}", "{}"], &["1,2", ""]),
            (25, &["", "anything"], &[]),
            (1082, &["2024-01-01", "today", "not a date: PostgreSQL tells"], &[]),
        ] {
            for text in good {
                assert!(Kind::of(oid, "t").accepts(text), "{oid} {text:?}");
            }
            for text in bad {
                assert!(!Kind::of(oid, "t").accepts(text), "{oid} {text:?}");
            }
        }
        assert!(Kind::of(1182, "date[]").is_array() && !Kind::of(1182, "date[]").accepts("2024-01-01"));
    }
}
