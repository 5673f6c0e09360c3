//! What `sedge status` says of changes that others don't get.

use crate::certificates::{cert, uncertified};
use crate::harness::{Device, World, wait_until};
use serde_json::{Value, json};

/// Has the device take up a certificate that lets it write this.
fn certified_to_write(world: &World, device: &Device, key: &str, write: &str) {
    let issue = [
        "issue",
        "--subject",
        key,
        "--name",
        "till",
        "--output",
        "till.crt",
        "--force",
        "--read",
        "everything",
        "--write",
        write,
    ];
    cert(world, &issue).ok();
    device.finish(["cert", "install", "till.crt"]).ok();
}

fn withheld(device: &Device) -> Value {
    device.status()["withheld"].clone()
}

/// Goal: what is written while no daemon runs waits for one, and what a narrower certificate does not let the device seal is named,
/// until a certificate gives it again; where nothing is held back, nothing is said.
#[test]
fn what_others_do_not_get_is_told() {
    let world = World::new();
    cert(&world, &["issuer", "--app", "shop", "--name", "Root"]).ok();
    let (device, key) = uncertified(&world, "till", "issuer.crt");
    certified_to_write(&world, &device, &key, "everything");
    assert_eq!(withheld(&device), Value::Null);
    for id in ["a", "b"] {
        device.insert("cars", &json!({ "_id": id }));
    }
    assert_eq!(withheld(&device)["unsealed"], 2);
    let text = device.finish(["status"]).ok();
    assert!(
        text.contains("changes of 2 documents, which go out when the daemon runs"),
        "{text}"
    );

    certified_to_write(&world, &device, &key, "cars WHERE _id = 'a'");
    let daemon = device.start(&[]);
    wait_until("what can be sealed is", || {
        withheld(&device)["unsealed"] == 0
    });
    let told = withheld(&device);
    assert_eq!(told["setAside"], 1);
    assert_eq!(
        told["setAsideFirst"],
        json!([{ "collection": "cars", "id": "b" }])
    );
    assert_eq!(told["reason"], Value::Null);
    let text = device.finish(["status"]).ok();
    assert!(
        text.contains("set aside") && text.contains("cars \"b\""),
        "{text}"
    );

    certified_to_write(&world, &device, &key, "cars");
    wait_until("nothing is held back", || withheld(&device) == Value::Null);
    assert_eq!(daemon.end_by("TERM"), Some(0));
}
