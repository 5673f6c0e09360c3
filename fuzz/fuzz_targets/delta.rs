//! Any bytes as a delta that reaches a store: taken in as a whole and change by change, once as it is and once with the
//! checksums its content has, which no mutation would hit. No panic escapes, memory is bounded, and the record that the
//! store keeps of it (the applied chunks, or their compact form) loads with the same heads and value. What is read without
//! being applied is what it is when it is applied.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use sedge_crdt::fuzz::ingest_loaded;
use sedge_crdt::{Delta, Document, DocumentId, Ingested, Value};
use sedge_fuzz::delta::{WireDelta, with_checksum};
use sedge_fuzz::{Guarded, fixtures, guarded};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory a delta may take: its largest chunk inflated, and 64k operations in automerge's columns and as a value.
const BYTES_MAX: usize = 512 << 20;

/// The collection that the delta is of.
const COLLECTION: &str = "c";

fuzz_target!(|bytes: &[u8]| {
    guarded(BYTES_MAX, || {
        let Ok(delta) = Delta::decode(bytes) else {
            return;
        };
        let encoded = delta.encode();
        assert!(Delta::decode(&encoded).is_ok_and(|again| again == delta));
        let mut wire = WireDelta::decode(&*encoded).expect("a delta was encoded");
        assert!(wire.changes.len() == delta.changes());
        arrive(std::slice::from_ref(&wire));
        for change in &mut wire.changes {
            *change = with_checksum(std::mem::take(change));
        }
        arrive(std::slice::from_ref(&wire));
        arrive(&one_by_one(&wire));
    });
});

fn one_by_one(delta: &WireDelta) -> Vec<WireDelta> {
    let alone = |change: &Vec<u8>| WireDelta {
        births: delta.births.clone(),
        changes: vec![change.clone()],
    };
    delta.changes.iter().map(alone).collect()
}

/// What a store does with deltas of one document, one after the other. Half of the time it keeps the compact form.
fn arrive(deltas: &[WireDelta]) {
    let id = fixtures::document_id();
    let mut record = Vec::new();
    for (turn, delta) in deltas.iter().enumerate() {
        let delta = Delta::decode(&delta.encode_to_vec()).expect("the parts were decoded");
        let Ok(mut ingested) = Document::ingest_assumed(&record, COLLECTION, &id, &delta) else {
            continue; // the store keeps the record as it is
        };
        let document = match ingested.document.take() {
            Some(document) => document,
            None => applied(&record, &id, &delta, &ingested),
        };
        for change in &ingested.changes {
            record.extend_from_slice(change.raw_bytes());
        }
        assert_loads(&record, &document, ingested.value.as_ref());
        if let Some(compact) = document.compact(&id) {
            assert_loads(&compact, &document, ingested.value.as_ref());
            if turn % 2 == 1 {
                record = compact;
            }
        }
        if let Some(value) = ingested.value {
            let decoded = Value::decode(&value.encode());
            assert!(
                decoded.as_ref() == Ok(&value),
                "{value} can't be stored: {decoded:?}"
            );
        }
    }
}

/// The document that a delta makes when it is applied, which shows no other than what was read of it.
fn applied(record: &[u8], id: &DocumentId, delta: &Delta, read: &Ingested) -> Document {
    let applied = match ingest_loaded(record, COLLECTION, id, delta) {
        Ok(applied) => applied,
        Err(error) => panic!("what was read can't be applied: {error}"),
    };
    let (value, other) = (&read.value, &applied.value);
    assert!(value == other, "{value:?} was read, {other:?} is there");
    assert!(read.heads == applied.heads, "other heads when applied");
    assert!(read.changes == applied.changes, "other changes");
    assert!(read.delta == applied.delta, "another delta");
    assert!(read.incomplete == applied.incomplete, "more was left out");
    applied.document.expect("an applied delta has a document")
}

fn assert_loads(record: &[u8], document: &Document, value: Option<&Value>) {
    let again = match Document::load(record) {
        Ok(again) => again,
        Err(error) => panic!("the record does not load: {error}"),
    };
    assert!(
        again.heads() == document.heads(),
        "other heads when loaded again"
    );
    let seen = again.value(&fixtures::document_id());
    assert!(
        seen.as_ref() == value,
        "{value:?} is {seen:?} when loaded again"
    );
}
