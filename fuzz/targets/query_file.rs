#![no_main]
//! See `rowstream_server::fuzz::query_file`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rowstream_server::fuzz::query_file(data));
