//! A document's key and its record of state, as stored bytes: what reads has exactly one form, and the id in a key is
//! the id of its own value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_crdt::DocumentId;
use sedge_crdt::fuzz::{document_key, document_state};
use sedge_fuzz::{Guarded, guarded};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory that reading may take beside a multiple of the input.
const FIXED_BYTES_MAX: usize = 1 << 20;

/// Bytes of memory per byte of input: an id is read as JSON.
const BYTES_PER_BYTE_MAX: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    guarded(FIXED_BYTES_MAX + bytes.len() * BYTES_PER_BYTE_MAX, || {
        if let Some(written) = document_state(bytes) {
            assert!(written == bytes, "a state has two forms");
        }
        if let Some((collection, id, written)) = document_key(bytes) {
            assert!(written == bytes, "a key has two forms");
            assert!(bytes.starts_with(&collection.to_be_bytes()));
            check_id(&id, &bytes[4..]);
        }
        if let Ok(id) = DocumentId::from_canonical(bytes) {
            check_id(&id, bytes);
        }
    });
});

fn check_id(id: &DocumentId, bytes: &[u8]) {
    assert!(id.as_bytes() == bytes, "{id} has two forms");
    let again = DocumentId::new(&id.to_value());
    assert!(
        again.as_ref() == Ok(id),
        "{id} is not the id of its value: {again:?}"
    );
}
