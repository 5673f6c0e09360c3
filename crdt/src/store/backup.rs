//! Copies of a store, and what a closed store holds.
//!
//! A copy is taken from the open store ([`Store::checkpoint`]). A closed one is read through ([`Contents::read`]) without
//! changing it, and may become a store of its own ([`Store::begin_anew`]), which no neighbour has met before.

use super::Store;
use super::blobs::NameSum;
use super::catalog::{Catalog, CollectionStatus};
use super::database::{Database, damaged, decode, fixed};
use super::digest::Digest;
use super::error::StoreError;
use super::index::EntryCheck;
use super::log;
use super::reconcile::SumCheck;
use super::schema::{
    DOCUMENTS, DocumentKey, DocumentState, FEED, FORMAT, META, META_APP, META_DEVICE, META_EVICTED,
    META_FEED, META_FORMAT, STATES, VALUES, read_u64,
};
use crate::document::{Aside, Document};
use crate::value::Value;
use sedge_identity::PublicKey;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How thoroughly a closed store is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Every entry of documents is read and decoded; totals, feed, names of attachments, entries of indexes and what
    /// peers compare are counted anew.
    Entries,
    /// Also every document is loaded from its changes, which takes some 50 µs each.
    Documents,
}

/// What a closed store holds, all of which was read and agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Whose it is.
    pub app: String,
    /// The version of its layout.
    pub format: u32,
    /// Names its feed.
    pub feed: [u8; 16],
    /// The newest transaction in it.
    pub transaction_id: u64,
    /// What each collection holds.
    pub collections: Vec<CollectionStatus>,
    /// The device that it was the store of.
    pub device: [u8; 32],
    /// Documents with changes of that device that are not sealed: it alone can give them to others.
    pub unsealed: u64,
}

impl Contents {
    /// Reads all of the store in the folder `path`, which nobody has open. Nothing in the folder changes. `told` hears
    /// how many of how many documents are read, deleted ones among them.
    ///
    /// # Errors
    /// The store is of another format, or damaged: then the message says where.
    pub fn read(
        path: &Path,
        check: Check,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, StoreError> {
        let database = Database::open_for_reading(path)?;
        let format = fixed(META_FORMAT, &database.meta(META_FORMAT)?).map(u32::from_le_bytes)?;
        if format != FORMAT {
            return Err(StoreError::Format {
                found: format,
                expected: FORMAT,
            });
        }
        let catalog = Catalog::load(&database)?;
        let (transaction_id, _) = database.newest().clock()?;
        let entries = Entries::count(&database)?;
        let mut reading = Reading {
            database: &database,
            catalog: &catalog,
            totals: BTreeMap::new(),
            newest: 0,
            named: NameSum::default(),
            entries: EntryCheck::new(&catalog),
            sums: SumCheck::new(&database)?,
            sealed_to: database.newest().sealed()?.0,
            unsealed: 0,
        };
        let (mut documents, mut visible) = (0, 0);
        for entry in database.newest().entries_from(STATES, &[])? {
            let (bytes, _) = entry?;
            visible += u64::from(reading.document(&bytes, check)?);
            documents += 1;
            told(documents, entries.feed);
        }
        if entries.feed != documents || entries.records != documents || entries.values != visible {
            return Err(disagreement(format!(
                "it has {documents} documents, {visible} of them visible, but {} values, {} records and {} entries in \
                 its feed",
                entries.values, entries.records, entries.feed
            )));
        }
        let evicted = database.get(META, META_EVICTED)?;
        let evicted = evicted.as_deref().and_then(read_u64).unwrap_or(0);
        if reading.newest.max(evicted) != transaction_id {
            return Err(disagreement(format!(
                "its newest change is {}, its clock shows {transaction_id}",
                reading.newest
            )));
        }
        if reading.named != NameSum::of_counts(&database)? {
            return Err(disagreement(
                "its counts of who names which attachment are not what its documents name"
                    .to_owned(),
            ));
        }
        reading.entries.finish(&database)?;
        reading.sums.finish(&database, &catalog)?;
        log::check(&database, &catalog, transaction_id)?;
        let collections = catalog.status();
        reading.check_totals(&collections)?;
        Ok(Self {
            app: String::from_utf8_lossy(&database.meta(META_APP)?).into_owned(),
            format,
            feed: fixed(META_FEED, &database.meta(META_FEED)?)?,
            transaction_id,
            collections,
            device: fixed(META_DEVICE, &database.meta(META_DEVICE)?)?,
            unsealed: reading.unsealed,
        })
    }

    /// The visible documents of all collections.
    pub fn documents(&self) -> u64 {
        let counts = self
            .collections
            .iter()
            .map(|collection| collection.documents);
        counts.sum()
    }
}

impl Store {
    /// Makes a store of the new folder `path` that holds what is durable now; reads and writes go on meanwhile. On the
    /// same file system both share files, which never change. The folder is this store's twin: before it may be used
    /// beside it, it has to [begin anew](Self::begin_anew).
    ///
    /// The bytes of attachments come into the new folder `attachments`, each file named by its id: all that are here as a
    /// whole, hence all that a document of the copy names and that was here, but for what is [removed by
    /// hand](crate::Attachments::remove) meanwhile.
    ///
    /// What this device wrote is sealed first, as far as its certificate lets it: a store of another device that is made of
    /// the copy can't do that.
    ///
    /// # Errors
    /// A folder exists or can't be made, or the database fails, as on a full disk.
    pub fn checkpoint(&self, path: &Path, attachments: &Path) -> Result<(), StoreError> {
        if let Err(error) = self.seal() {
            tracing::warn!(%error, "changes of this device are not sealed before they are copied");
        }
        let blobs = &self.0.blobs;
        let _kept = blobs.keep(); // before the documents: what these name must not go before it is copied
        self.0.database.checkpoint(path)?;
        Ok(blobs.copy_whole(attachments)?)
    }

