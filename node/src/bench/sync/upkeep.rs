//! What it costs to keep the sums by which stores are compared.

use super::super::figure::{BenchError, Measured, Workplace, median};
use super::super::store::APP;
use sedge_crdt::measure_upkeep;
use sedge_identity::AppId;

/// Changes of a page that arrives.
const BULK: u64 = 512;

/// Microseconds for each changed document, written singly, which costs more than in bulk.
pub(super) fn us_per_change(workplace: &Workplace) -> Result<Measured, BenchError> {
    let app = AppId::new(APP).map_err(|error| BenchError::Unavailable(error.to_string()))?;
    let take = |in_batch| {
        let [with, without] = measure_upkeep(&workplace.fresh("sums"), &app, in_batch)?;
        let rounds = with.iter().zip(&without);
        Ok::<_, BenchError>(
            rounds
                .map(|(with, without)| with - without)
                .collect::<Vec<f64>>(),
        )
    };
    let (single, bulk) = (take(1)?, take(BULK)?);
    let value = median(single.clone()).max(median(bulk.clone()));
    Ok(Measured::value(value)
        .with("single", single)
        .with("bulk", bulk))
}
