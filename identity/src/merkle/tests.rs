//! Proofs of random parts of trees of every size, and what becomes of them when anything is changed.

use proptest::prelude::*;

use super::*;

const COUNT_MAX: u16 = SEAL_CHANGES_MAX as u16;

/// As many leaves of documents and changes that all differ.
fn leaves(count: u16) -> Vec<MerkleHash> {
    let leaf_at = |index: u16| leaf(format!("\"{index}\"").as_bytes(), &[index as u8; 32]);
    (0..count).map(leaf_at).collect()
}

fn at(leaves: &[MerkleHash], indices: &[u16]) -> Vec<(u16, MerkleHash)> {
    let with_leaf = |index: &u16| (*index, leaves[usize::from(*index)]);
    indices.iter().map(with_leaf).collect()
}

/// The places whose bit is set.
fn places(count: u16, bits: u64) -> Vec<u16> {
    (0..count).filter(|index| bits >> index & 1 == 1).collect()
}

/// The root by the definition of RFC 6962, 2.1, written another way: level by level, an odd last hash moves up.
fn root_by_levels(mut level: Vec<MerkleHash>) -> MerkleHash {
    while level.len() > 1 {
        let up = |pair: &[MerkleHash]| match pair {
            [left, right] => node(*left, *right),
            other => other[0],
        };
        level = level.chunks(2).map(up).collect();
    }
    level[0]
}

/// Goal: the exact hashes are fixed, and so is what is hashed: a key of its own for leaves and for nodes, the document's
/// length in front of it.
#[test]
fn hashes_are_pinned() {
    let text = |hash: MerkleHash| hex(&hash.0).to_string();
    let one = leaf(b"\"a\"", &[7; 32]);
    let bytes = [&[0, 0, 0, 0, 0, 0, 0, 3][..], b"\"a\"", &[7; 32]].concat();
    assert_eq!(one.0, *blake3::keyed_hash(LEAF_KEY, &bytes).as_bytes());
    assert_eq!(
        text(one),
        "cd80130109d4a485d0d447c26b4ff5683c27b8fcb80721611ccf38dc2da88b1a"
    );
    for (count, pinned) in [
        (
            1,
            "1f6bd99b233eea72b758e3ba962b912057a94d61a44c1c581ccb777aeaa1b47b",
        ),
        (
            2,
            "52daf2599db3db74490d1a8b81c343252e357ac6591e32f3a2074542f46c2588",
        ),
        (
            3,
            "204c513e01a9ec9a00af8529617bbb3a611d140b69c82a41e754fd38c4be7ff9",
        ),
        (
            5,
            "a613ff8962089d270c5a6fb3243c198d2ad7b895fe93339fa5af3d9d0b6a8f2d",
        ),
        (
            64,
            "61988ceff886af7dac40f42aac76709ce3f04d026c0348a491b528784baafa7e",
        ),
    ] {
        assert_eq!(text(root(&leaves(count))), pinned, "{count} leaves");
    }
}

/// Goal: a tree has the RFC's shape at every size.
#[test]
fn roots_have_the_shape_of_the_rfc() {
    for count in 1..=COUNT_MAX {
        let leaves = leaves(count);
        assert_eq!(root(&leaves), root_by_levels(leaves), "{count} leaves");
    }
}

/// Goal: a document's end can't be taken for a change's beginning, a leaf not for a node, and no tree for the empty one.
#[test]
fn leaves_and_nodes_are_told_apart() {
    let mut change = [1; 32];
    let one = leaf(b"ab", &change);
    change[0] = b'b';
    assert_ne!(leaf(b"a", &change), one);
    let [left, right] = [MerkleHash([1; 32]), MerkleHash([2; 32])];
    let document = [&left.0[..], &right.0[..]].concat();
    assert_ne!(node(left, right), leaf(&document[..32], &right.0));
    assert_ne!(root(&[]), root(&leaves(1)));
    assert_ne!(LEAF_KEY, NODE_KEY);
}

/// Goal: at every size, all leaves need no proof, each alone has a path no longer than the bound, and no leaf needs the root.
#[test]
fn the_ends_of_proofs() {
    for count in 1..=COUNT_MAX {
        let leaves = leaves(count);
        let all: Vec<u16> = (0..count).collect();
        assert_eq!(prove(&leaves, &all), []);
        assert_eq!(prove(&leaves, &[]), [root(&leaves)]);
        assert_eq!(root_of(count, &[], &[root(&leaves)]), Some(root(&leaves)));
        for index in 0..count {
            let path = prove(&leaves, &[index]);
            assert!(path.len() <= PATH_HASHES_MAX);
            let known = at(&leaves, &[index]);
            assert_eq!(root_of(count, &known, &path), Some(root(&leaves)));
        }
    }
}

