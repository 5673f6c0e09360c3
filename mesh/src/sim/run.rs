//! Runs a plan, and makes a failing one short.

use super::{
    broken::Broken,
    ledger::Counts,
    oracle::{self, Oracle},
    plan::Plan,
    scenario::{Scenario, ScenarioError},
    trace::TraceHash,
    world::World,
};

/// After everything has healed, all that is wanted has arrived within this time.
const SETTLE_MS: u64 = 600_000;

/// How often it is looked whether all has arrived.
const STEP_MS: u64 = 100;

/// What has converged falls silent within [`WINDOWS_MAX`] times this.
const WINDOW_MS: u64 = 10_000;
const WINDOWS_MAX: u64 = 12;

/// Runs that making a plan short takes at most.
const TRIALS_MAX: usize = 400;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The scenario's name.
    pub scenario: String,
    /// How many peers.
    pub peers: usize,
    /// Equal for equal runs.
    pub trace: TraceHash,
    /// Changes written and not lost before anybody heard of them.
    pub changes: u64,
    /// From healing until the last change arrived, in milliseconds.
    pub converged_ms: u64,
    /// From the time it was written until a change arrived at the last peer, in milliseconds, ascending.
    pub last_hops_ms: Vec<u64>,
    /// What it has cost.
    pub counts: Counts,
    /// The bound of messages on sync streams.
    pub sync_messages_max: u64,
    /// What must not have happened and did.
    pub broken: Option<Broken>,
}

/// Simulates a scenario with a seed.
///
/// # Errors
/// When the scenario can't be run.
pub fn simulate(scenario: Scenario, seed: u64) -> Result<Outcome, ScenarioError> {
    Ok(run(&Plan::new(scenario, seed)?))
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    run_world(plan, &mut plan.world())
}

/// Runs a plan in its world.
pub(super) fn run_world(plan: &Plan, world: &mut World) -> Outcome {
    world.run_until(plan.scenario.active_ms);
    world.heal();
    let healed_at = world.now;
    let oracle = Oracle::new(world, &plan.scenario.collections);
    let verdict = settle(world, &oracle)
        .and_then(|()| fall_silent(world))
        .and_then(|()| oracle.judge(world));
    let broken = world.broken.take().or(verdict.err());
    let changes = world.ledger.changes.values();
    let kept = changes.filter(|entry| entry.holders != 0);
    let mut last_hops_ms: Vec<_> = kept.map(|it| it.last_arrival - it.written_at).collect();
    last_hops_ms.sort_unstable();
    Outcome {
        seed: plan.seed,
        scenario: plan.scenario.name.clone(),
        peers: plan.scenario.peers,
        trace: world.trace_hash(),
        changes: last_hops_ms.len() as u64,
        converged_ms: world.ledger.moved_at.saturating_sub(healed_at),
        last_hops_ms,
        counts: world.counts().clone(),
        sync_messages_max: oracle::sync_messages_max(world),
        broken,
    }
}

/// Waits until all has arrived.
fn settle(world: &mut World, oracle: &Oracle) -> Result<(), Broken> {
    let end = world.now + SETTLE_MS;
    loop {
        let verdict = oracle.converged(world);
        if verdict.is_ok() || world.now >= end || world.broken.is_some() {
            return verdict;
        }
        world.run_until(world.now + STEP_MS);
    }
}

/// Waits until nobody says anything any more.
fn fall_silent(world: &mut World) -> Result<(), Broken> {
    let said = |world: &World| world.counts().sync_messages + world.counts().gossip_messages;
    let mut messages = 0;
    for _ in 0..WINDOWS_MAX {
        let before = said(world);
        world.run_until(world.now + WINDOW_MS);
        messages = said(world) - before;
        if messages == 0 || world.broken.is_some() {
            return Ok(());
        }
    }
    let seconds = WINDOW_MS / 1_000;
    Err(Broken::Restless { messages, seconds })
}

/// A failing plan without what it fails without.
#[derive(Clone, Debug)]
pub struct Shortened {
    /// What is left.
    pub plan: Plan,
    /// What must not happen in it, and does.
    pub broken: Broken,
    /// What happens in it, line by line.
    pub trace: Vec<String>,
}

/// Leaves out of a failing plan what it fails without; `None` when it does not fail.
pub fn shorten(plan: &Plan) -> Option<Shortened> {
    shorten_by(plan, |plan| plan.world())
}

/// The same of a plan whose worlds are made by the caller.
pub(super) fn shorten_by(plan: &Plan, world_of: impl Fn(&Plan) -> World) -> Option<Shortened> {
    let fails = |plan: &Plan| run_world(plan, &mut world_of(plan)).broken;
    let (mut plan, mut trials) = (plan.clone(), 0);
    fails(&plan)?;
    let mut count = plan.deeds.len() / 2;
    while count > 0 {
        let mut from = 0;
        while from < plan.deeds.len() && trials < TRIALS_MAX {
            let mut shorter = plan.clone();
            let to = (from + count).min(shorter.deeds.len());
            shorter.deeds.drain(from..to);
            trials += 1;
            match fails(&shorter) {
                Some(_) => plan = shorter,
                None => from = to,
            }
        }
        count /= 2;
    }
    let mut world = world_of(&plan);
    world.trace.lines = Some(Vec::new());
    let broken = run_world(&plan, &mut world).broken?;
    let trace = world.trace.lines.take().unwrap_or_default();
    Some(Shortened {
        plan,
        broken,
        trace,
    })
}
