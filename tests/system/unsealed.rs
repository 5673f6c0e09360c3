//! What a device has written and not sealed yet outlives a kill and a full disk, and leaves in the end.

use crate::harness::{Device, World, skip, wait_until_same};
use crate::load::Writer;
use crate::space::Disk;
use sedge_crdt::{FeedLimits, Store};
use sedge_identity::{AppId, PublicKey};
use std::fs;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::Duration;

const KILLS: u64 = 8;
const WRITERS: u64 = 4;
/// Documents of each writer whose history is looked at.
const LOOKED_AT: usize = 4;
/// Fewer than are sealed while nobody hears of them.
const DOCUMENTS: u64 = 50;

/// How many transactions of a device at rest are not sealed.
fn unsealed(device: &Device, copy: &Device) -> u64 {
    let peer: libp2p::PeerId = device.peer_id().parse().unwrap();
    let key = PublicKey::from_peer_id(&peer).unwrap();
    let app = AppId::new("shop").unwrap();
    let store = Store::open(&copy.state.join("store"), &app, &key).unwrap();
    let limits = FeedLimits {
        wanted: &|_| true,
        full: &mut |_| false,
        scan_max: 1_000_000,
    };
    store.feed().last - store.feed_page(0, limits).unwrap().up_to
}

/// Sees that a device has documents of another one with their author, which only a seal tells.
fn assert_authored(device: &Device, collection: &str, author: &str) {
    let ids = format!("SELECT _id FROM {collection} ORDER BY _id LIMIT {LOOKED_AT}");
    for row in device.rows(&ids) {
        let id = row["_id"].as_str().unwrap();
        let history = device.rows(&format!("HISTORY OF '{id}' FROM {collection}"));
        assert!(!history.is_empty(), "{id}");
        for change in history {
            assert_eq!(change["author"]["name"], author, "{change}");
            assert_eq!(change["own"], false, "{change}");
        }
    }
}

/// Goal: whatever a daemon acknowledged before it was killed, also the moment before, when it was not sealed yet, arrives at
/// a peer once the daemon is back, sealed by its author.
#[test]
fn what_a_kill_left_unsealed_is_sealed_later() {
    let world = World::new();
    let (a, b) = (world.device("A"), world.device("B"));
    let mut writers: Vec<Writer> = (0..WRITERS).map(|n| Writer::new(&a, n, n)).collect();
    let mut left = 0;
    for kill in 0..KILLS {
        let daemon = a.start(&[]);
        thread::scope(|scope| {
            for writer in &mut writers {
                scope.spawn(|| writer.write());
            }
            thread::sleep(Duration::from_millis(40 + 20 * kill));
            daemon.kill();
        });
        for writer in &mut writers {
            writer.check(&a);
        }
        let copy = a.moved(&world.path().join(format!("copy{kill}")));
        left += unsealed(&a, &copy);
    }
    let acknowledged: u64 = writers.iter().map(|writer| writer.count).sum();
    println!("{left} of {acknowledged} transactions were not sealed when their daemon was killed");
    assert!(left > 0, "the test means something");

    let daemon = a.start(&[]);
    let _daemon = b.start(&[&daemon]);
    for n in 0..WRITERS {
        let name = format!("writer{n}");
        wait_until_same(&[&a, &b], &name, a.documents(&name));
        assert_authored(&b, &name, "A");
    }
    for writer in &mut writers {
        writer.check(&b);
    }
}

/// Goal: on a disk that is full, a device with unsealed changes is told so instead of starting; where it is nearly full the
/// device starts, tells that they are not sealed, and keeps them back. As soon as there is space the same daemon seals all of
/// them and sends them on.
#[test]
fn unsealed_changes_wait_for_space() {
    let world = World::new();
    let disk = match Disk::new(&world) {
        Ok(disk) => disk,
        Err(reason) => return skip("unsealed_changes_wait_for_space", &reason),
    };
    let (device, other) = (world.device("D"), world.device("other"));
    let device = device.moved(&disk.path.join("d"));
    // What the harness writes beside the state has room elsewhere.
    for name in ["log", "announced"] {
        symlink(
            world.path().join(format!("d.{name}")),
            device.state.join(name),
        )
        .unwrap();
    }
    // Its own certificate is kept in the store from the first start on.
    device.start(&[]).end_by_stdin();
    let lines = (0..DOCUMENTS).map(|n| format!("{{\"_id\":\"{n:03}\"}}\n"));
    let file = world.file("cars.ndjson", lines.collect::<String>());
    let import = ["import", file.to_str().unwrap(), "--collection", "cars"];
    device.finish(import).ok();

    let anywhere = device.anywhere();
    let run = [
        "run",
        "--no-discovery",
        "--until-stdin-ends",
        "--listen",
        &anywhere,
    ];
    let starts = |free_kib: &u64| {
        disk.fill_but(free_kib << 10);
        // Standard input has ended already, so that a daemon that starts ends at once.
        let ended = device.finish(run);
        println!("{free_kib} KiB: {ended:?}");
        if ended.code != Some(0) {
            let told = ended.refused();
            for part in ["No space left on device", "Free some space"] {
                assert!(told.contains(part), "{told}");
            }
        }
        ended.code == Some(0)
    };
    assert!(!starts(&0), "the test means something");
    let free_kib = [64, 256, 1_024, 4_096].into_iter().find(starts);
    disk.fill_but(free_kib.expect("it starts with less than it needs to write") << 10);
    let there = other.start(&[]);
    let mut daemon = device.start(&[&there]);
    assert!(
        daemon.log().contains("they are not sealed"),
        "{}",
        daemon.log()
    );
    assert_eq!(device.documents("cars"), DOCUMENTS);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(other.documents("cars"), 0);

    fs::remove_file(disk.ballast()).unwrap();
    wait_until_same(&[&device, &other], "cars", DOCUMENTS);
    daemon.assert_running();
    assert_authored(&other, "cars", "D");
    device.query("INSERT INTO cars DOCUMENTS ({'_id': 'later'})");
    wait_until_same(&[&device, &other], "cars", DOCUMENTS + 1);
}
