//! What has to be true once everything has healed and has been quiet for a while.

use std::collections::BTreeSet;

use super::{
    broken::Broken,
    ledger::Peers,
    world::{World, key},
};
use crate::{
    limits::FLOODS_WAITING_MAX,
    replica::{CollectionName, Range, Replica},
};

/// Messages that a session may take beside those of what is to be offered: greeting, collections, a comparison, and pages
/// that are offered again.
const SESSION_MESSAGES_MAX: u64 = 16;

/// Messages for one feed entry and neighbour: an offer and its acknowledgement, and two turns of want and changes, for a
/// document in parts. A commit makes an entry of each document, and many entries share a page, so that there are normally
/// far fewer.
const ENTRY_MESSAGES_MAX: u64 = 6;

/// The peers that want a collection, in parts that are connected by links between them.
fn parts(world: &World, collection: &CollectionName) -> Vec<Peers> {
    let nodes = world.nodes.iter().enumerate();
    let wanting = nodes.filter(|(_, node)| node.interest.includes(collection));
    let mut parts: Vec<Peers> = wanting.map(|(node, _)| 1 << node).collect();
    for (a, b) in world.links() {
        let part_of = |node: usize| parts.iter().position(|part| part & (1 << node) != 0);
        if let (Some(one), Some(other)) = (part_of(a), part_of(b))
            && one != other
        {
            parts[one] |= parts[other];
            parts.swap_remove(other);
        }
    }
    parts
}

/// Who has to hold a change: the parts of those that want it in which somebody, or next to which somebody, holds it. What
/// nobody holds was lost before anybody heard of it.
struct Wanting {
    collection: CollectionName,
    /// Each part, and it with its neighbours.
    parts: Vec<(Peers, Peers)>,
}

impl Wanting {
    fn new(world: &World, collection: CollectionName) -> Self {
        let parts = parts(world, &collection).into_iter().map(|part| {
            let mut reach = part;
            for (a, b) in world.links() {
                if part & (1 << a) != 0 || part & (1 << b) != 0 {
                    reach |= 1 << a | 1 << b;
                }
            }
            (part, reach)
        });
        Self {
            parts: parts.collect(),
            collection,
        }
    }

    fn must_hold(&self, holders: Peers) -> Peers {
        let reached = self.parts.iter().filter(|(_, reach)| reach & holders != 0);
        reached.fold(0, |all, (part, _)| all | part)
    }
}

/// What a world has to come to.
pub(super) struct Oracle {
    wanting: Vec<Wanting>,
}

impl Oracle {
    /// The oracle of a world whose links and interests stay as they are.
    pub fn new(world: &World, collections: &[CollectionName]) -> Self {
        let wanting = collections.iter();
        let wanting = wanting.map(|name| Wanting::new(world, name.clone()));
        Self {
            wanting: wanting.collect(),
        }
    }

    /// Whether everybody holds what it wants; what is lacking, if not.
    pub fn converged(&self, world: &World) -> Result<(), Broken> {
        let mut lacking = world
            .ledger
            .changes
            .iter()
            .filter_map(|((document, _), entry)| {
                let wanting = self.wanting.iter();
                let mut wanting = wanting.filter(|it| it.collection == document.collection);
                let missing = wanting.next()?.must_hold(entry.holders) & !entry.holders;
                (missing != 0).then_some((document, missing.trailing_zeros()))
            });
        let Some((document, node)) = lacking.next() else {
            return Ok(());
        };
        Err(Broken::NotConverged {
            document: document.clone(),
            node: node as usize,
            missing: 1 + lacking.count(),
        })
    }

    /// Whether all is as it has to be in a world that has converged and fallen silent.
    pub fn judge(&self, world: &World) -> Result<(), Broken> {
        self.converged(world)?;
        self.equal_documents(world)?;
        nothing_unwanted(world)?;
        honest(world)?;
        acknowledged(world)?;
        bounded(world)
    }

