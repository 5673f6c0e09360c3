//! Peers that are killed at the worst moment.

use crate::harness::{Daemon, Device, Ended, World, line, wait_until, wait_until_same};
use crate::processes::Guarded;
use serde_json::json;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

const DOCUMENTS: u64 = 20_000;
/// Documents that are handed over only once the daemon is dead, so that the import cannot be over before.
const WITHHELD: u64 = 4_000;
/// Documents that must have arrived somewhere before something is killed.
const BEGUN: u64 = 1_500;
/// Starts and ends of a daemon: what goes wrong at an end goes wrong seldom.
const ENDS: u32 = 40;

fn documents(numbers: std::ops::Range<u64>) -> String {
    let line = |n| {
        format!(
            "{{\"_id\":\"d{n:06}\",\"n\":{n},\"place\":{{\"city\":\"c{}\",\"at\":[{n},{}.5]}}}}\n",
            n % 97,
            n % 180
        )
    };
    numbers.map(line).collect()
}

/// `sedge import -` whose last lines wait for [`finish`](Self::finish).
struct Import {
    child: Guarded,
    finish: mpsc::SyncSender<()>,
    feeder: JoinHandle<()>,
}

impl Import {
    fn begin(device: &Device) -> Self {
        let mut import = device.sedge();
        import.args(["import", "-", "--collection", "things"]);
        import
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child: Child = import.spawn().expect("the import starts");
        let mut input: ChildStdin = child.stdin.take().expect("its input");
        let (finish, finished) = mpsc::sync_channel(1);
        let feeder = thread::spawn(move || {
            let (first, rest) = (
                documents(0..DOCUMENTS - WITHHELD),
                documents(DOCUMENTS - WITHHELD..DOCUMENTS),
            );
            // The import may have given up already, and a failed test never says when.
            if input.write_all(first.as_bytes()).is_ok() && finished.recv().is_ok() {
                input.write_all(rest.as_bytes()).ok();
            }
        });
        Self {
            child: Guarded(child),
            finish,
            feeder,
        }
    }

    /// Hands over the rest and waits for the end.
    fn finish(mut self) -> Ended {
        // A feeder whose import has given up listens no more.
        self.finish.send(()).ok();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let child = &mut self.child.0;
        child
            .stdout
            .take()
            .expect("its output")
            .read_to_string(&mut stdout)
            .expect("text");
        child
            .stderr
            .take()
            .expect("its errors")
            .read_to_string(&mut stderr)
            .expect("text");
        self.feeder.join().expect("the feeder ended");
        Ended {
            code: self.child.ended(),
            stdout,
            stderr,
        }
    }
}

/// Waits until some documents have come, and gives how many; not all can have.
fn wait_for_some(device: &Device) -> u64 {
    let mut some = 0;
    wait_until("some documents have come", || {
        some = device.documents("things");
        some >= BEGUN
    });
    assert!(some < DOCUMENTS, "not all of them: {some}");
    some
}

fn import_all(world: &World, device: &Device) -> Ended {
    let file = world.file("all.ndjson", documents(0..DOCUMENTS));
    device.finish([
        "import",
        file.to_str().unwrap(),
        "--collection",
        "things",
        "--json",
    ])
}

/// Goal: the importing peer is killed in mid-import: the import says so, what the peer showed is still there, and after
/// a second import all peers hold everything.
#[test]
fn the_importing_peer_is_killed() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let [daemon_a, _daemon_b, _daemon_c] = line(&a, &b, &c);
    let import = Import::begin(&a);
    let shown = wait_for_some(&a);
    let address = daemon_a.address.clone();
    daemon_a.kill();
    let failed = import.finish();
    let reason = failed.refused();
    for part in ["daemon", "in before", "safe to import the file again"] {
        assert!(
            reason.contains(part),
            "what failed and what to do: {reason}"
        );
    }

    // What was shown was durable, and it is whole.
    let kept = a.documents("things");
    assert!(
        kept >= shown,
        "{shown} documents were shown, {kept} are left"
    );
    let statement = "SELECT COUNT(*) AS n FROM things WHERE n IS MISSING OR place.city IS MISSING";
    assert_eq!(a.query(statement)["items"], json!([{"n": 0}]));

    let _daemon_a = a.start_again(&address, &[]);
    let again = import_all(&world, &a);
    assert_eq!(again.code, Some(0), "{again:?}");
    let counts = again.json();
    let counted = |key: &str| counts[key].as_u64().expect("a count");
    assert_eq!(
        counted("written") + counted("unchanged"),
        DOCUMENTS,
        "{counts}"
    );
    assert!(counted("unchanged") >= shown, "{counts}");
    wait_until_same(&[&a, &b, &c], "things", DOCUMENTS);
}

