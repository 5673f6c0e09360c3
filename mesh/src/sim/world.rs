//! The world: peers on links, in virtual time. One seeded generator decides everything, so a seed repeats a run exactly.
//! Each peer is a core and a reference replica; what drivers, stores and gossip do between them is modelled here.

mod effects;
mod happening;
mod network;
mod node;
#[cfg(test)]
mod testing;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use self::happening::Happening;
pub use self::node::Node;
use super::{
    broken::Broken,
    gossip::Gossip,
    ledger::{Counts, Ledger},
    link::{Link, LinkConfig},
    random::Random,
    trace::{Trace, TraceHash},
};
use crate::{
    proto::{CloseCode, Message, Note},
    replica::{DocumentKey, Interest, PeerKey},
};

/// Most peers of a world.
pub const PEERS_MAX: usize = 64;

/// Happenings after which a run is taken for one that never ends: a hundred times what the largest mixed scenario has.
const HAPPENINGS_MAX: u64 = 20_000_000;

/// What a crash takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing that was acknowledged.
    Nothing,
    /// How far the neighbours' feeds were taken in, which stores keep lazily.
    Cursors,
    /// Also what was written and not synced yet, which nobody has been sent.
    Unsynced,
    /// All since the last checkpoint, as with a store that syncs nothing, or one that comes from a backup.
    SinceCheckpoint,
}

/// Peers on links, in virtual time.
pub struct World {
    /// The peers.
    pub nodes: Vec<Node>,
    /// What decides.
    pub random: Random,
    /// Milliseconds since the beginning.
    pub now: u64,
    /// How links carry.
    pub link: LinkConfig,
    /// The longest time that a store takes for a request, in milliseconds.
    pub store_ms: u64,
    /// How long a write waits until it is synced and told to anybody, in milliseconds.
    pub sync_ms: u64,
    /// Why sessions were closed.
    pub closes: Vec<CloseCode>,
    /// What cores found worth noting.
    pub notes: Vec<Note>,
    /// Messages on sync streams, by sender and receiver, where they are kept.
    pub sent: Vec<(usize, usize, Message)>,
    /// Whether they are.
    pub keep_sent: bool,
    pub(super) ledger: Ledger,
    pub(super) gossip: Gossip,
    pub(super) trace: Trace,
    /// The first thing that must never happen and did; nothing happens any more.
    pub(super) broken: Option<Broken>,
    /// Whether bits have been flipped.
    pub(super) corrupts: bool,
    #[cfg(test)]
    pub(super) offers_off: bool,
    /// By both ends, the lower first.
    links: BTreeMap<(usize, usize), Link>,
    next_connection: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    next_happening: u64,
}

impl World {
    /// Peers with these interests, at most [`PEERS_MAX`], without links.
    pub fn new(seed: u64, interests: Vec<Interest>) -> Self {
        let gossip = Gossip::new(interests.len());
        let nodes = interests.into_iter().enumerate();
        let compare_from = [1, 8, 64, 1_000][seed as usize % 4];
        let nodes = nodes.map(|(index, interest)| Node::new(index, interest, compare_from));
        let mut world = Self {
            nodes: nodes.collect(),
            random: Random::new(seed),
            now: 0,
            link: LinkConfig::default(),
            store_ms: 3,
            sync_ms: 0,
            closes: Vec::new(),
            notes: Vec::new(),
            sent: Vec::new(),
            keep_sent: false,
            ledger: Ledger::default(),
            gossip,
            trace: Trace::default(),
            broken: None,
            corrupts: false,
            #[cfg(test)]
            offers_off: false,
            links: BTreeMap::new(),
            next_connection: 0,
            queue: BTreeMap::new(),
            next_happening: 0,
        };
        (0..world.nodes.len()).for_each(|node| world.begin(node));
        world
    }

    /// Peers that want everything.
    pub fn everything(seed: u64, peers: usize) -> Self {
        Self::new(seed, vec![Interest::Everything; peers])
    }

    /// From how many entries on all peers have stores compared.
    pub fn compare_from(&mut self, entries: u64) {
        for node in 0..self.nodes.len() {
            self.nodes[node].compare_from = entries;
            self.begin(node);
        }
    }

    /// Links each peer to the next.
    pub fn line(&mut self) {
        for peer in 1..self.nodes.len() {
            self.join(0, peer - 1, peer);
        }
    }