    /// Peers of one part have equal documents of its collection, heads included.
    fn equal_documents(&self, world: &World) -> Result<(), Broken> {
        for (wanting, part) in self
            .wanting
            .iter()
            .flat_map(|it| it.parts.iter().map(move |(part, _)| (it, part)))
        {
            let members = (0..world.nodes.len()).filter(|node| part & (1 << node) != 0);
            let range = Range::whole(wanting.collection.clone());
            let mut summaries =
                members.map(|node| (node, world.nodes[node].replica.summary(&range).ok()));
            let Some((a, first)) = summaries.next() else {
                continue;
            };
            if let Some((b, _)) = summaries.find(|(_, it)| *it != first) {
                let collection = wanting.collection.to_string();
                return Err(Broken::Differ { a, b, collection });
            }
        }
        Ok(())
    }
}

/// Nobody holds what it neither wants nor wrote, and stores hold what was counted.
fn nothing_unwanted(world: &World) -> Result<(), Broken> {
    for (index, node) in world.nodes.iter().enumerate() {
        let entries = world.ledger.changes.iter();
        let held = entries.filter(|(_, entry)| entry.holders & (1 << index) != 0);
        let mut counted = BTreeSet::new();
        for ((document, change), entry) in held {
            counted.insert((document.clone(), *change));
            if !node.interest.includes(&document.collection) && entry.writer != index {
                return Err(Broken::Uninterested {
                    node: index,
                    document: document.clone(),
                });
            }
        }
        let contents = node.replica.contents().into_iter();
        let held = contents.flat_map(|(document, changes)| {
            let of_document = move |change| (document.clone(), change);
            changes.into_iter().map(of_document)
        });
        let held: BTreeSet<_> = held.collect();
        if held != counted {
            let (counted, held) = (counted.len(), held.len());
            return Err(Broken::Miscounted {
                node: index,
                counted,
                held,
            });
        }
    }
    Ok(())
}

/// Honest peers close no session and are not refused, unless bits were flipped between them.
fn honest(world: &World) -> Result<(), Broken> {
    if world.corrupts {
        return Ok(());
    }
    if let Some(code) = world.closes.first() {
        return Err(Broken::Closed { code: *code });
    }
    match world.notes.first() {
        Some(note) => Err(Broken::Noted {
            note: format!("{note:?}"),
        }),
        None => Ok(()),
    }
}

/// Everybody knows of its neighbours that they have taken in its feed.
fn acknowledged(world: &World) -> Result<(), Broken> {
    for (a, b) in world.links() {
        for (node, neighbour) in [(a, b), (b, a)] {
            let status = world.nodes[node].core.status(&key(neighbour));
            if status.is_some_and(|it| !it.is_current()) {
                return Err(Broken::Unacknowledged { node, neighbour });
            }
        }
    }
    Ok(())
}

/// Queues were bounded, and there was no storm of messages.
fn bounded(world: &World) -> Result<(), Broken> {
    let counts = &world.ledger.counts;
    // Those that wait for the store, and those that the store has.
    let waiting_max = 2 * FLOODS_WAITING_MAX as u64;
    if counts.floods_waiting_max > waiting_max {
        return Err(Broken::Floods {
            waiting: counts.floods_waiting_max,
            waiting_max,
        });
    }
    let (published, entered) = (counts.gossip_published, world.ledger.entered);
    if published > entered {
        return Err(Broken::Published { published, entered });
    }
    let messages_max = sync_messages_max(world);
    if counts.sync_messages > messages_max {
        return Err(Broken::SyncStorm {
            messages: counts.sync_messages,
            messages_max,
        });
    }
    Ok(())
}

/// How many messages on sync streams there is reason for.
pub(super) fn sync_messages_max(world: &World) -> u64 {
    let links = world.links();
    let entries = world.nodes.iter().enumerate().map(|(index, node)| {
        let neighbours = links.iter().filter(|(a, b)| *a == index || *b == index);
        let last = node.replica.feed().map_or(0, |it| it.last.0);
        last * neighbours.count() as u64
    });
    let sessions = world.ledger.counts.sessions;
    SESSION_MESSAGES_MAX * sessions + ENTRY_MESSAGES_MAX * entries.sum::<u64>()
}
