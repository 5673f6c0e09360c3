//! Live queries against what a fresh SELECT says.

mod bounds;
mod panics;

use super::inbox::{ObserverLimits, Waiting};
use super::shown::Told;
use super::{Move, Observation, Update};
use crate::limits::OBSERVED_SECONDS_MAX;
use crate::query::Params;
use crate::store::{Deadline, Store};
use crate::value::{Value, parse_json};
use proptest::prelude::*;
use sedge_identity::{AppId, DeviceKey};
use std::collections::BTreeMap;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Between two looks whether an update is still coming, in milliseconds.
const QUIET_MS: u64 = 10;
/// Looks after which one that hasn't come is not coming.
const LOOKS: u32 = 300;

const TINY: ObserverLimits = ObserverLimits {
    documents: 2,
    bytes: 1 << 20,
    evaluation: Duration::from_secs(OBSERVED_SECONDS_MAX),
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

fn observe(store: &Store, statement: &str, limits: ObserverLimits) -> Observation {
    store
        .observe_limited(statement, &Params::new(), limits)
        .unwrap()
}

/// The next update; `None` when none is coming, or not for long.
async fn next(observation: &mut Observation) -> Option<Update> {
    for _ in 0..LOOKS {
        let update = tokio::time::timeout(Duration::from_millis(QUIET_MS), observation.next());
        if let Ok(update) = update.await {
            return Some(update.unwrap());
        }
        observation.store.0.observers.settle();
        if observation.is_quiet() {
            return None;
        }
    }
    None
}

/// The rows of a result as their receiver keeps them.
#[derive(Debug, Default, PartialEq)]
struct List(Vec<Value>);

impl List {
    /// Takes an update in, and checks that what it says of rows is so.
    fn take(&mut self, update: &Update) {
        let before = self.0.clone();
        update.apply(&mut self.0).unwrap();
        if update.items.is_some() {
            return;
        }
        let stand = |rows: &[Value], places: &[usize], list: &[Value]| {
            assert_eq!(rows.len(), places.len());
            assert!(places.is_sorted());
            let mut pairs = rows.iter().zip(places);
            assert!(pairs.all(|(row, at)| list[*at] == *row), "{update:?}");
        };
        stand(&update.deleted, &update.deleted_at, &before);
        stand(&update.inserted, &update.inserted_at, &self.0);
        stand(&update.updated, &update.updated_at, &self.0);
        for Move { from, to } in &update.moved {
            let is_updated = update.updated_at.contains(to);
            assert!(is_updated || before[*from] == self.0[*to], "{update:?}");
        }
    }
}

fn fresh(store: &Store, statement: &str) -> Vec<Value> {
    store.execute(statement, &Params::new()).unwrap().items
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, i64),
    /// Several documents in one commit.
    Many(Vec<(u8, i64)>),
    Delete(u8),
    Next,
}

fn step() -> impl Strategy<Value = Step> {
    let document = || (0..12u8, -2..5i64);
    prop_oneof![
        6 => document().prop_map(|(id, n)| Step::Put(id, n)),
        1 => prop::collection::vec(document(), 1..5).prop_map(Step::Many),
        3 => (0..12u8).prop_map(Step::Delete),
        2 => Just(Step::Next),
    ]
}