    /// Makes a link, or connects a known one again.
    pub fn join(&mut self, at: u64, a: usize, b: usize) {
        self.links.entry(ends(a, b)).or_default();
        self.schedule(at, Happening::Join { a, b });
    }

    /// Cuts a link, and both ends notice.
    pub fn cut(&mut self, at: u64, a: usize, b: usize) {
        self.schedule(at, Happening::Cut { a, b });
    }

    /// Lets nothing through in one direction until a time, which nobody notices.
    pub fn block(&mut self, at: u64, from: usize, to: usize, until: u64) {
        self.schedule(at, Happening::Block { from, to, until });
    }

    /// Ends a peer's process and starts it again.
    pub fn crash(&mut self, at: u64, node: usize, loss: Loss, back_at: u64) {
        self.schedule(at, Happening::Crash { node, loss });
        self.schedule(back_at, Happening::Restart { node });
    }

    /// Keeps what a peer's store holds then, for a later crash.
    pub fn checkpoint(&mut self, at: u64, node: usize) {
        self.schedule(at, Happening::Checkpoint { node });
    }

    /// Lets a peer read nothing for a while.
    pub fn stall(&mut self, at: u64, node: usize, until: u64) {
        self.schedule(at, Happening::Stall { node, until });
    }

    /// Writes a change of each of these documents, in one commit.
    pub fn write(&mut self, at: u64, node: usize, documents: Vec<(DocumentKey, Bytes)>) {
        self.schedule(at, Happening::Write { node, documents });
    }

    /// The links, by both ends, the lower first.
    pub fn links(&self) -> Vec<(usize, usize)> {
        self.links.keys().copied().collect()
    }

    /// Whether all peers hold the same.
    pub fn converged(&self) -> bool {
        let mut contents = self.nodes.iter().map(|node| node.replica.contents());
        let first = contents.next();
        contents.all(|it| Some(it) == first)
    }

    /// What the run has cost so far.
    pub fn counts(&self) -> &Counts {
        &self.ledger.counts
    }

    /// The hash of all that has happened.
    pub fn trace_hash(&self) -> TraceHash {
        self.trace.hash()
    }

    /// Where every session stands.
    pub fn describe(&self) -> String {
        let lines = self.links.iter().map(|((a, b), link)| {
            let open = link.open.is_some();
            let (left, right) = (&self.nodes[*a].core, &self.nodes[*b].core);
            let (left, right) = (left.status(&key(*b)), right.status(&key(*a)));
            format!("{a}-{b} open {open}: {left:?} / {right:?}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Runs until a time, or until something happens that must not.
    pub fn run_until(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end || self.broken.is_some() {
                break;
            }
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.happen(happening);
            if self.trace.happenings > HAPPENINGS_MAX {
                self.broken = Some(Broken::Endless);
            }
        }
        self.now = end;
    }

    /// Ends all that keeps peers apart: links carry without faults, and everybody is up.
    pub fn heal(&mut self) {
        self.corrupts |= self.link.corrupted_per_mille > 0;
        self.link.corrupted_per_mille = 0;
        for link in self.links.values_mut() {
            link.ways.iter_mut().for_each(|way| way.blocked_until = 0);
        }
        (0..self.nodes.len()).for_each(|node| self.restart(node));
        for (a, b) in self.links() {
            self.connect(a, b);
        }
    }

    fn schedule(&mut self, at: u64, happening: Happening) {
        let place = (at.max(self.now), self.next_happening);
        self.queue.insert(place, happening);
        self.next_happening += 1;
    }

    /// The peers that a peer is connected to.
    fn neighbours(&self, node: usize) -> Vec<usize> {
        let others = 0..self.nodes.len();
        let is_open = |other: &usize| {
            let link = self.links.get(&ends(node, *other));
            link.is_some_and(|link| link.open.is_some())
        };
        others.filter(is_open).collect()
    }
}

/// Both ends of a link, the lower first.
fn ends(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// The name of a peer in the world.
pub(super) fn key(node: usize) -> PeerKey {
    PeerKey::new(&[node as u8])
}

/// The peer of a name.
fn index(peer: &PeerKey) -> usize {
    peer.as_bytes().first().map_or(0, |it| usize::from(*it))
}

/// Topics of a core's first effects.
type Topics = BTreeSet<crate::replica::CollectionName>;
