//! Live edits: from the request at one device until a live query at another one shows the change, which is durable then.

use super::super::daemon::{Daemon, device};
use super::super::figure::{BenchError, Measured, Workplace};
use crate::cli::CliError;
use sedge::Value;
use sedge::api::Observed;
use std::time::Instant;

/// Edits of a run, behind as many that are not counted.
const EDITS: usize = 500;
const WARM_UP: usize = 50;

pub(super) fn one_hop_p50(workplace: &Workplace) -> Result<Measured, BenchError> {
    percentile(workplace, 1, 50)
}

pub(super) fn one_hop_p99(workplace: &Workplace) -> Result<Measured, BenchError> {
    percentile(workplace, 1, 99)
}

pub(super) fn five_hops_p50(workplace: &Workplace) -> Result<Measured, BenchError> {
    percentile(workplace, 5, 50)
}

pub(super) fn five_hops_p99(workplace: &Workplace) -> Result<Measured, BenchError> {
    percentile(workplace, 5, 99)
}

/// The milliseconds that so many per cent of the edits do not exceed, over a line of devices.
fn percentile(workplace: &Workplace, hops: usize, per_cent: usize) -> Result<Measured, BenchError> {
    let mut line: Vec<Daemon> = Vec::new();
    for place in 0..=hops {
        let state = device(workplace.fresh("device"), &format!("device {place}"))?;
        let before = line.last().map(Daemon::address).transpose()?;
        line.push(Daemon::start(
            &state,
            &before.iter().map(String::as_str).collect::<Vec<_>>(),
        )?);
    }
    let ends = line.first().zip(line.last());
    let (first, last) = ends.ok_or_else(|| unavailable("there is no line"))?;
    first.execute("INSERT INTO edits DOCUMENTS ({'_id': 'one', 'n': -1})")?;
    last.wait_until("the devices did not come to hold the same", || {
        Ok(first.collections()? == last.collections()?)
    })?;
    let mut times_ms = first
        .runtime
        .block_on(edit(first, last))?
        .split_off(WARM_UP);
    times_ms.sort_by(f64::total_cmp);
    let rank = (times_ms.len() * per_cent).div_ceil(100);
    let value = times_ms.get(rank.saturating_sub(1));
    Ok(Measured::value(
        *value.ok_or_else(|| unavailable("nothing was edited"))?,
    ))
}

/// One edit after the other, each timed until it is seen.
async fn edit(first: &Daemon, last: &Daemon) -> Result<Vec<f64>, BenchError> {
    let observing = last.client.observe("SELECT n FROM edits").await;
    let mut observed = observing.map_err(CliError::from)?;
    let first_result = observed.next().await;
    first_result
        .ok_or_else(|| unavailable("the last device has ended its live query"))?
        .map_err(CliError::from)?;
    let mut times_ms = Vec::with_capacity(WARM_UP + EDITS);
    for number in 0..(WARM_UP + EDITS) as i64 {
        let request = sedge::api::wire::ExecuteRequest {
            statement: "UPDATE edits SET n = :n WHERE _id = 'one'".to_owned(),
            args: [("n".to_owned(), Value::Int(number))].into(),
        };
        let started = Instant::now();
        first
            .client
            .execute(&request)
            .await
            .map_err(CliError::from)?;
        shown(&mut observed, number).await?;
        times_ms.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(times_ms)
}

/// Returns once a live query shows this number.
async fn shown(observed: &mut Observed, number: i64) -> Result<(), BenchError> {
    loop {
        let event = observed.next().await;
        let event = event.ok_or_else(|| unavailable("the last device has ended its live query"))?;
        let event = event.map_err(CliError::from)?;
        let mut rows = event.inserted.iter().chain(&event.updated);
        if rows.any(|row| row.get("n") == Some(&Value::Int(number))) {
            return Ok(());
        }
    }
}

fn unavailable(reason: &str) -> BenchError {
    BenchError::Unavailable(reason.to_owned())
}
