//! The feed as `sedge feed` prints it: resumable over crashes, and telling who fell behind.

use crate::harness::{Device, World, wait_until};
use crate::processes::Guarded;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;

/// A reader that takes up the feed again and again, and what it has seen.
struct Follower {
    device: Device,
    lines: PathBuf,
    since: String,
    documents: BTreeMap<(String, String), Value>,
    sequence: u64,
    entries: usize,
}

impl Follower {
    fn new(world: &World, device: &Device) -> Self {
        Self {
            device: device.clone(),
            lines: world.path().join("lines"),
            since: "0".to_owned(),
            documents: BTreeMap::new(),
            sequence: 0,
            entries: 0,
        }
    }

    /// Follows the running daemon, from the last checkpoint on, into a file.
    fn follow(&self) -> Guarded {
        let mut feed = self.device.sedge();
        feed.args(["feed", "--follow", "--since", &self.since]);
        let lines = File::create(&self.lines).expect("a file for the lines");
        feed.stdout(lines).stderr(Stdio::null());
        Guarded(feed.spawn().expect("the program starts"))
    }

    /// How far what is in the file leads.
    fn printed_to(&self) -> u64 {
        let text = fs::read_to_string(&self.lines).expect("the lines");
        let ended = text.rfind("\n").map_or("", |end| &text[..end]);
        let last = ended.lines().rev().find_map(checkpoint);
        last.map_or(0, |checkpoint| sequence_of(&checkpoint))
    }

    /// Takes in what is in the file up to its last checkpoint; what comes after will be told again.
    fn take_in(&mut self) {
        let text = fs::read_to_string(&self.lines).expect("the lines");
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().rposition(|line| checkpoint(line).is_some());
        for line in &lines[..last.map_or(0, |last| last + 1)] {
            if let Some(checkpoint) = checkpoint(line) {
                self.since = checkpoint;
                continue;
            }
            let entry: Value = serde_json::from_str(line).expect("JSON");
            let sequence = entry["sequence"].as_u64().expect("a sequence");
            assert!(sequence > self.sequence, "{line}");
            self.sequence = sequence;
            self.entries += 1;
            let key = (
                entry["collection"].to_string(),
                entry["documentId"].to_string(),
            );
            let before = match &entry["after"] {
                Value::Null => self.documents.remove(&key),
                after => self.documents.insert(key, after.clone()),
            };
            assert_eq!(before.unwrap_or(Value::Null), entry["before"], "{line}");
        }
    }
}

fn checkpoint(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line.get("checkpoint")?.as_str()?.to_owned())
}

fn sequence_of(checkpoint: &str) -> u64 {
    let sequence = checkpoint.split_once('-').expect("a feed and a sequence").1;
    sequence.parse().expect("a sequence")
}

fn newest(device: &Device) -> u64 {
    device.status()["transactionId"].as_u64().expect("a number")
}

/// Goal: a reader that follows the feed, over kills of the daemon and of itself, sees each change of its device and of
/// another one exactly once, with what was before, and ends with the device's documents.
#[test]
fn the_feed_is_followed_over_kills() {
    let world = World::new();
    let (a, b) = (world.device("A"), world.device("B"));
    let mut follower = Follower::new(&world, &a);
    for round in 0..3 {
        let daemons = {
            let a = a.start(&[]);
            let b = b.start(&[&a]);
            (a, b)
        };
        let reader = follower.follow();
        for n in 0..5 {
            a.insert("cars", &json!({"_id": format!("a{round}-{n}"), "n": n}));
            b.insert("boats", &json!({"_id": format!("b{round}-{n}"), "n": n}));
        }
        a.query("UPDATE cars SET n = n + 1, m.x = n");
        a.query("DELETE FROM cars WHERE n > 4");
        let held = b.held();
        wait_until("what B has is on A", || {
            a.held().get("boats") == held.get("boats")
        });
        let newest = newest(&a);
        wait_until("the reader has it", || follower.printed_to() >= newest);
        drop(reader);
        daemons.0.kill();
        daemons.1.kill();
        follower.take_in();
    }
    let mut held = BTreeMap::new();
    for collection in ["cars", "boats"] {
        for document in a.rows(&format!("SELECT * FROM {collection}")) {
            let key = (json!(collection).to_string(), document["_id"].to_string());
            held.insert(key, document);
        }
    }
    assert_eq!(follower.documents, held);
    assert!(follower.entries >= 3 * 10, "{}", follower.entries);
}

