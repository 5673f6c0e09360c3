//! Peers that stand in a line carry each other's documents.

use crate::harness::{Device, World, line, wait_until, wait_until_same};
use serde_json::{Value, json};

fn wait_for_rows(devices: &[&Device], statement: &str, expected: &[Value]) {
    for device in devices {
        let what = format!(
            "{statement} gives {expected:?} at {}",
            device.state.display()
        );
        wait_until(&what, || device.rows(statement) == expected);
    }
}

/// Goal: what is inserted at either end arrives at all, edits and deletions follow, whoever makes them.
#[test]
fn writes_at_both_ends_arrive_everywhere() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let _daemons = line(&a, &b, &c);
    let all = [&a, &b, &c];
    for number in 0..20 {
        a.insert(
            "cars",
            &json!({"_id": format!("a{number:02}"), "n": number}),
        );
        c.insert(
            "cars",
            &json!({"_id": format!("c{number:02}"), "n": number}),
        );
    }
    wait_until_same(&all, "cars", 40);

    // Each end changes what the other end made.
    c.query("UPDATE cars SET sold.to = 'C' WHERE _id = 'a07'");
    a.query("UPDATE cars SET sold.to = 'A' WHERE _id = 'c07'");
    let sold = [
        json!({"_id": "a07", "to": "C"}),
        json!({"_id": "c07", "to": "A"}),
    ];
    let statement = "SELECT _id, sold.to AS to FROM cars WHERE sold IS NOT MISSING ORDER BY _id";
    wait_for_rows(&all, statement, &sold);
    c.query("DELETE FROM cars WHERE _id LIKE 'a1%'");
    a.query("DELETE FROM cars WHERE _id = 'c00'");
    wait_until_same(&all, "cars", 29);
    wait_for_rows(
        &all,
        "SELECT _id FROM cars WHERE _id LIKE 'a1%' OR _id = 'c00'",
        &[],
    );

    // A deleted document can come back.
    b.insert("cars", &json!({"_id": "c00", "again": true}));
    wait_for_rows(
        &all,
        "SELECT * FROM cars WHERE _id = 'c00'",
        &[json!({"_id": "c00", "again": true})],
    );
    wait_until_same(&all, "cars", 30);
}

/// Goal: one document that two devices made apart from each other, with nested maps, is merged key by key.
#[test]
fn nested_maps_made_apart_are_merged() {
    let world = World::new();
    let [a, b, c] = world.devices();
    a.insert(
        "sites",
        &json!({"_id": "s", "place": {"north": {"a": 1}, "by": {"A": true}}}),
    );
    c.insert(
        "sites",
        &json!({"_id": "s", "place": {"north": {"c": 2}, "by": {"C": true}}, "only": "C"}),
    );
    let daemons = line(&a, &b, &c);
    let merged = json!({
        "_id": "s",
        "place": {"north": {"a": 1, "c": 2}, "by": {"A": true, "C": true}},
        "only": "C",
    });
    let all = [&a, &b, &c];
    wait_for_rows(&all, "SELECT * FROM sites", &[merged]);

    // Apart once more: edits of one map, and of one field.
    let [daemon_a, daemon_b, daemon_c] = daemons;
    daemon_b.kill();
    a.query("UPDATE sites SET place.by.late = 'A', place.floors = 3 WHERE _id = 's'");
    c.query("UPDATE sites SET place.by.later = 'C', place.floors = 4 WHERE _id = 's'");
    let _daemon_b = b.start(&[&daemon_a, &daemon_c]);
    let by = json!({"A": true, "C": true, "late": "A", "later": "C"});
    wait_for_rows(
        &all,
        "SELECT place.by AS \"by\" FROM sites",
        &[json!({"by": by})],
    );
    wait_until_same(&all, "sites", 1);
    let floors = a.rows("SELECT place.floors AS floors FROM sites");
    assert!(
        [json!(3), json!(4)].contains(&floors[0]["floors"]),
        "one of both: {floors:?}"
    );
}

/// Goal: a peer that comes late holds everything, edits and deletions made before it came included.
#[test]
fn a_late_peer_catches_up() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let [_daemon_a, _daemon_b, daemon_c] = line(&a, &b, &c);
    let lines: String = (0..3_000)
        .map(|n| format!("{{\"_id\":\"{n}\",\"n\":{n}}}\n"))
        .collect();
    let file = world.file("numbers.ndjson", lines);
    a.finish(["import", file.to_str().unwrap(), "--collection", "numbers"])
        .ok();
    wait_until_same(&[&a, &b, &c], "numbers", 3_000);
    b.query("UPDATE numbers SET even = true WHERE n % 2 = 0");
    c.insert("others", &json!({"_id": "o"}));
    wait_until_same(&[&a, &b, &c], "numbers", 3_000);
    a.query("DELETE FROM numbers WHERE n < 1000");

    let d = world.device("D");
    let _daemon_d = d.start(&[&daemon_c]);
    wait_until_same(&[&a, &b, &c, &d], "numbers", 2_000);
    wait_until_same(&[&a, &b, &c, &d], "others", 1);
    let even = d.query("SELECT COUNT(*) AS n FROM numbers WHERE even = true");
    assert_eq!(even["items"], json!([{"n": 1_000}]));
}

