//! The plan of a run: who wants what, which links there are, and all that is written and goes wrong, each with its time.
//! A run is decided by its plan, so a failing one is made short by leaving things out.

use std::{collections::BTreeSet, fmt};

use bytes::Bytes;

use super::{
    broken::name,
    random::Random,
    scenario::{Scenario, ScenarioError, Topology},
    world::{Loss, World},
};
use crate::replica::{DocumentKey, Interest};

const YEAR_MS: u64 = 31_556_952_000;

/// One thing of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When it begins, in milliseconds.
    pub at: u64,
    /// When it is over.
    pub until: u64,
    /// What it is.
    pub what: What,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A peer writes a commit.
    Write(usize, Vec<(DocumentKey, Bytes)>),
    /// The link between two peers is cut, and both notice.
    Cut(usize, usize),
    /// Nothing comes through from one peer to another, and nobody is told.
    Block(usize, usize),
    /// These peers and the others are apart.
    Part(BTreeSet<usize>),
    /// A peer is down and loses something.
    Crash(usize, Loss),
    /// Two peers have a link meanwhile.
    Meet(usize, usize),
    /// A peer reads nothing.
    Stall(usize),
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, until, what } = self;
        match what {
            What::Write(node, documents) => {
                let names = documents.iter().map(|(key, _)| name(key));
                let names = names.collect::<Vec<_>>().join(", ");
                write!(f, "{at:>7} ms  {node} writes {names}")
            }
            What::Cut(a, b) => write!(f, "{at:>7} ms  {a} – {b} cut until {until} ms"),
            What::Block(from, to) => {
                write!(
                    f,
                    "{at:>7} ms  {from} → {to} lets nothing through until {until} ms"
                )
            }
            What::Part(side) => write!(
                f,
                "{at:>7} ms  {side:?} apart from the others until {until} ms"
            ),
            What::Crash(node, loss) => {
                let lost = match loss {
                    Loss::Nothing => "nothing",
                    Loss::Cursors => "its cursors",
                    Loss::Unsynced => "its cursors and unsynced writes",
                    Loss::SinceCheckpoint => "all that it took in lately",
                };
                write!(f, "{at:>7} ms  {node} down until {until} ms, loses {lost}")
            }
            What::Meet(a, b) => write!(f, "{at:>7} ms  {a} – {b} linked until {until} ms"),
            What::Stall(node) => write!(f, "{at:>7} ms  {node} reads nothing until {until} ms"),
        }
    }
}

/// What decides a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of the world's own generator, and of this plan.
    pub seed: u64,
    /// What it is a plan of.
    pub scenario: Scenario,
    /// What each peer wants.
    pub interests: Vec<Interest>,
    /// The links that last.
    pub links: Vec<(usize, usize)>,
    /// All that happens.
    pub deeds: Vec<Deed>,
    skews_ms: Vec<u64>,
    delta_changes_max: usize,
}

impl Plan {
    /// Makes the plan of a seed.
    ///
    /// # Errors
    /// When the scenario can't be run.
    pub fn new(scenario: Scenario, seed: u64) -> Result<Self, ScenarioError> {
        scenario.check()?;
        let mut draw = Draw {
            random: Random::new(seed.wrapping_add(0x9a7)),
            scenario: &scenario,
        };
        let links = draw.links();
        let interests: Vec<_> = (0..scenario.peers).map(|_| draw.interest()).collect();
        let skews = (0..scenario.peers).map(|_| draw.random.within(0, scenario.skew_years));
        let skews_ms = skews.map(|years| years * YEAR_MS).collect();
        let delta_changes_max = match draw.random.below(6) {
            0 => usize::MAX,
            few => few as usize,
        };
        let mut deeds = draw.faults(&links);
        for _ in 0..scenario.writes {
            deeds.push(draw.write(&interests)?);
        }
        deeds.sort_by_key(|deed| deed.at);
        Ok(Self {
            seed,
            interests,
            links,
            deeds,
            skews_ms,
            delta_changes_max,
            scenario,
        })
    }

    /// The world of the plan, in which everything is about to happen.
    pub(super) fn world(&self) -> World {
        let mut world = World::new(self.seed, self.interests.clone());
        let scenario = &self.scenario;
        world.link = scenario.link.clone();
        (world.store_ms, world.sync_ms) = (scenario.store_ms, scenario.sync_ms);
        for (index, node) in world.nodes.iter_mut().enumerate() {
            node.skew_ms = self.skews_ms[index];
            node.replica.limit_deltas(self.delta_changes_max);
            if index % 3 == 0 {
                node.read_ms = scenario.read_ms;
            }
        }
        for (a, b) in &self.links {
            world.join(0, *a, *b);
        }
        self.deeds
            .iter()
            .for_each(|deed| self.schedule(deed, &mut world));
        world
    }

    fn schedule(&self, deed: &Deed, world: &mut World) {
        let Deed { at, until, what } = deed.clone();
        match what {
            What::Write(node, documents) => world.write(at, node, documents),
            What::Cut(a, b) => apart(world, at, (a, b), until),
            What::Block(from, to) => world.block(at, from, to, until),
            What::Part(side) => {
                let across = |(a, b): &&(usize, usize)| side.contains(a) != side.contains(b);
                for link in self.links.iter().filter(across) {
                    apart(world, at, *link, until);
                }
            }
            What::Crash(node, loss) => {
                if loss == Loss::SinceCheckpoint {
                    world.checkpoint(at.saturating_sub(CHECKPOINT_AGE_MS), node);
                }
                world.crash(at, node, loss, until);
            }
            What::Meet(a, b) => {
                world.join(at, a, b);
                world.cut(until, a, b);
            }
            What::Stall(node) => world.stall(at, node, until),
        }
    }
}

