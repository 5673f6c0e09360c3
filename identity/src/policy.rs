//! What an app has taken back: devices and certificates that are not admitted any more, and changes that do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::{actor::ActorName, certificate::Serial, key::PublicKey};

/// What is revoked in an app. Nothing by default. This is the data alone: a root's signature over it, its bounds and its way
/// to the devices come with a later version; until then whoever makes a [`Trust`](crate::Trust) sets it.
///
/// Revocation ends admission and leaves what the device has written. A cut takes that back too, from a moment on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Keys that no certificate makes good: of devices, or of issuers together with all that they issued.
    pub revoked_devices: BTreeSet<PublicKey>,
    /// Certificates that do not count any more, of devices or of issuers. Their holder may get another.
    pub revoked_serials: BTreeSet<Serial>,
    /// By actor, the last moment whose changes count, in ms since the Unix epoch.
    pub cuts: BTreeMap<ActorName, u64>,
}

impl Policy {
    /// Whether a change is cut off: `actor` made it after the time of its cut, by the change's own time `time_ms` (ms since
    /// the Unix epoch).
    #[must_use]
    pub fn excludes(&self, actor: ActorName, time_ms: u64) -> bool {
        self.cuts
            .get(&actor)
            .is_some_and(|cut_ms| time_ms > *cut_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a cut takes its own actor's changes after its time and no others; without one nothing is taken.
    #[test]
    fn a_cut_excludes_what_came_after() {
        let (cut, other) = (ActorName([1; 16]), ActorName([2; 16]));
        let policy = Policy {
            cuts: BTreeMap::from([(cut, 1_000)]),
            ..Policy::default()
        };
        assert!(!policy.excludes(cut, 0));
        assert!(!policy.excludes(cut, 1_000));
        assert!(policy.excludes(cut, 1_001));
        assert!(policy.excludes(cut, u64::MAX));
        assert!(!policy.excludes(other, 1_001));
        assert!(!Policy::default().excludes(cut, u64::MAX));
    }
}
