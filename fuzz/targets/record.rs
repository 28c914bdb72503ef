#![no_main]
//! See `rowstream_server::fuzz::record`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rowstream_server::fuzz::record(data));
