//! `sedge backup` and `sedge restore`: while the daemon writes, on other devices, and within a mesh that went on.

use crate::filled::{Filled, assert_parts};
use crate::harness::{Device, World, line, wait_until, wait_until_same};
use crate::load::{Numbers, Writer};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

fn back_up(device: &Device, path: &Path) -> Value {
    let ended = device.finish(["backup", "--json", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.json()
}

fn restore(device: &Device, path: &Path) -> Value {
    let ended = device.finish(["restore", "--json", "--force", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.json()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Goal: backups taken while writers write are whole: no transaction is there in part, and a restored device shows what
/// the manifest says.
#[test]
fn a_backup_of_a_busy_daemon_is_whole() {
    let world = World::new();
    let device = world.device("d");
    let daemon = device.start(&[]);
    let mut writers: Vec<Writer> = (0..4).map(|n| Writer::new(&device, n, n)).collect();
    let path = world.path().join("backup");
    thread::scope(|scope| {
        for writer in &mut writers {
            scope.spawn(|| writer.write());
        }
        wait_until("all writers have written", || device.held().len() == 4);
        let told = back_up(&device, &path);
        assert_eq!(told["path"], json!(path));
        assert_eq!(told["collections"], json!(4));
        assert!(told["documents"].as_u64() > Some(0) && told["bytes"].as_u64() > Some(0));
        daemon.kill();
    });
    for writer in &mut writers {
        writer.check(&device);
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "documents are for their owner only");

    let other = world.device("other");
    restore(&other, &path);
    let manifest = fs::read_to_string(path.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let told = manifest["collections"].as_array().unwrap();
    let held = other.status();
    assert_eq!(held["collections"].as_array().unwrap(), told);
    for writer in 0..4 {
        let statement = format!("SELECT g, COUNT(DISTINCT v) AS n FROM writer{writer} GROUP BY g");
        let groups = other.rows(&statement);
        assert!(!groups.is_empty());
        assert!(
            groups.iter().all(|group| group["n"] == json!(1)),
            "{groups:?}"
        );
    }
}

/// Goal: a backup goes where nothing is, leaves nothing behind when it can't be made, and has no key and no secret in it.
#[test]
fn backups_replace_nothing_and_hold_no_keys() {
    let world = World::new();
    let filled = Filled::new(&world);
    let folder = world.path().join("backups");
    fs::create_dir(&folder).unwrap();
    let (path, missing) = (folder.join("one"), folder.join("no/two"));
    let file = world.file("file", "x");
    for is_running in [false, true] {
        let daemon = is_running.then(|| filled.device.start(&[]));
        let path = path.with_extension(is_running.to_string());
        back_up(&filled.device, &path);
        let (path, missing) = (path.to_str().unwrap(), missing.to_str().unwrap());
        filled.refuses(&["backup", path], &[path, "exists", "new folder"]);
        filled.refuses(&["backup", missing], &[missing, "there is no folder"]);
        filled.refuses(&["backup", file.to_str().unwrap()], &["exists"]);
        drop(daemon);
    }
    assert_eq!(entries(&folder).len(), 2, "{:?}", entries(&folder));
    let secrets = ["device.key", "secret"];
    let secrets = secrets.map(|name| fs::read_to_string(filled.device.state.join(name)).unwrap());
    for backup in entries(&folder) {
        let files = [entries(&backup), entries(&backup.join("store"))].concat();
        for file in files.iter().filter(|path| path.is_file()) {
            let bytes = fs::read(file).unwrap();
            for secret in secrets.iter().map(|secret| secret.trim().as_bytes()) {
                assert!(!bytes.windows(secret.len()).any(|part| part == secret));
            }
        }
    }
}

/// Goal: what can't be restored, or not here, or not now, is told in one line, and the device stays as it was.
#[test]
fn a_wrong_restore_is_told_and_changes_nothing() {
    let world = World::new();
    let filled = Filled::new(&world);
    let path = world.path().join("backup");
    back_up(&filled.device, &path);
    let path = path.to_str().unwrap();
    filled.refuses(&["restore", path], &["has documents", "--force"]);
    filled.refuses(
        &["restore", "--force", "nowhere"],
        &["nowhere", "no backup", "sedge backup"],
    );
    let daemon = filled.device.start(&[]);
    filled.refuses(&["restore", "--force", path], &["in use", "stop it"]);
    drop(daemon);
    let nobody = world.no_device("nobody");
    let arguments = ["restore", path];
    let ended = nobody.finish(arguments);
    assert_parts(&arguments, &ended, &["no state folder", "sedge init"]);
    let other = world.device_of("other", "bakery", "another secret of another app");
    let ended = other.finish(arguments);
    assert_parts(&arguments, &ended, &["app shop", "bakery"]);
    // One changed byte anywhere.
    let mut numbers = Numbers::new(7);
    let fresh = world.device("fresh");
    for file in entries(&Path::new(path).join("store")) {
        let whole = fs::read(&file).unwrap();
        if whole.is_empty() {
            continue;
        }
        let mut changed = whole.clone();
        changed[numbers.below(whole.len() as u64) as usize] ^= 1;
        fs::write(&file, changed).unwrap();
        let ended = fresh.finish(arguments);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_parts(
            &arguments,
            &ended,
            &["damaged", name, "Nothing was restored"],
        );
        fs::write(&file, whole).unwrap();
    }
    assert_eq!(fresh.held().len(), 0);
    fresh.finish(arguments).ok();
    assert_eq!(fresh.held(), filled.device.held());
}

/// Goal: a device that goes back to an older backup, while its neighbours have what it and others wrote since, gets all
/// of that back, writes on the same documents under a name that was never used, and all three end alike.
#[test]
fn a_restored_device_rejoins_a_mesh_that_went_on() {
    let world = World::new();
    let [a, b, c] = world.devices();
    let path = world.path().join("backup");
    let set = |device: &Device, set: &str| drop(device.query(&format!("UPDATE things SET {set}")));
    let daemons = line(&a, &b, &c);
    for n in 0..30 {
        let document = json!({"_id": format!("d{n:02}"), "n": n, "place": {"x": 0}});
        let device = [&a, &b, &c][n % 3];
        device.insert("things", &document);
    }
    wait_until_same(&[&a, &b, &c], "things", 30);
    set(&b, "early = 'b'");
    wait_until("B is heard of at A", || {
        a.rows("SELECT _id FROM things WHERE early = 'b'").len() == 30
    });
    // B is in the middle: it follows two feeds, and two neighbours follow its own.
    back_up(&b, &path);
    set(&b, "place.b = 1, late = 'b'");
    set(&a, "place.a = 1");
    c.insert("things", &json!({"_id": "new"}));
    drop(c.query("DELETE FROM things WHERE _id = 'd05'"));
    let all = "SELECT _id FROM things WHERE place.a = 1 AND place.b = 1";
    wait_until("all changes are everywhere", || {
        [&a, &b, &c]
            .iter()
            .all(|device| device.rows(all).len() == 29)
    });
    wait_until_same(&[&a, &b, &c], "things", 30);
    let [daemon_a, daemon_b, daemon_c] = daemons;
    let address = daemon_b.address.clone();
    daemon_b.kill();

    let told = restore(&b, &path);
    assert_eq!(told["documents"], json!(30));
    let aside = PathBuf::from(told["setAside"].as_str().unwrap());
    assert!(aside.join("CURRENT").is_file());
    assert_eq!(b.rows(all).len(), 0, "the backup is older");
    // The same fields of the same documents as before, with no neighbour to tell of what was.
    set(&b, "late = 'again', place.again = 1");
    let _daemon_b = b.start_again(&address, &[&daemon_a]);
    wait_until_same(&[&a, &b, &c], "things", 30);
    let both = "SELECT _id FROM things WHERE place.a = 1 AND place.b = 1 AND place.again = 1";
    wait_until("everything written before and after is everywhere", || {
        [&a, &b, &c]
            .iter()
            .all(|device| device.rows(both).len() == 29)
    });
    set(&b, "last = true");
    wait_until("what the restored device writes now is taken", || {
        [&a, &b, &c].iter().all(|device| {
            device
                .rows("SELECT _id FROM things WHERE last = true")
                .len()
                >= 29
        })
    });
    wait_until_same(&[&a, &b, &c], "things", 30);
    for daemon in [&daemon_a, &daemon_c] {
        let log = daemon.log();
        let refusal = log.lines().find(|line| line.contains("reject"));
        assert_eq!(
            refusal, None,
            "nobody refuses what the restored device wrote"
        );
    }
}

/// Goal: an attachment comes back byte for byte on another device from a backup that was taken while a writer and a
/// collector worked.
#[test]
fn attachments_come_back_with_their_documents() {
    let world = World::new();
    let device = world.device("d");
    let path = world.path().join("backup");
    let content = |n: usize| vec![n as u8; 150_000 + n];
    let add = |n: usize| {
        let file = world.file(&format!("photo{n}"), content(n));
        let added = device.finish(["attachment", "add", file.to_str().unwrap()]);
        let token = added.json();
        device.insert("photos", &json!({"_id": n.to_string(), "file": token}));
        token["$attachment"]["id"].as_str().unwrap().to_owned()
    };
    let daemon = device.start(&[]);
    let ids: Vec<String> = (0..4).map(add).collect();
    drop(device.query("DELETE FROM photos WHERE _id = '3'"));
    let mut writer = Writer::new(&device, 0, 0);
    thread::scope(|scope| {
        scope.spawn(|| writer.write());
        let collect = ["attachment", "collect", "--older-than", "0"];
        let device = &device;
        let collector = scope.spawn(move || {
            for _ in 0..10 {
                device.finish(collect).ok();
            }
        });
        let told = back_up(device, &path);
        assert!((3..=4).contains(&told["attachments"].as_u64().unwrap()));
        collector.join().unwrap();
        daemon.kill();
    });
    let other = world.device("other");
    let told = restore(&other, &path);
    assert_eq!(
        (&told["attachmentsLost"], &told["attachmentsWanted"]),
        (&json!([]), &json!(0))
    );
    let out = world.path().join("out");
    for (n, id) in ids[..3].iter().enumerate() {
        let get = ["attachment", "get", id, "--output", out.to_str().unwrap()];
        other.finish(get).ok();
        assert_eq!(fs::read(&out).unwrap(), content(n));
        fs::remove_file(&out).unwrap();
    }
}

/// Goal: what was written while no daemon ran is sealed by the backup, so that it reaches the mesh through whichever device
/// the backup is restored on.
#[test]
fn a_backup_taken_offline_reaches_the_mesh_through_another_device() {
    let world = World::new();
    let [origin, other, peer] = world.devices();
    for n in 0..70 {
        origin.insert("cars", &json!({ "_id": format!("car {n}") }));
    }
    let path = world.path().join("backup");
    assert_eq!(back_up(&origin, &path)["unsealed"], json!(0));
    assert_eq!(restore(&other, &path)["unsealed"], json!(0));
    let daemon = other.start(&[]);
    let _second = peer.start(&[&daemon]);
    wait_until_same(&[&other, &peer], "cars", 70);
    other.query("UPDATE cars SET km = 1 WHERE _id = 'car 3'");
    wait_until("an edit on top of it arrives", || {
        peer.rows("SELECT _id FROM cars WHERE km = 1").len() == 1
    });
}
