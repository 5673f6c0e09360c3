//! Goal: a thousand mixed runs keep what the oracle demands, and the oracle notices when a part of the protocol is missing.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    Broken, Plan, Report, Scenario,
    oracle::Oracle,
    run::{Outcome, run_world, shorten_by, simulate},
    world::World,
};
use crate::{
    memory::MemoryReplica,
    proto::CloseCode,
    replica::{CollectionName, DocumentKey, FeedId, Interest},
};

/// Runs in every test run; more in a long one (`scripts/test --full mesh`).
fn seeds() -> u64 {
    let long = std::env::var("SEDGE_FULL").is_ok_and(|group| group == "mesh");
    if long { 10_000 } else { 1_000 }
}

fn mixed(seed: u64) -> Outcome {
    simulate(Scenario::mixed(seed).unwrap(), seed).unwrap()
}

/// Goal: whatever goes wrong, everything is as it has to be once it has healed.
#[test]
fn a_thousand_seeds_converge() {
    let mut report = Report::default();
    for seed in 0..seeds() {
        report.add(mixed(seed));
    }
    let failed = report.failed().map(|it| {
        let broken = it.broken.as_ref().unwrap();
        format!(
            "seed {} ({}, {} peers): {broken}",
            it.seed, it.scenario, it.peers
        )
    });
    let failed: Vec<_> = failed.collect();
    println!("converged after {:?} ms", report.convergence_ms());
    println!("last hop {:?} ms", report.last_hop_ms());
    println!("redundancy {:?}", report.redundancy());
    println!("{:?} bytes per change", report.bytes_per_change());
    println!("{:?} messages per change", report.messages_per_change());
    println!("{:?} of the bound of messages", report.storm_margin());
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// Goal: a seed repeats a run exactly, whatever is in it, and another seed does not.
#[test]
fn a_seed_repeats_its_trace() {
    for seed in 0..32 {
        assert_eq!(mixed(seed).trace, mixed(seed).trace, "seed {seed}");
        assert_ne!(mixed(seed).trace, mixed(seed + 32).trace);
    }
}

/// The first seed that fails in worlds without a part of the protocol.
fn first_failure(without: fn(&mut World)) -> (Plan, Outcome) {
    for seed in 0..1_000 {
        let plan = Plan::new(Scenario::mixed(seed).unwrap(), seed).unwrap();
        let mut world = plan.world();
        without(&mut world);
        let outcome = run_world(&plan, &mut world);
        if outcome.broken.is_some() {
            return (plan, outcome);
        }
    }
    panic!("the oracle did not notice within 1,000 seeds");
}

/// Goal: the oracle bites without repair, without deduplication, and without a look at dependencies.
#[test]
fn what_is_switched_off_is_noticed() {
    let switches: [fn(&mut World); 3] = [
        World::switch_offers_off,
        World::switch_deduplication_off,
        World::switch_dependencies_off,
    ];
    for without in switches {
        let (_, outcome) = first_failure(without);
        println!("seed {}: {}", outcome.seed, outcome.broken.unwrap());
    }
}

/// Goal: the oracle notices what a healthy run never shows: something unwanted, something lost, an ended session.
#[test]
fn what_never_happens_would_be_noticed() {
    let plan = Plan::new(Scenario::quiet().unwrap(), 1).unwrap();
    let judged = |spoil: fn(&mut World)| {
        let mut world = plan.world();
        assert_eq!(run_world(&plan, &mut world).broken, None);
        spoil(&mut world);
        Oracle::new(&world, &plan.scenario.collections).judge(&world)
    };
    assert_eq!(judged(|_| {}), Ok(()));
    let unwanted = judged(|world| world.nodes[1].interest = Interest::Collections(BTreeSet::new()));
    assert!(
        matches!(unwanted, Err(Broken::Uninterested { node: 1, .. })),
        "{unwanted:?}"
    );
    let lost = judged(|world| {
        let nothing = MemoryReplica::new(FeedId([9; 16])).checkpoint();
        world.nodes[2].replica.roll_back(nothing, FeedId([9; 16]));
    });
    assert!(matches!(lost, Err(Broken::Differ { b: 2, .. })), "{lost:?}");
    let closed = judged(|world| world.closes.push(CloseCode::Incomplete));
    assert!(matches!(closed, Err(Broken::Closed { .. })), "{closed:?}");
    let storm = judged(|world| world.ledger.counts.sync_messages *= 100);
    assert!(matches!(storm, Err(Broken::SyncStorm { .. })), "{storm:?}");
}

/// Goal: relays that want nothing separate those who do, and a writer who does not want its own collection still feeds both.
#[test]
fn who_wants_nothing_passes_nothing_on() {
    let cars = || CollectionName::new("cars").unwrap();
    let nothing = Interest::Collections(BTreeSet::new());
    let mut world = World::new(3, vec![Interest::Everything, nothing, Interest::Everything]);
    world.line();
    let write = |world: &mut World, node: usize, id: &'static [u8]| {
        let document = DocumentKey::new(cars(), id).unwrap();
        world.write(10, node, vec![(document, Bytes::from_static(b"w"))]);
    };
    write(&mut world, 0, b"0");
    write(&mut world, 1, b"1");
    world.run_until(60_000);
    let held = world.nodes.iter().map(|node| node.replica.contents().len());
    assert_eq!(held.collect::<Vec<_>>(), [2, 1, 1]);
    assert_eq!(Oracle::new(&world, &[cars()]).judge(&world), Ok(()));
}

/// Goal: a failing plan is made short, and what is left still fails, again and again.
#[test]
fn a_failing_plan_is_made_short() {
    let (plan, _) = first_failure(World::switch_offers_off);
    let world_of = |plan: &Plan| {
        let mut world = plan.world();
        world.switch_offers_off();
        world
    };
    let short = shorten_by(&plan, world_of).unwrap();
    assert!(short.plan.deeds.len() <= 3, "{:?}", short.plan.deeds);
    assert!(!short.trace.is_empty());
    let again = run_world(&short.plan, &mut world_of(&short.plan));
    assert_eq!(again.broken, Some(short.broken));
}
