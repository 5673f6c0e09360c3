//! What live queries may hold and how long they may work, alone and together.

use super::super::budget::Held;
use super::*;
use crate::limits::{
    OBSERVED_BYTES_TOTAL_MAX, OBSERVER_BYTES_TOTAL_MAX, OBSERVER_DOCUMENTS_MAX, OBSERVERS_MAX,
    OBSERVERS_WORKING_MAX,
};
use crate::store::StoreError;
use std::sync::Arc;

/// Goal: what waits for an observer that doesn't look is bounded in documents and in bytes, and no change is lost by it.
#[test]
fn a_slow_observer_holds_little_and_misses_nothing() {
    let few_bytes = ObserverLimits {
        documents: 1_000,
        bytes: 1_000,
        ..TINY
    };
    for limits in [TINY, few_bytes] {
        let (_folder, store) = store();
        put(&store, 0, 0);
        runtime().block_on(async {
            let mut observation = observe(&store, "SELECT * FROM c", limits);
            next(&mut observation).await.unwrap();
            (0..2).for_each(|id| put(&store, id, 1));
            (2..5).for_each(|n| put(&store, 1, n)); // the same document again takes no more room
            store.0.observers.settle();
            assert!(matches!(&*observation.inbox.peek(), Waiting::Changes(changes) if changes.len() == 2));
            (2..9).for_each(|id| put(&store, id, 1));
            delete(&store, 0);
            store.0.observers.settle();
            assert!(matches!(&*observation.inbox.peek(), Waiting::Everything));
            let update = next(&mut observation).await.unwrap();
            let told = (update.inserted.len(), update.updated.len(), update.deleted.len());
            assert_eq!(told, (8, 0, 1));
        });
    }
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
        let mut large = observe(&store, "SELECT * FROM c", ObserverLimits::default());
        let refused = large.next().await.unwrap_err();
        assert!(matches!(refused, StoreError::ObservedTooLarge), "{refused}");
        let mut others = Held::nothing(&store.0.observers.shown);
        assert!(others.resize(OBSERVED_BYTES_TOTAL_MAX - (4 << 20)));
        let two = "SELECT * FROM c WHERE n < 2";
        let mut narrow = observe(&store, two, ObserverLimits::default());
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
            observe(&store, "SELECT * FROM c", ObserverLimits::default()),
            observe(&store, "SELECT n FROM c", ObserverLimits::default()),
        ];
        for observation in &mut observations {
            next(observation).await.unwrap();
        }
        put(&store, 0, 1);
        store.0.observers.settle();
        let [one, other] = observations.each_ref().map(|observation| {
            let waiting = observation.inbox.peek();
            let Waiting::Changes(changes) = &*waiting else {
                panic!("{:?}", *waiting);
            };
            Arc::clone(changes.iter().next().unwrap())
        });
        assert!(Arc::ptr_eq(&one, &other));
        let mut others = Held::nothing(&store.0.observers.waiting);
        assert!(!others.resize(OBSERVER_BYTES_TOTAL_MAX));
        assert!(others.resize(OBSERVER_BYTES_TOTAL_MAX - 600));
        put(&store, 0, 2);
        put(&store, 1, 3);
        put(&store, 2, 4);
        store.0.observers.settle();
        assert!(matches!(
            &*observations[0].inbox.peek(),
            Waiting::Everything
        ));
        for observation in &mut observations {
            let update = next(observation).await.unwrap();
            assert_eq!((update.updated.len(), update.inserted.len()), (1, 2));
        }
    });
}

/// Goal: only so many live queries read their collections at the same time; others wait for their turn, and those that
/// take in changed documents don't.
#[test]
fn evaluations_take_turns() {
    let (_folder, store) = store();
    put(&store, 0, 0);
    runtime().block_on(async {
        let mut light = observe(&store, "SELECT * FROM c", ObserverLimits::default());
        next(&mut light).await.unwrap();
        let mut turns = Vec::new();
        for _ in 0..OBSERVERS_WORKING_MAX {
            turns.push(store.0.observers.turn(true).await);
        }
        let mut observation = observe(&store, "SELECT * FROM c", ObserverLimits::default());
        assert_eq!(next(&mut observation).await, None);
        put(&store, 0, 1);
        assert_eq!(next(&mut light).await.unwrap().updated.len(), 1);
        turns.pop();
        assert_eq!(
            next(&mut observation).await.unwrap().items.unwrap().len(),
            1
        );
    });
}

