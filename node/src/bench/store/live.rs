//! What live queries cost the writer.

use super::super::cars::id;
use super::super::figure::{BenchError, Measured, Workplace, seconds};
use super::{CARS, ROUNDS, fill, open_with};
use sedge::{Params, StoreError, Value};
use sedge_crdt::{Durability, Observation, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Documents of the collection, all of them rows of every live query.
const DOCUMENTS: u64 = 2_507;
/// Writes per round, one by one.
const WRITES: u64 = 400;
/// Live queries of the many.
const MANY: usize = 100;
/// A stride that meets documents all over the collection.
const STRIDE: u64 = 7_919;
/// Between two looks whether all is told, in milliseconds.
const PAUSE_MS: u64 = 5;

/// An update of one document that changes the row of each of 100 live queries, all read, over the same with one.
pub(super) fn live_100_over_1(workplace: &Workplace) -> Result<Measured, BenchError> {
    let store = open_with(&workplace.fresh("live"), Durability::Os)?; // a sync would hide the rest
    fill(&store, DOCUMENTS)?;
    let runtime = Runtime::new()?;
    let mut price = 0;
    let (mut many, mut one) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (queries, taken) in [(1, &mut one), (MANY, &mut many)] {
            let mut live = Live::start(&runtime, &store, queries)?;
            update(&store, &mut price, WRITES / 8)?; // to warm up
            let took = seconds(|| update(&store, &mut price, WRITES))?;
            taken.push(took * 1e6 / WRITES as f64);
            live.wait_until_told(price)?;
            runtime.block_on(live.end());
        }
    }
    Ok(Measured::ratio(
        ("update_us_100", many),
        ("update_us_1", one),
    ))
}

/// Changes so many documents one by one.
fn update(store: &Store, price: &mut u64, writes: u64) -> Result<(), BenchError> {
    for _ in 0..writes {
        *price += 1;
        let parameters = Params::from([
            ("id".to_owned(), id(*price * STRIDE % DOCUMENTS).into()),
            ("price".to_owned(), Value::Int(*price as i64)),
        ]);
        let statement = format!("UPDATE {CARS} SET price = :price WHERE _id = :id");
        store.execute(&statement, &parameters)?;
    }
    Ok(())
}

/// Live queries with their readers.
struct Live {
    /// They end only when their query fails.
    readers: JoinSet<StoreError>,
    /// For each query the newest price that its reader was told of.
    told: Vec<Arc<AtomicU64>>,
}

impl Live {
    /// Starts queries, no two alike, and waits until each has its first result.
    fn start(runtime: &Runtime, store: &Store, queries: usize) -> Result<Self, BenchError> {
        let _entered = runtime.enter();
        let mut live = Self {
            readers: JoinSet::new(),
            told: Vec::new(),
        };
        let mut observations = Vec::with_capacity(queries);
        for index in 0..queries {
            let statement = format!("SELECT _id, price FROM {CARS} WHERE year > {index}");
            let mut observation = store.observe(&statement, &Params::new())?;
            runtime.block_on(observation.next())?;
            observations.push(observation);
        }
        for observation in observations {
            let told = Arc::new(AtomicU64::new(0));
            live.told.push(Arc::clone(&told));
            live.readers.spawn(read(observation, told));
        }
        Ok(live)
    }

    /// Returns once every reader was told of this price, or one has failed.
    fn wait_until_told(&mut self, price: u64) -> Result<(), BenchError> {
        let is_behind = |told: &Arc<AtomicU64>| told.load(Ordering::Relaxed) < price;
        while self.told.iter().any(is_behind) {
            match self.readers.try_join_next() {
                Some(Ok(error)) => return Err(error.into()),
                Some(Err(error)) => return Err(std::io::Error::other(error).into()),
                None => std::thread::sleep(Duration::from_millis(PAUSE_MS)),
            }
        }
        Ok(())
    }

    /// Returns once all have ended.
    async fn end(mut self) {
        self.readers.shutdown().await;
    }
}

/// Takes note of what a query tells, until it fails.
async fn read(mut observation: Observation, told: Arc<AtomicU64>) -> StoreError {
    loop {
        match observation.next().await {
            Ok(update) => told.fetch_max(newest(&update.updated), Ordering::Relaxed),
            Err(error) => return error,
        };
    }
}

fn newest(rows: &[Value]) -> u64 {
    let prices = rows.iter().filter_map(|row| match row.get("price") {
        Some(Value::Int(price)) => u64::try_from(*price).ok(),
        _ => None,
    });
    prices.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Goal: a reader whose query fails, or who panics, ends the measurement with the reason.
    #[test]
    fn a_reader_that_fails_is_not_waited_for() {
        let runtime = Runtime::new().unwrap();
        let ends: [fn() -> StoreError; 2] = [
            || StoreError::ObservedTooLarge,
            || panic!("a reader panics"),
        ];
        for end in ends {
            let _entered = runtime.enter();
            let mut live = Live {
                readers: JoinSet::new(),
                told: vec![Arc::default()],
            };
            live.readers.spawn(async move { end() });
            let (ended, told) = mpsc::sync_channel(1);
            std::thread::spawn(move || ended.send(live.wait_until_told(1).is_err()));
            assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(true));
        }
    }
}
