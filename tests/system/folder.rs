//! The state folder: who may use it, when, and where it may lie.

use crate::filled::{Filled, assert_parts};
use crate::harness::{World, finish};
use crate::processes::Guarded;
use sedge::StateFolder;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

/// Goal: one process at a time uses a folder; others are told, or served by it.
#[test]
fn a_folder_in_use_is_told() {
    let world = World::new();
    let filled = Filled::new(&world);
    let mut daemon = filled.device.start(&[]);
    let run = [
        "run",
        "--until-stdin-ends",
        "--no-discovery",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    filled.refuses(&run, &["in use by another process", "stop it", "--state"]);
    daemon.assert_running();
    assert_eq!(
        filled.device.status()["running"],
        json!(true),
        "its socket still works"
    );
    assert_eq!(
        filled.device.query("SELECT _id FROM cars WHERE _id = 'a'")["items"],
        json!([{"_id": "a"}])
    );
    assert_eq!(daemon.end_by("TERM"), Some(0));

    // The same beside a command that has the store open itself.
    let mut import = filled.device.sedge();
    import
        .args(["import", "-", "--collection", "more"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut import = Guarded(import.spawn().unwrap());
    let mut input = import.0.stdin.take().unwrap();
    let lines: String = (0..2_000)
        .map(|n| format!("{{\"_id\":\"{n}\"}}\n"))
        .collect();
    // More than a pipe holds, so the import has opened the store when all of it is written.
    input.write_all(lines.repeat(10).as_bytes()).unwrap();
    let ended = filled.device.finish(run);
    assert_parts(&run, &ended, &["in use by another process"]);
    let query = ["query", "SELECT * FROM cars"];
    let ended = filled.device.finish(query);
    assert_parts(&query, &ended, &["in use by another process"]);
    input.write_all(b"{\"_id\":\"last\"}\n").unwrap();
    drop(input);
    assert_eq!(import.ended(), Some(0));
    assert_eq!(filled.device.documents("more"), 2_001);
    assert_eq!(filled.device.documents("cars"), 2);
}

/// Goal: a daemon that is started while a short command has the store open waits for it and starts.
#[test]
fn a_daemon_starts_beside_a_short_command() {
    let world = World::new();
    let filled = Filled::new(&world);
    let mut import = filled.device.sedge();
    import
        .args(["import", "-", "--collection", "more"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut import = Guarded(import.spawn().unwrap());
    let mut input = import.0.stdin.take().unwrap();
    let lines: String = (0..20_000)
        .map(|n| format!("{{\"_id\":\"{}\"}}\n", n % 500))
        .collect();
    input.write_all(lines.as_bytes()).unwrap();
    // It has the store open, and is over soon.
    drop(input);
    let daemon = filled.device.start(&[]);
    assert_eq!(import.ended(), Some(0));
    assert_eq!(filled.device.documents("more"), 500);
    assert_eq!(daemon.end_by("TERM"), Some(0));
}

/// Goal: a folder that is none is told, by every command, and none of them makes it one.
#[test]
fn a_folder_that_is_none_is_told() {
    let world = World::new();
    let device = world.no_device("nobody");
    let file = world.file("x.ndjson", "{}");
    let file = file.to_str().unwrap();
    for arguments in [
        &["run", "--until-stdin-ends"][..],
        &["query", "SELECT * FROM cars"],
        &["import", file, "--collection", "cars"],
        &["export", "--collection", "cars"],
        &["status"],
        &["peers"],
    ] {
        let ended = device.finish(arguments);
        assert_parts(arguments, &ended, &["no state folder", "sedge init --app"]);
    }
    assert!(!device.state.exists());
    let ended = finish(
        world
            .sedge()
            .args(["--state", file, "init", "--app", "shop"]),
    );
    assert_parts(&["init"], &ended, &[file]);
    assert_eq!(fs::read_to_string(file).unwrap(), "{}");
}

/// Goal: `init` refuses what can't be a device, and never replaces one.
#[test]
fn init_makes_a_device_once_and_only_of_good_input() {
    let world = World::new();
    let filled = Filled::new(&world);
    let entries = ["device.key", "secret", "sedge.toml"];
    let read = |name: &str| fs::read_to_string(filled.device.state.join(name)).unwrap();
    let before = entries.map(read);
    filled.refuses(&["init", "--app", "shop"], &["app shop already", "--state"]);
    filled.refuses(
        &["init", "--app", "other"],
        &["app shop already", "--state"],
    );
    assert_eq!(entries.map(read), before);

    let fresh = world.no_device("fresh");
    let short = world.file("short", "secret");
    let short = short.to_str().unwrap();
    for (arguments, parts) in [
        (
            &["init", "--app", "shop", "--secret-file", short][..],
            &["secret", "16"][..],
        ),
        (
            &["init", "--app", "shop", "--secret-file", "none"],
            &["none", "No such file"],
        ),
        (
            &["init", "--app", "shop", "--secret-file", "/"],
            &["/", "directory"],
        ),
        (
            &["init", "--app", "shop", "--secret-file", "-"],
            &["secret"],
        ),
    ] {
        let ended = fresh.finish(arguments);
        assert_parts(arguments, &ended, parts);
        assert!(!fresh.state.exists(), "{arguments:?} made nothing");
    }
}

/// Goal: `init` makes all of a device: key, secret, settings, and a store that is there, empty, and not made anew.
#[test]
fn init_makes_a_whole_device() {
    let world = World::new();
    let device = world.no_device("d");
    let shown = device.finish(["init", "--app", "shop"]).ok();
    for entry in ["device.key", "secret", "sedge.toml", "store/CURRENT"] {
        assert!(device.state.join(entry).is_file(), "{entry}");
    }
    let secret = fs::read_to_string(device.state.join("secret")).unwrap();
    let join = format!(
        "printf %s '{}' | sedge init --app shop --secret-file -",
        secret.trim()
    );
    assert!(shown.contains(&join), "the next device's line: {shown}");
    let identity = || fs::read_to_string(device.state.join("store/IDENTITY")).unwrap();
    let made = identity();
    let status = device.status();
    assert_eq!(
        (&status["collections"], &status["transactionId"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(identity(), made, "status opened the store that init made");
}

/// Goal: nobody else on the machine reads a key, a secret or a document, or talks to the daemon.
#[test]
fn the_state_folder_is_for_its_owner_alone() {
    let world = World::new();
    let device = world.device("d");
    device.insert("cars", &json!({"_id": "a"}));
    let _daemon = device.start(&[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&device.state), 0o700);
    for name in [
        "device.key",
        "secret",
        "sedge.toml",
        "lock",
        "run/sedge.sock",
    ] {
        assert_eq!(mode(&device.state.join(name)), 0o600, "{name}");
    }
}

/// Goal: a folder that was there before, open to all, keeps no document open to all.
#[test]
fn documents_in_an_open_folder_are_closed_to_others() {
    let world = World::new();
    let device = world.no_device("open");
    fs::create_dir(&device.state).unwrap();
    fs::set_permissions(&device.state, fs::Permissions::from_mode(0o755)).unwrap();
    device.finish(["init", "--app", "shop"]).ok();
    device.insert("cars", &json!({"_id": "a"}));
    let others = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    let closed = others(&device.state) == 0 || others(&device.state.join("store")) == 0;
    assert!(
        closed,
        "the folder or the store in it is for the owner only"
    );
}

/// Goal: a state folder so deep that its socket's path is too long for the system works like any other.
#[test]
fn a_deep_state_folder_works() {
    let world = World::new();
    let deep = format!("{}/{}", "d".repeat(80), "e".repeat(80));
    fs::create_dir_all(world.path().join(&deep)).unwrap();
    let device = world.no_device(&format!("{deep}/state"));
    assert!(
        device.state.as_os_str().len() > 108,
        "the test means something"
    );
    device.finish(["init", "--app", "shop"]).ok();
    let daemon = device.start(&[]);
    device.insert("cars", &json!({"_id": "a"}));
    assert_eq!(device.status()["running"], json!(true));
    assert_eq!(device.finish(["peers", "--json"]).json(), json!([]));
    let socket = StateFolder::new(&device.state).socket_path().unwrap();
    assert!(!socket.starts_with(world.path()), "{socket:?}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    // Another spelling of the folder reaches the same daemon.
    let link = world.path().join("link");
    std::os::unix::fs::symlink(&device.state, &link).unwrap();
    let by_link = finish(
        world
            .sedge()
            .arg("--state")
            .arg(&link)
            .args(["status", "--json"]),
    );
    assert_eq!(by_link.json()["running"], json!(true));
    daemon.kill();
    let again = device.start(&[]);
    assert_eq!(device.documents("cars"), 1);
    assert_eq!(again.end_by("TERM"), Some(0));
    assert!(!socket.exists(), "an orderly end removes the socket");
}
