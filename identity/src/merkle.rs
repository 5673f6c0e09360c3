//! The Merkle tree of a seal: one root over up to [`SEAL_CHANGES_MAX`] changes, and proofs for any of them.
//!
//! The tree has the shape of RFC 6962, 2.1: the left part of n leaves holds the largest power of two below n. Leaves and
//! inner nodes are BLAKE3 under two different keys, so neither can pass for the other. How many leaves there are is part of
//! what is signed, therefore the place of every leaf is fixed, and a proof is nothing but the hashes that are missing.

use std::fmt;

use crate::{hex::hex, limits::SEAL_CHANGES_MAX};

/// The key under which leaves are hashed: plain text, as it separates uses and hides nothing.
const LEAF_KEY: &[u8; 32] = b"sedge seal: leaf of the tree (1)";

/// The key under which inner nodes are hashed.
const NODE_KEY: &[u8; 32] = b"sedge seal: node of the tree (1)";

/// Longest path from a leaf to the root: one hash for every doubling up to [`SEAL_CHANGES_MAX`].
const PATH_HASHES_MAX: usize = SEAL_CHANGES_MAX.ilog2() as usize;

/// The hash of a leaf, or of all that is below a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MerkleHash(pub [u8; 32]);

/// What follows from the leaves that are known and the hashes of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The root of the tree.
    pub root: MerkleHash,
    /// For each known leaf, in their order, its siblings from the leaf up to the root: what proves it alone.
    pub paths: Vec<Vec<MerkleHash>>,
}

/// The leaf of a change of a document. The collection is not in it: it stands in what the seal signs.
#[must_use]
pub fn leaf(document: &[u8], change: &[u8; 32]) -> MerkleHash {
    let mut hasher = blake3::Hasher::new_keyed(LEAF_KEY);
    hasher.update(&(document.len() as u64).to_be_bytes());
    hasher.update(document);
    hasher.update(change);
    MerkleHash(*hasher.finalize().as_bytes())
}

/// The root over all leaves of a tree, in their order. Without leaves it is a hash that no tree has.
#[must_use]
pub fn root(leaves: &[MerkleHash]) -> MerkleHash {
    match leaves {
        [] => MerkleHash(*blake3::keyed_hash(NODE_KEY, &[]).as_bytes()),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(root(left), root(right))
        }
    }
}

/// The proof for the leaves at `indices`, which ascend and are distinct: the roots of the largest subtrees that hold
/// none of them, from left to right. Empty when all leaves are named.
#[must_use]
pub fn prove(leaves: &[MerkleHash], indices: &[u16]) -> Vec<MerkleHash> {
    let mut rest = Vec::new();
    gather(leaves, 0, indices, &mut rest);
    rest
}

/// The root that follows from leaves at their places and the proof for them, without an allocation. Whoever names no leaf
/// gives the root itself as the proof.
///
/// `None` when `count` is none of 1 to [`SEAL_CHANGES_MAX`], the places do not ascend or lie beyond it, or the proof has too
/// few or too many hashes.
#[must_use]
pub fn root_of(count: u16, known: &[(u16, MerkleHash)], rest: &[MerkleHash]) -> Option<MerkleHash> {
    follow(count, known, rest, &mut [])
}

/// As [`root_of`], with the path of each known leaf.
#[must_use]
pub fn open(count: u16, known: &[(u16, MerkleHash)], rest: &[MerkleHash]) -> Option<Opened> {
    let mut paths = vec![Vec::with_capacity(PATH_HASHES_MAX); known.len()];
    let root = follow(count, known, rest, &mut paths)?;
    Some(Opened { root, paths })
}

/// The proof for several leaves, made from the path of each: what [`prove`] gives whoever has all leaves.
///
/// `None` when `count` is none of 1 to [`SEAL_CHANGES_MAX`], there is no leaf, the places do not ascend or lie beyond
/// `count`, a path has a wrong length, or the paths lead to different roots.
#[must_use]
pub fn prove_from_paths(
    count: u16,
    known: &[(u16, MerkleHash, &[MerkleHash])],
) -> Option<Vec<MerkleHash>> {
    check_places(count, known.iter().map(|(index, _, _)| *index))?;
    let mut rest = Vec::new();
    join(Subtree::whole(count), known, &mut rest)?;
    Some(rest)
}

/// Part of a tree, by the places of its leaves.
#[derive(Clone, Copy)]
struct Subtree {
    leaves: usize,
    /// The place of its first leaf.
    first: usize,
    /// How many nodes stand above it.
    depth: usize,
}

impl Subtree {
    fn whole(leaves: u16) -> Self {
        Self {
            leaves: usize::from(leaves),
            first: 0,
            depth: 0,
        }
    }

    fn halves(self) -> (Self, Self) {
        let at = split(self.leaves);
        let depth = self.depth + 1;
        let left = Self {
            leaves: at,
            first: self.first,
            depth,
        };
        let right = Self {
            leaves: self.leaves - at,
            first: self.first + at,
            depth,
        };
        (left, right)
    }

