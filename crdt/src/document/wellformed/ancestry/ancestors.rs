//! What a change builds on.

use super::Ancestry;
use automerge::legacy::{Op, OpId};
use automerge::{ActorId, ChangeHash};
use std::cell::RefCell;
use std::collections::HashMap;
use std::iter::successors;

/// What is known of a change that is added.
pub(super) struct Known<'a> {
    pub(super) hash: ChangeHash,
    pub(super) actor: &'a ActorId,
    pub(super) seq: u64,
    pub(super) start_op: u64,
    pub(super) max_op: u64,
}

/// The ancestors of one change.
pub(in crate::document) struct Ancestors<'a> {
    ancestry: &'a Ancestry<'a>,
    deps: Vec<usize>,
    /// The changes that are none.
    outside: &'a [usize],
    /// The last changes of actors that were asked for.
    last: RefCell<HashMap<usize, Option<usize>>>,
}

impl<'a> Ancestors<'a> {
    pub(super) fn new(ancestry: &'a Ancestry<'a>, deps: Vec<usize>, outside: &'a [usize]) -> Self {
        Self {
            ancestry,
            deps,
            outside,
            last: RefCell::default(),
        }
    }

    /// The greatest number of an operation; 0 when there is none.
    pub(in crate::document::wellformed) fn max_op(&self) -> u64 {
        // A change's operations come behind all in its ancestry, so those it builds on directly have the greatest.
        let nodes = self
            .deps
            .iter()
            .filter_map(|dep| self.ancestry.nodes.get(*dep));
        nodes.map(|node| node.max_op).max().unwrap_or(0)
    }

    /// The number of an actor's last change; 0 when there is none.
    pub(in crate::document::wellformed) fn last_seq(&self, actor: &ActorId) -> u64 {
        let actor = self.ancestry.actors.get(actor);
        let last = actor.and_then(|actor| self.last(*actor));
        let node = last.and_then(|number| self.ancestry.nodes.get(number));
        node.map_or(0, |node| node.seq)
    }

    /// Whether there are two changes with the same actor and number. Where there is one dependency there are not, as
    /// that one is well-formed.
    pub(in crate::document::wellformed) fn hold_a_fork(&self) -> bool {
        let is_held = |place| {
            let newest = self.ancestry.own.get(place);
            let all = newest.into_iter().flat_map(|newest| self.rivals(*newest));
            all.filter(|number| self.contains(*number)).nth(1).is_some()
        };
        self.deps.len() > 1 && self.ancestry.forked.iter().any(is_held)
    }

    /// An operation; `None` when no ancestor has it.
    pub(in crate::document::wellformed) fn operation(&self, id: &OpId) -> Option<&Op> {
        let actor = *self.ancestry.actors.get(id.actor())?;
        let number = self.own_at(self.last(actor)?, id.counter())?;
        let start = self.ancestry.nodes.get(number)?.start_op;
        let operations = self.ancestry.operations(number)?;
        operations.get(usize::try_from(id.counter() - start).ok()?)
    }

    /// Of a change and its actor's earlier ones below it the last whose operations begin no later than this one.
    fn own_at(&self, last: usize, counter: u64) -> Option<usize> {
        self.back(last, |number| {
            let node = self.ancestry.nodes.get(number);
            node.is_some_and(|node| node.start_op > counter)
        })
    }

    /// An actor's last change: of all branches of its changes the one that leads furthest within.
    fn last(&self, actor: usize) -> Option<usize> {
        let known = self.last.borrow().get(&actor).copied();
        known.unwrap_or_else(|| {
            let tips = self.ancestry.tips.range((actor, 0)..=(actor, usize::MAX));
            let within = tips.filter_map(|(_, tip)| self.back(*tip, |it| !self.contains(it)));
            let seq = |number: &usize| self.ancestry.nodes.get(*number).map(|node| node.seq);
            let found = within.max_by_key(seq);
            self.last.borrow_mut().insert(actor, found);
            found
        })
    }

    /// Of a change and its actor's earlier ones below it the last that isn't too late, in a logarithm of steps. All below
    /// one that isn't are not either.
    fn back(&self, last: usize, is_too_late: impl Fn(usize) -> bool) -> Option<usize> {
        let mut number = last;
        while is_too_late(number) {
            let node = self.ancestry.nodes.get(number)?;
            number = match node.jump {
                jump if jump != number && is_too_late(jump) => jump,
                _ => node.previous?,
            };
        }
        Some(number)
    }

    /// A change and the earlier ones with its actor and number.
    pub(super) fn rivals(&self, newest: usize) -> impl Iterator<Item = usize> {
        successors(Some(newest), |number| {
            self.ancestry.nodes.get(*number)?.rival
        })
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.outside.binary_search(&number).is_err()
    }
}
