//! What this device has written leaves it once it is sealed, with what proves it to whoever lacks it; what is not needed for
//! that is not kept.

use super::sealing::Terms;
use super::*;
use sedge_crdt::{Durability, Evidence, Replication, Sealed, StoreOptions};
use std::sync::Arc;

/// All of a feed.
fn limits<'a>(full: &'a mut dyn FnMut(&sedge_crdt::FeedEntry) -> bool) -> FeedLimits<'a> {
    FeedLimits {
        wanted: &|_| true,
        full,
        scan_max: 100_000,
    }
}

/// What a store's feed leads to, as ids with how many heads each has.
fn told(store: &Store) -> Vec<(String, usize)> {
    let page = store.feed_page(0, limits(&mut |_| false)).unwrap();
    let entries = page.entries.into_iter();
    entries
        .map(|entry| (entry.id.to_string(), entry.heads.len()))
        .collect()
}

/// How many changes of a document a store gives to one that has none.
fn given(store: &Store, id: &[u8]) -> usize {
    let mut bundle = store.bundle();
    let part = bundle.add("cars", id, &[], usize::MAX, |_, _| true);
    part.unwrap().map_or(0, |part| {
        Sealed::decode(&part.delta).unwrap().delta.changes()
    })
}

/// The proofs with which a document goes to a store that has nothing, and its seals.
fn proofs(store: &Store, id: &[u8]) -> (usize, usize) {
    let packet = Packet::of(store, "cars", &[id]);
    let sealed = Sealed::decode(&packet.documents[0].2).unwrap();
    (sealed.proofs.len(), packet.seals.len())
}

/// How many entries a family of a closed store has.
fn entries(path: &Path, family: &str) -> usize {
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, path).unwrap();
    let database = rocksdb::DB::open_cf_for_read_only(&options, path, families, false).unwrap();
    let family = database.cf_handle(family).unwrap();
    database
        .iterator_cf(family, rocksdb::IteratorMode::Start)
        .count()
}

fn update(store: &Store, set: &str) {
    let statement = format!("UPDATE cars SET {set}");
    store.execute(&statement, &Params::new()).unwrap();
}

/// A fresh store takes everything from another one, and shows the same.
#[track_caller]
fn arrives_at_a_new_store(from: &Store) {
    let folder = tempfile::tempdir().unwrap();
    let fresh = open(folder.path(), 200);
    replicate(from, &fresh);
    assert_eq!(fresh.collections(), from.collections());
    assert_eq!(replicate(from, &fresh), 0);
}