    /// How many of the ascending places of `known` come before this part.
    fn places_before<T>(self, known: &[T], index: impl Fn(&T) -> u16) -> usize {
        known.partition_point(|leaf| usize::from(index(leaf)) < self.first)
    }
}

fn node(left: MerkleHash, right: MerkleHash) -> MerkleHash {
    let mut both = [0; 64];
    let (to_left, to_right) = both.split_at_mut(32);
    to_left.copy_from_slice(&left.0);
    to_right.copy_from_slice(&right.0);
    MerkleHash(*blake3::keyed_hash(NODE_KEY, &both).as_bytes())
}

/// How many of `leaves` (two or more) are in the left part.
fn split(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

fn check_places(count: u16, indices: impl Iterator<Item = u16>) -> Option<()> {
    let fits = (1..=SEAL_CHANGES_MAX).contains(&usize::from(count));
    let ascend = indices.chain([count]).is_sorted_by(|one, next| one < next);
    (fits && ascend).then_some(())
}

fn gather(leaves: &[MerkleHash], first: usize, indices: &[u16], rest: &mut Vec<MerkleHash>) {
    if indices.is_empty() {
        rest.push(root(leaves));
    } else if leaves.len() > 1 {
        let at = split(leaves.len());
        let (left, right) = leaves.split_at(at);
        let middle = first + at;
        let in_left = indices.partition_point(|index| usize::from(*index) < middle);
        let (in_left, in_right) = indices.split_at(in_left);
        gather(left, first, in_left, rest);
        gather(right, middle, in_right, rest);
    }
}

fn follow(
    count: u16,
    known: &[(u16, MerkleHash)],
    rest: &[MerkleHash],
    paths: &mut [Vec<MerkleHash>],
) -> Option<MerkleHash> {
    check_places(count, known.iter().map(|(index, _)| *index))?;
    let mut rest = rest.iter();
    let root = fold(Subtree::whole(count), known, &mut rest, paths)?;
    rest.next().is_none().then_some(root)
}

/// The root of a part. `paths` are those of the known leaves, or none when nobody asks for them.
fn fold(
    part: Subtree,
    known: &[(u16, MerkleHash)],
    rest: &mut std::slice::Iter<'_, MerkleHash>,
    paths: &mut [Vec<MerkleHash>],
) -> Option<MerkleHash> {
    match known {
        [] => rest.next().copied(),
        [(_, leaf)] if part.leaves == 1 => Some(*leaf),
        _ => {
            let (left, right) = part.halves();
            let at = right.places_before(known, |(index, _)| *index);
            let (in_left, in_right) = known.split_at(at);
            let (of_left, of_right) = paths.split_at_mut(at.min(paths.len()));
            let left = fold(left, in_left, rest, of_left)?;
            let right = fold(right, in_right, rest, of_right)?;
            for path in of_left {
                path.push(right);
            }
            for path in of_right {
                path.push(left);
            }
            Some(node(left, right))
        }
    }
}

type Proven<'a> = (u16, MerkleHash, &'a [MerkleHash]);

/// The root of a part that has known leaves.
fn join(part: Subtree, known: &[Proven<'_>], rest: &mut Vec<MerkleHash>) -> Option<MerkleHash> {
    match known {
        [] => None,
        [(_, leaf, path)] if part.leaves == 1 => (path.len() == part.depth).then_some(*leaf),
        _ => {
            let (left, right) = part.halves();
            let at = right.places_before(known, |(index, _, _)| *index);
            let (in_left, in_right) = known.split_at(at);
            let left = join_or_take(left, in_left, in_right, rest)?;
            let right = join_or_take(right, in_right, in_left, rest)?;
            let agree = all_have_beside(in_left, part.depth, right)
                && all_have_beside(in_right, part.depth, left);
            agree.then(|| node(left, right))
        }
    }
}

/// The root of one half; without a known leaf in it, the one that the leaves of the `other` half have in their paths.
fn join_or_take(
    half: Subtree,
    known: &[Proven<'_>],
    other: &[Proven<'_>],
    rest: &mut Vec<MerkleHash>,
) -> Option<MerkleHash> {
    if !known.is_empty() {
        return join(half, known, rest);
    }
    let (_, _, path) = other.first()?;
    let taken = beside(path, half.depth.checked_sub(1)?)?;
    rest.push(taken);
    Some(taken)
}

fn all_have_beside(known: &[Proven<'_>], depth: usize, sibling: MerkleHash) -> bool {
    known
        .iter()
        .all(|(_, _, path)| beside(path, depth) == Some(sibling))
}

/// What a path has beside it below the node at `depth`, counted from the root.
fn beside(path: &[MerkleHash], depth: usize) -> Option<MerkleHash> {
    path.iter().rev().nth(depth).copied()
}

impl fmt::Debug for MerkleHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "MerkleHash({}…)", hex(&[a, b, c, d]))
    }
}

#[cfg(test)]
mod tests;