/// Goal: places that are repeated, do not ascend or are not there are refused, and so are counts that no seal has.
#[test]
fn wrong_places_and_counts_are_refused() {
    let leaves = leaves(4);
    let (a, b) = (leaves[0], leaves[1]);
    let rest = prove(&leaves, &[0, 1]);
    assert!(open(4, &[(0, a), (1, b)], &rest).is_some());
    for known in [
        vec![(0, a), (0, a)],
        vec![(1, b), (0, a)],
        vec![(0, a), (4, b)],
        vec![(0, a), (1, b), (1, b)],
        vec![(u16::MAX, a)],
    ] {
        assert_eq!(open(4, &known, &rest), None, "{known:?}");
        assert_eq!(root_of(4, &known, &rest), None, "{known:?}");
        let path = [a, b];
        let proven: Vec<Proven<'_>> = known
            .iter()
            .map(|(index, leaf)| (*index, *leaf, &path[..]))
            .collect();
        assert_eq!(prove_from_paths(4, &proven), None, "{known:?}");
    }
    let last = prove(&leaves, &[3]);
    assert!(root_of(4, &[(3, leaves[3])], &last).is_some());
    assert_eq!(root_of(4, &[(4, leaves[3])], &last), None);
    for count in [0, COUNT_MAX + 1, u16::MAX] {
        assert_eq!(root_of(count, &[(0, a)], &[]), None, "{count} leaves");
        assert_eq!(root_of(count, &[], &[a]), None, "{count} leaves");
        assert_eq!(prove_from_paths(count, &[(0, a, &[])]), None);
    }
    assert_eq!(prove_from_paths(4, &[]), None);
}

