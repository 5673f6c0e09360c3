//! Damaged files of a store: told with what to do, and left as they are.

use crate::filled::{Filled, assert_parts};
use crate::harness::{SECRET, World, finish, wait_until_same};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The database's own log of its doings and its lock, which every try to open it writes.
const WRITTEN_BY_OPENING: [&str; 3] = ["LOG", "LOCK", "LOG.old"];

fn files(store: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = fs::read_dir(store).unwrap().flatten();
    let files = entries.filter_map(|entry| {
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let is_data = !WRITTEN_BY_OPENING.iter().any(|own| text.starts_with(own));
        // The folder of attachments is none of the database's.
        let is_data = is_data && entry.path().is_file();
        is_data.then(|| (name.clone(), fs::read(entry.path()).unwrap()))
    });
    files.collect()
}

/// The write-ahead log that holds the last writes.
fn log(store: &Path) -> PathBuf {
    let entries = fs::read_dir(store)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let logs = entries.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    logs.max_by_key(size).expect("a write-ahead log")
}

/// Damages a device's store, and sees that commands tell it and touch nothing.
fn assert_told_and_kept(damage: impl Fn(&Path), part: &str) {
    let world = World::new();
    let filled = Filled::new(&world);
    // Killed, so that the write-ahead log keeps what came last.
    let daemon = filled.device.start(&[]);
    for number in 0..50 {
        let document = serde_json::json!({"_id": format!("more-{number}")});
        filled.device.insert("cars", &document);
    }
    daemon.kill();
    let state = filled.device.state.clone();
    let store = state.join("store");
    damage(&store);
    let before = files(&store);
    for arguments in [
        &["status"][..],
        &["query", "SELECT * FROM cars"],
        &[
            "run",
            "--until-stdin-ends",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ],
    ] {
        let ended = filled.device.finish(arguments);
        let state = state.to_str().unwrap();
        assert_parts(
            arguments,
            &ended,
            &[part, "damaged", "Nothing was deleted", state, "sedge init"],
        );
        assert_eq!(files(&store), before, "{arguments:?} left the files alone");
    }
}

/// Goal: a damaged byte amid the write-ahead log is told; what lies behind it is not dropped in silence.
#[test]
fn a_damaged_log_is_told() {
    let flip = |store: &Path| {
        let log = log(store);
        let mut bytes = fs::read(&log).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(&log, bytes).unwrap();
    };
    assert_told_and_kept(flip, "were acknowledged");
}

/// Goal: a store whose CURRENT is lost or damaged is not taken for a new one.
#[test]
fn a_lost_or_damaged_current_is_told() {
    assert_told_and_kept(
        |store| fs::remove_file(store.join("CURRENT")).unwrap(),
        "CURRENT",
    );
    assert_told_and_kept(
        |store| fs::write(store.join("CURRENT"), "x").unwrap(),
        "CURRENT",
    );
}

/// Goal: doing what the message says brings the documents back from the other peers.
#[test]
fn a_device_made_anew_refills() {
    let world = World::new();
    let filled = Filled::new(&world);
    let damaged = &filled.device;
    let other = world.device("other");
    let other_runs = other.start(&[]);
    let runs = damaged.start(&[&other_runs]);
    wait_until_same(&[damaged, &other], "cars", 2);
    assert_eq!(runs.end_by("TERM"), Some(0));
    fs::remove_file(damaged.state.join("store/CURRENT")).unwrap();
    let advice = damaged.finish(["status"]).refused().to_owned();

    let moved = world.path().join("moved");
    fs::rename(&damaged.state, &moved).unwrap();
    let (_, line) = advice.split_once("sedge ").expect("a command");
    let line = line
        .replace("APP", "shop")
        .replace("MOVED", moved.to_str().unwrap());
    finish(world.sedge().args(line.split_whitespace())).ok();
    assert_eq!(
        fs::read_to_string(damaged.state.join("secret"))
            .unwrap()
            .trim(),
        SECRET
    );
    let _runs = damaged.start(&[&other_runs]);
    wait_until_same(&[damaged, &other], "cars", 2);
}
