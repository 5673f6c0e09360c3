//! Live queries whose work panics.

use super::super::dispatch::contained;
use super::*;
use crate::store::StoreError;
use std::sync::Arc;

/// Goal: a live query ends with one error when telling it panics, and so do those of the same condition; the others are
/// told on by the same thread.
#[test]
fn a_panic_at_the_desk_ends_the_queries_of_its_condition() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    runtime().block_on(async {
        let limits = ObserverLimits::default();
        let mut ending = observe(&store, "SELECT * FROM c WHERE n > 0", limits);
        let mut waiting = observe(&store, "SELECT n FROM c WHERE n > 0", limits);
        let mut other = observe(&store, "SELECT * FROM c", limits);
        for observation in [&mut ending, &mut waiting, &mut other] {
            next(observation).await.unwrap();
        }
        let condition = [Arc::clone(&ending.inbox), Arc::clone(&waiting.inbox)];
        assert_eq!(contained(&condition, || panic!("as a filter might")), 0);
        put(&store, 1, 2);
        for observation in [&mut ending, &mut waiting] {
            for _ in 0..2 {
                let error = observation.next().await.unwrap_err();
                assert!(matches!(error, StoreError::ObservationPanicked), "{error}");
            }
            assert!(observation.has_ended());
        }
        assert_eq!(next(&mut other).await.unwrap().updated.len(), 1);
        assert!(!other.has_ended());
        assert_eq!(store.0.observers.count(), 1); // their places are free
    });
}

/// Goal: a live query whose evaluation panics ends with an error instead of evaluating for ever.
#[test]
fn a_panic_of_an_evaluation_ends_its_query() {
    let (_folder, store) = store();
    put(&store, 1, 1);
    runtime().block_on(async {
        let mut observation = observe(&store, "SELECT * FROM c", ObserverLimits::default());
        next(&mut observation).await.unwrap();
        observation.work = Some(tokio::task::spawn_blocking(|| {
            panic!("as a function might")
        }));
        let error = observation.next().await.unwrap_err();
        assert!(matches!(error, StoreError::ObservationPanicked), "{error}");
        assert!(observation.has_ended());
    });
}
