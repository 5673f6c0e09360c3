//! Scenario files: TOML, in which every field may be left out.

use crate::cli::CliError;
use sedge_mesh::sim::{Scenario, ScenarioError, Topology};
use serde::Deserialize;
use std::path::Path;

/// Bytes of a scenario file, at most.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What stands in a file; what is left out is as in [`Scenario::quiet`]. docs/simulation.md describes the fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ScenarioFile {
    name: Option<String>,
    peers: Option<usize>,
    topology: Option<TopologyName>,
    degree: Option<usize>,
    collections: Option<Vec<String>>,
    narrow_percent: Option<u64>,
    writes: Option<u64>,
    documents: Option<u64>,
    content_bytes_max: Option<u64>,
    active_ms: Option<u64>,
    cuts: Option<u64>,
    blocks: Option<u64>,
    partitions: Option<u64>,
    crashes: Option<u64>,
    leaves: Option<u64>,
    meetings: Option<u64>,
    stalls: Option<u64>,
    read_ms: Option<u64>,
    store_ms: Option<u64>,
    sync_ms: Option<u64>,
    skew_years: Option<u64>,
    link: LinkFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LinkFile {
    latency_ms: Option<(u64, u64)>,
    gossip_jitter_ms: Option<u64>,
    bytes_per_second: Option<u64>,
    loss_percent: Option<u64>,
    duplicated_percent: Option<u64>,
    corrupted_per_mille: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TopologyName {
    Line,
    Star,
    Ring,
    Random,
}

/// Neighbours of a peer where links are random and the file does not say.
const DEGREE: usize = 4;

/// The scenario of a file.
pub(super) fn read(path: &Path) -> Result<Scenario, CliError> {
    let bytes = std::fs::metadata(path).map_err(CliError::file(path))?.len();
    let wrong = |reason: String| CliError::Usage(format!("{}: {reason}", path.display()));
    if bytes > FILE_BYTES_MAX {
        return Err(wrong(format!("{bytes} bytes; at most {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(CliError::file(path))?;
    let file: ScenarioFile = toml::from_str(&text).map_err(|error| wrong(told(&error, &text)))?;
    scenario(file).map_err(|error| wrong(error.to_string()))
}

/// What is wrong with a file, and in which line.
fn told(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|it| format!("line {}: ", it.lines().count().max(1)));
    format!("{}{}", line.unwrap_or_default(), error.message())
}

fn scenario(file: ScenarioFile) -> Result<Scenario, ScenarioError> {
    let mut scenario = Scenario::quiet()?;
    set(&mut scenario.name, file.name);
    set(&mut scenario.peers, file.peers);
    let topology = file.topology.map(|name| match name {
        TopologyName::Line => Topology::Line,
        TopologyName::Star => Topology::Star,
        TopologyName::Ring => Topology::Ring,
        TopologyName::Random => Topology::Random {
            degree: file.degree.unwrap_or(DEGREE),
        },
    });
    set(&mut scenario.topology, topology);
    if let Some(names) = file.collections {
        scenario.collections = Scenario::collections(&names)?;
    }
    set(&mut scenario.narrow_percent, file.narrow_percent);
    set(&mut scenario.writes, file.writes);
    set(&mut scenario.documents, file.documents);
    set(&mut scenario.content_bytes_max, file.content_bytes_max);
    set(&mut scenario.active_ms, file.active_ms);
    set(&mut scenario.cuts, file.cuts);
    set(&mut scenario.blocks, file.blocks);
    set(&mut scenario.partitions, file.partitions);
    set(&mut scenario.crashes, file.crashes);
    set(&mut scenario.leaves, file.leaves);
    set(&mut scenario.meetings, file.meetings);
    set(&mut scenario.stalls, file.stalls);
    set(&mut scenario.read_ms, file.read_ms);
    set(&mut scenario.store_ms, file.store_ms);
    set(&mut scenario.sync_ms, file.sync_ms);
    set(&mut scenario.skew_years, file.skew_years);
    let link = &mut scenario.link;
    set(&mut link.latency_ms, file.link.latency_ms);
    set(&mut link.gossip_jitter_ms, file.link.gossip_jitter_ms);
    set(&mut link.bytes_per_second, file.link.bytes_per_second);
    set(&mut link.loss_percent, file.link.loss_percent);
    set(&mut link.duplicated_percent, file.link.duplicated_percent);
    set(&mut link.corrupted_per_mille, file.link.corrupted_per_mille);
    scenario.check()?;
    Ok(scenario)
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
