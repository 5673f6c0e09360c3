//! What travels of a document, and what of it is taken.

use super::*;
use crate::document::delta::PartLimits;
use crate::document::delta::Place;
use crate::limits::{
    CHUNK_INFLATED_BYTES_MAX, DELTA_BIRTH_BYTES_MAX, DELTA_OPS_MAX, FIELD_NAME_BYTES_MAX,
};
use crate::value::DEPTH_MAX;
use automerge::AutoCommit;
use automerge::transaction::Transactable;

fn place(parent: Option<usize>, key: &str) -> Place {
    let key = key.to_owned();
    Place { parent, key }
}

fn with_births(births: Vec<Place>) -> Delta {
    let changes = Vec::new();
    Delta { births, changes }
}

/// Goal: the bytes of a delta are fixed, and each key travels once.
#[test]
fn the_wire_form_is_pinned() {
    let mut delta = Device::new(1)
        .put(r#"{"m":{"n":{"x":1},"o":{"x":1}}}"#)
        .unwrap();
    let births = [place(None, "m"), place(Some(0), "n"), place(Some(0), "o")];
    assert_eq!(delta.births, births);
    delta.changes = vec![b"change".to_vec()];
    let bytes =
        b"\x0a\x03\x12\x01m\x0a\x05\x08\x01\x12\x01n\x0a\x05\x08\x01\x12\x01o\x12\x06change";
    assert_eq!(delta.encode(), bytes);
    assert_eq!(Delta::decode(bytes).unwrap(), delta);
}

/// Goal: births that lie nowhere or too deep, or whose keys would cost more than a change can need, are refused.
#[test]
fn births_out_of_bounds_are_refused() {
    let chain = |depth| {
        (0..depth)
            .map(|n: usize| place(n.checked_sub(1), "m"))
            .collect()
    };
    let long = |bytes| place(None, &"x".repeat(bytes));
    let keys = DELTA_BIRTH_BYTES_MAX / FIELD_NAME_BYTES_MAX;
    let full = || vec![long(FIELD_NAME_BYTES_MAX); keys];
    for births in [chain(DEPTH_MAX), full()] {
        assert!(Delta::decode(&with_births(births).encode()).is_ok());
    }
    for births in [
        vec![place(Some(0), "m")],
        vec![place(Some(1), "m"), place(None, "n")],
        chain(DEPTH_MAX + 1),
    ] {
        let decoded = Delta::decode(&with_births(births).encode());
        assert!(matches!(decoded, Err(DeltaError::Place)), "{decoded:?}");
    }
    for births in [
        vec![long(FIELD_NAME_BYTES_MAX + 1)],
        [full(), vec![long(1)]].concat(),
    ] {
        let decoded = Delta::decode(&with_births(births).encode());
        assert!(matches!(decoded, Err(DeltaError::Keys)), "{decoded:?}");
    }
}

/// Goal: what a delta of a later edit names lies, by its parents, where the maps of earlier ones do; deltas of several
/// edits can be joined.
#[test]
fn later_births_name_the_maps_they_lie_in() {
    let (mut a, mut b) = (Device::new(1), Device::new(2));
    let mut delta = a.put(r#"{"k":{"x":1},"m":{"n":{"x":1}}}"#).unwrap();
    let later = a.set(&["m", "n", "o", "x"], Some("2")).unwrap();
    let births = [place(None, "m"), place(Some(0), "n"), place(Some(1), "o")];
    assert_eq!(later.births, births);
    delta.extend(later);
    b.take(&delta);
    assert_eq!(b.shows(), a.shows());
}

/// Goal: of the births that a delta names only those that its changes build on are applied and passed on, so nobody can
/// fill a document with heads that no change explains.
#[test]
fn births_that_no_change_needs_are_left_out() {
    let mut a = Device::new(1);
    let needed = a.put(r#"{"m":{"n":{"x":1}}}"#).unwrap();
    let mut named = needed.clone();
    named.births.extend([
        place(Some(0), "unused"),
        place(None, "other"),
        place(None, "m"),
    ]);
    let mut b = Device::new(2);
    let taken = b.take(&named);
    assert_eq!(taken.delta, needed);
    assert_eq!(b.document().heads(), a.document().heads());
}

/// Goal: a delta with more operations than a store takes in at once is refused.
#[test]
fn operations_of_a_delta_are_bounded() {
    let items = vec![Value::Int(1); 60_000];
    let list = Value::Map([("list".to_owned(), Value::List(items))].into());
    let one = Device::new(1).put(&list.to_string()).unwrap();
    assert!(one.check().is_ok());
    let mut many = Delta::default();
    for _ in 0..=DELTA_OPS_MAX / 60_000 {
        many.extend(one.clone());
    }
    let taken = Document::ingest_assumed(&[], COLLECTION, &id(), &many);
    assert!(matches!(taken, Err(DeltaError::Operations)));
}

/// Goal: an honest history with more operations than one delta may have travels in parts.
#[test]
fn a_history_beyond_the_operations_of_a_delta_travels_in_parts() {
    let (mut a, mut b) = (Device::new(1), Device::new(2));
    for n in 0..5 {
        a.put(&format!(r#"{{"w":{n},"x":{n},"y":{n},"z":{n}}}"#));
    }
    let (document, mut have) = (a.document(), Vec::new());
    for (changes, more) in [(2, true), (2, true), (1, false)] {
        let limits = PartLimits {
            bytes: usize::MAX,
            operations: 8,
            inflated_bytes: usize::MAX,
        };
        let part = document.part(&have, limits, &all_proofs(&document), &Aside::default());
        let part = part.unwrap();
        assert_eq!(
            (part.delta.changes(), part.more_after.is_some()),
            (changes, more)
        );
        b.take(&part.delta);
        have = part.more_after.unwrap_or_default();
    }
    assert_eq!(b.document().heads(), document.heads());
}

/// Goal: a delta whose changes inflate to more than a store takes in at once is refused, though each of them keeps its bound;
/// that is told without keeping them.
#[test]
fn what_a_delta_inflates_to_is_bounded() {
    let one = |device| {
        let zeros = vec![0; CHUNK_INFLATED_BYTES_MAX - 1_000];
        let mut document = AutoCommit::new().with_actor(ActorId::from([device; 16]));
        document.put(automerge::ROOT, "n", zeros).unwrap();
        let mut change = document.get_last_local_change().unwrap();
        change.bytes().into_owned()
    };
    let delta = |changes: &[u8]| Delta {
        births: Vec::new(),
        changes: changes.iter().map(|device| one(*device)).collect(),
    };
    let (two, three) = (delta(&[1, 2]), delta(&[1, 2, 3]));
    assert!(three.bytes() < 32 << 10);
    assert!(Document::ingest_assumed(&[], COLLECTION, &id(), &two).is_ok());
    assert_eq!(Decoded::made_in(&two).unwrap().len(), 2);
    let refused = [
        Document::ingest_assumed(&[], COLLECTION, &id(), &three).map(drop),
        Decoded::made_in(&three).map(drop),
        three.check(),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(DeltaError::Inflated)), "{refused:?}");
    }
}

/// Goal: an honest history that inflates to more than one delta may travels in parts.
#[test]
fn a_history_that_inflates_beyond_a_delta_travels_in_parts() {
    let (mut a, mut b) = (Device::new(1), Device::new(2));
    for n in 0..5 {
        a.put(&format!(r#"{{"text":"{n}{}"}}"#, " ".repeat(10_000)));
    }
    let (document, mut have) = (a.document(), Vec::new());
    for (changes, more) in [(2, true), (2, true), (1, false)] {
        let limits = PartLimits {
            bytes: usize::MAX,
            operations: u64::MAX,
            inflated_bytes: 25_000,
        };
        let part = document.part(&have, limits, &all_proofs(&document), &Aside::default());
        let part = part.unwrap();
        let found = (part.delta.changes(), part.more_after.is_some());
        assert_eq!(found, (changes, more));
        b.take(&part.delta);
        have = part.more_after.unwrap_or_default();
    }
    assert_eq!(b.document().heads(), document.heads());
}
