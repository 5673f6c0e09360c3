//! Devices that hold almost the same and have never met: what differs is found without naming what does not.

use crate::harness::{Device, World, wait_for, wait_until_same};
use serde_json::json;

/// Documents that both hold, as many as the data set has.
const SHARED: u64 = 3_376;

/// What the sync stream with the one neighbour has carried, in bytes, once that is told and nothing more passes.
fn carried(device: &Device) -> u64 {
    let mut before = None;
    wait_for("the neighbour is told, and all is quiet", || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let peers = device.finish(["peers", "--json"]).json();
        let bytes = |way: &str| peers[0][way].as_u64();
        let now = bytes("sentBytes")? + bytes("receivedBytes")?;
        (now > 0 && before.replace(now) == Some(now)).then_some(now)
    })
}

/// Goal: a device that was restored from another one's backup, and so has a feed that nobody knows, takes and gives what differs,
/// for less than a tenth of what offering all documents takes.
#[test]
fn a_restored_device_is_compared_with_its_origin() {
    let world = World::new();
    let (a, b) = (world.device("A"), world.device("B"));
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/data/airports.ndjson"
    );
    a.finish(["import", "--collection", "airports", data]).ok();
    a.start(&[]).end_by_stdin(); // so that everything is sealed
    let backup = world.path().join("backup");
    a.finish(["backup", backup.to_str().unwrap()]).ok();
    b.finish(["restore", backup.to_str().unwrap()]).ok();
    for (device, id) in [(&a, "of a"), (&b, "of b")] {
        device.insert("airports", &json!({ "_id": id }));
        device.query(&format!(
            "UPDATE airports SET seen = '{id}' WHERE _id = '{id}' OR _id = 'LAX'"
        ));
    }
    let first = a.start(&[]);
    let _second = b.start(&[&first]);
    wait_until_same(&[&a, &b], "airports", SHARED + 2);
    let bytes = carried(&b);
    assert!(bytes < SHARED * 60 / 10, "{bytes} bytes");
}