/// Goal: when too many commits wait for the thread that tells them, all queries start over and none misses anything.
#[test]
fn too_many_untold_commits_are_told_as_a_whole() {
    let (_folder, store) = store();
    runtime().block_on(async {
        let mut observation = observe(&store, "SELECT n FROM c", ObserverLimits::default());
        next(&mut observation).await.unwrap();
        let document = |id| parse_json(&format!(r#"{{"_id":"d{id}","n":{id}}}"#)).unwrap();
        let documents: Vec<Value> = (0..=OBSERVER_DOCUMENTS_MAX).map(document).collect();
        store.import("c", &documents).unwrap();
        store.0.observers.settle();
        assert!(matches!(&*observation.inbox.peek(), Waiting::Everything));
        let update = observation.next().await.unwrap();
        assert_eq!(update.inserted.len(), documents.len());
    });
}

/// Goal: as many live queries as there may be on one collection all hear of each change, whatever the order in which they
/// end.
#[test]
fn all_live_queries_hear_of_each_change() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    runtime().block_on(async {
        let mut observations = Vec::new();
        for index in 0..OBSERVERS_MAX {
            let statement = format!("SELECT * FROM c WHERE n > {}", -((index % 8) as i64));
            let mut observation = observe(&store, &statement, ObserverLimits::default());
            next(&mut observation).await.unwrap();
            observations.push(observation);
        }
        for n in 2..6 {
            put(&store, 1, n);
            for observation in &mut observations {
                assert_eq!(next(observation).await.unwrap().updated.len(), 1);
            }
            let mut index = 0;
            observations.retain(|_| {
                index += 1;
                index % 3 != 0
            });
        }
    });
}

/// Goal: queries that end while commits are told, and stores that close meanwhile, harm nothing and give back all memory.
#[test]
fn ending_while_commits_are_told_frees_everything() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    let writer = store.clone();
    let writing = std::thread::spawn(move || (0..400).for_each(|n| put(&writer, (n % 5) as u8, n)));
    runtime().block_on(async {
        while !writing.is_finished() {
            let mut observation = observe(
                &store,
                "SELECT * FROM c ORDER BY n",
                ObserverLimits::default(),
            );
            next(&mut observation).await.unwrap();
            let soon = tokio::time::timeout(Duration::from_micros(200), observation.next());
            if let Ok(update) = soon.await {
                update.unwrap();
            }
        }
    });
    writing.join().unwrap();
    store.0.observers.settle();
    let is_free = |budget, max| Held::nothing(budget).resize(max);
    let observers = &store.0.observers;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !is_free(&observers.shown, OBSERVED_BYTES_TOTAL_MAX)
        || !is_free(&observers.waiting, OBSERVER_BYTES_TOTAL_MAX)
    {
        assert!(
            std::time::Instant::now() < deadline,
            "something is still held"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Goal: a statement that takes too long is told an error, rests before it tries again, and holds up nobody.
#[test]
fn a_query_that_takes_too_long_rests() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    runtime().block_on(async {
        let mut other = observe(&store, "SELECT * FROM c", ObserverLimits::default());
        next(&mut other).await.unwrap();
        let no_time = ObserverLimits {
            evaluation: Duration::ZERO,
            ..ObserverLimits::default()
        };
        let mut observation = observe(&store, "SELECT * FROM c", no_time);
        let late = observation.next().await.unwrap_err();
        assert!(matches!(late, StoreError::TimedOut { .. }), "{late}");
        put(&store, 1, 2);
        assert_eq!(next(&mut other).await.unwrap().updated.len(), 1);
        observation.pause.prolong(); // long enough for a slow machine
        observation.pause.prolong();
        assert!(observation.pause.until().is_some());
        let early = tokio::time::timeout(Duration::from_millis(QUIET_MS), observation.next());
        assert!(early.await.is_err());
        observation.pause.end();
        observation.limits = ObserverLimits::default();
        let update = observation.next().await.unwrap();
        assert_eq!(update.items.unwrap().len(), 1);
        assert!(observation.pause.is_over());
    });
}
