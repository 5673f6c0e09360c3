//! What the sealer meets between two of its steps.

use crate::query::Params;
use crate::seal::Sealed;
use crate::store::replication::{Arrival, Arrived, Arriving};
use crate::store::{Inner, Store};
use sedge_identity::{
    AppId, CertificateRequest, DeviceKey, Issuer, LocalIdentity, SEAL_CHANGES_MAX, Trust,
};
use std::path::Path;
use std::sync::Arc;

fn identity(device: u8) -> Arc<LocalIdentity> {
    let app = AppId::new("demo").unwrap();
    let key = DeviceKey::from_seed([device; 32]);
    let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([99; 32]));
    let request = CertificateRequest::development(key.public(), "pi");
    let signed = issuer.issue(request, [device; 16], 0).unwrap();
    let trust = Trust::new(app, &[issuer.public()]).unwrap();
    Arc::new(LocalIdentity::new(key, &signed.into(), trust, 1).unwrap())
}

fn open(path: &Path, device: u8) -> Store {
    let key = DeviceKey::from_seed([device; 32]).public();
    let store = Store::open(path, &AppId::new("demo").unwrap(), &key).unwrap();
    store.certify(identity(device)).unwrap();
    store
}

fn run(store: &Store, statement: &str) {
    store.execute(statement, &Params::new()).unwrap();
}

/// Document x as it leaves a store: the changes in it, and its proofs.
fn given(store: &Store) -> (usize, usize) {
    let mut bundle = store.bundle();
    let part = bundle.add("cars", b"\"x\"", &[], usize::MAX, |_, _| true);
    part.unwrap().map_or((0, 0), |part| {
        let sealed = Sealed::decode(&part.delta).unwrap();
        (sealed.delta.changes(), sealed.proofs.len())
    })
}

/// Document x goes from one store to another.
fn pass(from: &Store, to: &Store) {
    let mut bundle = from.bundle();
    let part = bundle.add("cars", b"\"x\"", &[], usize::MAX, |_, _| true);
    let part = part.unwrap().unwrap();
    let bundled = bundle.finish().unwrap();
    let certificates = bundled.certificates.iter();
    let arriving = Arriving {
        certificates: certificates.map(|(_, it)| it.as_slice()).collect(),
        seals: bundled.seals.iter().map(Vec::as_slice).collect(),
        arrivals: vec![Arrival {
            collection: "cars",
            id: b"\"x\"",
            delta: &part.delta,
        }],
    };
    let arrived = to.ingest(&[arriving], [1].into()).unwrap();
    assert_eq!(arrived, [Arrived::Applied { incomplete: false }]);
}

/// What another device has written of document x, in a store of its own.
fn other(path: &Path) -> Store {
    let other = open(path, 2);
    run(&other, "INSERT INTO cars DOCUMENTS ({'_id': 'x', 'm': 1})");
    other.seal().unwrap();
    other
}

/// Goal: a document with unsealed changes to which changes of others come is sealed where the feed has it then, though all
/// before that is sealed first.
#[test]
fn what_moves_in_the_feed_is_sealed_there() {
    let folder = tempfile::tempdir().unwrap();
    let b = other(&folder.path().join("b"));
    let a = open(&folder.path().join("a"), 1);
    let inner: &Inner = &a.0;
    let held = inner.sealing.lock();
    run(&a, "INSERT INTO cars DOCUMENTS ({'_id': 'x', 'n': 1})");
    for n in 0..600 {
        run(
            &a,
            &format!("INSERT INTO cars DOCUMENTS ({{'_id': '{n}'}})"),
        );
    }
    pass(&b, &a);
    drop(held);
    a.seal().unwrap();
    assert_eq!(given(&a), (2, 2));
}

/// Goal: what of an earlier run is not sealed is sealed to its end once somebody is there, or as soon as it may fill a batch.
#[test]
fn all_of_an_earlier_run_is_sealed() {
    for (documents, has_audience) in [(1_200, false), (1_200, true), (3, true)] {
        let folder = tempfile::tempdir().unwrap();
        let key = DeviceKey::from_seed([1; 32]).public();
        let a = Store::open(folder.path(), &AppId::new("demo").unwrap(), &key).unwrap();
        for n in 0..documents {
            run(
                &a,
                &format!("INSERT INTO cars DOCUMENTS ({{'_id': '{n}'}})"),
            );
        }
        drop(a);
        let a = open(folder.path(), 1);
        a.set_audience(has_audience);
        let begun = std::time::Instant::now();
        while a.0.has_unsealed() {
            assert!(begun.elapsed().as_secs() < 20, "{:?}", a.withheld());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(a.0.release.sealed_to(), documents);
    }
    const { assert!(3 < SEAL_CHANGES_MAX) };
}

/// Goal: the writer, the disk and what peers are told agree on how far all is sealed, when others' changes came meanwhile.
#[test]
fn what_came_while_it_was_sealed_needs_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let b = other(&folder.path().join("b"));
    let a = open(&folder.path().join("a"), 1);
    let inner: &Inner = &a.0;
    run(&a, "INSERT INTO cars DOCUMENTS ({'_id': 'y'})");
    let own = inner.authority.own().unwrap();
    let found = inner.unsealed(&own, 0).unwrap();
    pass(&b, &a);
    let made = inner.sign(&own, &found.documents, 5).unwrap();
    inner.keep_seals(&found, &made, 5).unwrap();
    inner.release.sealed(found.up_to);
    let kept = inner.database.newest().sealed().unwrap().0;
    let writer = inner.writer.lock().sealed_to;
    assert_eq!((kept, writer, inner.release.sealed_to()), (2, 2, 2));
    assert!(!inner.has_unsealed());
}

