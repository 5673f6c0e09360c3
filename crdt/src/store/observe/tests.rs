//! Live queries against what a fresh SELECT says.

use super::budget::Held;
use super::inbox::{InboxLimits, Waiting};
use super::{Observation, Update};
use crate::limits::{
    OBSERVED_BYTES_TOTAL_MAX, OBSERVER_BYTES_TOTAL_MAX, OBSERVERS_MAX, OBSERVERS_WORKING_MAX,
};
use crate::query::Params;
use crate::store::{Deadline, Store, StoreError};
use crate::value::{Value, parse_json};
use proptest::prelude::*;
use sedge_identity::{AppId, DeviceKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Longer than an update takes, in milliseconds; what hasn't come by then is not coming.
const QUIET_MS: u64 = 100;

const TINY: InboxLimits = InboxLimits {
    documents: 2,
    bytes: 1 << 20,
};

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let device = DeviceKey::from_seed([1; 32]).public();
    let store = Store::open(folder.path(), &AppId::new("demo").unwrap(), &device).unwrap();
    (folder, store)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn put(store: &Store, id: u8, n: i64) {
    let document = parse_json(&format!(r#"{{"_id":"d{id}","n":{n}}}"#)).unwrap();
    store.import("c", &[document]).unwrap();
}

fn delete(store: &Store, id: u8) {
    let statement = format!("DELETE FROM c WHERE _id = 'd{id}'");
    store.execute(&statement, &Params::new()).unwrap();
}

fn observe(store: &Store, statement: &str, limits: InboxLimits) -> Observation {
    store
        .observe_limited(statement, &Params::new(), limits)
        .unwrap()
}

/// The next update; `None` when none is coming.
async fn next(observation: &mut Observation) -> Option<Update> {
    let update = tokio::time::timeout(Duration::from_millis(QUIET_MS), observation.next());
    update.await.ok().map(Result::unwrap)
}

/// Rows with how often they occur.
#[derive(Debug, Default, PartialEq)]
struct Rows(BTreeMap<String, usize>);

impl Rows {
    fn of(rows: &[Value]) -> Self {
        let mut counted = Self::default();
        rows.iter().for_each(|row| counted.add(row));
        counted
    }

    fn add(&mut self, row: &Value) {
        *self.0.entry(row.to_string()).or_default() += 1;
    }

    fn remove(&mut self, row: &Value) {
        let count = self
            .0
            .get_mut(&row.to_string())
            .expect("what goes was there");
        *count -= 1;
        self.0.retain(|_, count| *count > 0);
    }

    /// Takes an update in as its receiver would, who knows documents by `_id`.
    fn apply(&mut self, update: &Update) {
        update.deleted.iter().for_each(|row| self.remove(row));
        for row in &update.updated {
            let id = format!("{{\"_id\":{},", row.get("_id").unwrap());
            let before = self.0.keys().find(|before| before.starts_with(&id));
            let before = before.expect("what is updated was there").clone();
            self.0.remove(&before);
            self.add(row);
        }
        update.inserted.iter().for_each(|row| self.add(row));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, i64),
    Delete(u8),
    Next,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6u8, -2..4i64).prop_map(|(id, n)| Step::Put(id, n)),
        2 => (0..6u8).prop_map(Step::Delete),
        1 => Just(Step::Next),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Goal: the first result and all differences after it, taken in at any moments, are what a fresh SELECT says,
    /// whether the observer keeps up or has to start over.
    #[test]
    fn differences_add_up_to_the_result(steps in prop::collection::vec(step(), 1..24), is_tiny in any::<bool>()) {
        let (_folder, store) = store();
        put(&store, 0, 1);
        let limits = if is_tiny { TINY } else { InboxLimits::default() };
        runtime().block_on(async {
            let statements = [
                "SELECT _id, n FROM c WHERE n > 0",
                "SELECT n FROM c ORDER BY n LIMIT 3",
                "SELECT COUNT(*) AS documents FROM c",
            ];
            for statement in statements {
                let mut observation = observe(&store, statement, limits);
                let first = next(&mut observation).await.unwrap();
                let mut rows = Rows::of(&first.items.unwrap());
                for step in &steps {
                    match step {
                        Step::Put(id, n) => put(&store, *id, *n),
                        Step::Delete(id) => delete(&store, *id),
                        // Given up at once sometimes: nothing may be lost by that.
                        Step::Next => {
                            let soon = tokio::time::timeout(Duration::from_micros(300), observation.next());
                            if let Ok(update) = soon.await {
                                rows.apply(&update.unwrap());
                            }
                        }
                    }
                }
                while let Some(update) = next(&mut observation).await {
                    assert_eq!(update.items, None);
                    assert_ne!(update, Update::default());
                    rows.apply(&update);
                }
                let fresh = store.execute(statement, &Params::new()).unwrap();
                assert_eq!(rows, Rows::of(&fresh.items), "{statement}");
            }
        });
    }
}

/// Goal: beside a busy writer an observer never goes back: neither what its first result already holds nor what it
/// started over from is told again as older.
#[test]
fn an_observer_never_goes_back() {
    for limits in [TINY, InboxLimits::default()] {
        let (_folder, store) = store();
        let writer = store.clone();
        let writing = std::thread::spawn(move || {
            for n in 0..300 {
                let documents: Vec<Value> = (0..4)
                    .map(|id| parse_json(&format!(r#"{{"_id":"d{id}","n":{n}}}"#)).unwrap())
                    .collect();
                writer.import("c", &documents).unwrap();
            }
        });
        runtime().block_on(async {
            let mut newest = BTreeMap::new();
            while newest.len() < 4 || newest.values().any(|n| *n < 299) {
                let mut observation = observe(&store, "SELECT _id, n FROM c", limits);
                for _ in 0..20 {
                    let Some(update) = next(&mut observation).await else {
                        break;
                    };
                    let items = update.items.into_iter().flatten();
                    for row in items.chain(update.inserted).chain(update.updated) {
                        let (Some(id), Some(Value::Int(n))) = (row.get("_id"), row.get("n")) else {
                            panic!("{row}");
                        };
                        let before = newest.insert(id.to_string(), *n).unwrap_or(0);
                        assert!(before <= *n, "{id} went from {before} to {n}");
                    }
                }
            }
        });
        writing.join().unwrap();
    }
}

/// Goal: a change that the state started over from already holds, or is older than, is not told again.
#[test]
fn what_the_current_state_holds_is_not_taken_in_again() {
    let (_folder, store) = store();
    runtime().block_on(async {
        let mut observation = observe(&store, "SELECT * FROM c", InboxLimits::default());
        next(&mut observation).await.unwrap();
        put(&store, 1, 1);
        let waiting = observation.inbox.take();
        put(&store, 1, 2);
        let (mut shown, deadline) = (observation.shown.take(), Deadline::default());
        let mut catch_up = |waiting| shown.catch_up(&store.0, waiting, false, &deadline).unwrap();
        let inserted = catch_up(Waiting::Everything).unwrap().inserted;
        assert_eq!(
            inserted[0].value().unwrap().to_string(),
            r#"{"_id":"d1","n":2}"#
        );
        assert_eq!(catch_up(waiting), None);
    });
}

/// Goal: a document that changed and changed back is no news, nor one that came and went.
#[test]
fn what_changed_back_is_not_told() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    runtime().block_on(async {
        let mut observation = observe(&store, "SELECT * FROM c", InboxLimits::default());
        next(&mut observation).await.unwrap();
        put(&store, 1, 2);
        put(&store, 1, 1);
        put(&store, 2, 2);
        delete(&store, 2);
        assert_eq!(next(&mut observation).await, None);
        put(&store, 1, 3);
        let update = next(&mut observation).await.unwrap();
        assert_eq!((update.updated.len(), update.inserted.len()), (1, 0));
    });
}

/// Goal: what waits for an observer that doesn't look is bounded in documents and in bytes, and no change is lost by it.
#[test]
fn a_slow_observer_holds_little_and_misses_nothing() {
    let few_bytes = InboxLimits {
        documents: 1_000,
        bytes: 700,
    };
    for limits in [TINY, few_bytes] {
        let (_folder, store) = store();
        put(&store, 0, 0);
        runtime().block_on(async {
            let mut observation = observe(&store, "SELECT * FROM c", limits);
            next(&mut observation).await.unwrap();
            (0..2).for_each(|id| put(&store, id, 1));
            assert!(matches!(&*observation.inbox.peek(), Waiting::Changes(changes) if changes.len() == 2));
            (2..9).for_each(|id| put(&store, id, 1));
            delete(&store, 0);
            assert!(matches!(&*observation.inbox.peek(), Waiting::Everything));
            let update = next(&mut observation).await.unwrap();
            let told = (update.inserted.len(), update.updated.len(), update.deleted.len());
            assert_eq!(told, (8, 0, 1));
        });
    }
}

/// Goal: after an error the next change tells the difference to what was told last, and until then there is quiet.
#[test]
fn an_observer_recovers_from_an_error() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    runtime().block_on(async {
        let mut observation = observe(
            &store,
            "SELECT _id, n + 1 AS m FROM c",
            InboxLimits::default(),
        );
        next(&mut observation).await.unwrap();
        put(&store, 1, i64::MAX);
        put(&store, 2, 2);
        let failed = observation.next().await.unwrap_err();
        assert!(failed.to_string().contains("64-bit"), "{failed}");
        let quiet = tokio::time::timeout(Duration::from_millis(QUIET_MS), observation.next());
        assert!(quiet.await.is_err());
        put(&store, 1, 5);
        let update = next(&mut observation).await.unwrap();
        assert_eq!(update.updated[0].to_string(), r#"{"_id":"d1","m":6}"#);
        assert_eq!(update.inserted[0].to_string(), r#"{"_id":"d2","m":3}"#);
    });
}

/// Goal: who asks for it gets the whole result each time, also when nothing but its order changed.
#[test]
fn items_come_with_every_update_if_asked_for() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    put(&store, 2, 2);
    runtime().block_on(async {
        let statement = "SELECT _id FROM c ORDER BY n";
        let mut plain = observe(&store, statement, InboxLimits::default());
        let mut whole = observe(&store, statement, InboxLimits::default()).with_items();
        next(&mut plain).await.unwrap();
        assert_eq!(next(&mut whole).await.unwrap().items.unwrap().len(), 2);
        put(&store, 1, 3);
        let items = next(&mut whole).await.unwrap().items.unwrap();
        assert_eq!(items[0].to_string(), r#"{"_id":"d2"}"#);
        assert_eq!(next(&mut plain).await, None);
        put(&store, 3, 0);
        assert_eq!(next(&mut whole).await.unwrap().items.unwrap().len(), 3);
        assert_eq!(next(&mut plain).await.unwrap().inserted.len(), 1);
    });
}

/// Goal: live queries are counted while they last.
#[test]
fn live_queries_are_bounded() {
    let (_folder, store) = store();
    let params = Params::new();
    let mut observations: Vec<Observation> = (0..OBSERVERS_MAX)
        .map(|_| store.observe("SELECT * FROM c", &params).unwrap())
        .collect();
    let refused = store.observe("SELECT * FROM c", &params);
    assert!(matches!(refused, Err(StoreError::TooManyObservers)));
    observations.pop();
    assert!(store.observe("SELECT * FROM c", &params).is_ok());
}

/// Goal: the rows of one live query are bounded, and so are those of all together; what ends makes room.
#[test]
fn rows_shown_are_bounded() {
    let (_folder, store) = store();
    let text = "x".repeat(3 << 20);
    for id in 0..3 {
        let document = parse_json(&format!(r#"{{"_id":"d{id}","n":{id},"text":"{text}"}}"#));
        store.import("c", &[document.unwrap()]).unwrap();
    }
    runtime().block_on(async {
        let mut large = observe(&store, "SELECT * FROM c", InboxLimits::default());
        let refused = large.next().await.unwrap_err();
        assert!(matches!(refused, StoreError::ObservedTooLarge), "{refused}");
        let mut others = Held::nothing(&store.0.observers.shown);
        assert!(others.resize(OBSERVED_BYTES_TOTAL_MAX - (4 << 20)));
        let two = "SELECT * FROM c WHERE n < 2";
        let mut narrow = observe(&store, two, InboxLimits::default());
        let refused = narrow.next().await.unwrap_err();
        assert!(
            matches!(refused, StoreError::ObservedTooLargeTogether),
            "{refused}"
        );
        drop(others);
        put(&store, 3, 3);
        let update = next(&mut narrow).await.unwrap();
        assert_eq!(update.items.unwrap().len(), 2);
    });
}

/// Goal: a commit's changes wait once for all live queries, and only within what those of a store may hold.
#[test]
fn changes_that_wait_are_shared_and_bounded() {
    let (_folder, store) = store();
    put(&store, 0, 0);
    runtime().block_on(async {
        let mut observations = [
            observe(&store, "SELECT * FROM c", InboxLimits::default()),
            observe(&store, "SELECT n FROM c", InboxLimits::default()),
        ];
        for observation in &mut observations {
            next(observation).await.unwrap();
        }
        put(&store, 0, 1);
        let [one, other] = observations.each_ref().map(|observation| {
            let waiting = observation.inbox.peek();
            let Waiting::Changes(changes) = &*waiting else {
                panic!("{waiting:?}");
            };
            Arc::clone(&changes[0])
        });
        assert!(Arc::ptr_eq(&one, &other));
        let mut others = Held::nothing(&store.0.observers.waiting);
        assert!(!others.resize(OBSERVER_BYTES_TOTAL_MAX));
        assert!(others.resize(OBSERVER_BYTES_TOTAL_MAX - 500));
        put(&store, 0, 2);
        put(&store, 0, 3);
        put(&store, 0, 4);
        assert!(matches!(
            &*observations[0].inbox.peek(),
            Waiting::Everything
        ));
        for observation in &mut observations {
            assert_eq!(next(observation).await.unwrap().updated.len(), 1);
        }
    });
}

/// Goal: only so many live queries evaluate at the same time; others wait for their turn.
#[test]
fn evaluations_take_turns() {
    let (_folder, store) = store();
    put(&store, 0, 0);
    runtime().block_on(async {
        let mut turns = Vec::new();
        for _ in 0..OBSERVERS_WORKING_MAX {
            turns.push(store.0.observers.turn().await);
        }
        let mut observation = observe(&store, "SELECT * FROM c", InboxLimits::default());
        assert_eq!(next(&mut observation).await, None);
        turns.pop();
        assert_eq!(
            next(&mut observation).await.unwrap().items.unwrap().len(),
            1
        );
    });
}