/// Statements of every kind: plain, sorted, with a window, distinct, grouped.
fn statement() -> impl Strategy<Value = String> {
    let columns = prop_oneof![
        Just("_id, n"),
        Just("n"),
        Just("*"),
        Just("_id"),
        Just("n % 2 AS odd")
    ];
    let condition = prop_oneof![
        Just(""),
        Just("WHERE n > 0"),
        Just("WHERE n <> 1 AND _id <> 'd3'")
    ];
    let order = prop_oneof![
        2 => Just(""),
        2 => Just("ORDER BY n"),
        2 => Just("ORDER BY n DESC, _id DESC"),
        1 => Just("ORDER BY n % 3, n DESC"),
        1 => Just("ORDER BY _id DESC"),
    ];
    let window = prop_oneof![
        2 => Just(String::new()),
        4 => (0..5u8, 0..4u8).prop_map(|(limit, offset)| format!("LIMIT {limit} OFFSET {offset}")),
        1 => (0..6u8).prop_map(|limit| format!("LIMIT {limit}")),
        1 => (0..6u8).prop_map(|offset| format!("OFFSET {offset}")),
    ];
    let by_document =
        (columns, condition, order, window).prop_map(|(columns, condition, order, window)| {
            format!("SELECT {columns} FROM c {condition} {order} {window}")
        });
    prop_oneof![
        8 => by_document,
        1 => Just("SELECT COUNT(*) AS documents FROM c WHERE n > 0".to_owned()),
        1 => Just("SELECT n, COUNT(*) AS documents FROM c GROUP BY n ORDER BY documents DESC, n".to_owned()),
        1 => Just("SELECT DISTINCT n FROM c ORDER BY n DESC LIMIT 3".to_owned()),
        1 => Just("SELECT DISTINCT n FROM c".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Goal: a list that takes in the first result and all differences after it, at any moments, is exactly what a fresh
    /// SELECT says, in its order, whether the observer keeps up or has to start over.
    #[test]
    fn differences_add_up_to_the_result(
        statements in prop::collection::vec(statement(), 4),
        steps in prop::collection::vec(step(), 1..40),
        spare in 0..60u8,
        is_tiny in any::<bool>(),
    ) {
        let (_folder, store) = store();
        put(&store, 0, 1);
        // Enough that windows don't know all rows.
        put_many(&store, &(12..12 + spare).map(|id| (id, i64::from(id % 7))).collect::<Vec<_>>());
        let limits = if is_tiny { TINY } else { ObserverLimits::default() };
        runtime().block_on(async {
            let mut observed = Vec::new();
            for statement in &statements {
                let mut observation = observe(&store, statement, limits);
                let mut list = List::default();
                list.take(&next(&mut observation).await.unwrap());
                assert_eq!(list.0, fresh(&store, statement), "{statement}");
                observed.push((statement, observation, list));
            }
            for step in &steps {
                match step {
                    Step::Put(id, n) => put(&store, *id, *n),
                    Step::Many(documents) => put_many(&store, documents),
                    Step::Delete(id) => delete(&store, *id),
                    // Given up at once sometimes: nothing may be lost by that.
                    Step::Next => for (_, observation, list) in &mut observed {
                        let soon = tokio::time::timeout(Duration::from_micros(300), observation.next());
                        if let Ok(update) = soon.await {
                            list.take(&update.unwrap());
                        }
                    }
                }
            }
            for (statement, mut observation, mut list) in observed {
                while let Some(update) = next(&mut observation).await {
                    assert_eq!(update.items, None);
                    assert_ne!(update, Update::default());
                    list.take(&update);
                }
                assert_eq!(list.0, fresh(&store, statement), "{statement}");
            }
        });
    }
}

/// Long counts with `SEDGE_FULL=store`.
fn cases() -> u32 {
    match std::env::var("SEDGE_FULL").as_deref() {
        Ok("store") => 1_000,
        _ => 24,
    }
}

fn put_many(store: &Store, documents: &[(u8, i64)]) {
    let document =
        |(id, n): &(u8, i64)| parse_json(&format!(r#"{{"_id":"d{id}","n":{n}}}"#)).unwrap();
    let documents: Vec<Value> = documents.iter().map(document).collect();
    store.import("c", &documents).unwrap();
}

impl Observation {
    /// Whether nothing waits and nothing goes on.
    fn is_quiet(&self) -> bool {
        let waiting = self.inbox.peek();
        let is_empty = matches!(&*waiting, Waiting::Changes(changes) if changes.len() == 0);
        is_empty && self.work.is_none() && !self.starts_over
    }
}

/// Goal: beside a busy writer an observer never goes back: neither what its first result already holds nor what it
/// started over from is told again as older.
#[test]
fn an_observer_never_goes_back() {
    for limits in [TINY, ObserverLimits::default()] {
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
        let mut observation = observe(&store, "SELECT * FROM c", ObserverLimits::default());
        next(&mut observation).await.unwrap();
        put(&store, 1, 1);
        store.0.observers.settle();
        let waiting = observation.inbox.take();
        assert!(matches!(&waiting, Waiting::Changes(changes) if changes.len() == 1));
        put(&store, 1, 2);
        let (mut shown, deadline) = (observation.shown.take(), Deadline::default());
        let mut catch_up = |waiting| shown.catch_up(&store.0, waiting, false, &deadline).unwrap();
        let Told::Update(update) = catch_up(Waiting::Everything) else {
            panic!("nothing is told");
        };
        assert_eq!(
            update.inserted[0].value().unwrap().to_string(),
            r#"{"_id":"d1","n":2}"#
        );
        assert_eq!(catch_up(waiting), Told::Nothing);
    });
}

/// Goal: a document that changed and changed back is no news, nor one that came and went.
#[test]
fn what_changed_back_is_not_told() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    runtime().block_on(async {
        let mut observation = observe(&store, "SELECT * FROM c", ObserverLimits::default());
        next(&mut observation).await.unwrap();
        put(&store, 1, 2);
        put(&store, 1, 1);
        put(&store, 2, 2);
        delete(&store, 2);
        store.0.observers.settle();
        assert_eq!(next(&mut observation).await, None);
        put(&store, 1, 3);
        let update = next(&mut observation).await.unwrap();
        assert_eq!((update.updated.len(), update.inserted.len()), (1, 0));
    });
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
            ObserverLimits::default(),
        );
        next(&mut observation).await.unwrap();
        put(&store, 1, i64::MAX);
        put(&store, 2, 2);
        store.0.observers.settle();
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

/// Goal: who asks for it gets the whole result each time; what only moved is told as that to everybody.
#[test]
fn items_come_with_every_update_if_asked_for() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    put(&store, 2, 2);
    runtime().block_on(async {
        let statement = "SELECT _id FROM c ORDER BY n";
        let mut plain = observe(&store, statement, ObserverLimits::default());
        let mut whole = observe(&store, statement, ObserverLimits::default()).with_items();
        next(&mut plain).await.unwrap();
        assert_eq!(next(&mut whole).await.unwrap().items.unwrap().len(), 2);
        put(&store, 1, 3);
        let items = next(&mut whole).await.unwrap().items.unwrap();
        assert_eq!(items[0].to_string(), r#"{"_id":"d2"}"#);
        let update = next(&mut plain).await.unwrap();
        let moved = vec![Move { from: 1, to: 0 }];
        assert_eq!(
            update,
            Update {
                moved,
                ..Update::default()
            }
        );
        put(&store, 3, 0);
        assert_eq!(next(&mut whole).await.unwrap().items.unwrap().len(), 3);
        assert_eq!(next(&mut plain).await.unwrap().inserted_at, [0]);
    });
}

/// Goal: a change that no query shows or has shown wakes none; one that leaves a result does.
#[test]
fn only_what_concerns_a_query_is_told_to_it() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    runtime().block_on(async {
        for statement in ["SELECT * FROM c WHERE n > 0", "SELECT COUNT(*) AS c FROM c WHERE n > 0"] {
            let mut observation = observe(&store, statement, ObserverLimits::default());
            next(&mut observation).await.unwrap();
            put(&store, 2, -1);
            put(&store, 2, -2);
            store.0.observers.settle();
            assert!(matches!(&*observation.inbox.peek(), Waiting::Changes(changes) if changes.len() == 0));
            put(&store, 1, -1);
            assert_eq!(next(&mut observation).await.unwrap().deleted_at, [0]);
            put(&store, 1, 1);
            next(&mut observation).await.unwrap();
        }
    });
}

/// Goal: a document that a query may have read between two commits which are told together is tested as it was then.
#[test]
fn a_value_between_two_commits_is_tested_too() {
    let (_folder, store) = store();
    put(&store, 1, -1);
    runtime().block_on(async {
        let statement = "SELECT * FROM c WHERE n > 0";
        for round in 0..100 {
            let writer = store.clone();
            let writing = std::thread::spawn(move || {
                put(&writer, 1, 1 + round);
                put(&writer, 1, -1);
            });
            let mut observation = observe(&store, statement, ObserverLimits::default());
            let mut list = List::default();
            list.take(&next(&mut observation).await.unwrap());
            writing.join().unwrap();
            while let Some(update) = next(&mut observation).await {
                list.take(&update);
            }
            assert_eq!(list.0, []);
        }
    });
}
