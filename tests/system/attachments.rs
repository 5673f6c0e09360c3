//! Attachments: files beside documents, with and without a daemon.

use crate::harness::{Device, World, finish, skip, wait_until};
use crate::processes::Guarded;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A few chunks and a bit.
const BYTES: usize = 300_000;

fn content(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let byte = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    (0..BYTES).map(byte).collect()
}

/// Adds a file and gives its token's id.
fn add(device: &Device, file: &Path, metadata: &str) -> (String, Value) {
    let file = file.to_str().unwrap();
    let token = device
        .finish(["attachment", "add", file, "--metadata", metadata])
        .json();
    let id = token["$attachment"]["id"].as_str().unwrap().to_owned();
    (id, token)
}

/// The ids of what is there, with the number of documents that name each.
fn listed(device: &Device) -> Vec<(String, u64)> {
    let lines = device.finish(["attachment", "list", "--json"]).ok();
    let line = |line: &str| {
        let status: Value = serde_json::from_str(line).unwrap();
        let id = status["id"].as_str().unwrap().to_owned();
        (id, status["documents"].as_u64().unwrap())
    };
    lines.lines().map(line).collect()
}

/// How many files are in a folder of blobs.
fn files(device: &Device, folder: &str) -> usize {
    fs::read_dir(blobs(device).join(folder)).unwrap().count()
}

fn blobs(device: &Device) -> PathBuf {
    device.state.join("store/blobs")
}

/// Goal: a file goes in, its token into a document, and out again byte for byte; it stays as long as the document names
/// it, and goes when it is collected after that.
#[test]
fn files_live_as_long_as_documents_name_them() {
    let world = World::new();
    let device = world.device("d");
    for running in [false, true] {
        let _daemon = running.then(|| device.start(&[]));
        let photo = world.file("photo.jpg", content(1));
        let (id, token) = add(&device, &photo, "name=photo.jpg");
        let inner = &token["$attachment"];
        assert_eq!(
            (&inner["len"], &inner["metadata"]),
            (&json!(BYTES), &json!({"name": "photo.jpg"}))
        );
        device.insert("cars", &json!({"_id": "a", "photo": token}));
        assert_eq!(
            device.rows("SELECT photo FROM cars"),
            [json!({ "photo": token })]
        );
        assert_eq!(listed(&device), [(id.clone(), 1)]);

        let out = world.path().join("out.jpg");
        let get = ["attachment", "get", &id, "--output", out.to_str().unwrap()];
        device.finish(get).ok();
        assert_eq!(fs::read(&out).unwrap(), content(1));
        let mut range = device.sedge();
        range.args(["attachment", "get", &id, "--range", "65530-65549"]);
        assert_eq!(range.output().unwrap().stdout, content(1)[65_530..65_550]);

        device
            .finish(["attachment", "collect", "--older-than", "0"])
            .ok();
        assert_eq!(listed(&device), [(id.clone(), 1)]);
        device.query("DELETE FROM cars WHERE _id = 'a'");
        device.finish(["attachment", "collect"]).ok();
        assert_eq!(listed(&device), [(id.clone(), 0)], "the grace");
        let collected = device.finish(["attachment", "collect", "--older-than", "0", "--json"]);
        assert_eq!(collected.json(), json!({"attachments": 1, "bytes": BYTES}));
        assert!(listed(&device).is_empty());
        let gone = device.finish(["attachment", "get", &id]);
        assert!(gone.refused().contains("not on this device"), "{gone:?}");
    }
}

/// Goal: a download that was cut short goes on where it stopped, and a part that is not the attachment's never becomes
/// the file.
#[test]
fn a_cut_download_goes_on() {
    let world = World::new();
    let device = world.device("d");
    let (id, _) = add(&device, &world.file("a", content(2)), "n=a");
    let out = world.path().join("out");
    let part = world.path().join(format!(".out.{}.part", &id[..8]));
    let get = ["attachment", "get", &id, "--output", out.to_str().unwrap()];
    for running in [false, true] {
        let _daemon = running.then(|| device.start(&[]));
        for there in [0, 1, 65_536, BYTES - 1, BYTES] {
            fs::write(&part, &content(2)[..there]).unwrap();
            device.finish(get).ok();
            assert_eq!(fs::read(&out).unwrap(), content(2), "{there}");
            assert!(!part.exists());
            fs::remove_file(&out).unwrap();
        }
        for wrong in [vec![0; 9], vec![0; BYTES + 1]] {
            fs::write(&part, wrong).unwrap();
            let ended = device.finish(get);
            assert!(
                ended.refused().contains("run the command again"),
                "{ended:?}"
            );
            assert!(!part.exists() && !out.exists());
        }
    }
}

