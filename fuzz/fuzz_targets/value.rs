//! `Value::decode` on any bytes: what it takes is in the one canonical form, and its JSON text reads as the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_crdt::{Value, parse_json};
use sedge_fuzz::{Guarded, guarded};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory that decoding may take beside a multiple of the input: lists reserve up to 1,024 places at each level.
const RESERVED_BYTES_MAX: usize = 16 << 20;

/// Bytes of memory per byte of input: the smallest value takes one byte and 32 in memory, a map's member more.
const BYTES_PER_BYTE_MAX: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    guarded(
        RESERVED_BYTES_MAX + bytes.len() * BYTES_PER_BYTE_MAX,
        || {
            let Ok(value) = Value::decode(bytes) else {
                return;
            };
            assert!(value.encode() == bytes, "{value} has two encodings");
            let text = value.to_string();
            match parse_json(&text) {
                Ok(read) => assert!(read == value, "{text} reads as {read}"),
                Err(error) => panic!("{text} does not read: {error}"),
            }
        },
    );
});
