//! What a device with some rights only may write on itself, whichever way it is asked.

use crate::certificates::{cert, uncertified};
use crate::harness::{Device, World, wait_until, wait_until_same};
use sedge::StateFolder;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// The rule of the device's certificate.
const RULE: &str = "_id.shop = :shop";

/// A device of shop berlin, which may write its own shop's cars, and its certificate is installed.
fn limited(world: &World) -> Device {
    cert(world, &["issuer", "--app", "shop", "--name", "Root"]).ok();
    let (device, key) = uncertified(world, "till-1", "issuer.crt");
    let write = json!({ "queriesByCollection": { "cars": [RULE] } });
    world.file("permissions", json!({ "write": write }).to_string());
    let issue = [
        "issue",
        "--subject",
        &key,
        "--name",
        "till-1",
        "--output",
        "till-1.crt",
        "--claim",
        "shop=berlin",
        "--permissions",
        "permissions",
    ];
    cert(world, &issue).ok();
    device.finish(["cert", "install", "till-1.crt"]).ok();
    device
}

fn car(shop: &str, n: i64) -> String {
    json!({ "_id": { "shop": shop, "n": n } }).to_string()
}

fn insert(shop: &str, n: i64) -> String {
    format!("INSERT INTO cars DOCUMENTS ({{'_id': {{'shop': '{shop}', 'n': {n}}}}})")
}

fn assert_told(reason: &str) {
    let expected = format!("the certificate of the device \"till-1\" asks for {RULE};");
    assert!(reason.contains(&expected), "{reason}");
    assert!(reason.contains("sedge cert install"), "{reason}");
}

