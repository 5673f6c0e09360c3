//! The feed with what each change did: whole, in order, trimmed by policy, and telling who fell behind.

use super::*;
use proptest::prelude::*;
use sedge_crdt::limits::{FEED_KEEP_BYTES, FEED_PAGE_BYTES_MAX, FEED_PAGE_ENTRIES_MAX};
use sedge_crdt::{Check, Checkpoint, Contents, LogEntry, LogPage, Since, StoreOptions};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::UNIX_EPOCH;

/// Documents by collection and id.
type Documents = BTreeMap<(String, DocumentId), Value>;

fn open_keeping(path: &Path, feed_keep_bytes: u64) -> Store {
    let key = DeviceKey::from_seed([1; 32]);
    let options = StoreOptions {
        feed_keep_bytes,
        ..StoreOptions::default()
    };
    let store = Store::open_with(path, &AppId::new("demo").unwrap(), &key.public(), options);
    let store = store.unwrap();
    store.certify(identity("demo", 1)).unwrap();
    store
}

/// All pages since then, each within its bounds.
fn read(store: &Store, since: Since) -> Result<(Vec<LogEntry>, Checkpoint), StoreError> {
    let (mut entries, mut since) = (Vec::new(), since);
    loop {
        let page = store.feed_since(since, None)?;
        check_bounds(&page);
        entries.extend(page.entries);
        if !page.more {
            return Ok((entries, page.checkpoint));
        }
        since = Since::Checkpoint(page.checkpoint);
    }
}

fn check_bounds(page: &LogPage) {
    assert!(page.entries.len() <= FEED_PAGE_ENTRIES_MAX);
    let values = page.entries.iter().flat_map(|e| [&e.before, &e.after]);
    let bytes: usize = values.flatten().map(|value| value.encode().len()).sum();
    assert!(page.entries.len() == 1 || bytes as u64 <= FEED_PAGE_BYTES_MAX);
}

/// Follows the feed: each entry's `before` has to be what was there.
fn follow(documents: &mut Documents, entries: &[LogEntry], mut after: u64) {
    for entry in entries {
        assert!(entry.sequence > after, "{} after {after}", entry.sequence);
        after = entry.sequence;
        assert_ne!(entry.before, entry.after, "an entry that tells nothing");
        let key = (entry.collection.to_string(), entry.id.clone());
        let before = match &entry.after {
            Some(value) => documents.insert(key, value.clone()),
            None => documents.remove(&key),
        };
        assert_eq!(before, entry.before, "{}", entry.sequence);
    }
}

fn documents_of(store: &Store) -> Documents {
    let view = store.view();
    let mut documents = Documents::new();
    for collection in view.collections() {
        for document in view.documents(&collection.name).unwrap() {
            let document = document.unwrap();
            let id = DocumentId::new(document.get("_id").unwrap()).unwrap();
            documents.insert((collection.name.to_string(), id), document);
        }
    }
    documents
}

#[derive(Clone, Debug)]
enum Step {
    /// Store, document, field and its number.
    Set(bool, u8, u8, u8),
    Delete(bool, u8),
    /// Several documents in one transaction.
    Import(bool, Vec<(u8, u8)>),
    /// What the other store has comes in, and the other way round.
    Exchange,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let set = (any::<bool>(), 0..6_u8, 0..3_u8, 0..4_u8);
    let documents = prop::collection::vec((0..6_u8, 0..4_u8), 1..6);
    prop_oneof![
        6 => set.prop_map(|(one, id, field, n)| Step::Set(one, id, field, n)),
        2 => (any::<bool>(), 0..6_u8).prop_map(|(one, id)| Step::Delete(one, id)),
        2 => (any::<bool>(), documents).prop_map(|(one, documents)| Step::Import(one, documents)),
        2 => Just(Step::Exchange),
        1 => Just(Step::Reopen),
    ]
}

fn collection_of(id: u8) -> &'static str {
    match id % 2 {
        0 => "cars",
        _ => "boats",
    }
}

