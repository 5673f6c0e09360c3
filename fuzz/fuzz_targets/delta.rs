//! Any bytes as a delta: decoded, its chunks measured, and those within bounds loaded as a document. Once as they are
//! and once with the checksums their content has, which no mutation would hit. No panic escapes, memory is bounded,
//! and what was loaded loads again with the same heads and the same value.
#![no_main]

use automerge::Change;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use sedge_crdt::{Delta, Document, Value, check_chunk};
use sedge_fuzz::delta::{WireDelta, with_checksum};
use sedge_fuzz::{Guarded, fixtures, guarded};
use std::panic::catch_unwind;
use std::sync::OnceLock;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory a delta may take: its largest chunk inflated, and 64k operations in automerge's columns and as a value.
const BYTES_MAX: usize = 512 << 20;

/// Bytes of a device's actor id; the store takes no change of any other actor.
const DEVICE_ACTOR_BYTES: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    guarded(BYTES_MAX, || {
        let Ok(delta) = Delta::decode(bytes) else {
            return;
        };
        let encoded = delta.encode();
        assert!(Delta::decode(&encoded).is_ok_and(|again| again == delta));
        let wire = WireDelta::decode(&*encoded).expect("a delta was encoded");
        assert!(wire.changes.len() == delta.changes());
        load(wire.changes.clone());
        load(wire.changes.into_iter().map(with_checksum).collect());
    });
});

/// Loads the chunks that a store would look at, in their order.
fn load(mut chunks: Vec<Vec<u8>>) {
    chunks.retain(|chunk| check_chunk(chunk).is_ok() && is_of_a_device(chunk));
    let Ok(document) = Document::load(&chunks.concat()) else {
        return;
    };
    let id = fixtures::document_id();
    let value = document.value(&id);
    let record = document.save();
    let again = match Document::load(&record) {
        Ok(again) => again,
        Err(error) if is_strict() => panic!("what was loaded and saved does not load: {error}"),
        Err(_) => return,
    };
    assert!(
        again.heads() == document.heads(),
        "other heads when loaded again"
    );
    let seen = again.value(&id);
    assert!(seen == value, "{value:?} is {seen:?} when loaded again");
    if let Some(value) = value {
        let decoded = Value::decode(&value.encode());
        assert!(
            decoded.as_ref() == Ok(&value),
            "{value} can't be stored: {decoded:?}"
        );
    }
}

/// Automerge takes changes whose operations name a predecessor or an object that is not there, and what it saves then
/// does not load. While the store lets such changes in, inputs of this kind are passed over unless asked for.
fn is_strict() -> bool {
    static STRICT: OnceLock<bool> = OnceLock::new();
    *STRICT.get_or_init(|| std::env::var_os("SEDGE_FUZZ_STRICT").is_some())
}

/// Whether automerge can read the change, and a device made it.
fn is_of_a_device(chunk: &[u8]) -> bool {
    let change = catch_unwind(|| Change::from_bytes(chunk.to_vec()));
    change.is_ok_and(|change| {
        change.is_ok_and(|change| change.actor_id().to_bytes().len() == DEVICE_ACTOR_BYTES)
    })
}
