//! What a run has cost and which change is where.

use std::collections::BTreeMap;

use crate::{
    proto::FloodId,
    replica::{ChangeHash, DocumentKey},
};

/// A set of peers, by number; a world has at most [`PEERS_MAX`](super::PEERS_MAX).
pub(super) type Peers = u64;

/// A change, and who holds it.
pub(super) struct Entry {
    pub writer: usize,
    pub written_at: u64,
    pub holders: Peers,
    /// When the last of those came to hold it.
    pub last_arrival: u64,
}

/// Counted over a run, of all peers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Changes that came to be held by another peer than their writer.
    pub arrivals: u64,
    /// Deltas that stores were handed, and flooded ones that gossip dropped since it had seen them.
    pub deltas_received: u64,
    /// Of those, the ones that brought something new.
    pub deltas_applied: u64,
    /// Messages on sync streams.
    pub sync_messages: u64,
    /// Their bytes.
    pub sync_bytes: u64,
    /// Sync sessions, counted at both ends.
    pub sessions: u64,
    /// Messages published on gossip.
    pub gossip_published: u64,
    /// Gossip messages between neighbours.
    pub gossip_messages: u64,
    /// Their bytes.
    pub gossip_bytes: u64,
    /// Starts of a peer beyond the first.
    pub restarts: u64,
    /// The most frames that waited on a link, in one direction.
    pub frames_waiting_max: u64,
    /// The most bytes of such.
    pub bytes_waiting_max: u64,
    /// The most requests that waited for a store.
    pub requests_waiting_max: u64,
    /// The most flooded messages that waited for a verdict at a peer.
    pub floods_waiting_max: u64,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// By document too: changes of two documents may be the same.
    pub changes: BTreeMap<(DocumentKey, ChangeHash), Entry>,
    pub counts: Counts,
    /// How often a change has come to be in a store, its writer's included.
    pub entered: u64,
    /// How often each gossip message was sent.
    pub copies: BTreeMap<FloodId, u64>,
    /// When the last change arrived anywhere, or was lost.
    pub moved_at: u64,
}

impl Ledger {
    /// A change has come to be at a peer.
    pub fn arrived(&mut self, node: usize, document: DocumentKey, change: ChangeHash, now: u64) {
        let entry = self.changes.entry((document, change)).or_insert(Entry {
            writer: node,
            written_at: now,
            holders: 0,
            last_arrival: now,
        });
        if entry.writer != node {
            self.counts.arrivals += 1;
        }
        self.entered += 1;
        entry.holders |= 1 << node;
        entry.last_arrival = now;
        self.moved_at = now;
    }

    /// A peer has nothing any more.
    pub fn forget(&mut self, node: usize, now: u64) {
        for entry in self.changes.values_mut() {
            entry.holders &= !(1 << node);
        }
        self.moved_at = now;
    }

    /// A peer still has this.
    pub fn keep(&mut self, node: usize, document: DocumentKey, change: ChangeHash) {
        if let Some(entry) = self.changes.get_mut(&(document, change)) {
            entry.holders |= 1 << node;
        }
    }
}