/// How much is lost with all since the last checkpoint.
const CHECKPOINT_AGE_MS: u64 = 2_000;

/// Cuts a link, which can't be joined before a time.
fn apart(world: &mut World, at: u64, (a, b): (usize, usize), until: u64) {
    world.block(at, a, b, until);
    world.block(at, b, a, until);
    world.cut(at, a, b);
    world.join(until, a, b);
}

/// Draws a plan.
struct Draw<'a> {
    random: Random,
    scenario: &'a Scenario,
}

impl Draw<'_> {
    fn peer(&mut self) -> usize {
        self.random.index(self.scenario.peers)
    }

    fn links(&mut self) -> Vec<(usize, usize)> {
        let peers = self.scenario.peers;
        let line = (1..peers).map(|peer| (peer - 1, peer));
        match self.scenario.topology {
            Topology::Line => line.collect(),
            Topology::Star => (1..peers).map(|peer| (0, peer)).collect(),
            Topology::Ring if peers > 2 => line.chain([(0, peers - 1)]).collect(),
            Topology::Ring => line.collect(),
            Topology::Random { degree } => {
                let tree = (1..peers).map(|peer| (self.random.index(peer), peer));
                let mut links: BTreeSet<_> = tree.collect();
                let most = (peers * degree / 2).min(peers * (peers - 1) / 2);
                while links.len() < most {
                    let (a, b) = (self.peer(), self.peer());
                    if a != b {
                        links.insert((a.min(b), a.max(b)));
                    }
                }
                links.into_iter().collect()
            }
        }
    }

    fn interest(&mut self) -> Interest {
        if !self.random.percent(self.scenario.narrow_percent) {
            return Interest::Everything;
        }
        let names = self.scenario.collections.iter();
        let wanted = names.filter(|_| self.random.percent(40));
        Interest::Collections(wanted.cloned().collect())
    }

    /// When something begins and ends that takes at least so long.
    fn span(&mut self, least_ms: u64, most_ms: u64) -> (u64, u64) {
        let active_ms = self.scenario.active_ms;
        let at = self.random.below(active_ms * 9 / 10);
        let most_ms = most_ms.min(active_ms - at);
        (at, at + self.random.within(least_ms.min(most_ms), most_ms))
    }

    fn faults(&mut self, links: &[(usize, usize)]) -> Vec<Deed> {
        let scenario = self.scenario;
        let mut deeds = Vec::new();
        let mut several =
            |count, least_ms, most_ms, what: fn(&mut Self, &[(usize, usize)]) -> What| {
                for _ in 0..count {
                    let what = what(self, links);
                    let (at, until) = self.span(least_ms, most_ms);
                    deeds.push(Deed { at, until, what });
                }
            };
        several(scenario.cuts, 1, 1_500, |it, links| {
            let (a, b) = links[it.random.index(links.len())];
            What::Cut(a, b)
        });
        several(scenario.blocks, 100, 50_000, |it, links| {
            let (a, b) = links[it.random.index(links.len())];
            match it.random.percent(50) {
                true => What::Block(a, b),
                false => What::Block(b, a),
            }
        });
        several(scenario.partitions, 1_000, 8_000, |it, _| {
            let two_of_five = it.scenario.peers * 2 / 5;
            What::Part((0..two_of_five.max(1)).collect())
        });
        several(scenario.crashes, 1, 1_500, |it, _| {
            let losses = [
                Loss::Nothing,
                Loss::Cursors,
                Loss::Unsynced,
                Loss::SinceCheckpoint,
            ];
            What::Crash(it.peer(), losses[it.random.index(losses.len())])
        });
        several(scenario.leaves, 500, 6_000, |it, _| {
            What::Crash(it.peer(), Loss::Nothing)
        });
        several(scenario.meetings, 200, 4_000, |it, _| {
            let a = it.peer();
            let others = (0..it.scenario.peers).filter(|b| *b != a);
            let others: Vec<_> = others.collect();
            What::Meet(a, others[it.random.index(others.len())])
        });
        several(scenario.stalls, 500, 5_000, |it, _| What::Stall(it.peer()));
        deeds
    }

    /// A commit, now and then of many documents, and seldom of a collection that its writer does not want.
    fn write(&mut self, interests: &[Interest]) -> Result<Deed, ScenarioError> {
        let node = self.peer();
        let at = self.random.below(self.scenario.active_ms);
        let documents = match self.random.percent(10) {
            true => 40,
            false => self.random.within(1, 3),
        };
        let all = &self.scenario.collections;
        let wanted: Vec<_> = all
            .iter()
            .filter(|it| interests[node].includes(it))
            .collect();
        let mut writes = Vec::new();
        for _ in 0..documents {
            let collection = match wanted.is_empty() || self.random.percent(2) {
                true => &all[self.random.index(all.len())],
                false => wanted[self.random.index(wanted.len())],
            };
            let id = self.random.below(self.scenario.documents).to_string();
            let key = DocumentKey::new(collection.clone(), id.into_bytes())?;
            let length = self.random.within(0, self.scenario.content_bytes_max);
            let content = (0..length).map(|_| self.random.below(256) as u8);
            writes.push((key, content.collect()));
        }
        let what = What::Write(node, writes);
        Ok(Deed {
            at,
            until: at,
            what,
        })
    }
}
