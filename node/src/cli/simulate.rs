//! `sedge simulate`: the sync protocol of many peers on simulated links, seed by seed. Needs no device.

mod file;

use super::args::SimulateArguments;
use super::{CliError, Done, output};
use indicatif::{ProgressBar, ProgressStyle};
use sedge_mesh::sim::{Outcome, Plan, Report, Scenario, ScenarioError, Shortened, Spread, shorten};
use serde_json::{Value, json};

/// Failed seeds that are told.
const FAILURES_TOLD_MAX: usize = 20;

/// Last lines of a trace that are told.
const TRACE_LINES_MAX: usize = 60;

pub(super) fn run(arguments: &SimulateArguments, json: bool) -> Result<Done, CliError> {
    let scenario = arguments.scenario.as_deref().map(file::read).transpose()?;
    let plan = |seed| {
        let scenario = scenario.clone().map_or_else(|| Scenario::mixed(seed), Ok);
        scenario.and_then(|it| Plan::new(it, seed)).map_err(usage)
    };
    let mut report = Report::default();
    let progress = bar(arguments.seeds);
    for seed in (arguments.first_seed..).take(arguments.seeds as usize) {
        report.add(sedge_mesh::sim::run(&plan(seed)?));
        progress.inc(1);
    }
    progress.set_message("making the first failure short");
    let shortened = match report.failed().next() {
        Some(outcome) => shorten(&plan(outcome.seed)?),
        None => None,
    };
    progress.finish_and_clear();
    match json {
        true => output::json(&as_json(&report, arguments.first_seed, shortened.as_ref()))?,
        false => output::line(&as_text(&report, shortened.as_ref()))?,
    }
    let Some(first) = report.failed().next() else {
        return Ok(Done::Wholly);
    };
    let file = arguments.scenario.as_deref().map(|path| {
        let path = output::shell_quoted(&path.to_string_lossy());
        format!(" --scenario {path}")
    });
    let failed = CliError::Failed(format!(
        "{} of {} failed; repeat the first with: sedge simulate{} --first-seed {} --seeds 1",
        report.failed().count(),
        output::count(report.seeds() as u64, "run"),
        file.unwrap_or_default(),
        first.seed
    ));
    Err(match json {
        true => CliError::Told(Box::new(failed)),
        false => failed,
    })
}

fn usage(error: ScenarioError) -> CliError {
    CliError::Usage(error.to_string())
}

fn bar(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {eta} left {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The figures of a report: name, unit, decimals, spread.
fn figures(report: &Report) -> [(&'static str, &'static str, usize, Spread); 6] {
    [
        (
            "convergenceMs",
            "converged after healing, ms",
            0,
            report.convergence_ms(),
        ),
        (
            "lastHopMs",
            "last hop of a change, ms",
            0,
            report.last_hop_ms(),
        ),
        (
            "redundancy",
            "received per new delta",
            2,
            report.redundancy(),
        ),
        (
            "bytesPerChange",
            "bytes per change and peer",
            0,
            report.bytes_per_change(),
        ),
        (
            "messagesPerChange",
            "messages per change and peer",
            2,
            report.messages_per_change(),
        ),
        (
            "shareOfMessageBound",
            "of the bound of messages",
            2,
            report.storm_margin(),
        ),
    ]
}

fn as_text(report: &Report, shortened: Option<&Shortened>) -> String {
    let mut rows = vec![["", "median", "99 %", "most"].map(str::to_owned).to_vec()];
    for (_, name, decimals, spread) in figures(report) {
        let numbers = [spread.median, spread.p99, spread.max];
        let numbers = numbers.map(|number| format!("{number:.decimals$}"));
        rows.push([name.to_owned()].into_iter().chain(numbers).collect());
    }
    let mut text = format!(
        "{}, {}, {} failed; trace {}\n{}",
        output::count(report.seeds() as u64, "run"),
        output::count(report.changes(), "change"),
        report.failed().count(),
        report.trace(),
        output::table(&rows)
    );
    for outcome in report.failed().take(FAILURES_TOLD_MAX) {
        let Outcome {
            seed,
            scenario,
            peers,
            ..
        } = outcome;
        let reason = reason(outcome);
        text += &format!("\n\nseed {seed} ({scenario}, {peers} peers): {reason}");
    }
    if let Some(it) = shortened {
        text += &format!("\n\nThe first one still fails ({}) with only:\n", it.broken);
        text += &lines(&plan_lines(it));
        text += &format!("\nThe end of its trace, of {} lines:\n", it.trace.len());
        text += &lines(last(&it.trace));
    }
    text
}

fn as_json(report: &Report, first_seed: u64, shortened: Option<&Shortened>) -> Value {
    let failures = report.failed().take(FAILURES_TOLD_MAX).map(|outcome| {
        json!({
            "seed": outcome.seed,
            "scenario": outcome.scenario,
            "peers": outcome.peers,
            "reason": reason(outcome),
        })
    });
    let shortest = shortened.map(|it| {
        json!({
            "seed": it.plan.seed,
            "reason": it.broken.to_string(),
            "links": it.plan.links,
            "plan": plan_lines(it),
            "trace": last(&it.trace),
        })
    });
    let mut value = json!({
        "seeds": report.seeds(),
        "firstSeed": first_seed,
        "failed": report.failed().count(),
        "changes": report.changes(),
        "trace": report.trace().to_string(),
        "failures": failures.collect::<Vec<_>>(),
        "shortest": shortest,
    });
    for (name, _, _, Spread { median, p99, max }) in figures(report) {
        value[name] = json!({ "median": median, "p99": p99, "max": max });
    }
    value
}

fn reason(outcome: &Outcome) -> String {
    let broken = outcome.broken.as_ref();
    broken.map(ToString::to_string).unwrap_or_default()
}

fn plan_lines(shortened: &Shortened) -> Vec<String> {
    shortened
        .plan
        .deeds
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn last(trace: &[String]) -> &[String] {
    &trace[trace.len().saturating_sub(TRACE_LINES_MAX)..]
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}\n")).collect()
}