    /// Makes the copy of a store in the folder `path`, which nobody has open, a store of `device` that was never seen:
    /// with a new incarnation, so that no change gets the name of one that the other store makes, and with a new feed,
    /// so that neighbours read it from its beginning. What was taken from the neighbours' feeds is in the copy like the
    /// cursors that tell how far, so those stay.
    ///
    /// # Errors
    /// The store is in use, or the database fails; then the folder is of no use.
    pub fn begin_anew(path: &Path, device: &PublicKey) -> Result<(), StoreError> {
        let database = Database::open(path)?;
        let mut batch = database.batch();
        batch.put(META, META_DEVICE, device.as_bytes());
        batch.write()?;
        database.renew().map(drop)
    }
}

/// How many entries the families have that hold one for each document.
struct Entries {
    values: u64,
    records: u64,
    feed: u64,
}

impl Entries {
    fn count(database: &Database) -> Result<Self, StoreError> {
        let count = |family| {
            let mut entries = database.newest().entries_from(family, &[])?;
            entries.try_fold(0, |count, entry| entry.map(|_| count + 1))
        };
        Ok(Self {
            values: count(VALUES)?,
            records: count(DOCUMENTS)?,
            feed: count(FEED)?,
        })
    }
}

/// Reads the documents of a store one by one.
struct Reading<'a> {
    database: &'a Database,
    catalog: &'a Catalog,
    totals: BTreeMap<Arc<str>, (u64, Digest)>,
    /// The newest sequence of a document so far.
    newest: u64,
    /// The attachments that documents name.
    named: NameSum,
    entries: EntryCheck<'a>,
    sums: SumCheck,
    /// Up to where in the feed own changes are sealed.
    sealed_to: u64,
    unsealed: u64,
}

impl Reading<'_> {
    /// Reads all there is of a document; whether it is visible.
    fn document(&mut self, bytes: &[u8], check: Check) -> Result<bool, StoreError> {
        let key = DocumentKey::read(bytes).ok_or_else(|| damaged(bytes))?;
        let state = self
            .database
            .newest()
            .state(&key)?
            .ok_or_else(|| damaged(bytes))?;
        let wrong = |reason: &str| StoreError::Damaged {
            what: format!("document {}", key.id),
            reason: reason.to_owned(),
        };
        let collection = self.catalog.name(key.collection);
        let collection = collection.ok_or_else(|| wrong("its collection is not known"))?;
        let in_feed = self.database.get(FEED, &state.sequence.to_be_bytes())?;
        if in_feed.as_deref() != Some(bytes) {
            return Err(wrong("the feed does not lead to it"));
        }
        self.newest = self.newest.max(state.sequence);
        self.unsealed += u64::from(state.is_unsealed(self.sealed_to));
        let value = self.database.get(VALUES, bytes)?;
        let value = value.map(|value| decode(&key, &value)).transpose()?;
        let record = self.database.newest().record(&key)?;
        let record = record.ok_or_else(|| wrong("its changes are missing"))?;
        if check == Check::Documents {
            let aside = self.database.newest().aside(&key)?;
            check_record(&key, &state, &record, &aside, value.as_ref())?;
        }
        self.sums
            .document(self.database, &collection, &key, &state)?;
        if let Some(value) = &value {
            let (documents, digest) = self.totals.entry(collection).or_default();
            *documents += 1;
            *digest = digest.plus(Digest::of(&key.id, value));
            self.named.add(value);
            self.entries.add(&key, value);
        }
        Ok(value.is_some())
    }

    fn check_totals(&mut self, told: &[CollectionStatus]) -> Result<(), StoreError> {
        for collection in told {
            let found = self.totals.remove(&collection.name).unwrap_or_default();
            if found != (collection.documents, collection.digest) {
                return Err(disagreement(format!(
                    "collection {} is said to have {} documents with digest {}, and has {} with {}",
                    collection.name, collection.documents, collection.digest, found.0, found.1
                )));
            }
        }
        Ok(())
    }
}

/// Sees that a document loads, as what its other entries say.
fn check_record(
    key: &DocumentKey,
    state: &DocumentState,
    record: &[u8],
    aside: &Aside,
    value: Option<&Value>,
) -> Result<(), StoreError> {
    let document =
        Document::load(record).map_err(|error| StoreError::damaged_document(&key.id, &error))?;
    let wrong = |reason: &str| StoreError::Damaged {
        what: format!("document {}", key.id),
        reason: reason.to_owned(),
    };
    if aside.heads_with(document.heads()) != state.heads {
        return Err(wrong("its changes lead to other heads than are kept"));
    }
    // Compared as stored: a NaN equals nothing.
    if document.value(&key.id).map(|value| value.encode()) != value.map(Value::encode) {
        return Err(wrong("its changes lead to another value than is kept"));
    }
    Ok(())
}

pub(super) fn disagreement(reason: String) -> StoreError {
    StoreError::Damaged {
        what: "the store".to_owned(),
        reason,
    }
}