proptest! {
    /// Goal: whatever leaves are named, their proof leads to the root, and each path that comes with it proves its leaf
    /// alone and is the proof that the tree itself would give.
    #[test]
    fn proofs_lead_to_the_root(count in 1..=COUNT_MAX, bits: u64) {
        let (leaves, named) = (leaves(count), places(count, bits));
        let (known, rest) = (at(&leaves, &named), prove(&leaves, &named));
        let opened = open(count, &known, &rest).unwrap();
        prop_assert_eq!(opened.root, root(&leaves));
        prop_assert_eq!(root_of(count, &known, &rest), Some(opened.root));
        for ((index, leaf), path) in known.iter().zip(&opened.paths) {
            let mut alone = prove(&leaves, &[*index]);
            prop_assert_eq!(prove_from_paths(count, &[(*index, *leaf, path)]), Some(alone.clone()));
            prop_assert_eq!(root_of(count, &[(*index, *leaf)], &alone), Some(opened.root));
            let mut sorted = path.clone();
            alone.sort_unstable();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, alone);
        }
    }

    /// Goal: the proof of any part of what is known needs no more than the paths.
    #[test]
    fn paths_make_the_same_proof(count in 1..=COUNT_MAX, bits: u64, part: u64) {
        let (leaves, named) = (leaves(count), places(count, bits));
        let opened = open(count, &at(&leaves, &named), &prove(&leaves, &named)).unwrap();
        let kept: Vec<(u16, &[MerkleHash])> = named.into_iter()
            .zip(opened.paths.iter().map(Vec::as_slice))
            .filter(|(index, _)| part >> index & 1 == 1)
            .collect();
        let proven: Vec<Proven<'_>> = kept.iter()
            .map(|(index, path)| (*index, leaves[usize::from(*index)], *path))
            .collect();
        let indices: Vec<u16> = kept.iter().map(|(index, _)| *index).collect();
        let expected = (!indices.is_empty()).then(|| prove(&leaves, &indices));
        prop_assert_eq!(prove_from_paths(count, &proven), expected);
    }

    /// Goal: a hash more or less is refused; any other leaf, hash, place or order gives another root or is refused.
    #[test]
    fn no_other_proof_leads_to_the_root(
        count in 2..=COUNT_MAX, bits: u64, pick: prop::sample::Index, bit in 0..256_usize,
    ) {
        let (leaves, named) = (leaves(count), places(count, bits | 1));
        let (known, rest) = (at(&leaves, &named), prove(&leaves, &named));
        let right = Some(root(&leaves));
        let flip = |hash: &mut MerkleHash| hash.0[bit / 8] ^= 1 << (bit % 8);

        let mut other = known.clone();
        flip(&mut pick.get_mut(&mut other).1);
        prop_assert_ne!(root_of(count, &other, &rest), right);
        prop_assert!(root_of(count, &other, &rest).is_some());
        let mut fewer = known.clone();
        fewer.remove(pick.index(known.len()));
        prop_assert_ne!(root_of(count, &fewer, &rest), right);
        let longer = [&rest[..], &[leaves[0]]].concat();
        prop_assert_eq!(open(count, &known, &longer), None);
        if !rest.is_empty() {
            let mut other = rest.clone();
            flip(pick.get_mut(&mut other));
            prop_assert_ne!(root_of(count, &known, &other), right);
            prop_assert_eq!(open(count, &known, &rest[1..]), None);
        }
        if rest.len() > 1 {
            let mut other = rest.clone();
            other.swap(0, pick.index(rest.len() - 1) + 1);
            prop_assert_ne!(root_of(count, &known, &other), right);
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let mut other = known.clone();
            if let Some(place) = other.iter_mut().find(|(index, _)| *index == from) {
                place.0 = to;
                prop_assert_ne!(root_of(count, &other, &rest), right);
            }
        }
    }

    /// Goal: under another count the same leaves and hashes lead to another root or to none, but where the shape beside
    /// the known leaves is the same: therefore the seal signs the count.
    #[test]
    fn another_count_is_another_tree(count in 1..=COUNT_MAX, other in 1..=COUNT_MAX) {
        prop_assume!(count != other);
        let leaves = leaves(count);
        let all: Vec<u16> = (0..count).collect();
        prop_assert_eq!(root_of(other, &at(&leaves, &all), &[]), None);
        let shorter = &leaves[..usize::from(count.min(other))];
        prop_assert!(count < other || root(shorter) != root(&leaves));
    }

    /// Goal: paths that were damaged or belong to another tree make no proof.
    #[test]
    fn wrong_paths_make_no_proof(count in 2..=COUNT_MAX, bits: u64, pick: prop::sample::Index, bit in 0..256_usize) {
        let (leaves, named) = (leaves(count), places(count, bits | 3));
        let opened = open(count, &at(&leaves, &named), &prove(&leaves, &named)).unwrap();
        let join_all = |paths: &[Vec<MerkleHash>]| {
            let proven: Vec<Proven<'_>> = named.iter().zip(paths)
                .map(|(index, path)| (*index, leaves[usize::from(*index)], &path[..]))
                .collect();
            prove_from_paths(count, &proven)
        };
        prop_assert_eq!(join_all(&opened.paths), Some(prove(&leaves, &named)));
        let with = |change: &dyn Fn(&mut Vec<MerkleHash>)| {
            let mut paths = opened.paths.clone();
            change(pick.get_mut(&mut paths));
            join_all(&paths)
        };
        prop_assert_eq!(with(&|path| path.truncate(path.len() - 1)), None);
        prop_assert_eq!(with(&|path| *path = path.split_off(1)), None);
        prop_assert_eq!(with(&|path| path.push(leaves[0])), None);
        prop_assert_eq!(with(&|path| path.insert(0, leaves[0])), None);
        // The leaf's own neighbour is known too, as is another leaf beside every node above the first two.
        let first = |paths: &mut Vec<Vec<MerkleHash>>, index: usize| {
            paths[index][0].0[bit / 8] ^= 1 << (bit % 8);
        };
        for index in [0, 1] {
            let mut paths = opened.paths.clone();
            first(&mut paths, index);
            prop_assert_eq!(join_all(&paths), None);
        }
    }

    /// Goal: whatever is asked of a tree or claimed about one, there is an answer without a panic.
    #[test]
    fn noise_is_survived(count: u16, indices: Vec<u16>, hashes: Vec<[u8; 32]>) {
        let rest: Vec<MerkleHash> = hashes.into_iter().map(MerkleHash).collect();
        let known: Vec<(u16, MerkleHash)> =
            indices.iter().map(|index| (*index, MerkleHash([9; 32]))).collect();
        let opened = open(count, &known, &rest);
        prop_assert_eq!(opened.map(|opened| opened.root), root_of(count, &known, &rest));
        let _ = prove(&rest, &indices);
        let proven: Vec<Proven<'_>> =
            known.iter().map(|(index, leaf)| (*index, *leaf, &rest[..])).collect();
        let _ = prove_from_paths(count, &proven);
    }
}