fn run(store: &Store, step: &Step) {
    match step {
        Step::Set(_, id, field, n) => {
            let collection = collection_of(*id);
            let insert = format!(
                "INSERT INTO {collection} DOCUMENTS ({{'_id': 'd{id}', 'm': {{'f{field}': {n}}}}}) ON ID CONFLICT DO MERGE"
            );
            store.execute(&insert, &Params::new()).unwrap();
        }
        Step::Delete(_, id) => {
            let delete = format!("DELETE FROM {} WHERE _id = 'd{id}'", collection_of(*id));
            match store.execute(&delete, &Params::new()) {
                Ok(_) | Err(StoreError::UnknownCollection { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        Step::Import(_, documents) => {
            let documents: Vec<Value> = documents
                .iter()
                .map(|(id, n)| parse_json(&format!(r#"{{"_id":"d{id}","n":{n}}}"#)).unwrap())
                .collect();
            store.import("cars", &documents).unwrap();
        }
        Step::Exchange | Step::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: match std::env::var("SEDGE_FULL").as_deref() { Ok("store") => 1_000, _ => 24 }, ..ProptestConfig::default() })]

    /// Goal: whatever is written here or comes from another store, each change that made a difference is in the feed once, in
    /// order, with what was before; following it from the beginning or from any checkpoint, over reopenings too, gives the
    /// documents. However little is kept, what is left is the end of it, and whoever asks for more is told where it begins.
    #[test]
    fn the_feed_tells_every_change_once(steps in prop::collection::vec(step(), 1..60), keep in prop_oneof![Just(FEED_KEEP_BYTES), 0..2_000_u64]) {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut a, b) = (open_keeping(one.path(), keep), open(two.path(), 2));
        let (mut documents, mut all) = (Documents::new(), Vec::new());
        let mut reader = read(&a, Since::Sequence(0)).unwrap().1;
        for step in &steps {
            match step {
                Step::Exchange => {
                    replicate(&a, &b);
                    replicate(&b, &a);
                }
                Step::Reopen => {
                    drop(a);
                    a = open_keeping(one.path(), keep);
                }
                Step::Set(true, ..) | Step::Delete(true, ..) | Step::Import(true, ..) => run(&a, step),
                _ => run(&b, step),
            }
            match read(&a, Since::Checkpoint(reader)) {
                Ok((entries, checkpoint)) => {
                    follow(&mut documents, &entries, reader.sequence);
                    all.extend(entries);
                    reader = checkpoint;
                    prop_assert_eq!(&documents, &documents_of(&a));
                }
                // What one exchange of several commits brought was more than is kept.
                Err(StoreError::FeedTrimmed { since, oldest }) => {
                    prop_assert!(since == reader.sequence && since < oldest);
                    documents = documents_of(&a);
                    all.clear();
                    reader.sequence = a.transaction_id();
                }
                Err(error) => panic!("{error}"),
            }
        }
        let oldest = match read(&a, Since::Sequence(0)) {
            Ok(_) => 0,
            Err(StoreError::FeedTrimmed { since: 0, oldest }) if keep < FEED_KEEP_BYTES => oldest,
            Err(error) => panic!("{error}"),
        };
        let (kept, _) = read(&a, Since::Sequence(oldest)).unwrap();
        let seen: Vec<_> = all.iter().filter(|entry| entry.sequence > oldest).collect();
        prop_assert!(kept.iter().rev().zip(seen.iter().rev()).all(|(kept, seen)| kept == *seen));
        prop_assert!(kept.len() >= seen.len());
        if keep == FEED_KEEP_BYTES {
            prop_assert_eq!(kept, all);
        }
        drop(a);
        Contents::read(one.path(), Check::Documents, &mut |_, _| ()).unwrap();
    }
}

/// Goal: a reader that goes on from page to page while others write sees all of it, in order, though what is kept is trimmed
/// behind it; what is kept never grows far beyond its bound.
#[test]
fn a_reader_keeps_up_with_writers() {
    const WRITERS: usize = 3;
    const ROUNDS: usize = 150;
    let folder = tempfile::tempdir().unwrap();
    let store = open_keeping(folder.path(), 512 << 10);
    let done = AtomicBool::new(false);
    let read_to = AtomicU64::new(0);
    let mut documents = Documents::new();
    let mut told = 0;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, read_to) = (&store, &read_to);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        // No further ahead than what is kept, however slow the reader's machine is.
                        while store.transaction_id() > read_to.load(Ordering::Acquire) + 100 {
                            thread::yield_now();
                        }
                        let text = "x".repeat(1_000);
                        let json = format!(
                            r#"{{"_id":"{writer}-{}","round":{round},"text":"{text}"}}"#,
                            round % 7
                        );
                        store.import("cars", &[parse_json(&json).unwrap()]).unwrap();
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut at = 0;
            loop {
                let ends = done.load(Ordering::Acquire);
                let (entries, checkpoint) = read(&store, Since::Sequence(at)).unwrap();
                follow(&mut documents, &entries, at);
                told += entries.len();
                at = checkpoint.sequence;
                read_to.store(at, Ordering::Release);
                if ends {
                    break;
                }
            }
        });
        writers.into_iter().for_each(|w| w.join().unwrap());
        done.store(true, Ordering::Release);
        reader.join().unwrap();
    });
    assert_eq!(told, WRITERS * ROUNDS);
    assert_eq!(documents, documents_of(&store));
    let Err(StoreError::FeedTrimmed { oldest, .. }) = read(&store, Since::Sequence(0)) else {
        panic!("nothing was trimmed");
    };
    let (kept, _) = read(&store, Since::Sequence(oldest)).unwrap();
    let values = kept.iter().flat_map(|entry| [&entry.before, &entry.after]);
    let bytes: usize = values.flatten().map(|value| value.encode().len()).sum();
    assert!((400 << 10..=512 << 10).contains(&bytes), "{bytes}");
}

