//! Live edits: one at a time at the first peer, each timed until an observer at the last peer sees it.

use super::flow::{holding, quoted};
use super::peer::DemoPeer;
use super::progress::Progress;
use crate::cli::CliError;
use sedge::Value;
use sedge::api::wire::ExecuteRequest;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

const EDITS: usize = 100;
const FIELD: &str = "demo edit";

/// Times until the observer sees an edit, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Latency {
    p50: f64,
    p99: f64,
}

impl Latency {
    fn of(mut times_ms: Vec<f64>) -> Option<Self> {
        times_ms.sort_unstable_by(f64::total_cmp);
        // Nearest rank: the least value that so many per cent do not exceed.
        let percentile = |per_cent: usize| {
            let rank = (times_ms.len() * per_cent).div_ceil(100);
            times_ms.get(rank.saturating_sub(1)).copied()
        };
        Some(Self {
            p50: percentile(50)?,
            p99: percentile(99)?,
        })
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.1} ms (half of them), {:.1} ms (99 of 100)",
            self.p50, self.p99
        )
    }
}

/// `None` when there is no document to edit.
pub(super) async fn run(
    first: &DemoPeer,
    last: &DemoPeer,
    collection: &str,
    progress: &Progress,
) -> Result<Option<Latency>, CliError> {
    if holding(first, collection).await?.documents == 0 {
        return Ok(None); // nor is there a collection
    }
    let collection = quoted(collection);
    let ids = ids(first, &collection).await?;
    let seen =
        format!("SELECT _id, \"{FIELD}\" FROM {collection} WHERE \"{FIELD}\" IS NOT MISSING");
    let mut observed = last.client.observe(&seen).await?;
    let ended = || CliError::Failed("the last peer ended its live query; see its log".to_owned());
    observed.next().await.ok_or_else(ended)??;
    let bar = progress.edits(EDITS as u64);
    let mut times_ms = Vec::with_capacity(EDITS);
    for (number, id) in ids.iter().cycle().take(EDITS).enumerate() {
        let number = Value::Int(number as i64);
        let args = [("number", number.clone()), ("id", id.clone())];
        let request = ExecuteRequest {
            statement: format!("UPDATE {collection} SET \"{FIELD}\" = :number WHERE _id = :id"),
            args: args.map(|(name, value)| (name.to_owned(), value)).into(),
        };
        let started = Instant::now();
        first.client.execute(&request).await?;
        loop {
            let update = observed.next().await.ok_or_else(ended)??;
            let mut rows = update.inserted.iter().chain(&update.updated);
            if rows.any(|row| row.get(FIELD) == Some(&number)) {
                break;
            }
        }
        times_ms.push(started.elapsed().as_secs_f64() * 1_000.0);
        bar.inc(1);
    }
    bar.finish();
    Ok(Latency::of(times_ms))
}

async fn ids(peer: &DemoPeer, collection: &str) -> Result<Vec<Value>, CliError> {
    let request = ExecuteRequest {
        statement: format!("SELECT _id FROM {collection} LIMIT {EDITS}"),
        args: BTreeMap::new(),
    };
    let rows = peer.client.execute(&request).await?.items.into_iter();
    Ok(rows.filter_map(|row| row.get("_id").cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times = (1..=100).rev().map(f64::from).collect();
        let latency = Latency::of(times).unwrap();
        assert_eq!((latency.p50, latency.p99), (50.0, 99.0));
        assert_eq!(Latency::of(Vec::new()), None);
    }
}
