//! EVICT: what it refuses, what it leaves behind, and that numbers once given are never given again.

use super::sealing::Terms;
use super::*;
use sedge_crdt::{Check, Contents, FeedCursor, Replication};
use sedge_identity::{Permissions, Rights};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A mesh that takes in planes, and has delivered as much as the test says.
#[derive(Default)]
struct Mesh {
    delivered: AtomicU64,
}

impl Replication for Mesh {
    fn takes_in(&self, collection: &str) -> bool {
        collection == "planes"
    }

    fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }
}

fn run(store: &Store, statement: &str) -> Result<Outcome, StoreError> {
    store.execute(statement, &Params::new())
}

/// Says that everything this store has is delivered.
fn deliver(store: &Store, mesh: &Arc<Mesh>) {
    store.seal().unwrap();
    let last = store.feed().last;
    mesh.delivered.store(last, Ordering::Relaxed);
    store.set_replication(Some(Arc::clone(mesh) as Arc<dyn Replication>));
}

fn reason(result: Result<Outcome, StoreError>) -> String {
    match result {
        Err(StoreError::NotEvictable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Goal: what is subscribed, or has changes that nobody else is known to have, stays; nothing of the statement happens.
#[test]
fn what_would_come_back_or_be_lost_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    for collection in ["cars", "planes"] {
        run(
            &store,
            &format!("INSERT INTO {collection} DOCUMENTS ({{'_id': 'a'}}), ({{'_id': 'b'}})"),
        )
        .unwrap();
    }
    let before = store.collections();
    assert!(reason(run(&store, "EVICT FROM cars")).contains("delivered"));
    let mesh = Arc::new(Mesh::default());
    deliver(&store, &mesh);
    assert!(reason(run(&store, "EVICT FROM planes")).contains("--subscribe"));
    run(&store, "UPDATE cars SET n = 1 WHERE _id = 'b'").unwrap();
    assert!(reason(run(&store, "EVICT FROM cars")).contains("delivered"));
    let evicted = run(&store, "EVICT FROM cars WHERE _id = 'a' RETURNING *").unwrap();
    assert_eq!(evicted.kind.as_str(), "evict");
    assert_eq!(evicted.items.len(), 1);
    assert_eq!(rows(&store, "SELECT * FROM cars"), [r#"{"_id":"b","n":1}"#]);
    assert_eq!(store.collections()[1], before[1]);
    assert!(
        run(&store, "EVICT FROM cars WHERE _id = 'a'")
            .unwrap()
            .mutated
            .is_empty()
    );
}

/// Goal: what is evicted leaves nothing behind, here or after reopening, and a follower's cursor passes it.
#[test]
fn nothing_of_an_evicted_document_remains() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","place":{"city":"Oslo"}}"#);
    deliver(&store, &Arc::default());
    let mut commits = store.commits();
    let evicted = run(&store, "EVICT FROM cars").unwrap();
    let commit = commits.try_recv().unwrap();
    let [document] = &commit.documents[..] else {
        panic!("{commit:?}");
    };
    assert!(document.before.is_some() && document.after.is_none());
    assert_eq!(document.delta.changes(), 0, "there is nothing to flood");
    assert!(rows(&store, "SELECT * FROM cars").is_empty());
    assert!(rows(&store, "HISTORY OF 'a' FROM cars").is_empty());
    let limits = FeedLimits {
        wanted: &|_| true,
        full: &mut |_| false,
        scan_max: 100,
    };
    store.seal().unwrap();
    let page = store.feed_page(0, limits).unwrap();
    assert!(page.entries.is_empty());
    assert_eq!(page.up_to, evicted.transaction_id);
    drop(store);
    let contents = Contents::read(folder.path(), Check::Documents, &mut |_, _| ()).unwrap();
    assert_eq!(contents.documents(), 0);
    assert_eq!(open(folder.path(), 1).feed().last, evicted.transaction_id);
}

/// Goal: a document that was evicted with own changes can be written again, before and after it comes back from others, and
/// no change gets the name of an earlier one: the stores converge.
#[test]
fn what_was_evicted_is_written_under_a_new_name() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 1), open(two.path(), 2));
    insert(&a, r#"{"_id":"x","n":1}"#);
    insert(&a, r#"{"_id":"y","n":1}"#);
    run(&a, "UPDATE cars SET n = 2").unwrap();
    replicate(&a, &b);
    let mesh = Arc::new(Mesh::default());
    deliver(&a, &mesh);
    run(&a, "EVICT FROM cars WHERE _id = 'x'").unwrap();
    insert(&a, r#"{"_id":"x","m":3}"#);
    run(&a, "UPDATE cars SET m = 4 WHERE _id = 'y'").unwrap();
    for _ in 0..2 {
        replicate(&a, &b);
        replicate(&b, &a);
    }
    assert_eq!(a.collections(), b.collections());
    assert_eq!(
        rows(&b, "SELECT * FROM cars"),
        [r#"{"_id":"x","m":3,"n":2}"#, r#"{"_id":"y","m":4,"n":2}"#]
    );
    let actors = rows(&b, "HISTORY OF 'x' FROM cars");
    assert_eq!(actors.len(), 3, "none was taken for another: {actors:?}");
    drop(a);
    let a = open(one.path(), 1);
    run(&a, "UPDATE cars SET m = 5").unwrap();
    replicate(&a, &b);
    assert_eq!(a.collections(), b.collections());
}

/// Goal: within one transaction a document is either written or evicted.
#[test]
fn a_transaction_writes_or_evicts_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a","n":1}"#);
    deliver(&store, &Arc::default());
    for statements in [
        ["UPDATE cars SET n = 2", "EVICT FROM cars"],
        [
            "EVICT FROM cars",
            "INSERT INTO cars DOCUMENTS ({'_id': 'a'})",
        ],
    ] {
        let refused = store.transaction(|transaction| {
            for statement in statements {
                transaction.execute(statement, &Params::new())?;
            }
            Ok::<_, StoreError>(())
        });
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("in this transaction"), "{refused}");
        assert_eq!(rows(&store, "SELECT n FROM cars"), [r#"{"n":1}"#]);
    }
}

/// Goal: after an eviction other stores' feeds are followed from their beginning, so that what went can come back.
#[test]
fn an_eviction_forgets_how_far_others_were_followed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    insert(&store, r#"{"_id":"a"}"#);
    deliver(&store, &Arc::default());
    let (feed, scope) = ([0xff; 16], [0xff; 8]);
    let cursor = FeedCursor {
        up_to: 7,
        whole_to: 5,
    };
    store.store_cursor(&feed, &scope, cursor).unwrap();
    run(&store, "EVICT FROM cars WHERE _id = 'b'").unwrap();
    assert_eq!(store.cursor(&feed, &scope).unwrap(), cursor);
    run(&store, "EVICT FROM cars").unwrap();
    assert_eq!(store.cursor(&feed, &scope).unwrap(), FeedCursor::default());
}

/// Goal: own changes that are not sealed are never removed, whatever the mesh says of what was delivered, and least those that
/// this device's certificate does not let it seal. Once they are sealed and delivered they go, with all that was noted of them.
#[test]
fn what_is_not_sealed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let mesh = Arc::new(Mesh {
        delivered: AtomicU64::new(u64::MAX),
    });
    store.set_replication(Some(mesh as Arc<dyn Replication>));
    insert(&store, r#"{"_id":"x"}"#);
    assert!(reason(run(&store, "EVICT FROM cars")).contains("sealed yet"));

    let mut limited = Terms::of("demo", 1);
    limited.serial = 50;
    let rules = BTreeMap::from([("cars".to_owned(), vec!["_id = 'y'".to_owned()])]);
    limited.request.permissions = Permissions {
        read: Rights::Everything,
        write: Rights::Collections(rules),
    };
    store.certify(limited.identity()).unwrap();
    store.seal().unwrap();
    assert_eq!(store.withheld().unwrap().set_aside, 1);
    assert!(reason(run(&store, "EVICT FROM cars")).contains("certificate"));

    store.certify(identity("demo", 1)).unwrap();
    assert!(reason(run(&store, "EVICT FROM cars")).contains("sealed yet"));
    store.seal().unwrap();
    assert_eq!(store.withheld().unwrap().set_aside, 0);
    assert_eq!(run(&store, "EVICT FROM cars").unwrap().mutated.len(), 1);
}