/// Goal: whoever asks for more than is kept is told where the feed begins and what to do, by the daemon and without it; from
/// there on, from the oldest that is kept, and from now, it can be read. What is no place in the feed is wrong usage.
#[test]
fn who_fell_behind_is_told() {
    let world = World::new();
    let device = world.device("d");
    let settings = device.state.join("sedge.toml");
    let text = fs::read_to_string(&settings).expect("settings");
    let text = text.replace("feed_keep_mib = 64", "feed_keep_mib = 1");
    assert!(text.contains("feed_keep_mib = 1\n"), "{text}");
    fs::write(&settings, text).expect("settings");
    let all = device.finish(["feed"]).ok();
    let begin = checkpoint(all.trim_end()).expect("a checkpoint only");
    assert!(begin.ends_with("-0"), "{begin}");
    for n in 0..3 {
        let text = "x".repeat(600 << 10);
        let line = json!({"_id": format!("{n}"), "text": text}).to_string();
        let file = world.file("one.ndjson", line);
        let file = file.to_str().expect("a path");
        device.finish(["import", file, "--collection", "cars"]).ok();
    }
    let tell = |device: &Device| {
        for since in ["0", &begin] {
            let ended = device.finish(["feed", "--since", since]);
            let reason = ended.refused();
            assert!(reason.contains("begins after 1; start over"), "{reason}");
            assert!(reason.contains("since oldest"), "{reason}");
        }
        let kept = device
            .finish(["feed", "--since", "1", "--collection", "cars"])
            .ok();
        assert_eq!(kept.lines().count(), 4, "two pages of an entry each");
        let oldest = device.finish(["feed", "--since", "oldest"]).ok();
        assert_eq!(oldest, kept);
        let now = device.finish(["feed", "--since", "now"]).ok();
        let now = checkpoint(now.trim_end()).expect("a checkpoint only");
        assert_eq!(kept.lines().rev().find_map(checkpoint), Some(now));
        let other = format!("{}-1", "0".repeat(32));
        let ended = device.finish(["feed", "--since", &other]);
        assert!(ended.refused().contains("another feed"), "{ended:?}");
        let ended = device.finish(["feed", "--collection", "carz", "--since", "3"]);
        assert!(ended.refused().contains("there are: cars"), "{ended:?}");
        let ended = device.finish(["feed", "--since", "yesterday"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
    };
    tell(&device);
    let ended = device.finish(["feed", "--follow"]);
    assert!(ended.refused().contains("sedge run"), "{ended:?}");
    let _daemon = device.start(&[]);
    tell(&device);
}

/// Goal: a followed feed that ends because its daemon does is no success, and tells how to go on.
#[test]
fn a_followed_feed_ends_with_its_daemon() {
    let world = World::new();
    let device = world.device("a");
    let daemon = device.start(&[]);
    device.insert("cars", &json!({"_id": "a"}));
    let printed = world.path().join("printed");
    let ended = thread::scope(|scope| {
        let feed = scope.spawn(|| {
            let output = File::create(&printed).expect("a file for the lines");
            let mut feed = device.sedge();
            feed.args(["feed", "--follow", "--since", "0"])
                .stdout(output);
            let feed = feed.stderr(Stdio::piped()).spawn();
            let ended = feed.expect("the program starts").wait_with_output();
            ended.expect("it ends")
        });
        wait_until("the feed is followed", || {
            fs::read_to_string(&printed).is_ok_and(|lines| lines.contains("cars"))
        });
        assert_eq!(daemon.end_by("TERM"), Some(0));
        feed.join().unwrap()
    });
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(
        told.contains("the daemon has ended; start it again"),
        "{told}"
    );
}
