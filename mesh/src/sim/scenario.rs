//! Scenarios as data: what a mesh is like and how much goes wrong in it. A seed makes a plan of one.

use super::{link::LinkConfig, random::Random, world::PEERS_MAX};
use crate::replica::{CollectionName, NameError};

/// How peers are linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Each to the next.
    Line,
    /// All to the first.
    Star,
    /// Each to the next, and the last to the first.
    Ring,
    /// At random, connected, with so many neighbours on average.
    Random {
        /// Neighbours of a peer, on average.
        degree: usize,
    },
}

/// A mesh, and how much of what happens in it. Times are in milliseconds of the simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What reports call it.
    pub name: String,
    /// How many peers, 2 to [`PEERS_MAX`].
    pub peers: usize,
    /// How they are linked.
    pub topology: Topology,
    /// The collections that are written to.
    pub collections: Vec<CollectionName>,
    /// Of a hundred peers so many want some of the collections only, or none.
    pub narrow_percent: u64,
    /// How links carry.
    pub link: LinkConfig,
    /// Commits.
    pub writes: u64,
    /// Documents of each collection.
    pub documents: u64,
    /// Most bytes of a change.
    pub content_bytes_max: u64,
    /// How long writes and faults go on; then everything heals.
    pub active_ms: u64,
    /// Links that are cut for a while.
    pub cuts: u64,
    /// Directions of links that let nothing through for a while.
    pub blocks: u64,
    /// Times at which the mesh falls into two parts for a while.
    pub partitions: u64,
    /// Crashes of peers, with losses of every kind.
    pub crashes: u64,
    /// Peers that go and come back later.
    pub leaves: u64,
    /// Links that exist for a while only.
    pub meetings: u64,
    /// Times at which a peer reads nothing for a while.
    pub stalls: u64,
    /// How long every third peer takes to read a frame.
    pub read_ms: u64,
    /// The longest time that a store takes for a request.
    pub store_ms: u64,
    /// How long a write waits until it is synced and told to anybody.
    pub sync_ms: u64,
    /// How many years clocks are apart at most.
    pub skew_years: u64,
}

