//! Keys, secrets, settings and variables that are not as they should be.

use crate::filled::{Filled, assert_parts};
use crate::harness::{World, finish};
use std::fs;

/// Commands that need the whole state folder, the daemon first.
const NEED_STATE: &[&[&str]] = &[
    &[
        "run",
        "--until-stdin-ends",
        "--no-discovery",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ],
    &["status"],
    &["query", "SELECT * FROM cars"],
];

/// Replaces a file of the state folder, sees what these commands say to that, and repairs it.
fn assert_damage_is_told(name: &str, content: &str, commands: &[&[&str]], part: &str) {
    let world = World::new();
    let filled = Filled::new(&world);
    let path = filled.device.state.join(name);
    let good = fs::read(&path).unwrap();
    fs::write(&path, content).unwrap();
    for arguments in commands {
        let ended = filled.device.finish(*arguments);
        assert_parts(arguments, &ended, &[part, name]);
    }
    let kept = fs::read(&path).unwrap();
    assert_eq!(kept, content.as_bytes(), "{name} is left for repair");
    fs::write(&path, good).unwrap();
    filled.assert_unchanged();
}

/// Goal: a damaged key or secret is named in one line, no command replaces it, and once it is repaired all is as before.
#[test]
fn a_damaged_key_or_secret_is_told() {
    for content in ["0123456789abcdef\n", "", &"x".repeat(64)] {
        assert_damage_is_told("device.key", content, NEED_STATE, "64 hexadecimal");
    }
    assert_damage_is_told("secret", "short\n", &NEED_STATE[..1], "16 are needed");
}

const MISSPELT: &str = "app = \"shop\"\nlisten_on = []\n";
const BROKEN: &str = "app = \"shop\"\nlisten = = 5\n";
const WRONG_TYPE: &str = "app = \"shop\"\ndiscovery = \"perhaps\"\n";

/// Goal: wrong settings are told in one line, with what is wrong.
#[test]
fn wrong_settings_are_told() {
    assert_damage_is_told("sedge.toml", MISSPELT, NEED_STATE, "listen_on");
    assert_damage_is_told("sedge.toml", WRONG_TYPE, NEED_STATE, "discovery");
    assert_damage_is_told("sedge.toml", "name = \"no app\"\n", NEED_STATE, "app");
}

/// Goal: settings that are no TOML are told in one line, with the place.
#[test]
fn broken_settings_are_told_in_one_line() {
    assert_damage_is_told("sedge.toml", BROKEN, NEED_STATE, "line 2");
}

/// Goal: a device whose settings can't be read is a device nevertheless: `init` replaces nothing of it.
#[test]
fn init_replaces_no_device_with_wrong_settings() {
    for content in [MISSPELT, BROKEN, WRONG_TYPE] {
        let world = World::new();
        let filled = Filled::new(&world);
        let path = |name: &str| filled.device.state.join(name);
        let settings = fs::read(path("sedge.toml")).unwrap();
        let secret = fs::read(path("secret")).unwrap();
        fs::write(path("sedge.toml"), content).unwrap();
        let ended = filled.device.finish(["init", "--app", "other"]);
        assert_eq!(
            fs::read_to_string(path("sedge.toml")).unwrap(),
            content,
            "init replaced the settings"
        );
        assert_eq!(
            fs::read(path("secret")).unwrap(),
            secret,
            "init replaced the secret"
        );
        assert_eq!(ended.code, Some(1), "{ended:?}");
        fs::write(path("sedge.toml"), &settings).unwrap();
        filled.assert_unchanged();
    }
}

/// Goal: a lost key is told, and no other key takes its place in silence.
#[test]
fn a_lost_key_is_told() {
    let world = World::new();
    let filled = Filled::new(&world);
    let path = filled.device.state.join("device.key");
    let key = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let ended = filled.device.finish(["status"]);
    assert_parts(&["status"], &ended, &["key"]);
    assert!(!path.exists(), "status made another key");
    fs::write(&path, key).unwrap();
    filled.assert_unchanged();
}

/// Goal: a misspelt variable is told by its name, as is a wrong value in one.
#[test]
fn wrong_variables_are_told() {
    let world = World::new();
    let filled = Filled::new(&world);
    for (name, value, parts) in [
        ("SEDGE_DISCOVRY", "false", &["SEDGE_DISCOVRY"][..]),
        ("SEDGE_DISCOVERY", "perhaps", &["discovery"]),
    ] {
        let ended = finish(filled.device.sedge().arg("status").env(name, value));
        assert_parts(&[name, value], &ended, parts);
    }
    filled.assert_unchanged();
}
