//! A state folder that was copied by hand: two daemons with one peer id, which a third peer meets one after the other.

use crate::harness::{Daemon, Device, World, wait_until, wait_until_same};
use serde_json::json;

const WARNING: &str = "two stores write as one device";

fn warnings(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    let found = log.lines().filter(|line| line.contains(WARNING));
    found.map(str::to_owned).collect()
}

/// Goal: the third peer and both copies end with the same documents, all logs name the device, and what both write later is
/// taken.
#[test]
fn a_copied_folder_is_told_and_all_end_alike() {
    let world = World::new();
    let (a, c) = (world.device("A"), world.device("C"));
    a.insert("things", &json!({"_id": "x", "v": "base"}));
    a.start(&[]).end_by_stdin();
    let copy = a.moved(&world.path().join("copy"));
    assert_eq!(a.peer_id(), copy.peer_id());
    let set = |device: &Device, set: &str| drop(device.query(&format!("UPDATE things SET {set}")));
    for (device, name) in [(&a, "a"), (&copy, "copy")] {
        set(device, &format!("v = '{name}', {name} = 1"));
        device.insert("things", &json!({"_id": name}));
    }
    let middle = c.start(&[]);
    let daemon = a.start(&[&middle]);
    wait_until_same(&[&a, &c], "things", 2);
    assert_eq!(warnings(&middle), [] as [&str; 0]);
    daemon.end_by_stdin();

    let daemon = copy.start(&[&middle]);
    wait_until_same(&[&copy, &c], "things", 3);
    wait_until("both are warned", || {
        [&middle, &daemon].iter().all(|it| !warnings(it).is_empty())
    });
    for line in [warnings(&middle), warnings(&daemon)].concat() {
        assert!(
            line.contains("device=A") && line.contains(&a.peer_id()),
            "{line}"
        );
    }
    set(&copy, "later = 'copy'");
    wait_until_same(&[&copy, &c], "things", 3);
    daemon.end_by_stdin();

    let daemon = a.start(&[&middle]);
    wait_until_same(&[&a, &c], "things", 3);
    set(&a, "again = 'a'");
    wait_until("what both wrote later is there", || {
        let both = "SELECT _id FROM things WHERE later = 'copy' AND again = 'a'";
        c.rows(both).len() == 3
    });
    wait_until_same(&[&a, &c], "things", 3);
    daemon.end_by_stdin();
    let _daemon = copy.start(&[&middle]);
    wait_until_same(&[&a, &copy, &c], "things", 3);
    assert_eq!(warnings(&middle).len(), 1, "once for the device");
    let told = c.status()["copiedDevices"].clone();
    assert_eq!(told, json!([{ "name": "A", "peer": a.peer_id() }]));
    let refusal = middle
        .log()
        .lines()
        .find(|line| line.contains("reject"))
        .map(str::to_owned);
    assert_eq!(refusal, None);
}
