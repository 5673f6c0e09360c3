//! The store's figures: what writing, reading and keeping documents costs, beside SQLite and the bare building of
//! Automerge documents.

mod live;
mod reads;
mod size;
pub(super) mod writes;

use super::cars::car;
use super::figure::{BenchError, Bound, Figure, Measured};
use sedge_crdt::{Durability, Store, StoreOptions};
use sedge_identity::{AppId, DeviceKey};
use std::path::Path;

/// Rounds of each measurement; the medians count.
const ROUNDS: u64 = 7;
/// Documents per statement when many are inserted.
const BATCH: u64 = 100;
/// The app of the measured stores.
pub(super) const APP: &str = "bench";
/// Documents per import while a collection is filled.
pub(super) const FILL: u64 = 1_000;
/// The collection.
pub(super) const CARS: &str = "cars";

pub(super) const FIGURES: &[Figure] = &[
    Figure {
        name: "store.insert_batch_over_floor",
        unit: "ratio",
        bound: Bound::AtMost(0.5),
        take: writes::insert_batch_over_floor,
    },
    Figure {
        name: "store.single_durable_over_sqlite_full",
        unit: "ratio",
        bound: Bound::AtLeast(0.9),
        take: writes::single_durable_over_sqlite_full,
    },
    Figure {
        name: "store.group_commit_gain_16",
        unit: "ratio",
        bound: Bound::AtLeast(6.0),
        take: writes::group_commit_gain_16,
    },
    Figure {
        name: "store.scan_over_sqlite",
        unit: "ratio",
        bound: Bound::AtMost(1.0),
        take: reads::scan_over_sqlite,
    },
    Figure {
        name: "store.indexed_get_over_sqlite",
        unit: "ratio",
        bound: Bound::AtMost(2.0),
        take: reads::indexed_get_over_sqlite,
    },
    Figure {
        name: "store.point_get_over_sqlite",
        unit: "ratio",
        bound: Bound::AtMost(2.0),
        take: reads::point_get_over_sqlite,
    },
    Figure {
        name: "store.live_100_over_1",
        unit: "ratio",
        bound: Bound::AtMost(2.0),
        take: live::live_100_over_1,
    },
    Figure {
        name: "store.idle_rss_mib_100k",
        unit: "MiB",
        bound: Bound::AtMost(64.0),
        take: size::idle_rss_mib,
    },
    Figure {
        name: "store.scan_rss_mib_100k",
        unit: "MiB",
        bound: Bound::AtMost(96.0),
        take: size::scan_rss_mib,
    },
    Figure {
        name: "store.disk_over_json",
        unit: "ratio",
        bound: Bound::AtMost(2.5),
        take: size::disk_over_json,
    },
];

fn unavailable(reason: &str) -> Result<Measured, BenchError> {
    Err(BenchError::Unavailable(reason.to_owned()))
}

/// Imports the first cars.
pub(super) fn fill(store: &Store, documents: u64) -> Result<(), BenchError> {
    for first in (0..documents).step_by(FILL as usize) {
        let last = documents.min(first + FILL);
        store.import(CARS, &(first..last).map(car).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Opens a store of its own device.
fn open(path: &Path) -> Result<Store, BenchError> {
    open_with(path, Durability::default())
}

fn open_with(path: &Path, durability: Durability) -> Result<Store, BenchError> {
    let store = open_as(&DeviceKey::from_seed([7; 32]), path, durability)?;
    // As in a node with neighbours: everything that is written is sealed beside it.
    store.certify(super::identity::device(7)?)?;
    store.set_audience(true);
    Ok(store)
}

/// Opens a store of this device.
pub(super) fn open_as(
    device: &DeviceKey,
    path: &Path,
    durability: Durability,
) -> Result<Store, BenchError> {
    let app = AppId::new(APP).map_err(|error| BenchError::Unavailable(error.to_string()))?;
    let device = device.public();
    let options = StoreOptions {
        durability,
        ..StoreOptions::default()
    };
    Ok(Store::open_with(path, &app, &device, options)?)
}