/// Goal: pages are bounded in entries and in bytes, an entry larger than a page comes by itself, and those of other
/// collections are passed over.
#[test]
fn pages_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let small = |n| parse_json(&format!(r#"{{"_id":"s{n:04}"}}"#)).unwrap();
    store
        .import("cars", &(0..2_500).map(small).collect::<Vec<_>>())
        .unwrap();
    let large = |n| {
        let text = "x".repeat(2 << 20);
        parse_json(&format!(r#"{{"_id":"l{n}","text":"{text}"}}"#)).unwrap()
    };
    store
        .import("boats", &[large(0), large(1), large(2)])
        .unwrap();
    let mut sizes = Vec::new();
    let mut since = Since::Sequence(0);
    loop {
        let page = store.feed_since(since, None).unwrap();
        check_bounds(&page);
        sizes.push(page.entries.len());
        since = Since::Checkpoint(page.checkpoint);
        if !page.more {
            break;
        }
    }
    assert_eq!(sizes, [1_000, 1_000, 500, 1, 1, 1]);
    let page = store.feed_since(Since::Sequence(0), Some("boats")).unwrap();
    assert!(page.entries.is_empty() && page.more && page.checkpoint.sequence == 1_000);
    let page = store.feed_since(Since::Sequence(2_500), Some("boats"));
    assert_eq!(page.unwrap().entries.len(), 1);
    let refused = store.feed_since(Since::Sequence(0), Some("boots"));
    assert!(matches!(refused, Err(StoreError::UnknownCollection { .. })));
}

/// Goal: a change that leaves the document as it was leaves a hole; conflicts are no part of what is told; DELETE has
/// nothing after.
#[test]
fn entries_tell_what_readers_see() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(&a, r#"{"_id":"a","n":0}"#);
    replicate(&a, &b);
    for (store, n) in [(&a, 1), (&b, 2)] {
        let set = format!("UPDATE cars SET n = {n}");
        store.execute(&set, &Params::new()).unwrap();
    }
    replicate(&a, &b);
    replicate(&b, &a);
    assert_eq!(rows(&a, "SELECT CONFLICTS(n) AS n FROM cars").len(), 1);
    a.execute("DELETE FROM cars", &Params::new()).unwrap();
    let told: usize = [&a, &b]
        .map(|store| {
            let (entries, checkpoint) = read(store, Since::Sequence(0)).unwrap();
            let mut documents = Documents::new();
            follow(&mut documents, &entries, 0);
            assert_eq!(documents, documents_of(store));
            assert_eq!(checkpoint.sequence, store.transaction_id());
            for value in entries.iter().flat_map(|e| [&e.before, &e.after]).flatten() {
                let names: Vec<_> = value.as_map().unwrap().keys().collect();
                assert_eq!(names, ["_id", "n"]);
            }
            entries.len()
        })
        .iter()
        .sum();
    // Where the own value won, the other one changed nothing that is seen.
    assert_eq!(told as u64, a.transaction_id() + b.transaction_id() - 1);
    assert_eq!(
        read(&a, Since::Sequence(0))
            .unwrap()
            .0
            .last()
            .unwrap()
            .after,
        None
    );
}

/// Goal: with nothing kept, readers are told at once; switched on again, the feed goes on from there.
#[test]
fn nothing_kept_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |keep, id: &str| {
        let store = open_keeping(folder.path(), keep);
        insert(&store, &format!(r#"{{"_id":"{id}"}}"#));
        store
    };
    drop(write(FEED_KEEP_BYTES, "a"));
    let store = write(0, "b");
    let told = read(&store, Since::Sequence(1));
    assert!(matches!(
        told,
        Err(StoreError::FeedTrimmed {
            since: 1,
            oldest: 2
        })
    ));
    let (entries, checkpoint) = read(&store, Since::Now).unwrap();
    assert!(entries.is_empty() && checkpoint.sequence == 2);
    drop(store);
    let store = write(FEED_KEEP_BYTES, "c");
    let (entries, _) = read(&store, Since::Checkpoint(checkpoint)).unwrap();
    assert_eq!(entries.len(), 1);
    assert!(read(&store, Since::Sequence(1)).is_err());
}

/// Goal: the checkpoint of a store that has begun anew, and one ahead of the feed, are refused.
#[test]
fn a_foreign_checkpoint_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path, 1);
    insert(&store, r#"{"_id":"a"}"#);
    let (_, checkpoint) = read(&store, Since::Sequence(0)).unwrap();
    let ahead = Checkpoint {
        sequence: 2,
        ..checkpoint
    };
    let told = read(&store, Since::Checkpoint(ahead));
    assert!(matches!(
        told,
        Err(StoreError::AheadOfFeed {
            since: 2,
            newest: 1
        })
    ));
    drop(store);
    Store::begin_anew(&path, &DeviceKey::from_seed([1; 32]).public()).unwrap();
    let store = open(&path, 1);
    let told = read(&store, Since::Checkpoint(checkpoint));
    assert!(matches!(told, Err(StoreError::OtherFeed)));
    assert_eq!(read(&store, Since::Sequence(0)).unwrap().0.len(), 1);
}

/// Goal: an entry says when it was committed here, and whether its change was made here; both are there after reopening.
#[test]
fn entries_tell_when_and_from_where() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    let now_ms = || UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let begun = now_ms();
    insert(&a, r#"{"_id":"a"}"#);
    let written = now_ms();
    thread::sleep(Duration::from_millis(5));
    replicate(&a, &b);
    insert(&b, r#"{"_id":"b"}"#);
    drop(b);
    let b = open(two.path(), 2);
    let told = |store: &Store| -> Vec<(bool, i64)> {
        let (entries, _) = read(store, Since::Sequence(0)).unwrap();
        let entries = entries.into_iter();
        entries
            .map(|entry| (entry.is_local, entry.time_ms))
            .collect()
    };
    let [(true, made)] = told(&a)[..] else {
        panic!("{:?}", told(&a));
    };
    assert!(
        (begun..=written).contains(&made),
        "{begun} {made} {written}"
    );
    let [(false, taken_in), (true, own)] = told(&b)[..] else {
        panic!("{:?}", told(&b));
    };
    assert!(written < taken_in && taken_in <= own && own <= now_ms());
}
