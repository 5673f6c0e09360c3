//! Devices that an issuer certifies by files: how they are made, meet, and are renewed.

use crate::harness::{Device, Ended, World, finish, wait_for, wait_until, wait_until_same};
use sedge_identity::DeviceKey;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const PASSPHRASE: &str = "an issuer's passphrase";

/// Runs `sedge cert` in the world's folder.
pub(crate) fn cert(world: &World, arguments: &[&str]) -> Ended {
    let mut command = world.sedge();
    command
        .env("SEDGE_PASSPHRASE", PASSPHRASE)
        .env("SEDGE_ISSUER_PASSPHRASE", PASSPHRASE);
    finish(command.arg("cert").args(arguments))
}

/// A device of the app `shop` that trusts this root, and its key.
pub(crate) fn uncertified(world: &World, name: &str, root: &str) -> (Device, String) {
    let device = world.no_device(name);
    let init = [
        "init", "--app", "shop", "--name", name, "--json", "--root", root,
    ];
    let told = device.finish(init).json();
    (device, told["key"].as_str().unwrap().to_owned())
}

/// A root, an issuer below it, and a device that each of them certified.
fn two_certified(world: &World) -> [Device; 2] {
    cert(world, &["issuer", "--app", "shop", "--name", "Root"]).ok();
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
    ];
    cert(world, &site).ok();
    [("A", "issuer"), ("B", "site")].map(|(name, issuer)| {
        let (device, key) = uncertified(world, name, "issuer.crt");
        let (by, with) = (format!("{issuer}.crt"), format!("{issuer}.key"));
        let output = format!("{name}.crt");
        let issue = [
            "issue",
            "--issuer",
            &by,
            "--key",
            &with,
            "--subject",
            &key,
            "--name",
            name,
            "--output",
            &output,
        ];
        cert(world, &issue).ok();
        device.finish(["cert", "install", &output]).ok();
        device
    })
}

/// Goal: devices that a root and an issuer below it certified by files sync, before and after a certificate was renewed,
/// and no secret is anywhere.
#[test]
fn certified_devices_sync() {
    let world = World::new();
    let [a, b] = two_certified(&world);
    assert!(!a.state.join("secret").exists());
    a.insert("cars", &json!({"_id": "a"}));
    let first = a.start(&[]);
    let second = b.start(&[&first]);
    wait_until_same(&[&a, &b], "cars", 1);
    // Of two connections at once one is closed, so that for a moment there may be none.
    wait_until("the peer is known by name", || {
        a.finish(["peers", "--json"]).json()[0]["name"] == "B"
    });

    assert_eq!(second.end_by("TERM"), Some(0));
    let renew = [
        "renew", "B.crt", "--issuer", "site.crt", "--key", "site.key", "--output", "B2.crt",
    ];
    cert(&world, &renew).ok();
    b.finish(["cert", "install", "B2.crt"]).ok();
    b.insert("cars", &json!({"_id": "b"}));
    let _again = b.start(&[&first]);
    wait_until_same(&[&a, &b], "cars", 2);
}

