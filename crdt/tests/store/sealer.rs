//! When this device's changes are sealed: at once while somebody hears of them, in whole batches while nobody does.

use super::*;
use sedge_crdt::Released;
use sedge_identity::SEAL_CHANGES_MAX;
use std::sync::{Arc, Barrier};
use std::thread;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

/// The longest that a seal is waited for: it only makes a failure slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing is waited for.
const SILENCE: Duration = Duration::from_millis(200);

/// Waits until everything up to a transaction may leave the device.
fn wait_until_released(released: &mut Receiver<Arc<Released>>, transaction: u64) {
    let start = Instant::now();
    loop {
        match released.try_recv() {
            Ok(told) if told.sequence >= transaction => return,
            Ok(_) | Err(TryRecvError::Lagged(_)) => {}
            Err(error) => {
                let waited = start.elapsed();
                assert!(waited < PATIENCE, "{transaction} is not sealed: {error}");
                thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

fn assert_silent(released: &mut Receiver<Arc<Released>>) {
    thread::sleep(SILENCE);
    let told = released.try_recv().map(|told| told.sequence);
    assert_eq!(told, Err(TryRecvError::Empty));
}

/// Lets a moment of up to 2 ms pass that differs from number to number.
fn spin(number: u64) {
    let moment = Duration::from_micros(number.wrapping_mul(7_919) % 2_000);
    let start = Instant::now();
    while start.elapsed() < moment {
        std::hint::spin_loop();
    }
}

fn rounds() -> u64 {
    match std::env::var("SEDGE_FULL").as_deref() {
        Ok("identity") => 20_000,
        _ => 300,
    }
}

/// Goal: while nobody hears of changes, a whole batch is sealed and less is not; who comes then hears of the rest.
#[test]
fn a_whole_batch_is_sealed_while_nobody_hears() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let mut released = store.released();
    let documents = many(2 * SEAL_CHANGES_MAX);
    let (first, rest) = documents.split_at(SEAL_CHANGES_MAX - 1);
    store.import("cars", first).unwrap();
    assert_silent(&mut released);
    store.set_audience(true);
    wait_until_released(&mut released, store.transaction_id());

    store.set_audience(false);
    store.import("cars", &rest[..SEAL_CHANGES_MAX - 1]).unwrap();
    assert_silent(&mut released);
    store.import("cars", &rest[SEAL_CHANGES_MAX - 1..]).unwrap();
    wait_until_released(&mut released, store.transaction_id());
}

/// Goal: one change that is written at the moment when somebody comes is sealed without any other, whichever is first.
#[test]
fn whoever_comes_hears_of_a_single_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let mut released = store.released();
    insert(&store, r#"{"_id":"x","n":0}"#);
    for round in 1..=rounds() {
        let both = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                spin(round);
                store.set_audience(true);
            });
            both.wait();
            spin(round.wrapping_mul(31));
            execute(&store, &format!("UPDATE cars SET n = {round}"));
        });
        wait_until_released(&mut released, store.transaction_id());
        store.set_audience(false);
    }
    assert_eq!(given(&store), rounds() as usize + 1);
}

/// How many changes of the one document leave the store.
fn given(store: &Store) -> usize {
    let mut bundle = store.bundle();
    let part = bundle.add("cars", b"\"x\"", &[], usize::MAX, |_, _| true);
    let delta = part.unwrap().unwrap().delta;
    sedge_crdt::Sealed::decode(&delta).unwrap().delta.changes()
}

/// Goal: writers that each wait for their own change to be sealed before they write again all go on: no change is forgotten
/// because it came while others were being sealed.
#[test]
fn no_writer_waits_in_vain() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    store.set_audience(true);
    thread::scope(|scope| {
        for writer in 0..4 {
            let (store, mut released) = (&store, store.released());
            scope.spawn(move || {
                for round in 0..rounds() {
                    spin(round * 4 + writer);
                    let document = format!(r#"{{"_id":"{writer}-{round}"}}"#);
                    let doc = params(&format!("{{\"doc\":{document}}}"));
                    let insert = store.execute("INSERT INTO cars DOCUMENTS (:doc)", &doc);
                    wait_until_released(&mut released, insert.unwrap().transaction_id);
                }
            });
        }
    });
    assert_eq!(store.collections()[0].documents, 4 * rounds());
}
