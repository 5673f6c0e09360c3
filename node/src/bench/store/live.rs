//! What live queries cost the writer.

use super::super::cars::id;
use super::super::figure::{BenchError, Measured, Workplace, seconds};
use super::{CARS, ROUNDS, fill, open_with};
use futures::StreamExt;
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
            let live = Live::start(&runtime, &store, queries)?;
            update(&store, &mut price, WRITES / 8)?; // to warm up
            let took = seconds(|| update(&store, &mut price, WRITES))?;
            taken.push(took * 1e6 / WRITES as f64);
            live.wait_until_told(price);
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
    readers: JoinSet<()>,
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

    /// Returns once every reader was told of this price.
    fn wait_until_told(&self, price: u64) {
        let is_behind = |told: &Arc<AtomicU64>| told.load(Ordering::Relaxed) < price;
        while self.told.iter().any(is_behind) {
            std::thread::sleep(Duration::from_millis(PAUSE_MS));
        }
    }

    /// Returns once all have ended.
    async fn end(mut self) {
        self.readers.shutdown().await;
    }
}

async fn read(observation: Observation, told: Arc<AtomicU64>) {
    let updates = futures::stream::unfold(observation, |mut observation| async {
        Some((observation.next().await, observation))
    });
    let mut updates = std::pin::pin!(updates);
    while let Some(update) = updates.next().await {
        match update.map(|update| newest(&update.updated)) {
            Ok(price) => told.fetch_max(price, Ordering::Relaxed),
            Err(error) => return complain(&error),
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

fn complain(error: &StoreError) {
    tracing::error!(%error, "a live query ended, so that no end of this measurement may come");
}
