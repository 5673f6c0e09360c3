//! What sealing costs whoever writes, though it is off their path.

use super::super::figure::{BenchError, Measured, Workplace, seconds};
use super::super::store::{fill, open_as, writes::insert_singly};
use super::device;
use sedge_crdt::{Durability, Store};

/// Rounds in each of which both stores are written to.
const ROUNDS: u64 = 41;
/// Documents that are inserted one by one in a round.
const SINGLES: u64 = 70;
/// Documents that are there before: the logs are then written over again, as in a database that is in use.
const HELD: u64 = 50_000;

/// How long a durable insert takes where each is sealed soon, over one where nothing is.
pub(super) fn write_ratio(workplace: &Workplace) -> Result<Measured, BenchError> {
    let device = device(1)?;
    let open = |name| {
        let store = open_as(device.key(), &workplace.fresh(name), Durability::Synced)?;
        fill(&store, HELD)?;
        Ok::<_, BenchError>(store)
    };
    let (sealing, plain) = (open("sealing")?, open("plain")?);
    sealing.certify(device.clone())?;
    sealing.set_audience(true);
    sealing.seal()?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let first = HELD + round * SINGLES;
        let mut both = [(&sealing, &mut with), (&plain, &mut without)];
        if round % 2 == 1 {
            both.reverse(); // neither is always the one that comes behind the other's leftovers
        }
        for (store, times) in both {
            times.push(insert_us(store, first)?);
        }
    }
    Ok(Measured::ratio(
        ("sealed_insert_us", with),
        ("plain_insert_us", without),
    ))
}

fn insert_us(store: &Store, first: u64) -> Result<f64, BenchError> {
    Ok(seconds(|| insert_singly(store, first, SINGLES))? * 1e6 / SINGLES as f64)
}
