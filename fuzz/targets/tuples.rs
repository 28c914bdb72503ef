#![no_main]
//! See `rowstream_server::fuzz::tuples`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rowstream_server::fuzz::tuples(data));
