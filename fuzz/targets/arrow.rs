#![no_main]
//! What a server sends as Arrow, however broken: refused, or record batches that can be read to the last value. The
//! first four bytes tell how long the schema's message is; the rest is a record batch's.

use bytes::Bytes;
use rowstream_client::{arrow::Decoder, sink::ArrowSink};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first_chunk() else { return };
    let Some((schema, message)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else { return };
    let (schema, message) = (Bytes::copy_from_slice(schema), Bytes::copy_from_slice(message));
    let mut out = Vec::new();
    let mut sink = ArrowSink::file();
    if sink.begin(&schema, &mut out).is_ok() && sink.message(&message, &mut out).is_ok() {
        sink.end(&mut out);
    }
    let Ok(decoder) = Decoder::try_new(&schema) else { return };
    if let Ok(batch) = decoder.decode(message) {
        // To be printed is to be read.
        assert!(!format!("{batch:?}").is_empty());
    }
});
