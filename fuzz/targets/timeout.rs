#![no_main]
//! `grpc-timeout`: whatever a caller sends is a duration or refused, and a duration reads back to itself.

use rowstream_contract::deadline::parse;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(timeout) = parse(text) {
        let (digits, unit) = text.split_at(text.len() - 1);
        let per_unit = match unit {
            "H" => 3_600_000_000_000,
            "M" => 60_000_000_000,
            "S" => 1_000_000_000,
            "m" => 1_000_000,
            "u" => 1_000,
            _ => 1_u128,
        };
        assert_eq!(timeout.as_nanos(), digits.parse::<u128>().expect("digits") * per_unit);
    }
});