/// Goal: without a daemon, a document that the certificate gives is written, and another one is refused with the rule, by a
/// statement as a whole and by an import alone.
#[test]
fn a_device_keeps_to_its_rights_offline() {
    let world = World::new();
    let device = limited(&world);
    device.query(&insert("berlin", 1));
    let two = format!(
        "{}, ({})",
        insert("berlin", 2),
        car("paris", 2).replace('"', "'")
    );
    for statement in [
        insert("paris", 1),
        two,
        "INSERT INTO bikes DOCUMENTS ({})".to_owned(),
    ] {
        let ended = device.finish(["query", &statement]);
        let reason = ended.refused();
        match statement.contains("bikes") {
            true => assert!(reason.contains("no right to this collection"), "{reason}"),
            false => assert_told(reason),
        }
    }
    let lines = [car("berlin", 3), car("paris", 3), car("berlin", 1)].join("\n");
    world.file("lines", lines);
    let ended = device.finish(["import", "--collection", "cars", "lines", "--json"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let told = ended.json();
    assert_eq!(
        (&told["rejected"], &told["unchanged"]),
        (&json!(1), &json!(1))
    );
    assert_told(&told.to_string().replace("\\\"", "\""));
    let found = device.query("SELECT _id.n AS n FROM cars ORDER BY n");
    assert_eq!(found["items"], json!([{ "n": 1 }, { "n": 3 }]));
    device.query("UPDATE cars SET km = 5");
    device.query("DELETE FROM cars WHERE _id.n = 3");
}

/// Asks the daemon over its socket; gives the status and the body.
fn post(device: &Device, call: &str, body: &Value) -> (u16, Value) {
    let path = StateFolder::new(&device.state).socket_path().unwrap();
    let mut socket = UnixStream::connect(path).unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /api/v1/store/{call} HTTP/1.1\r\nHost: sedge\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// Goal: the same through a daemon's HTTP interface, where a refusal is a problem with status 403; what it refuses is not
/// there.
#[test]
fn a_daemon_keeps_to_its_rights() {
    let world = World::new();
    let device = limited(&world);
    let daemon = device.start(&[]);
    let execute = |statement: &str| post(&device, "execute", &json!({ "statement": statement }));
    assert_eq!(execute(&insert("berlin", 1)).0, 200);
    let (status, problem) = execute(&insert("paris", 1));
    assert_eq!((status, &problem["status"]), (403, &json!(403)));
    assert_eq!(problem["title"], "Forbidden");
    assert_told(problem["detail"].as_str().unwrap());
    let documents = [car("berlin", 2), car("paris", 2)];
    let documents = documents.map(|json| serde_json::from_str::<Value>(&json).unwrap());
    let import = json!({ "collection": "cars", "documents": documents });
    let (status, answer) = post(&device, "import", &import);
    assert_eq!(
        (status, &answer["written"], &answer["rejectedCount"]),
        (200, &json!(1), &json!(1))
    );
    assert_eq!(answer["rejected"][0]["index"], 1);
    assert_told(answer["rejected"][0]["reason"].as_str().unwrap());
    let told = device.finish(["query", &insert("paris", 3)]);
    assert_told(told.refused());
    let found = device.query("SELECT _id.n AS n FROM cars ORDER BY n");
    assert_eq!(found["items"], json!([{ "n": 1 }, { "n": 2 }]));
    assert_eq!(daemon.end_by("TERM"), Some(0));
}

/// Goal: a certificate that an issuer below the root made is limited by the issuer's own and by the root's.
#[test]
fn a_device_keeps_to_its_issuers_rights() {
    let world = World::new();
    let root = [
        "issuer",
        "--app",
        "shop",
        "--name",
        "Root",
        "--read",
        "everything",
    ];
    cert(
        &world,
        &[&root[..], &["--write", "cars WHERE _id LIKE '%e%'"]].concat(),
    )
    .ok();
    let site = [
        "issuer",
        "--name",
        "Site",
        "--issuer",
        "issuer.crt",
        "--issuer-key",
        "issuer.key",
        "--certificate",
        "site.crt",
        "--key",
        "site.key",
        "--write",
        "cars WHERE _id LIKE 's%'",
    ];
    cert(&world, &site).ok();
    let (device, key) = uncertified(&world, "A", "issuer.crt");
    let issue = [
        "issue",
        "--issuer",
        "site.crt",
        "--key",
        "site.key",
        "--subject",
        &key,
        "--name",
        "A",
        "--output",
        "A.crt",
        "--write",
        "cars",
    ];
    cert(&world, &issue).ok();
    device.finish(["cert", "install", "A.crt"]).ok();
    device.insert("cars", &json!({ "_id": "site" }));
    for (id, holder) in [
        ("bike", "\"Site\" asks for _id LIKE 's%'"),
        ("sit", "\"Root\" asks for"),
    ] {
        let statement = format!("INSERT INTO cars DOCUMENTS ({{'_id': '{id}'}})");
        let ended = device.finish(["query", &statement]);
        assert!(ended.refused().contains(holder), "{ended:?}");
    }
}

/// Goal: a certificate that is renewed under a running daemon reaches the connected peer on the same connection, and its
/// rights count from then on: what it takes away is refused, what it leaves goes on to arrive. One that lets the device read
/// a part only ends the connection, with one line at the peer, until another is installed.
#[test]
fn renewed_rights_count_while_connected() {
    let world = World::new();
    cert(&world, &["issuer", "--app", "shop", "--name", "Root"]).ok();
    let [(a, other), (b, key)] = ["A", "B"].map(|name| uncertified(&world, name, "issuer.crt"));
    let certify = |device: &Device, key: &str, name: &str, rights: &[&str]| {
        let issue = [
            "issue",
            "--force",
            "--output",
            "new.crt",
            "--subject",
            key,
            "--name",
            name,
        ];
        cert(&world, &[&issue[..], rights].concat()).ok();
        device.finish(["cert", "install", "new.crt"]).ok();
    };
    certify(&a, &other, "A", &[]);
    certify(&b, &key, "B", &[]);
    let first = a.start(&[]);
    let _second = b.start(&[&first]);
    let peer = || a.finish(["peers", "--json"]).json()[0].clone();
    let is_named = |name: &str| {
        wait_until(&format!("A knows its peer as {name}"), || {
            peer()["name"] == name
        });
    };
    is_named("B");
    b.insert("cars", &json!({"_id": "before"}));
    b.insert("bikes", &json!({"_id": "before"}));
    wait_until_same(&[&a, &b], "bikes", 1);
    let since = peer()["connectedSinceMs"].clone();

    certify(
        &b,
        &key,
        "B, limited",
        &["--read", "everything", "--write", "cars"],
    );
    is_named("B, limited");
    let ended = b.finish(["query", "INSERT INTO bikes DOCUMENTS ({'_id': 'after'})"]);
    assert!(
        ended.refused().contains("no right to this collection"),
        "{ended:?}"
    );
    b.insert("cars", &json!({"_id": "after"}));
    wait_until_same(&[&a, &b], "cars", 2);
    wait_until_same(&[&a, &b], "bikes", 1);
    assert_eq!(
        peer()["connectedSinceMs"],
        since,
        "it is the same connection"
    );

    certify(&b, &key, "B, blind", &["--read", "cars"]);
    wait_until("A closes the connection", || peer() == Value::Null);
    let log = first.log();
    let told: Vec<_> = log
        .lines()
        .filter(|line| line.contains("is refused"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains(&b.peer_id()) && told[0].contains("read a part only"),
        "{told:?}"
    );

    certify(&b, &key, "B again", &[]);
    is_named("B again");
    b.insert("bikes", &json!({"_id": "after"}));
    wait_until_same(&[&a, &b], "bikes", 2);
}

/// Goal: what a certificate did not let leave does at once under one that does, which is installed while the daemon runs: no
/// other write and no restart is needed.
#[test]
fn a_wider_certificate_lets_go_what_was_set_aside() {
    let world = World::new();
    cert(&world, &["issuer", "--app", "shop", "--name", "Root"]).ok();
    let issue = |key: &str, output: &str, rights: &[&str]| {
        let issue = [
            "issue",
            "--subject",
            key,
            "--name",
            output,
            "--output",
            output,
        ];
        cert(&world, &[&issue[..], rights].concat()).ok();
    };
    let (a, key) = uncertified(&world, "A", "issuer.crt");
    issue(&key, "wide.crt", &[]);
    issue(
        &key,
        "narrow.crt",
        &["--read", "everything", "--write", "bikes"],
    );
    let (b, key) = uncertified(&world, "B", "issuer.crt");
    issue(&key, "B.crt", &[]);
    b.finish(["cert", "install", "B.crt"]).ok();

    for id in ["early", "soon"] {
        a.insert("cars", &json!({ "_id": id })); // no certificate keeps it from that
    }
    a.finish(["cert", "install", "narrow.crt"]).ok();
    let first = b.start(&[]);
    let second = a.start(&[&first]);
    a.insert("bikes", &json!({ "_id": "first" }));
    wait_until_same(&[&a, &b], "bikes", 1);
    wait_until("the cars are set aside", || {
        a.status()["withheld"]["setAside"] == 2
    });
    let told = second.log();
    let lines = told
        .lines()
        .filter(|line| line.contains("does not let it write"));
    assert_eq!(lines.count(), 1, "{told}");
    assert!(told.contains("documents=2"), "{told}");
    assert_eq!(b.documents("cars"), 0);
    a.finish(["cert", "install", "wide.crt"]).ok();
    wait_until_same(&[&a, &b], "cars", 2);
}

/// Goal: a device whose roots are gone is not free of its limits: it says which file is missing.
#[test]
fn a_device_without_its_roots_writes_nothing() {
    let world = World::new();
    let device = limited(&world);
    std::fs::remove_file(device.state.join("roots.crt")).unwrap();
    for arguments in [&["query", &insert("paris", 1)][..], &["run"]] {
        let ended = device.finish(arguments);
        assert!(ended.refused().contains("roots.crt"), "{ended:?}");
    }
}