/// Goal: nothing that is not sealed leaves, by no way: not by the feed, as no head, in no delta, by no flood. What is sealed of
/// the same document does meanwhile. Sealed, all of it leaves.
#[test]
fn what_is_not_sealed_stays() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    let mut released = a.released();
    insert(&a, r#"{"_id":"own"}"#);
    assert_eq!((told(&a), given(&a, b"\"own\"")), (Vec::new(), 0));
    assert!(released.try_recv().is_err());
    assert_eq!(
        a.lacking("cars", b"\"own\"", &[]).unwrap(),
        Some(Vec::new())
    );

    insert(&b, r#"{"_id":"both","n":1}"#);
    replicate(&b, &a);
    update(&a, "m = 1");
    let known = b.feed_page(0, limits(&mut |_| false)).unwrap().entries;
    let known = known[0].heads.clone();
    let unknown = [[7; 32]];
    assert_eq!(
        a.lacking("cars", b"\"both\"", &unknown).unwrap(),
        Some(known)
    );
    assert_eq!(given(&a, b"\"both\""), 1);
    assert_eq!(given(&a, b"\"own\""), 0);
    assert!(
        told(&a)
            .iter()
            .all(|(id, heads)| id.contains("both") && *heads == 1)
    );
    assert!(released.try_recv().is_err());

    a.seal().unwrap();
    assert_eq!((given(&a, b"\"both\""), given(&a, b"\"own\"")), (2, 2));
    assert_eq!(told(&a).len(), 2);
    let told = released.try_recv().unwrap();
    assert_eq!(told.sequence, a.feed().last);
    replicate(&a, &b);
    assert_eq!(a.collections(), b.collections());
}

/// Goal: what was written and not sealed when the store closed is sealed and leaves after it opens again, under the same
/// incarnation or, after an end that may have lost some of it, from the earlier one beside what the new one writes.
#[test]
fn what_an_earlier_run_wrote_leaves_in_the_end() {
    for durability in [Durability::Synced, Durability::Os] {
        let mut _kept = tempfile::tempdir().unwrap();
        let mut folder = _kept.path().join("store");
        let open = |path: &Path| {
            let key = DeviceKey::from_seed([1; 32]).public();
            let options = StoreOptions {
                durability,
                ..StoreOptions::default()
            };
            let store = Store::open_with(path, &AppId::new("demo").unwrap(), &key, options);
            let store = store.unwrap();
            store.certify(identity("demo", 1)).unwrap();
            store
        };
        for run in 0..6 {
            let store = open(&folder);
            insert(&store, &format!(r#"{{"_id":"{run}"}}"#));
            update(&store, &format!("n = {run}"));
            update(&store, &format!("m{run} = {run}"));
            if run == 2 {
                store.seal().unwrap();
            }
            if run % 2 == 1 {
                // What a crash leaves: the files as they are while the store is open.
                let copy = tempfile::tempdir().unwrap();
                let [files, attachments] = ["files", "attachments"].map(|it| copy.path().join(it));
                store.checkpoint(&files, &attachments).unwrap();
                drop(store);
                (folder, _kept) = (files, copy);
            }
        }
        let store = open(&folder);
        assert_eq!(rows(&store, "HISTORY OF '0' FROM cars").len(), 13);
        arrives_at_a_new_store(&store);
        drop(store);
        arrives_at_a_new_store(&open(&folder));
    }
}

/// Everything is delivered.
struct Delivered;

impl Replication for Delivered {
    fn takes_in(&self, _: &str) -> bool {
        false
    }

    fn delivered(&self) -> u64 {
        u64::MAX
    }
}

/// Goal: the seals of an evicted document go with it, those that others still need stay; and what was written before under the
/// incarnation that ended with it is sealed all the same.
#[test]
fn evicted_documents_take_their_seals_along() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    for id in ["a", "b", "c"] {
        insert(&store, &format!(r#"{{"_id":"{id}"}}"#));
    }
    store.seal().unwrap();
    insert(&store, r#"{"_id":"d"}"#);
    store.seal().unwrap();
    update(&store, "n = 1 WHERE _id = 'b'"); // not sealed when the incarnation ends
    store.set_replication(Some(Arc::new(Delivered)));
    execute(&store, "EVICT FROM cars WHERE _id IN ('a', 'd')");
    update(&store, "m = 2");
    arrives_at_a_new_store(&store);
    execute(&store, "EVICT FROM cars WHERE _id IN ('b')");
    drop(store);
    assert_eq!(entries(folder.path(), "proofs"), 1);
    let kept = entries(folder.path(), "seals");
    assert!(
        (1..=2).contains(&kept),
        "{kept} seals for one document of two incarnations"
    );
    let store = open(folder.path(), 1);
    store.set_replication(Some(Arc::new(Delivered)));
    arrives_at_a_new_store(&store);
    execute(&store, "EVICT FROM cars");
    drop(store);
    let kept = ["proofs", "seals"].map(|family| entries(folder.path(), family));
    assert_eq!(kept, [0, 0]);
}

/// Goal: a document that two devices edit in turn, each edit sealed on its own, keeps one proof of each, here and at a store that
/// was told of every edit; a renewed certificate adds one. A new store takes it from either.
#[test]
fn a_long_history_keeps_few_proofs() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (a, b) = (open(folders[0].path(), 1), open(folders[1].path(), 2));
    insert(&a, r#"{"_id":"x"}"#);
    for n in 0..60 {
        if n == 30 {
            let renewed = Terms {
                serial: 77,
                ..Terms::of("demo", 1)
            };
            a.certify(renewed.identity()).unwrap();
        }
        update(&a, &format!("n = {n}"));
        replicate(&a, &b);
        update(&b, &format!("m = {n}"));
        replicate(&b, &a);
    }
    for store in [&a, &b] {
        assert_eq!(proofs(store, b"\"x\""), (3, 3));
        arrives_at_a_new_store(store);
    }
    drop((a, b));
    for folder in &folders {
        assert_eq!(entries(folder.path(), "seals"), 3);
    }
}

/// Goal: several edits under one seal arrive with it alone.
#[test]
fn one_seal_covers_all_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let a = open(folder.path(), 1);
    insert(&a, r#"{"_id":"x"}"#);
    (0..20).for_each(|n| update(&a, &format!("n = {n}")));
    assert_eq!(proofs(&a, b"\"x\""), (1, 1));
    assert_eq!(given(&a, b"\"x\""), 21);
    arrives_at_a_new_store(&a);
}

/// Goal: a part of a history that comes without its proof is left out, and taken once it comes with it.
#[test]
fn what_comes_unproven_comes_again() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [a, b, c] = [0, 1, 2].map(|at| open(folders[at].path(), at as u8 + 1));
    insert(&a, r#"{"_id":"x","n":1}"#);
    replicate(&a, &b);
    update(&b, "m = 1");
    let whole = Packet::of(&b, "cars", &[b"\"x\""]);
    let mut sealed = Sealed::decode(&whole.documents[0].2).unwrap();
    assert_eq!(sealed.proofs.len(), 2);
    let author = |packet: &Packet| {
        let seals = packet
            .seals
            .iter()
            .map(|bytes| Evidence::decode(bytes).unwrap().seal);
        seals.map(|seal| seal.name()).collect::<Vec<_>>()
    };
    let of_a = author(&Packet::of(&a, "cars", &[b"\"x\""]));
    sealed.proofs.retain(|proof| of_a.contains(&proof.seal));
    assert_eq!(sealed.proofs.len(), 1);
    let mut part = whole.clone();
    part.documents[0].2 = sealed.encode();
    part.seals.retain(|bytes| {
        let name = Evidence::decode(bytes).unwrap().seal.name();
        of_a.contains(&name)
    });
    assert_eq!(part.arrive(&c), [Arrived::Applied { incomplete: true }]);
    assert_eq!(rows(&c, "SELECT * FROM cars"), [r#"{"_id":"x","n":1}"#]);
    assert_eq!(whole.arrive(&c), [Arrived::Applied { incomplete: false }]);
    assert_eq!(whole.arrive(&c), [Arrived::Known]);
    arrives_at_a_new_store(&c);
}

/// Text that compression makes hardly shorter.
fn noise(bytes: usize, seed: usize) -> String {
    let mut noise = vec![0; bytes];
    let mut hash = blake3::Hasher::new();
    hash.update(&seed.to_le_bytes());
    hash.finalize_xof().fill(&mut noise);
    sedge_identity::hex(&noise).to_string()
}

/// Goal: a history that is larger than any delta may be arrives in parts at a store that has nothing of it, whoever wrote it and
/// however large its edits are, each sealed on its own.
#[test]
fn a_history_beyond_one_delta_arrives() {
    for sizes in [[600_000, 1_000], [600_000, 450_000]] {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (a, b) = (open(folders[0].path(), 1), open(folders[1].path(), 2));
        insert(&a, r#"{"_id":"x"}"#);
        for n in 0..12 {
            for (store, other, bytes) in [(&a, &b, sizes[0]), (&b, &a, sizes[1])] {
                let noise = params(&format!("{{\"n\":\"{}\"}}", noise(bytes, n)));
                store.execute("UPDATE cars SET n = :n", &noise).unwrap();
                replicate(store, other);
            }
        }
        update(&a, "n = 0");
        arrives_at_a_new_store(&a);
        arrives_at_a_new_store(&b);
    }
}

/// The identity of a device under an issuer, and other than the usual one.
fn under(issuer: u8, device: u8) -> Arc<sedge_identity::LocalIdentity> {
    let mut terms = Terms::of("demo", device);
    terms.issuer = issuer;
    terms.identity()
}

/// Goal: what was sealed under an issuer that is trusted no more, as one of a wrong secret, is sealed again under the new one,
/// also where some of it is not sealed yet; others take it in. That costs nothing
/// at later starts.
#[test]
fn what_a_wrong_issuer_sealed_is_sealed_again() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    a.certify(under(98, 1)).unwrap();
    insert(&a, r#"{"_id":"alone","n":1}"#);
    insert(&a, r#"{"_id":"more","n":1}"#);
    let ids: [&[u8]; 2] = [b"\"alone\"", b"\"more\""];
    for taken in Packet::of(&a, "cars", &ids).arrive(&b) {
        assert!(matches!(taken, Arrived::Rejected { .. }), "{taken:?}");
    }
    let set = |n: u8| format!("UPDATE cars SET n = {n} WHERE _id = 'more'");
    execute(&a, &set(2));
    a.seal().unwrap();
    execute(&a, &set(3));
    let mut released = a.released();
    a.certify(under(99, 1)).unwrap();
    replicate(&a, &b);
    assert!(released.try_recv().is_ok());
    assert_eq!(b.collections(), a.collections());
    execute(&b, &set(4));
    replicate(&b, &a);
    arrives_at_a_new_store(&a);

    let fed = a.feed().last;
    drop(a);
    let again = open(one.path(), 1);
    again.seal().unwrap();
    assert_eq!(again.feed().last, fed);
}
