//! What the rule says of the cases that it was made for.

use super::*;

/// A change that isn't encoded: its hash is its name.
fn node(name: u16, actor: u8, seq: u64, deps: &[u16]) -> Node {
    Node {
        hash: hash(name),
        actor: [actor; 16],
        seq,
        deps: deps.iter().map(|dep| hash(*dep)).collect(),
    }
}

fn hash(name: u16) -> ChangeHash {
    let mut hash = [0; 32];
    hash[..2].copy_from_slice(&name.to_be_bytes());
    ChangeHash(hash)
}

/// Each actor is a device.
fn aside(nodes: &[Node]) -> Vec<u16> {
    let aside = resolve(nodes, |actor| [actor[0]; 32]).aside;
    let name = |hash: ChangeHash| u16::from_be_bytes([hash.0[0], hash.0[1]]);
    let mut aside: Vec<u16> = aside.into_iter().map(name).collect();
    aside.sort_unstable();
    aside
}

/// Goal: without a fork nothing is set aside and no fork is told, and what isn't given, as a birth, is no obstacle.
#[test]
fn without_a_fork_all_count() {
    let nodes = [
        node(1, 1, 1, &[900]),
        node(2, 2, 1, &[1]),
        node(3, 1, 2, &[2]),
    ];
    assert_eq!(resolve(&nodes, |_| [0; 32]), Resolution::default());
    assert_eq!(resolve(&[], |_| [0; 32]), Resolution::default());
}

/// Goal: of a copied state folder's two histories the one counts that others built on; the other is set aside with all
/// that goes on from it, and told once.
#[test]
fn the_variant_that_others_built_on_counts() {
    let mut nodes = vec![
        node(1, 1, 1, &[]),
        node(20, 1, 2, &[1]),
        node(30, 1, 3, &[20]),
        node(21, 1, 2, &[1]),
        node(31, 1, 3, &[21]),
    ];
    assert_eq!(aside(&nodes), [21, 31]);
    nodes.push(node(40, 2, 1, &[31]));
    assert_eq!(aside(&nodes), [20, 30]);
    let forks = resolve(&nodes, |actor| [actor[0]; 32]).forks;
    let expected = Fork {
        actor: [1; 16],
        seq: 2,
        kept: Some(hash(21)),
        aside: vec![hash(20)],
    };
    assert_eq!(forks, [expected]);
}

/// Goal: of three variants from different places one counts.
#[test]
fn three_variants_with_different_parents() {
    let nodes = [
        node(1, 1, 1, &[]),
        node(2, 2, 1, &[1]),
        node(10, 1, 2, &[1]),
        node(11, 1, 2, &[2]),
        node(12, 1, 2, &[1]),
        node(50, 2, 2, &[2, 12]),
    ];
    assert_eq!(aside(&nodes[..5]), [11, 12]);
    assert_eq!(aside(&nodes), [10, 11]);
}

/// Goal: a fork within what another fork's variant leads to is settled once that one is kept, and told as one of its own.
#[test]
fn forks_within_forks() {
    let nodes = [
        node(30, 1, 1, &[]),
        node(31, 1, 1, &[]),
        node(41, 1, 2, &[30]),
        node(40, 1, 2, &[30]),
        node(39, 1, 2, &[31]),
    ];
    assert_eq!(aside(&nodes), [31, 39, 41]);
    let forks = resolve(&nodes, |actor| [actor[0]; 32]).forks;
    let told: Vec<_> = forks.iter().map(|fork| (fork.seq, fork.kept)).collect();
    assert_eq!(told, [(1, Some(hash(30))), (2, Some(hash(40)))]);
}

/// Goal: two cloned devices whose forks build on each other crosswise: what more devices built on counts, with what it
/// builds on.
#[test]
fn forks_across_each_other() {
    let (a, a2) = (node(10, 1, 1, &[]), node(11, 1, 1, &[21]));
    let (b, b2) = (node(20, 2, 1, &[10]), node(21, 2, 1, &[]));
    let mut nodes = vec![a, a2, b, b2];
    assert_eq!(aside(&nodes), [11, 20]);
    nodes.extend([node(50, 3, 1, &[11]), node(51, 4, 1, &[11])]);
    assert_eq!(aside(&nodes), [10, 20]);
    nodes.extend((5..8).map(|actor| node(60 + actor, actor as u8, 1, &[20])));
    assert_eq!(aside(&nodes), [11, 21, 50, 51]);
}

/// Goal: a device whose variants all build on what is set aside for another fork is told, with none that counts.
#[test]
fn a_fork_of_which_nothing_counts_is_told() {
    let nodes = [
        node(10, 1, 1, &[]),
        node(11, 1, 1, &[]),
        node(20, 2, 1, &[11]),
        node(21, 2, 1, &[11]),
        node(30, 3, 1, &[10]),
        node(31, 4, 1, &[10]),
    ];
    assert_eq!(aside(&nodes), [11, 20, 21]);
    let forks = resolve(&nodes, |actor| [actor[0]; 32]).forks;
    let told: Vec<_> = forks
        .iter()
        .map(|fork| (fork.actor[0], fork.kept))
        .collect();
    assert_eq!(told, [(1, Some(hash(10))), (2, None)]);
}

/// Goal: what one honest device built on stays, whatever a single device does: thousands of variants, of descendants, of
/// incarnations of its own, and forks of these.
#[test]
fn a_device_gains_nothing_by_its_own_changes() {
    const MALLORY: [u8; 32] = [66; 32];
    let mut nodes = vec![node(60_000, 66, 1, &[]), node(60_001, 1, 1, &[60_000])];
    for name in 0..5_000 {
        nodes.push(node(name, 66, 1, &[]));
    }
    for name in 0..5_000 {
        let incarnation = 70 + (name % 100) as u8;
        nodes.push(node(10_000 + name, incarnation, 1, &[name % 3]));
    }
    let device = |actor: &Actor| if actor[0] == 1 { [1; 32] } else { MALLORY };
    let resolution = resolve(&nodes, device);
    assert!(!resolution.aside.contains(&hash(60_000)));
    assert!(!resolution.aside.contains(&hash(60_001)));
    assert_eq!(resolution.aside.len(), nodes.len() - 2);
}

/// Goal: voters that fork count once for each variant they built on, so forking wins nothing for either.
#[test]
fn voters_that_fork_count_once() {
    let mut nodes = vec![node(10, 1, 1, &[]), node(11, 1, 1, &[])];
    nodes.extend((0..9).map(|name| node(200 + name, 2, 1, &[11])));
    assert_eq!(aside(&nodes)[0], 10);
    nodes.extend([node(30, 3, 1, &[10]), node(40, 4, 1, &[10])]);
    assert_eq!(aside(&nodes)[0], 11);
}
