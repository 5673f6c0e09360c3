//! Who changed what, and back: over two devices that synchronise.

use crate::harness::{World, wait_until};
use serde_json::{Value, json};

/// Goal: both devices' edits are in the history that each of them tells, and a revert on one reaches the other.
#[test]
fn a_revert_on_one_device_reaches_the_other() {
    let world = World::new();
    let (a, b) = (world.device("a"), world.device("b"));
    let daemon_a = a.start(&[]);
    let _daemon_b = b.start(&[&daemon_a]);
    let shows = |device: &crate::harness::Device, expected: &Value| {
        let rows = || device.rows("SELECT * FROM cars");
        wait_until(&format!("{expected} at {}", device.state.display()), || {
            rows() == [expected.clone()]
        });
    };
    a.insert(
        "cars",
        &json!({"_id": "c", "n": 1, "place": {"city": "Oslo"}}),
    );
    shows(&b, &json!({"_id": "c", "n": 1, "place": {"city": "Oslo"}}));
    b.query("UPDATE cars SET n = 2, place.city = 'Bergen' WHERE _id = 'c'");
    shows(
        &a,
        &json!({"_id": "c", "n": 2, "place": {"city": "Bergen"}}),
    );
    a.query("UPDATE cars UNSET place WHERE _id = 'c'");
    shows(&b, &json!({"_id": "c", "n": 2}));

    let history = |device: &crate::harness::Device| device.rows("HISTORY OF 'c' FROM cars");
    let (at_a, at_b) = (history(&a), history(&b));
    let each = |rows: &[Value], name: &str| -> Vec<Value> {
        rows.iter().map(|row| row[name].clone()).collect()
    };
    assert_eq!(each(&at_a, "change"), each(&at_b, "change"));
    assert_eq!(each(&at_a, "own"), [json!(true), json!(false), json!(true)]);
    assert_eq!(
        each(&at_b, "own"),
        [json!(false), json!(true), json!(false)]
    );
    assert_eq!(at_a[0]["actor"], at_a[2]["actor"]);
    assert_ne!(at_a[0]["actor"], at_a[1]["actor"]);
    assert_eq!(at_b[1]["set"], json!({"n": 2, "place.city": "Bergen"}));
    assert_eq!(at_b[2]["unset"], json!(["place"]));

    let heads = format!("heads={}", at_b[0]["heads"]);
    let reverted = b.finish([
        "query",
        "REVERT cars TO :heads WHERE _id = 'c'",
        "--arg",
        &heads,
    ]);
    assert_eq!(reverted.ok(), "1 document changed\n");
    shows(&a, &json!({"_id": "c", "n": 1, "place": {"city": "Oslo"}}));
    let last = a.rows("HISTORY OF 'c' FROM cars ORDER BY time DESC LIMIT 1");
    assert_eq!(last[0]["own"], json!(false));
    assert_eq!(last[0]["set"]["n"], json!(1));
}
