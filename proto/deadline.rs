//! `grpc-timeout` on the wire: a call's remaining time, as the gRPC specification writes it
//! ("PROTOCOL-HTTP2.md", Timeout: at most 8 digits and a unit of H, M, S, m, u or n).
//!
//! A *timeout* is a relative duration and exists only on the wire; each side turns it into an
//! absolute *deadline* once, at its edge.

use std::time::Duration;

/// The metadata key.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The most of a caller's time that is kept back for the answer.
const LONGEST_MARGIN: Duration = Duration::from_millis(100);

/// The part of a caller's timeout in which the server works. The rest, a twentieth and 100 ms at most, is
/// for the answer's way: gRPC clients end a call by a timer of their own, and would otherwise do so
/// before they hear where the time went.
#[must_use]
pub fn without_margin(timeout: Duration) -> Duration {
    timeout - (timeout / 20).min(LONGEST_MARGIN)
}

/// Reads the value of a `grpc-timeout` header.
///
/// # Errors
/// Answers what would be right if the value is not of the specified form.
pub fn parse(value: &str) -> Result<Duration, InvalidTimeout> {
    let invalid = || InvalidTimeout(value.chars().take(32).collect());
    let (digits, unit) = value.split_at_checked(value.len().wrapping_sub(1)).ok_or_else(invalid)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let amount: u64 = digits.parse().map_err(|_| invalid())?;
    match unit {
        "H" => Ok(Duration::from_secs(amount * 3600)),
        "M" => Ok(Duration::from_secs(amount * 60)),
        "S" => Ok(Duration::from_secs(amount)),
        "m" => Ok(Duration::from_millis(amount)),
        "u" => Ok(Duration::from_micros(amount)),
        "n" => Ok(Duration::from_nanos(amount)),
        _ => Err(invalid()),
    }
}

/// A `grpc-timeout` that is not of the specified form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("grpc-timeout {0:?} is not 1 to 8 digits followed by one of H M S m u n")]
pub struct InvalidTimeout(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_of_the_time_and_not_more_than_a_tenth_of_a_second_is_kept_for_the_answer() {
        for (timeout, work) in [(0, 0), (100, 95), (1_000, 950), (2_000, 1_900), (60_000, 59_900)] {
            assert_eq!(without_margin(Duration::from_millis(timeout)), Duration::from_millis(work));
        }
        assert!(without_margin(Duration::MAX) < Duration::MAX);
    }

    #[test]
    fn every_unit_is_read_and_everything_else_is_refused() {
        for (text, duration) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("700m", Duration::from_millis(700)),
            ("5u", Duration::from_micros(5)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(parse(text), Ok(duration), "{text}");
        }
        for text in ["", "S", "1", "1s", "123456789S", "-1S", "1.5S", "1 S", "é", "1é", "１S"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