/// Goal: the peer in the middle is killed while an import flows through it; everything arrives once it is back.
#[test]
fn the_middle_peer_is_killed() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let [daemon_a, daemon_b, _daemon_c] = line(&a, &b, &c);
    let import = Import::begin(&a);
    wait_for_some(&b);
    let address = daemon_b.address.clone();
    daemon_b.kill();
    let imported = import.finish();
    assert_eq!(
        imported.code,
        Some(0),
        "the import does not depend on the middle: {imported:?}"
    );
    assert!(c.documents("things") < DOCUMENTS, "C met A only through B");

    let _daemon_b = b.start_again(&address, &[&daemon_a]);
    wait_until_same(&[&a, &b, &c], "things", DOCUMENTS);
}

/// Goal: the peer at the end is killed, again and again, while it receives; it catches up every time.
#[test]
fn the_last_peer_is_killed_repeatedly() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let [_daemon_a, daemon_b, daemon_c] = line(&a, &b, &c);
    let import = Import::begin(&a);
    let first = wait_for_some(&c);
    daemon_c.kill();
    let kept = c.documents("things");
    assert!(
        kept >= first,
        "{first} documents were shown, {kept} are left"
    );
    for _ in 0..3 {
        let daemon_c = c.start(&[&daemon_b]);
        wait_until("a little more has come", || c.documents("things") > BEGUN);
        daemon_c.kill();
    }
    assert_eq!(import.finish().code, Some(0));
    let _daemon_c = c.start(&[&daemon_b]);
    wait_until_same(&[&a, &b, &c], "things", DOCUMENTS);
}

/// Goal: a daemon that is told to stop in mid-import stops in good order, and the import says what happened.
#[test]
fn a_daemon_stopped_in_mid_import_ends_in_good_order() {
    let world = World::new();
    let a = world.device("A");
    let daemon = a.start(&[]);
    let import = Import::begin(&a);
    let shown = wait_for_some(&a);
    assert_eq!(daemon.end_by("TERM"), Some(0));
    let failed = import.finish();
    let reason = failed.refused();
    assert!(reason.contains("daemon"), "{reason}");
    assert!(a.documents("things") >= shown);
    assert_eq!(import_all(&world, &a).code, Some(0), "without a daemon");
    assert_eq!(a.documents("things"), DOCUMENTS);
}

/// Goal: what a killed daemon leaves behind, socket and lock, hinders nobody.
#[test]
fn a_killed_daemon_leaves_nothing_in_the_way() {
    let world = World::new();
    let a = world.device("A");
    a.insert("cars", &json!({"_id": "a"}));
    let daemon: Daemon = a.start(&[]);
    let address = daemon.address.clone();
    daemon.kill();
    assert!(
        a.state.join("run/sedge.sock").exists(),
        "the test means something"
    );
    assert!(a.state.join("lock").exists(), "the test means something");
    a.insert("cars", &json!({"_id": "b"}));
    let again = a.start_again(&address, &[]);
    assert_eq!(again.address, address);
    assert_eq!(a.status()["running"], json!(true));
    assert_eq!(a.documents("cars"), 2);
    assert_eq!(again.end_by("TERM"), Some(0));
    assert!(
        !a.state.join("run/sedge.sock").exists(),
        "an orderly end removes the socket"
    );
}

/// Goal: a daemon ends with the exit code that it should have every time, whether it ran or could not start: nothing
/// is torn down under threads that still use it.
#[test]
fn every_end_is_in_good_order() {
    let world = World::new();
    let a = world.device("A");
    a.insert("cars", &json!({"_id": "a"}));
    let run = ["run", "--no-discovery", "--until-stdin-ends", "--listen"];
    let mut wrong = Vec::new();
    for _ in 0..ENDS {
        // Standard input has ended already, so a daemon that starts ends at once.
        for (address, code) in [("/ip4/127.0.0.1/tcp/0", 0), ("/ip4/192.0.2.1/tcp/0", 1)] {
            let ended = a.finish(run.iter().chain([&address]));
            if ended.code != Some(code) {
                wrong.push((address, ended.code, ended.stderr));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {ENDS} twice: {wrong:#?}",
        wrong.len()
    );
}