/// Why a scenario can't be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// A number is out of its range.
    #[error("{what} is {value}, and has to be {least} to {most}")]
    OutOfRange {
        /// Which.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A collection has no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// What each seed picks one of.
const KINDS: [fn(&mut Scenario, &mut Random); 16] = [
    |it, _| it.named("line", Topology::Line),
    |it, _| it.named("star", Topology::Star),
    |it, _| it.named("ring", Topology::Ring),
    |it, _| it.named("random", Topology::Random { degree: 4 }),
    |it, random| {
        it.named("partition", Topology::Ring);
        it.peers = 5;
        it.partitions = random.within(1, 4);
    },
    |it, random| {
        it.named("churn", Topology::Random { degree: 3 });
        it.leaves = random.within(3, 12);
        it.meetings = random.within(2, 10);
    },
    |it, random| {
        it.named("slow readers", Topology::Random { degree: 4 });
        it.read_ms = random.within(5, 60);
        it.stalls = random.within(1, 4);
        it.content_bytes_max = 20_000;
    },
    |it, _| {
        it.named("lossy", Topology::Random { degree: 4 });
        it.link.loss_percent = 30;
    },
    |it, random| {
        it.named("corruption", Topology::Ring);
        it.link.corrupted_per_mille = random.within(1, 40);
    },
    |it, random| {
        it.named("skew", Topology::Random { degree: 3 });
        it.skew_years = random.within(1, 80);
    },
    |it, random| {
        it.named("crashes", Topology::Random { degree: 3 });
        it.crashes = random.within(4, 15);
        it.sync_ms = random.within(1, 400);
    },
    |it, random| {
        it.named("interests", Topology::Random { degree: 3 });
        it.narrow_percent = random.within(20, 80);
        it.link.loss_percent = 20;
    },
    |it, random| {
        it.named("one way", Topology::Random { degree: 3 });
        it.active_ms = 60_000;
        it.blocks = random.within(2, 10);
    },
    |it, random| {
        it.named("slow links", Topology::Line);
        it.link.latency_ms = (50, random.within(100, 1_500));
        it.link.bytes_per_second = random.within(4_000, 100_000);
        it.link.gossip_jitter_ms = 1_000;
        it.content_bytes_max = 2_000;
    },
    |it, _| {
        it.named("duplicates", Topology::Random { degree: 4 });
        it.link.duplicated_percent = 50;
        it.link.gossip_jitter_ms = 800;
    },
    |it, random| {
        it.named("everything", Topology::Random { degree: 4 });
        it.active_ms = 60_000;
        (it.partitions, it.crashes) = (1, random.within(1, 5));
        (it.leaves, it.meetings) = (random.within(1, 5), random.within(1, 5));
        (it.blocks, it.stalls) = (random.within(1, 5), random.within(1, 2));
        it.link.loss_percent = random.within(0, 30);
        it.link.duplicated_percent = random.within(0, 20);
        it.link.corrupted_per_mille = random.within(0, 10);
        it.narrow_percent = random.within(0, 50);
        (it.skew_years, it.sync_ms, it.read_ms) = (50, 20, 5);
    },
];

impl Scenario {
    /// Five peers on a ring of good links, who write a little; a few links are cut now and then.
    ///
    /// # Errors
    /// Never: the names of its collections are good ones.
    pub fn quiet() -> Result<Self, ScenarioError> {
        Ok(Self {
            name: "quiet".to_owned(),
            peers: 5,
            topology: Topology::Ring,
            collections: Self::collections(&["boats", "cars", "planes"])?,
            narrow_percent: 0,
            link: LinkConfig::default(),
            writes: 60,
            documents: 30,
            content_bytes_max: 200,
            active_ms: 10_000,
            cuts: 2,
            blocks: 0,
            partitions: 0,
            crashes: 0,
            leaves: 0,
            meetings: 0,
            stalls: 0,
            read_ms: 0,
            store_ms: 3,
            sync_ms: 0,
            skew_years: 0,
        })
    }

    /// Collections of these names.
    ///
    /// # Errors
    /// When the protocol can't carry a name.
    pub fn collections(names: &[impl AsRef<str>]) -> Result<Vec<CollectionName>, ScenarioError> {
        let names = names.iter().map(|name| CollectionName::new(name.as_ref()));
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// The scenario of a seed: the kinds take turns, and the seed decides the rest. Most have 3 to 10 peers; every 16th of
    /// each kind has 20 to 40.
    ///
    /// # Errors
    /// Never: all of them are within their ranges.
    pub fn mixed(seed: u64) -> Result<Self, ScenarioError> {
        let kinds = KINDS.len() as u64;
        let random = &mut Random::new(seed ^ 0x5ced_9e00);
        let mut scenario = Self::quiet()?;
        let is_large = (seed / kinds) % 16 == 15;
        scenario.peers = match is_large {
            true => random.within(20, 40) as usize,
            false => random.within(3, 10) as usize,
        };
        scenario.writes = random.within(20, 80);
        scenario.documents = random.within(1, 40);
        scenario.cuts = random.within(0, 2 * scenario.peers as u64);
        scenario.crashes = random.within(0, 3);
        if let Some(shape) = KINDS.get((seed % kinds) as usize) {
            shape(&mut scenario, random);
        }
        Ok(scenario)
    }

    fn named(&mut self, name: &str, topology: Topology) {
        (self.name, self.topology) = (name.to_owned(), topology);
    }

    /// Whether it can be run.
    ///
    /// # Errors
    /// [`ScenarioError`] with the first number that is out of its range.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let percent = (0, 100);
        let faults = (0, 1_000);
        let ranges = [
            ("peers", self.peers as u64, (2, PEERS_MAX as u64)),
            ("collections", self.collections.len() as u64, (1, 16)),
            ("narrow_percent", self.narrow_percent, percent),
            ("loss_percent", self.link.loss_percent, (0, 90)),
            ("duplicated_percent", self.link.duplicated_percent, percent),
            (
                "corrupted_per_mille",
                self.link.corrupted_per_mille,
                (0, 100),
            ),
            (
                "latency_ms",
                self.link.latency_ms.0,
                (0, self.link.latency_ms.1),
            ),
            ("latency_ms", self.link.latency_ms.1, (0, 10_000)),
            ("gossip_jitter_ms", self.link.gossip_jitter_ms, (0, 10_000)),
            (
                "bytes_per_second",
                self.link.bytes_per_second,
                (1_000, u64::MAX),
            ),
            ("writes", self.writes, (0, 10_000)),
            ("documents", self.documents, (1, 1_000_000)),
            ("content_bytes_max", self.content_bytes_max, (0, 1_000_000)),
            ("active_ms", self.active_ms, (1_000, 3_600_000)),
            ("cuts", self.cuts, faults),
            ("blocks", self.blocks, faults),
            ("partitions", self.partitions, faults),
            ("crashes", self.crashes, faults),
            ("leaves", self.leaves, faults),
            ("meetings", self.meetings, faults),
            ("stalls", self.stalls, faults),
            ("read_ms", self.read_ms, (0, 1_000)),
            ("store_ms", self.store_ms, (0, 1_000)),
            ("sync_ms", self.sync_ms, (0, 10_000)),
            ("skew_years", self.skew_years, (0, 1_000)),
        ];
        for (what, value, (least, most)) in ranges {
            if !(least..=most).contains(&value) {
                return Err(ScenarioError::OutOfRange {
                    what,
                    value,
                    least,
                    most,
                });
            }
        }
        Ok(())
    }
}
