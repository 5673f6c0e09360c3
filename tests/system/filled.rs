//! A device that has something to lose.

use crate::harness::{Device, Ended, Held, World};
use serde_json::json;
use std::collections::BTreeMap;

/// A device with documents, and what it held before the test.
pub(crate) struct Filled {
    pub(crate) device: Device,
    before: (BTreeMap<String, Held>, String),
}

impl Filled {
    pub(crate) fn new(world: &World) -> Self {
        let device = world.device("d");
        device.insert("cars", &json!({"_id": "a", "place": {"x": 1}}));
        device.insert("cars", &json!({"_id": "b"}));
        let before = content(&device);
        Self { device, before }
    }

    /// Runs a command that must fail, in one line with these parts, and change nothing.
    pub(crate) fn refuses(&self, arguments: &[&str], parts: &[&str]) {
        let ended = self.device.finish(arguments);
        assert_parts(arguments, &ended, parts);
        self.assert_unchanged();
    }

    pub(crate) fn assert_unchanged(&self) {
        assert_eq!(content(&self.device), self.before);
    }
}

fn content(device: &Device) -> (BTreeMap<String, Held>, String) {
    (
        device.held(),
        device.finish(["export", "--collection", "cars"]).ok(),
    )
}

pub(crate) fn assert_parts(arguments: &[&str], ended: &Ended, parts: &[&str]) {
    let reason = ended.refused();
    println!("{arguments:?}: {reason}");
    for part in parts {
        assert!(
            reason.contains(part),
            "{part:?} in the answer to {arguments:?}: {reason}"
        );
    }
}