/// Goal: no unsealed change leaves by a flood: neither of a document that was written over behind what is sealed, nor of one
/// whose proof another one has replaced since.
#[test]
fn a_flood_is_proven_wholly() {
    let folder = tempfile::tempdir().unwrap();
    let a = open(folder.path(), 1);
    let mut released = a.released();
    let held = a.0.sealing.lock();
    run(&a, "INSERT INTO cars DOCUMENTS ({'_id': 'x'})");
    for n in 0..700 {
        run(
            &a,
            &format!("INSERT INTO cars DOCUMENTS ({{'_id': '{n}'}})"),
        );
    }
    run(&a, "UPDATE cars SET n = 2 WHERE _id = 'x'");
    drop(held);
    let first = loop {
        match released.try_recv() {
            Ok(first) => break first,
            Err(_) => std::thread::yield_now(),
        }
    };
    assert!(first.sequence < 702, "{}", first.sequence);
    assert_eq!(a.flood(&first).unwrap(), []);
    a.seal().unwrap();
    assert_eq!(a.flood(&first).unwrap(), []);

    run(&a, "INSERT INTO cars DOCUMENTS ({'_id': 'y'})");
    a.seal().unwrap();
    let of_y = std::iter::from_fn(|| released.try_recv().ok())
        .last()
        .unwrap();
    assert_eq!(a.flood(&of_y).unwrap()[0].documents.len(), 1);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&from, &to),
            false => drop(std::fs::copy(from, to).unwrap()),
        }
    }
}

/// Goal: a copied device keeps the proof of its own variant of a document, when the other copy's arrives between signing and
/// storing, whichever counts.
#[test]
fn a_variant_that_comes_while_the_other_is_signed_costs_no_proof() {
    for (first, second) in [(1, 2), (2, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        drop(open(&path("a"), 1));
        copy(&path("a"), &path("b"));
        let (a, b) = (open(&path("a"), 1), open(&path("b"), 1));
        let insert = |v| format!("INSERT INTO cars DOCUMENTS ({{'_id': 'x', 'v': {v}}})");
        run(&a, &insert(first));
        run(&b, &insert(second));
        b.seal().unwrap();
        let inner: &Inner = &a.0;
        let own = inner.authority.own().unwrap();
        let found = inner.unsealed(&own, 0).unwrap();
        let made = inner.sign(&own, &found.documents, 5).unwrap();
        pass(&b, &a);
        inner.keep_seals(&found, &made, 5).unwrap();
        inner.release.sealed(found.up_to);
        drop(made);
        a.seal().unwrap();
        assert_eq!(given(&a), (2, 2));
    }
}

/// Goal: a new certificate comes between rounds of sealing, never into one, which would judge by the old one what the new one
/// lets this device write.
#[test]
fn a_certificate_waits_for_the_end_of_a_round() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let held = store.0.sealing.lock();
    let before = store.identity().unwrap();
    std::thread::scope(|scope| {
        let certified = scope.spawn(|| store.certify(identity(1)).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(Arc::ptr_eq(&before, &store.identity().unwrap()));
        drop(held);
        certified.join().unwrap();
    });
    assert!(!Arc::ptr_eq(&before, &store.identity().unwrap()));
}

/// Goal: a round that panics is one that failed: it is told why, and the next one that succeeds ends that.
#[test]
fn a_panic_is_a_failed_round() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let pause = store.0.attempt(|| panic!("of the {}", "round"));
    assert_eq!(pause, super::PAUSE_FAILED);
    let reason = store.withheld().unwrap().reason.unwrap();
    assert!(reason.ends_with("of the round"), "{reason}");
    run(&store, "INSERT INTO cars DOCUMENTS ({'_id': 'x'})");
    store.0.attempt(|| store.0.seal_some());
    assert_eq!(store.withheld().unwrap(), Default::default());
    assert_eq!(given(&store), (1, 1));
}
