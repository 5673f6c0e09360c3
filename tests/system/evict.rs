//! EVICT on a device of a mesh: what only it has stays, what others have goes, and comes back when it is wanted again.

use crate::harness::{World, wait_until, wait_until_same};
use serde_json::json;

/// Goal: a device that doesn't subscribe to a collection gets rid of its documents once a neighbour has them, and not
/// before; the neighbour keeps them; writing one anew reaches the neighbour beside what is there.
#[test]
fn a_device_evicts_what_its_neighbour_holds() {
    let world = World::new();
    let (small, big) = (world.device("small"), world.device("big"));
    big.insert("seen", &json!({"_id": "s"}));
    small.insert("cars", &json!({"_id": "a", "n": 1}));
    small.insert("cars", &json!({"_id": "b", "n": 2}));
    let evict = |statement: &str| small.finish(["query", statement]);
    let alone = evict("EVICT FROM cars");
    assert!(alone.refused().contains("subscribed"), "{alone:?}");

    let big_daemon = big.start(&[]);
    // Once it took in everything: what it evicts later lies before the cursors of that time.
    let everything = small.start(&[&big_daemon]);
    wait_until_same(&[&big, &small], "cars", 2);
    wait_until_same(&[&big, &small], "seen", 1);
    everything.end_by("TERM");

    let daemon = small.start_with(
        &small.anywhere(),
        ["--peer", &big_daemon.address, "--subscribe", "seen"],
    );
    wait_until_same(&[&big, &small], "cars", 2);
    wait_until("the neighbour has acknowledged what it took in", || {
        small
            .sedge()
            .args(["query", "EVICT FROM cars WHERE _id = 'a'"])
            .output()
            .unwrap()
            .status
            .success()
    });
    assert_eq!(small.documents("cars"), 1);
    wait_until("the second goes too", || {
        small
            .sedge()
            .args(["query", "EVICT FROM cars"])
            .output()
            .unwrap()
            .status
            .success()
    });
    let subscribed = evict("EVICT FROM seen");
    assert!(
        subscribed.refused().contains("--subscribe"),
        "{subscribed:?}"
    );
    assert_eq!(big.documents("cars"), 2, "only here they are gone");

    small.insert("cars", &json!({"_id": "a", "m": 3}));
    let both = [json!({"_id": "a", "m": 3, "n": 1})];
    wait_until("the new change stands beside the old ones", || {
        big.rows("SELECT * FROM cars WHERE _id = 'a'") == both
    });
    daemon.end_by("TERM");

    // Now it wants the collection: what was evicted comes back.
    let _daemon = small.start(&[&big_daemon]);
    wait_until_same(&[&small, &big], "cars", 2);
}