/// Goal: a peer that was gone is found again at its address by those who were told of it.
#[test]
fn a_neighbour_that_comes_back_is_found_again() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let [daemon_a, _daemon_b, _daemon_c] = line(&a, &b, &c);
    a.insert("cars", &json!({"_id": "before"}));
    wait_until_same(&[&a, &b, &c], "cars", 1);
    let address = daemon_a.address.clone();
    assert_eq!(daemon_a.end_by("TERM"), Some(0));
    c.insert("cars", &json!({"_id": "meanwhile at C"}));
    a.insert("cars", &json!({"_id": "meanwhile at A"}));
    let _daemon_a = a.start_again(&address, &[]);
    wait_until_same(&[&a, &b, &c], "cars", 3);
}

/// Goal: `peers` shows the neighbours, those alone, with name, direction and address.
#[test]
fn peers_are_the_neighbours() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let daemons = line(&a, &b, &c);
    let neighbours = |device: &Device| {
        let ended = device.finish(["peers", "--json"]);
        let peers = ended.json();
        let mut names: Vec<String> = Vec::new();
        for peer in peers.as_array().expect("a list") {
            names.push(format!(
                "{} {}",
                peer["name"].as_str().unwrap_or_default(), // null for a moment when the connection ends
                peer["direction"].as_str().unwrap()
            ));
        }
        names.sort();
        names
    };
    for (device, expected) in [
        (&a, vec!["B inbound"]),
        (&b, vec!["A outbound", "C inbound"]),
        (&c, vec!["B outbound"]),
    ] {
        wait_until(&format!("neighbours are {expected:?}"), || {
            neighbours(device) == expected
        });
    }
    let shown = wait_for_peer(&c);
    assert_eq!(shown["peer"], json!(b.peer_id()));
    let address = shown["address"].as_str().unwrap();
    assert!(
        daemons[1].address.starts_with(address),
        "{address} of {}",
        daemons[1].address
    );
    let text = c.finish(["peers"]).ok();
    assert!(
        text.contains(&b.peer_id()) && text.contains("outbound"),
        "{text}"
    );

    let [daemon_a, daemon_b, daemon_c] = daemons;
    daemon_b.kill();
    wait_until("B is nobody's neighbour any more", || {
        neighbours(&a).is_empty() && neighbours(&c).is_empty()
    });
    assert_eq!(daemon_a.end_by_stdin(), Some(0));
    assert_eq!(daemon_c.end_by("INT"), Some(0));
    let reason = a.finish(["peers"]);
    assert!(
        reason
            .refused()
            .contains("start it with: sedge run --state"),
        "{reason:?}"
    );
}

fn wait_for_peer(device: &Device) -> Value {
    device.finish(["peers", "--json"]).json()[0].clone()
}

/// Goal: a peer that holds one collection gets nothing of others, by whatever way they spread.
#[test]
fn a_peer_gets_only_what_it_subscribes_to() {
    let world = World::new();
    let [a, b, c] = world.devices();
    a.insert("cars", &json!({"_id": "old"}));
    a.insert("bikes", &json!({"_id": "old"}));
    let daemon_a = a.start(&[]);
    let daemon_b = b.start_with(
        "/ip4/127.0.0.1/tcp/0",
        ["--subscribe", "cars", "--peer", &daemon_a.address],
    );
    let _daemon_c = c.start(&[&daemon_a]);
    wait_until_same(&[&a, &b], "cars", 1);
    for number in 0..10 {
        a.insert("bikes", &json!({"_id": format!("b{number}")}));
        a.insert("cars", &json!({"_id": format!("c{number}")}));
    }
    // What arrives at B last was written last, and C shows that the others do travel.
    wait_until_same(&[&a, &b, &c], "cars", 11);
    wait_until_same(&[&a, &c], "bikes", 11);
    a.insert("cars", &json!({"_id": "last"}));
    wait_until_same(&[&a, &b, &c], "cars", 12);
    assert_eq!(b.held().keys().collect::<Vec<_>>(), ["cars"]);

    // It asks for all from now on and gets the rest.
    assert_eq!(daemon_b.end_by("TERM"), Some(0));
    let _daemon_b = b.start(&[&daemon_a]);
    wait_until_same(&[&a, &b, &c], "bikes", 11);
}

/// Goal: commands work without a daemon, and what they wrote goes out when one runs.
#[test]
fn what_is_written_without_a_daemon_is_synced_later() {
    let world = World::new();
    let [a, b, _] = world.devices();
    let file = world.file(
        "cars.ndjson",
        "{\"_id\":\"a\",\"n\":1}\n{\"_id\":\"b\",\"n\":2}\n",
    );
    let imported = a
        .finish(["import", file.to_str().unwrap(), "--collection", "cars"])
        .ok();
    assert!(
        imported.starts_with("2 documents written to cars"),
        "{imported}"
    );
    a.query("UPDATE cars SET n = 3 WHERE _id = 'b'");
    b.insert("cars", &json!({"_id": "c", "n": 9}));
    assert_eq!(a.status()["running"], json!(false));
    assert_eq!(
        a.finish(["export", "--collection", "cars"])
            .ok()
            .lines()
            .count(),
        2
    );

    let daemon_a = a.start(&[]);
    let daemon_b = b.start(&[&daemon_a]);
    assert_eq!(a.status()["running"], json!(true));
    wait_until_same(&[&a, &b], "cars", 3);
    assert_eq!(daemon_a.end_by("TERM"), Some(0));
    assert_eq!(daemon_b.end_by("TERM"), Some(0));
    let statement = "SELECT n FROM cars ORDER BY n";
    for device in [&a, &b] {
        assert_eq!(
            device.rows(statement),
            [json!({"n": 1}), json!({"n": 3}), json!({"n": 9})]
        );
    }
    assert_eq!(a.held(), b.held());
}
