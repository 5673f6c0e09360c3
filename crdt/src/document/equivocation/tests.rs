use super::*;
use crate::document::Document;
use crate::document::tests::forked::{Changes, history, written};
use crate::document::wellformed::{self, Ancestry};
use crate::id::DocumentId;
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeSet;

mod arrival;
mod examples;

/// Actors of the random histories. Each device has two: the actors 0 and 1, 2 and 3, and so on.
const ACTORS: u8 = 8;

fn device_of(actor: &Actor) -> [u8; 32] {
    [actor[0] / 2; 32]
}

fn nodes(all: &Changes) -> Vec<Node> {
    all.iter()
        .map(|(change, _)| Node::of(change).unwrap())
        .collect()
}

/// The votes of each change, counted one by one.
fn votes(all: &Changes, nodes: &[Node]) -> HashMap<ChangeHash, usize> {
    let of = |variant: usize| {
        let own = device_of(&nodes[variant].actor);
        let voters = (0..all.len()).filter(|number| all[*number].1.contains(&variant));
        let devices = voters.map(|number| device_of(&nodes[number].actor));
        let devices: BTreeSet<[u8; 32]> = devices.filter(|device| *device != own).collect();
        (nodes[variant].hash, devices.len())
    };
    (0..all.len()).map(of).collect()
}

proptest! {
    /// Goal: what is kept is closed under dependencies, holds one change of each actor and number, and lacks none but for
    /// a rival that is kept.
    #[test]
    fn what_is_kept_is_a_document(history in history(ACTORS, 60)) {
        let all = written(&history);
        let nodes = nodes(&all);
        let resolution = resolve(&nodes, device_of);
        let (mut kept, mut aside) = (HashMap::new(), Vec::new());
        for node in &nodes {
            match resolution.aside.contains(&node.hash) {
                true => aside.push(node),
                false => prop_assert_eq!(kept.insert((node.actor, node.seq), node.hash), None),
            }
        }
        prop_assert_eq!(aside.len(), resolution.aside.len());
        let is_aside = |dep: &ChangeHash| resolution.aside.contains(dep);
        for node in &nodes {
            let loses_with_another = node.deps.iter().any(is_aside);
            prop_assert!(!loses_with_another || is_aside(&node.hash));
            let has_lost = kept.get(&(node.actor, node.seq)).is_some_and(|hash| *hash != node.hash);
            prop_assert_eq!(is_aside(&node.hash), loses_with_another || has_lost);
        }
        let is_forked = contested(&nodes).is_empty();
        prop_assert_eq!(is_forked, resolution == Resolution::default());
    }

    /// Goal: a variant only loses to one that as many other devices built on, so nothing is lost that more devices stand
    /// behind than behind what takes its place. Of as many votes the lower hash is kept, unless forks lie across each other.
    #[test]
    fn a_variant_loses_to_one_with_as_many_votes(history in history(ACTORS, 60)) {
        let all = written(&history);
        let nodes = nodes(&all);
        let resolution = resolve(&nodes, device_of);
        let votes = votes(&all, &nodes);
        let by_hash: HashMap<ChangeHash, &Node> = nodes.iter().map(|node| (node.hash, node)).collect();
        for fork in &resolution.forks {
            for lost in &fork.aside {
                let falls_alone = !by_hash[lost].deps.iter().any(|dep| resolution.aside.contains(dep));
                if falls_alone {
                    let kept = fork.kept.unwrap();
                    prop_assert!(votes[&kept] >= votes[lost]);
                    let is_only_fork = resolution.forks.len() == 1;
                    prop_assert!(!is_only_fork || votes[&kept] > votes[lost] || kept < *lost);
                }
            }
        }
        // Each actor that forked is told.
        let told: BTreeSet<Actor> = resolution.forks.iter().map(|fork| fork.actor).collect();
        let forked: BTreeSet<Actor> = contested(&nodes).into_keys().map(|(actor, _)| actor).collect();
        prop_assert_eq!(told, forked);
    }

    /// Goal: the answer follows from the set: it is the same in whatever order the changes are given.
    #[test]
    fn the_order_does_not_matter(history in history(ACTORS, 60), order in prop::collection::vec(any::<u64>(), 60)) {
        let nodes = nodes(&written(&history));
        let mut sorted: Vec<(u64, Node)> = order.into_iter().zip(nodes.clone()).collect();
        sorted.sort_by_key(|(place, _)| *place);
        let sorted: Vec<Node> = sorted.into_iter().map(|(_, node)| node).collect();
        prop_assert_eq!(resolve(&sorted, device_of), resolve(&nodes, device_of));
    }

    /// Goal: votes are counted right whatever the number of devices.
    #[test]
    fn votes_are_of_devices(history in history(ACTORS, 60), many in any::<bool>()) {
        let all = written(&history);
        let nodes = nodes(&all);
        let devices = devices(&nodes, device_of);
        let spread = |device: &usize| if many { device * 50 } else { *device };
        let counted = Graph::of(&nodes).votes(&devices.iter().map(spread).collect::<Vec<_>>());
        let expected = votes(&all, &nodes);
        for (node, counted) in nodes.iter().zip(counted) {
            prop_assert_eq!(counted as usize, expected[&node.hash]);
        }
    }
}
