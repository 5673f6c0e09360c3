//! Which changes build on which, and how many devices built on each.

use super::Node;
use automerge::ChangeHash;
use std::collections::HashMap;

/// Devices whose votes are counted in one pass: the bits of a number.
const DEVICES_PER_PASS: usize = u64::BITS as usize;

/// The changes by their places in what was given.
pub(super) struct Graph {
    deps: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
    /// All of them, each behind what it builds on.
    order: Vec<usize>,
}

impl Graph {
    /// A change that is given twice is taken once, at its last place.
    pub(super) fn of(changes: &[Node]) -> Self {
        let numbers = changes.iter().enumerate();
        let numbers: HashMap<ChangeHash, usize> =
            numbers.map(|(number, node)| (node.hash, number)).collect();
        let found = |node: &Node| {
            let known = node.deps.iter().filter_map(|dep| numbers.get(dep));
            known.copied().collect()
        };
        let deps: Vec<Vec<usize>> = changes.iter().map(found).collect();
        let mut children = vec![Vec::new(); deps.len()];
        for (number, deps) in deps.iter().enumerate() {
            for dep in deps {
                if let Some(children) = children.get_mut(*dep) {
                    children.push(number);
                }
            }
        }
        let order = order(&deps, &children);
        Self {
            deps,
            children,
            order,
        }
    }

    pub(super) fn deps(&self, number: usize) -> impl Iterator<Item = usize> {
        self.deps.get(number).into_iter().flatten().copied()
    }

    pub(super) fn children(&self, number: usize) -> impl Iterator<Item = usize> {
        self.children.get(number).into_iter().flatten().copied()
    }

    /// How many devices built on each change, other than its own.
    pub(super) fn votes(&self, devices: &[usize]) -> Vec<u32> {
        let mut votes = vec![0; self.deps.len()];
        let count = devices.iter().max().map_or(0, |device| 1 + device);
        for first in (0..count).step_by(DEVICES_PER_PASS) {
            let bit = |number: usize| match devices.get(number)?.checked_sub(first)? {
                bit if bit < DEVICES_PER_PASS => Some(1 << bit),
                _ => None,
            };
            let voters = self.voters(|number| bit(number).unwrap_or(0));
            for (number, (votes, voters)) in votes.iter_mut().zip(voters).enumerate() {
                *votes += (voters & !bit(number).unwrap_or(0)).count_ones();
            }
        }
        votes
    }

    /// The devices of each change's descendants, of those that have a bit.
    fn voters(&self, bit: impl Fn(usize) -> u64) -> Vec<u64> {
        let mut voters = vec![0; self.deps.len()];
        for number in self.order.iter().rev() {
            let passed_on = voters.get(*number).copied().unwrap_or(0) | bit(*number);
            for dep in self.deps(*number) {
                if let Some(voters) = voters.get_mut(dep) {
                    *voters |= passed_on;
                }
            }
        }
        voters
    }
}

fn order(deps: &[Vec<usize>], children: &[Vec<usize>]) -> Vec<usize> {
    let mut waits_for: Vec<usize> = deps.iter().map(Vec::len).collect();
    let mut order: Vec<usize> = (0..deps.len())
        .filter(|number| waits_for.get(*number) == Some(&0))
        .collect();
    let mut done = 0;
    while let Some(number) = order.get(done).copied() {
        done += 1;
        for child in children.get(number).into_iter().flatten() {
            if let Some(waits_for) = waits_for.get_mut(*child) {
                *waits_for -= 1;
                if *waits_for == 0 {
                    order.push(*child);
                }
            }
        }
    }
    order
}