/// Goal: a certificate that is renewed while both daemons run is taken up without a restart and shown to the peer, so that
/// the connection outlives two ends; without a further renewal both ends close it when the last one ends, and each log says
/// so once.
#[test]
fn a_renewed_certificate_is_taken_up_while_connected() {
    let world = World::new();
    cert(&world, &["issuer", "--app", "shop", "--name", "Root"]).ok();
    let [a, b] = [("A", "90d"), ("B", "8s")].map(|(name, life)| {
        let (device, key) = uncertified(&world, name, "issuer.crt");
        let output = format!("{name}.crt");
        let issue = [
            "issue",
            "--subject",
            &key,
            "--name",
            name,
            "--life",
            life,
            "--output",
            &output,
        ];
        cert(&world, &issue).ok();
        device.finish(["cert", "install", &output]).ok();
        device
    });
    let begin = Instant::now();
    let first = a.start(&[]);
    let second = b.start(&[&first]);
    let since = |device: &Device| {
        let peers = device.finish(["peers", "--json"]).json();
        peers[0]["connectedSinceMs"].as_u64()
    };
    let connected = wait_for("they are connected", || since(&a));
    for at_s in [4, 9] {
        std::thread::sleep(Duration::from_secs(at_s).saturating_sub(begin.elapsed()));
        cert(
            &world,
            &[
                "renew", "B.crt", "--life", "8s", "--output", "B.crt", "--force",
            ],
        )
        .ok();
        b.finish(["cert", "install", "B.crt"]).ok();
    }
    let last_ends = begin.elapsed() + Duration::from_secs(8);
    // Well beyond the ends of the first two.
    std::thread::sleep(Duration::from_secs(14).saturating_sub(begin.elapsed()));
    assert_eq!(since(&a), Some(connected), "it is the same connection");
    assert!(since(&b).is_some());
    let told = "this device's certificate was renewed";
    assert_eq!(second.log().matches(told).count(), 2, "{}", second.log());

    wait_until("both ends close", || {
        since(&a).is_none() && since(&b).is_none()
    });
    assert!(
        begin.elapsed() > last_ends - Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    std::thread::sleep(Duration::from_secs(2));
    let told = "this device's certificate has ended";
    assert_eq!(second.log().matches(told).count(), 1, "{}", second.log());
    // Whichever notices first closes; the other sees the connection end.
    let told = "peer disconnected";
    assert_eq!(first.log().matches(told).count(), 1, "{}", first.log());
}

/// Goal: a device without a certificate says what to do; a certificate that peers would refuse is not installed.
#[test]
fn only_a_good_certificate_is_installed() {
    let world = World::new();
    cert(&world, &["issuer", "--app", "shop", "--name", "Root"]).ok();
    let (device, key) = uncertified(&world, "A", "issuer.crt");
    let ended = device.finish(["run"]);
    let told = ended.refused();
    assert!(
        told.contains("sedge cert issue") && told.contains(&key),
        "{told}"
    );

    let other = DeviceKey::from_seed([9; 32]).public().to_string();
    for (subject, life, expected) in [
        (other.as_str(), "1h", "another key"),
        (&key, "1s", "expired"),
    ] {
        let issue = [
            "issue",
            "--subject",
            subject,
            "--name",
            "A",
            "--output",
            "bad.crt",
            "--life",
            life,
            "--force",
        ];
        cert(&world, &issue).ok();
        let told = wait_for("the certificate is refused", || {
            let ended = device.finish(["cert", "install", "bad.crt"]);
            (ended.code == Some(1)).then(|| ended.refused().to_owned())
        });
        assert!(told.contains(expected), "{told}");
    }
    let sharing = world.device("sharing");
    let ended = sharing.finish(["cert", "install", "bad.crt"]);
    assert!(ended.refused().contains("shares a secret"), "{ended:?}");
}

/// Goal: show, verify, renew and bundle tell and keep what is in a certificate.
#[test]
fn certificates_are_shown_checked_and_bundled() {
    let world = World::new();
    two_certified(&world);
    let shown = |file: &str| cert(&world, &["show", file, "--json"]).json()["certificates"].clone();
    let chain = shown("B.crt");
    assert_eq!(chain.as_array().unwrap().len(), 2);
    let (device, site, root) = (&chain[0], &chain[1], &shown("issuer.crt")[0]);
    assert_eq!(device["name"], "B");
    assert_eq!(device["kind"], "device");
    assert_eq!(device["app"], "shop");
    assert_eq!(site["kind"], "issuer");
    assert_eq!(
        (&root["isRoot"], &site["isRoot"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(device["permissions"]["read"]["everything"], true);
    let text = cert(&world, &["show", "B.crt"]).ok();
    for field in device
        .as_object()
        .unwrap()
        .keys()
        .filter(|field| *field != "userId")
    {
        assert!(text.contains(field), "{field} is in {text}");
    }

    let told = cert(&world, &["verify", "B.crt", "--root", "issuer.crt"]).ok();
    assert!(told.contains("is valid until 20"), "{told}");
    let other = [
        "issuer",
        "--app",
        "shop",
        "--name",
        "Other",
        "--certificate",
        "other.crt",
        "--key",
        "other.key",
    ];
    cert(&world, &other).ok();
    let ended = cert(&world, &["verify", "B.crt", "--root", "other.crt"]);
    assert!(ended.refused().contains("does not trust"), "{ended:?}");

    let renew = [
        "renew", "B.crt", "--issuer", "site.crt", "--key", "site.key", "--life", "2d", "--output",
        "C.crt",
    ];
    cert(&world, &renew).ok();
    let renewed = &shown("C.crt")[0];
    for kept in ["subject", "name", "permissions", "issuer"] {
        assert_eq!(renewed[kept], device[kept]);
    }
    assert_ne!(renewed["serial"], device["serial"]);
    assert!(renewed["notAfter"].as_str() < device["notAfter"].as_str());

    // The device's certificate by itself, and put together again, also with the root named.
    let alone = fs::read_to_string(world.path().join("B.crt")).unwrap();
    let end = "-----END SEDGE CERTIFICATE-----\n";
    let cut = alone.find(end).unwrap() + end.len();
    world.file("alone.crt", &alone[..cut]);
    let ended = cert(&world, &["verify", "alone.crt", "--root", "issuer.crt"]);
    assert!(ended.refused().contains("does not trust"), "{ended:?}");
    let bundle = [
        "bundle",
        "alone.crt",
        "site.crt",
        "issuer.crt",
        "--output",
        "bundle.crt",
    ];
    cert(&world, &bundle).ok();
    assert_eq!(
        fs::read_to_string(world.path().join("bundle.crt")).unwrap(),
        alone
    );
    let ended = cert(
        &world,
        &["bundle", "site.crt", "alone.crt", "--output", "wrong.crt"],
    );
    assert!(ended.refused().contains("did not issue"), "{ended:?}");
}

/// Goal: a key is for its owner's eyes and encrypted, nothing is replaced without being told, and a wrong rule, name or
/// passphrase is refused with its reason.
#[test]
fn keys_and_files_are_guarded() {
    let world = World::new();
    cert(
        &world,
        &[
            "issuer", "--app", "shop", "--name", "Root", "--read", "cars", "--write", "cars",
        ],
    )
    .ok();
    let key = world.path().join("issuer.key");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(fs::read_to_string(&key).unwrap().contains("ENCRYPTED"));
    let ended = cert(&world, &["issuer", "--app", "shop", "--name", "Root"]);
    assert!(ended.refused().contains("--force"), "{ended:?}");

    let subject = DeviceKey::from_seed([9; 32]).public().to_string();
    let issue = |more: &[&str]| {
        let plain = [
            "issue",
            "--subject",
            &subject,
            "--name",
            "A",
            "--output",
            "A.crt",
        ];
        cert(&world, &[&plain[..], more].concat())
    };
    for (more, expected) in [
        (&["--write", "cars WHERE km > 5"][..], "column 1"),
        (&["--write", "cars WHERE _id.shop = :shop"], "no claim"),
    ] {
        let ended = issue(more);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.complaint().contains(expected), "{ended:?}");
    }
    for (more, expected) in [
        (&["--read", "bikes"][..], "its issuer may not give"),
        (&["--life", "9999d"], "outlive"),
    ] {
        let ended = issue(more);
        assert!(ended.refused().contains(expected), "{ended:?}");
    }
    let right = [
        "--write",
        "cars WHERE _id.shop = :shop",
        "--claim",
        "shop=berlin",
    ];
    issue(&right).ok();
    let shown = cert(&world, &["show", "A.crt", "--json"]).json();
    let write = &shown["certificates"][0]["permissions"]["write"];
    assert_eq!(
        write["queriesByCollection"]["cars"],
        json!(["_id.shop = :shop"])
    );

    world.file("wrong", "another passphrase");
    let ended = issue(&["--force", "--passphrase-file", "wrong"]);
    assert!(
        ended.refused().contains("passphrase does not open"),
        "{ended:?}"
    );
    let mut unasked = world.sedge();
    unasked.args(["cert", "renew", "A.crt", "--output", "B.crt"]);
    let ended = finish(&mut unasked);
    assert_eq!(ended.code, Some(2));
    assert!(ended.complaint().contains("--passphrase-file"), "{ended:?}");
}
