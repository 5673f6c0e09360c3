//! JSON text from outside, in the typed form: what reads is written as text that reads as the same value, always in the
//! same words, and is stored as the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_crdt::{Value, parse_json};
use sedge_fuzz::{Guarded, guarded};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory that reading may take beside a multiple of the text.
const FIXED_BYTES_MAX: usize = 1 << 20;

/// Bytes of memory per byte of text: a member of a map takes three bytes at least, and a node of a tree in memory.
const BYTES_PER_BYTE_MAX: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    guarded(FIXED_BYTES_MAX + text.len() * BYTES_PER_BYTE_MAX, || {
        let value = match parse_json(text) {
            Ok(value) => value,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        let written = value.to_string();
        match parse_json(&written) {
            Ok(again) => {
                assert!(again == value, "{written} reads as {again}");
                assert!(again.to_string() == written, "{written} is written {again}");
            }
            Err(error) => panic!("{written} does not read: {error}"),
        }
        let stored = Value::decode(&value.encode());
        assert!(
            stored.as_ref() == Ok(&value),
            "{written} is stored as {stored:?}"
        );
    });
});
