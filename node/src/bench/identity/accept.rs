//! What it costs to verify, check and store changes that come from another store, as the mesh brings them.

use super::super::cars::{car, id};
use super::super::figure::{BenchError, Measured, Workplace, seconds};
use super::super::store::{CARS, open_as};
use super::{device, unavailable};
use sedge::{Params, Value};
use sedge_crdt::{Arrival, Arrived, Arriving, Bundled, DocumentId, Durability, Store};
use std::ops::Range;
use std::sync::Arc;

/// Documents of a page: as many as the mesh offers at once, and whole seals.
const PAGE: u64 = sedge_mesh::limits::PAGE_ENTRIES_MAX as u64;
/// Measured pages; the medians count.
const PAGES: u64 = 21;

/// The first changes of documents.
pub(super) fn bulk(workplace: &Workplace) -> Result<Measured, BenchError> {
    let pair = Pair::open(workplace)?;
    let mut times = Vec::new();
    for page in pages() {
        pair.give_new(page.clone())?;
        times.push(pair.take(page)?);
    }
    Ok(Measured::spread(times))
}

/// One edit each of documents that are there.
pub(super) fn edit(workplace: &Workplace) -> Result<Measured, BenchError> {
    let pair = Pair::open(workplace)?;
    for page in pages() {
        pair.give_new(page.clone())?;
        pair.take(page)?;
    }
    let mut times = Vec::new();
    for page in pages() {
        pair.give_edited(&page)?;
        times.push(pair.take(page)?);
    }
    Ok(Measured::spread(times))
}

fn pages() -> impl Iterator<Item = Range<u64>> {
    (0..PAGES).map(|page| page * PAGE..(page + 1) * PAGE)
}

/// Two stores of an app.
struct Pair {
    giver: Store,
    taker: Store,
}

/// A page of documents on its way.
struct Page {
    /// Id and sealed changes.
    documents: Vec<(DocumentId, Vec<u8>)>,
    bundled: Bundled,
}

impl Pair {
    fn open(workplace: &Workplace) -> Result<Self, BenchError> {
        let open = |seed, name, durability| {
            let device = device(seed)?;
            let store = open_as(device.key(), &workplace.fresh(name), durability)?;
            store.certify(device)?;
            Ok::<_, BenchError>(store)
        };
        Ok(Self {
            giver: open(1, "giver", Durability::Os)?,
            taker: open(2, "taker", Durability::Synced)?,
        })
    }

    fn give_new(&self, page: Range<u64>) -> Result<(), BenchError> {
        let cars: Vec<Value> = page.map(car).collect();
        self.giver.import(CARS, &cars)?;
        Ok(self.giver.seal()?)
    }

    fn give_edited(&self, page: &Range<u64>) -> Result<(), BenchError> {
        let text = |index| Value::String(id(index));
        let parameters = Params::from([
            ("first".to_owned(), text(page.start)),
            ("end".to_owned(), text(page.end)),
        ]);
        let edit = format!("UPDATE {CARS} SET color = 'pink' WHERE _id >= :first AND _id < :end");
        self.giver.execute(&edit, &parameters)?;
        Ok(self.giver.seal()?)
    }

    /// Brings what is new of a page's documents from one store to the other. The microseconds that a document takes there.
    fn take(&self, page: Range<u64>) -> Result<f64, BenchError> {
        let page = self.bundle(page)?;
        let arrivals = page.documents.iter().map(|(id, delta)| Arrival {
            collection: CARS,
            id: id.as_bytes(),
            delta,
        });
        let certificates = page.bundled.certificates.iter();
        let arriving = [Arriving {
            certificates: certificates.map(|(_, chain)| chain.as_slice()).collect(),
            seals: page.bundled.seals.iter().map(Vec::as_slice).collect(),
            arrivals: arrivals.collect(),
        }];
        let mut arrived = Vec::new();
        let seconds = seconds(|| {
            arrived = self.taker.ingest(&arriving, Arc::from([1]))?;
            Ok(())
        })?;
        let is_applied = |it: &Arrived| *it == Arrived::Applied { incomplete: false };
        match arrived.iter().find(|it| !is_applied(it)) {
            Some(other) => Err(unavailable(format_args!(
                "a document was not applied: {other:?}"
            ))),
            None => Ok(seconds * 1e6 / arrived.len() as f64),
        }
    }

    fn bundle(&self, page: Range<u64>) -> Result<Page, BenchError> {
        let mut bundle = self.giver.bundle();
        let mut documents = Vec::new();
        for index in page {
            let id = DocumentId::new(&Value::String(id(index))).map_err(unavailable)?;
            let have = self
                .taker
                .lacking(CARS, id.as_bytes(), &[])?
                .unwrap_or_default();
            let bytes_max = sedge_mesh::limits::DELTA_BYTES_MAX;
            let part = bundle.add(CARS, id.as_bytes(), &have, bytes_max, |_, _| true)?;
            let part = part.ok_or_else(|| unavailable("a document has nothing new"))?;
            documents.push((id, part.delta));
        }
        Ok(Page {
            documents,
            bundled: bundle.finish()?,
        })
    }
}
