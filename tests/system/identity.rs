//! Devices of another app, or with another secret, get nothing.

use crate::harness::{Daemon, Device, SECRET, World, wait_for, wait_until_same};
use serde_json::json;

/// Goal: neither wrong app nor wrong secret gets a document, in either direction, and both logs say who was refused
/// and why.
#[test]
fn strangers_exchange_nothing() {
    for (app, secret) in [("shop", "quite another secret"), ("office", SECRET)] {
        let world = World::new();
        let (ours, stranger) = (
            world.device("ours"),
            world.device_of("stranger", app, secret),
        );
        ours.insert("cars", &json!({"_id": "ours"}));
        stranger.insert("bikes", &json!({"_id": "theirs"}));
        let daemon = ours.start(&[]);
        let strange = stranger.start(&[&daemon]);
        for (refusing, refused) in [(&daemon, &strange), (&strange, &daemon)] {
            let line = refusal(refusing, &refused.device);
            assert!(line.contains("refuse"), "it says why: {line}");
            let expected = if app == "shop" { "issuer" } else { "app" };
            assert!(line.contains(expected), "it says what differs: {line}");
        }

        // The same app and secret get through at the same time, and writes go on.
        let friend = world.device("friend");
        let _friendly = friend.start(&[&daemon]);
        wait_until_same(&[&ours, &friend], "cars", 1);
        stranger.insert("bikes", &json!({"_id": "more of theirs"}));
        ours.insert("cars", &json!({"_id": "more of ours"}));
        wait_until_same(&[&ours, &friend], "cars", 2);
        assert_eq!(ours.held().keys().collect::<Vec<_>>(), ["cars"]);
        assert_eq!(stranger.held().keys().collect::<Vec<_>>(), ["bikes"]);
        assert_eq!(stranger.finish(["peers", "--json"]).json(), json!([]));
    }
}

/// The line of a daemon's log that tells of a peer that was not admitted.
fn refusal(refusing: &Daemon, refused: &Device) -> String {
    let peer = refused.peer_id();
    wait_for("the log tells of the refused peer", || {
        let log = refusing.log();
        let mut lines = log.lines();
        let found = lines.find(|line| line.contains(&peer) && line.contains("not admitted"));
        found.map(str::to_owned)
    })
}
