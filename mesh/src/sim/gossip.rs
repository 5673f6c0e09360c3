//! A simple model of gossipsub: each topic has a mesh of few neighbours per peer, a message goes along it once, and what was
//! seen is dropped. Without lazy gossip, so that what the eager way loses is left to the sync protocol.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::random::Random;
use crate::{proto::FloodId, replica::CollectionName};

/// Neighbours in the mesh of a topic below which a peer looks for more, how many it then wants, and the most that it takes:
/// as the driver sets gossipsub up.
const DEGREE_LOW: usize = 3;
const DEGREE: usize = 4;
/// A peer sends a message to at most so many neighbours.
pub(super) const DEGREE_HIGH: usize = 6;

/// What gossip knows at all peers.
pub(super) struct Gossip {
    members: Vec<Member>,
    /// Switched off to show that the oracle notices.
    pub deduplicates: bool,
}

#[derive(Default)]
struct Member {
    meshes: BTreeMap<CollectionName, BTreeSet<usize>>,
    seen: BTreeSet<FloodId>,
    /// Messages that wait to be judged.
    held: BTreeMap<FloodId, (CollectionName, Bytes)>,
}

impl Gossip {
    pub fn new(peers: usize) -> Self {
        Self {
            members: (0..peers).map(|_| Member::default()).collect(),
            deduplicates: true,
        }
    }

    /// The process of a peer begins anew, with these topics.
    pub fn restart(&mut self, node: usize, topics: BTreeSet<CollectionName>) {
        for member in &mut self.members {
            for mesh in member.meshes.values_mut() {
                mesh.remove(&node);
            }
        }
        self.members[node] = Member::default();
        for topic in topics {
            self.subscribe(node, topic);
        }
    }

    pub fn subscribe(&mut self, node: usize, topic: CollectionName) {
        self.members[node].meshes.entry(topic).or_default();
    }

    pub fn topics(&self, node: usize) -> Vec<CollectionName> {
        self.members[node].meshes.keys().cloned().collect()
    }

    /// Takes up a message that arrived; whether it is new and of a topic of this peer.
    pub fn hear(&mut self, node: usize, id: FloodId, topic: &CollectionName, data: &Bytes) -> bool {
        let deduplicates = self.deduplicates;
        let member = &mut self.members[node];
        let takes = member.meshes.contains_key(topic) && (member.seen.insert(id) || !deduplicates);
        if takes {
            member.held.insert(id, (topic.clone(), data.clone()));
        }
        takes
    }

    /// A peer publishes a message; false when it is one that it has seen.
    pub fn publish(&mut self, node: usize, id: FloodId) -> bool {
        self.members[node].seen.insert(id)
    }

    /// A held message, which is judged now.
    pub fn release(&mut self, node: usize, id: &FloodId) -> Option<(CollectionName, Bytes)> {
        self.members[node].held.remove(id)
    }

    /// How many messages wait to be judged.
    pub fn held(&self, node: usize) -> usize {
        self.members[node].held.len()
    }

    /// Fills a peer's mesh of a topic up from its neighbours, and takes out of it who is none any more.
    pub fn graft(
        &mut self,
        node: usize,
        topic: &CollectionName,
        neighbours: &[usize],
        random: &mut Random,
    ) {
        let Some(mesh) = self.members[node].meshes.get_mut(topic) else {
            return;
        };
        mesh.retain(|peer| neighbours.contains(peer));
        if mesh.len() >= DEGREE_LOW {
            return;
        }
        let mut mesh = mesh.clone();
        let has_room = |peer: &usize| {
            let theirs = self.members[*peer].meshes.get(topic);
            theirs.is_some_and(|it| it.len() < DEGREE_HIGH)
        };
        let free = neighbours.iter().copied().filter(|it| !mesh.contains(it));
        let mut free: Vec<_> = free.filter(has_room).collect();
        while mesh.len() < DEGREE && !free.is_empty() {
            let peer = free.swap_remove(random.index(free.len()));
            mesh.insert(peer);
            if let Some(theirs) = self.members[peer].meshes.get_mut(topic) {
                theirs.insert(node);
            }
        }
        self.members[node].meshes.insert(topic.clone(), mesh);
    }

    /// Whom a peer sends a message of a topic: its mesh, or some subscribers where it is none itself.
    pub fn targets(
        &mut self,
        node: usize,
        topic: &CollectionName,
        neighbours: &[usize],
        random: &mut Random,
    ) -> Vec<usize> {
        self.graft(node, topic, neighbours, random);
        if let Some(mesh) = self.members[node].meshes.get(topic) {
            return mesh.iter().copied().collect();
        }
        let subscribes = |peer: &usize| self.members[*peer].meshes.contains_key(topic);
        let mut subscribers: Vec<_> = neighbours.iter().copied().filter(subscribes).collect();
        while subscribers.len() > DEGREE {
            subscribers.swap_remove(random.index(subscribers.len()));
        }
        subscribers
    }
}
