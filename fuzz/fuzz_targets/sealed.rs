//! Honest documents of two devices on their way to a store, with their seals and certificates. The input is a program: what is
//! done to which part of the bundle, and with which byte. No panic escapes, what is taken in reloads as the same document, and
//! no change is ever taken in that its device has not sealed for just that document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_crdt::fuzz::{Bundle, take_in};
use sedge_crdt::{Document, Evidence, Ingested, Sealed, SealedChange};
use sedge_fuzz::shipment::{Shipment, shipment};
use sedge_fuzz::{Guarded, guarded};
use std::sync::LazyLock;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory that some small documents may take.
const BYTES_MAX: usize = 64 << 20;

/// Bytes of one step of a program: what is done, to which part, where in it, and with what.
const STEP_BYTES: usize = 4;

/// Most steps of a program.
const STEPS_MAX: usize = 8;

static SHIPMENT: LazyLock<Shipment> = LazyLock::new(shipment);

fuzz_target!(|bytes: &[u8]| {
    guarded(BYTES_MAX, || {
        let mut bundle = SHIPMENT.bundle.clone();
        let steps = bytes.as_chunks::<STEP_BYTES>().0;
        for step in steps.iter().take(STEPS_MAX) {
            tamper(&mut bundle, *step);
        }
        let taken = take_in(&SHIPMENT.trust, &bundle);
        if steps.is_empty() {
            assert!(
                taken.iter().all(Option::is_some),
                "an honest bundle is refused"
            );
        }
        for ((collection, id, _), taken) in bundle.documents.iter().zip(taken) {
            let Some(taken) = taken else { continue };
            for chunk in taken.delta.chunks() {
                let change = (collection.clone(), id.clone(), chunk.clone());
                assert!(
                    SHIPMENT.sealed.contains(&change),
                    "a change that nobody sealed is taken in"
                );
            }
            reloads(&taken, id);
        }
    });
});

fn reloads(taken: &Ingested, id: &sedge_crdt::DocumentId) {
    let chunks = taken.changes.iter().map(automerge::Change::raw_bytes);
    let record = chunks.collect::<Vec<_>>().concat();
    let again = match Document::load(&record) {
        Ok(again) => again,
        Err(error) => panic!("what was taken in does not load: {error}"),
    };
    assert!(again.heads() == taken.heads, "other heads when loaded");
    assert!(again.value(id) == taken.value, "another value when loaded");
}

fn tamper(bundle: &mut Bundle, [what, which, place, with]: [u8; STEP_BYTES]) {
    let (which, at) = (usize::from(which), usize::from(place));
    match what % 14 {
        0 => flip(&mut bundle.seals, which, at, with),
        1 => tampered_document(bundle, which, at, with),
        2 => evidence(bundle, which, |it| {
            if let Some(hash) = it.rest.iter_mut().nth(at % 8) {
                hash.0[0] ^= with;
            }
        }),
        3 => evidence(bundle, which, |it| it.rest.reverse()),
        4 => evidence(bundle, which, |it| {
            drop(it.rest.split_off(at.min(it.rest.len())))
        }),
        5 => rotate(&mut bundle.seals, which),
        6 => rotate(&mut bundle.certificates, which),
        7 => drop_one(&mut bundle.certificates, which),
        8 => proofs(bundle, which, |it| it.reverse()),
        9 => proofs(bundle, which, |it| drop_one(it, at)),
        10 => proofs(bundle, which, |it| {
            let number = at % it.len().max(1);
            if let Some(proof) = it.get_mut(number) {
                proof.index ^= u16::from(with);
            }
        }),
        11 => proofs(bundle, which, |it| it.extend_from_within(..)),
        12 => exchange(bundle, which, at, with),
        _ => reseal(bundle, which, at, with),
    }
}

fn flip(parts: &mut [Vec<u8>], which: usize, at: usize, with: u8) {
    let number = which % parts.len().max(1);
    if let Some(part) = parts.get_mut(number) {
        let at = at % part.len().max(1);
        part.iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte ^= with);
    }
}

fn rotate<T>(parts: &mut [T], by: usize) {
    parts.rotate_left(by % parts.len().max(1));
}

fn drop_one<T>(parts: &mut Vec<T>, which: usize) {
    if !parts.is_empty() {
        parts.remove(which % parts.len());
    }
}

fn tampered_document(bundle: &mut Bundle, which: usize, at: usize, with: u8) {
    let number = which % bundle.documents.len();
    let bytes = &mut bundle.documents[number].2;
    let at = (at * 3) % bytes.len().max(1);
    bytes
        .iter_mut()
        .skip(at)
        .take(1)
        .for_each(|byte| *byte ^= with);
}

fn evidence(bundle: &mut Bundle, which: usize, change: impl FnOnce(&mut Evidence)) {
    let number = which % bundle.seals.len().max(1);
    let Some(bytes) = bundle.seals.get_mut(number) else {
        return;
    };
    if let Ok(mut evidence) = Evidence::decode(bytes) {
        change(&mut evidence);
        *bytes = evidence.encode();
    }
}

fn proofs(bundle: &mut Bundle, which: usize, change: impl FnOnce(&mut Vec<SealedChange>)) {
    let number = which % bundle.documents.len();
    let bytes = &mut bundle.documents[number].2;
    if let Ok(mut sealed) = Sealed::decode(bytes) {
        change(&mut sealed.proofs);
        *bytes = sealed.encode();
    }
}

/// One document comes with another's changes, or as one of another collection.
fn exchange(bundle: &mut Bundle, which: usize, at: usize, with: u8) {
    let count = bundle.documents.len();
    let other = bundle.documents[at % count].clone();
    let document = &mut bundle.documents[which % count];
    match with % 3 {
        0 => document.0 = other.0,
        1 => document.1 = other.1,
        _ => document.2 = other.2,
    }
}

/// A damaged seal that the documents name as it is.
fn reseal(bundle: &mut Bundle, which: usize, at: usize, with: u8) {
    let number = which % bundle.seals.len().max(1);
    let before = bundle
        .seals
        .get(number)
        .and_then(|it| Evidence::decode(it).ok());
    flip(&mut bundle.seals, which, at, with);
    let after = bundle
        .seals
        .get(number)
        .and_then(|it| Evidence::decode(it).ok());
    let Some((before, after)) = before.zip(after) else {
        return;
    };
    for number in 0..bundle.documents.len() {
        proofs(bundle, number, |proofs| {
            for proof in proofs.iter_mut().filter(|it| it.seal == before.seal.name()) {
                proof.seal = after.seal.name();
            }
        });
    }
}
