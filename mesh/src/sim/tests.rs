//! Goal: a thousand mixed runs keep what the oracle demands, and the oracle notices when a part of the protocol is missing.

use super::{
    Plan, Report, Scenario,
    run::{Outcome, run_world, shorten_by, simulate},
    world::World,
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