/// Goal: damage on the disk is told by the attachment's name, with what mends it, and no wrong byte comes out.
#[test]
fn a_damaged_file_is_named() {
    let world = World::new();
    let device = world.device("d");
    let file = world.file("a", content(3));
    let (id, _) = add(&device, &file, "n=a");
    let stored = blobs(&device).join("whole").join(&id[..2]).join(&id);
    for running in [false, true] {
        let _daemon = running.then(|| device.start(&[]));
        let mut bytes = content(3);
        bytes[0] ^= 1;
        fs::write(&stored, bytes).unwrap();
        let ended = device.finish(["attachment", "get", &id]);
        for part in [&id[..], "damaged", "add the same file again"] {
            assert!(ended.refused().contains(part), "{ended:?}");
        }
        add(&device, &file, "n=a");
        let mut get = device.sedge();
        get.args(["attachment", "get", &id]);
        assert_eq!(get.output().unwrap().stdout, content(3));
    }
}

/// Goal: after kill -9 in the middle of an upload nothing of it is shown, nor left once the store is opened again, and what
/// was acknowledged before is whole.
#[test]
fn a_killed_upload_leaves_nothing() {
    let world = World::new();
    let device = world.device("d");
    let daemon = device.start(&[]);
    let (id, _) = add(&device, &world.file("a", content(4)), "n=a");
    let mut adding = device.sedge();
    adding
        .args(["attachment", "add", "-"])
        .stdin(Stdio::piped());
    let adding = adding.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut adding = Guarded(adding.expect("the upload starts"));
    let mut input = adding.0.stdin.take().expect("its input");
    input.write_all(&content(5)).expect("a part is handed over");
    wait_until("the draft is there", || files(&device, "new") > 0);
    daemon.kill();
    drop(input);
    assert_eq!(adding.ended(), Some(1));
    assert!(files(&device, "new") > 0, "it was killed in the middle");
    assert_eq!(listed(&device), [(id.clone(), 0)]);
    assert_eq!(files(&device, "new"), 0);
    let mut get = device.sedge();
    get.args(["attachment", "get", &id]);
    assert_eq!(get.output().unwrap().stdout, content(4));
}

/// Goal: on a full disk an upload is refused with what to do, leaves nothing, and the store works on.
#[test]
fn a_full_disk_takes_nothing() {
    let test = "a_full_disk_takes_nothing";
    let world = World::new();
    let disk = world.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounts = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none"])
        .arg(&disk)
        .output();
    if !mounts.is_ok_and(|ended| ended.status.success()) {
        skip(test, "no file system can be mounted in a namespace here");
        return;
    }
    let big = world.file("big", vec![7; 48 << 20]);
    let script = "
        mount -t tmpfs -o size=32m none \"$1\"
        export SEDGE_STATE=\"$1/d\"
        \"$2\" init --app shop >/dev/null
        \"$2\" attachment add \"$3\" 2>&1
        echo $?
        if [ \"$4\" = running ]; then
            \"$2\" run --no-discovery --listen /ip4/127.0.0.1/tcp/0 >\"$1/out\" 2>/dev/null &
            daemon=$!
            while ! [ -s \"$1/out\" ]; do sleep 0.05; done
            \"$2\" attachment add \"$3\" 2>&1
            echo $?
        fi
        echo small | \"$2\" attachment add - >/dev/null && \"$2\" attachment list --json
        [ -z \"$daemon\" ] || { kill $daemon; wait $daemon; }
    ";
    for how in ["resting", "running"] {
        let mut run = world.sedge();
        let sedge = run.get_program().to_owned();
        run = Command::new("unshare");
        run.args(["-rm", "sh", "-c", script, "sh"])
            .arg(&disk)
            .arg(sedge)
            .arg(&big)
            .arg(how);
        let told = finish(&mut run).ok();
        let lines: Vec<&str> = told.lines().collect();
        let (refusals, list) = lines.split_at(lines.len() - 1);
        assert_eq!(
            refusals.len(),
            if how == "running" { 4 } else { 2 },
            "{told}"
        );
        for refusal in refusals.chunks(2) {
            assert!(
                refusal[0].contains("No space left") && refusal[0].contains("free some space"),
                "{told}"
            );
            assert_eq!(refusal[1], "1");
        }
        let small: Value = serde_json::from_str(list[0]).expect("the only attachment");
        assert_eq!(small["len"], 6);
    }
}

/// Goal: arguments that can't be meant are wrong usage, and nothing is kept.
#[test]
fn wrong_arguments_keep_nothing() {
    let world = World::new();
    let device = world.device("d");
    let file = world.file("a", "a");
    let (file, long) = (file.to_str().unwrap(), format!("n={}", "x".repeat(5_000)));
    for (arguments, part) in [
        (&["add", file, "--metadata", "n"][..], "--metadata name="),
        (
            &["add", file, "--metadata", "n=1", "--metadata", "n=2"],
            "given twice",
        ),
        (&["add", file, "--metadata", &long], "at most 4096"),
        (&["get", "00"], "64 digits"),
        (&["get", &"0".repeat(64), "--range", "5-4"], "--range 0-99"),
    ] {
        let ended = device.finish(["attachment"].iter().chain(arguments));
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{ended:?}"
        );
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
    assert!(listed(&device).is_empty());
}
