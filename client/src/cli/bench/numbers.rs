//! Figures for people: three digits, and a unit that fits.

use indicatif::HumanCount;

/// As a fraction, for rates and plots.
pub(super) fn float(count: u64) -> f64 {
    // Exact to 2^53, which is more than is ever counted here.
    #[allow(clippy::cast_precision_loss)]
    let float = count as f64;
    float
}

/// A number that is not negative as a whole one, to the nearest.
pub(super) fn whole(number: f64) -> u64 {
    // A cast saturates, and makes 0 of what is no number.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = number.round() as u64;
    whole
}

/// A time in microseconds: `0.850ms`, `12.3ms`, `1.23s`.
pub(super) fn time(micros: f64) -> String {
    let (value, unit) = if micros < 999_500.0 { (micros / 1e3, "ms") } else { (micros / 1e6, "s") };
    format!("{}{unit}", three_digits(value))
}

/// `0.05`, `0.123`, `1.23`, `12.3`, `123`, and above it thousands with commas.
pub(super) fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => HumanCount(whole(value)).to_string(),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Calls a second, as they are typed: `200/s`, `0.5/s`.
pub(super) fn rate(calls: f64) -> String {
    format!("{}/s", (calls * 1e3).round() / 1e3)
}

/// A share of one as a percentage: `0.5 %`, `12 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent.abs() < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// As a mark of an axis: without zeros that say nothing.
pub(super) fn short(figure: &str) -> String {
    let end = figure.find(|char: char| char.is_alphabetic()).unwrap_or(figure.len());
    let (number, unit) = figure.split_at(end);
    match number.contains('.') {
        true => format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.')),
        false => figure.to_owned(),
    }
}

/// How many of them: `1 row`, `1,234 rows`.
pub(super) fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit_that_fits() {
        let times = [0.0, 85.0, 850.0, 1234.0, 12_340.0, 123_400.0, 999_499.0, 999_500.0, 12_340_000.0, 3.6e9];
        assert_eq!(
            times.map(time),
            ["0.00ms", "0.085ms", "0.850ms", "1.23ms", "12.3ms", "123ms", "999ms", "1.00s", "12.3s", "3,600s"]
        );
        assert_eq!((percent(0.0051), percent(0.123), percent(-0.5)), ("0.5 %".into(), "12 %".into(), "-50 %".into()));
        assert_eq!(
            ["10.0ms", "1.50s", "0.00", "0.080", "100", "1,000"].map(short),
            ["10ms", "1.5s", "0", "0.08", "100", "1,000"]
        );
        assert_eq!((counted(1, "row"), counted(1234, "row")), ("1 row".into(), "1,234 rows".into()));
    }
}
