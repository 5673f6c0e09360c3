//! RocksDB with this store's column families, settings and writes.

use super::durable::{self, Durable};
use super::error::{DISK_FULL, StoreError};
use super::incarnation::Incarnation;
use super::reads::Reads;
use super::schema::{
    ATTACHMENTS, DOCUMENTS, DocumentKey, FAMILIES, FORMAT, META, META_APP, META_DEVICE, META_FEED,
    META_FORMAT, META_INCARNATION, SUMS,
};
use crate::limits::SPACE_KEPT_BYTES;
use crate::random::random;
use crate::value::Value;
use parking_lot::Mutex;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    DEFAULT_COLUMN_FAMILY_NAME, ErrorKind, FlushOptions, MergeOperands, Options, Snapshot,
    WriteBatch,
};
use sedge_identity::{AppId, PublicKey, hex};
use std::path::Path;
use std::time::{Duration, Instant};

/// Memory for decoded blocks of all families, in bytes: a Pi runs this beside other programs.
const BLOCK_CACHE_BYTES: usize = 16 << 20;
/// Memory for not yet flushed writes of all families, in bytes.
const WRITE_BUFFERS_BYTES: usize = 16 << 20;
/// Write buffer of one family, in bytes.
const WRITE_BUFFER_BYTES: usize = 4 << 20;
/// Uncompressed bytes of a block: large enough to compress well and to scan fast, small enough for a single read.
const BLOCK_BYTES: usize = 16 << 10;
/// Bytes that a batch begins with: it holds the insert of a small document without being moved.
const BATCH_BYTES: usize = 1_000;
/// How long it counts that the disk has room: too short for any writer to use up what is kept free.
const SPACE_CHECK: Duration = Duration::from_millis(5);
/// Files kept open: below the usual limit of 1,024 of a process.
const OPEN_FILES_MAX: i32 = 256;

/// Write-ahead logs that are kept to be written over: the one that the last flush has emptied.
const LOGS_KEPT: usize = 1;

/// A key and its value.
pub(super) type Entry = (Box<[u8]>, Box<[u8]>);

pub(super) struct Database {
    pub(super) rocks: DB,
    /// `None` where it was opened for reading.
    durable: Option<Durable>,
    /// Why the last write failed, if it did.
    failed: Mutex<Option<rocksdb::Error>>,
    /// When the disk was last found to have room.
    space_checked: Mutex<Option<Instant>>,
}

/// What makes this store different from every other.
pub(super) struct StoreIdentity {
    pub(super) incarnation: Incarnation,
    pub(super) feed: [u8; 16],
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        check_whole(path)?;
        let lock = Durable::lock(path)?;
        if durable::noted(path)?.is_some() {
            // An opening for writing would empty the log, damaged or not.
            drop(Self::open_for_reading(path)?);
        }
        let rocks = DB::open_cf_descriptors(&options(), path, families());
        let rocks = rocks.map_err(|error| unopened(path, error))?;
        Ok(Self {
            rocks,
            durable: Some(Durable::new(lock, path)?),
            failed: Mutex::default(),
            space_checked: Mutex::default(),
        })
    }

    /// Opens a database that nobody has open, without changing a byte of it.
    pub(super) fn open_for_reading(path: &Path) -> Result<Self, StoreError> {
        check_whole(path)?;
        let noted = durable::noted(path)?;
        let rocks = DB::open_cf_descriptors_read_only(&options(), path, families(), false);
        let rocks = rocks.map_err(|error| unopened(path, error))?;
        let found = rocks.latest_sequence_number();
        match noted {
            Some(noted) if found < noted => Err(durable::lost(path, found, noted)),
            _ => Ok(Self {
                rocks,
                durable: None,
                failed: Mutex::default(),
                space_checked: Mutex::default(),
            }),
        }
    }

    /// Makes a database of the new folder `path` that holds what this one holds now. On the same file system its
    /// files are links, as RocksDB never changes one that is written.
    pub(super) fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        Ok(Checkpoint::new(&self.rocks)?.create_checkpoint(path)?)
    }

    /// Binds a new database to its app and device; checks format, app and device of an old one.
    pub(super) fn identify(
        &self,
        app: &AppId,
        device: &PublicKey,
    ) -> Result<StoreIdentity, StoreError> {
        let Some(format) = self.get(META, META_FORMAT)? else {
            return self.create(app, device);
        };
        let format = fixed(META_FORMAT, &format).map(u32::from_le_bytes)?;
        if format != FORMAT {
            return Err(StoreError::Format {
                found: format,
                expected: FORMAT,
            });
        }
        let found = self.meta(META_APP)?;
        if found != app.as_str().as_bytes() {
            return Err(StoreError::Foreign {
                what: "app",
                found: String::from_utf8_lossy(&found).into_owned(),
                expected: app.to_string(),
            });
        }
        let found = self.meta(META_DEVICE)?;
        if found != device.as_bytes() {
            return Err(StoreError::Foreign {
                what: "device",
                found: hex(&found).to_string(),
                expected: device.to_string(),
            });
        }
        Ok(StoreIdentity {
            incarnation: Incarnation::read(&self.meta(META_INCARNATION)?)?,
            feed: fixed(META_FEED, &self.meta(META_FEED)?)?,
        })
    }

    fn create(&self, app: &AppId, device: &PublicKey) -> Result<StoreIdentity, StoreError> {
        let identity = StoreIdentity {
            incarnation: Incarnation::first()?,
            feed: random()?,
        };
        let mut batch = self.batch();
        batch.put(META, META_APP, app.as_str());
        batch.put(META, META_DEVICE, device.as_bytes());
        identity.incarnation.store(&mut batch);
        batch.put(META, META_FEED, identity.feed);
        batch.put(META, META_FORMAT, FORMAT.to_le_bytes());
        batch.write()?;
        Ok(identity)
    }

    /// The database as it is now, whatever is written while it is read.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        self.rocks.snapshot()
    }

    /// Reads of what is newest, durable or not.
    pub(super) fn newest(&self) -> Reads<'_> {
        Reads::newest(self)
    }

    /// Returns once everything written so far is on disk.
    pub(super) fn sync(&self) -> Result<(), rocksdb::Error> {
        if let Some(error) = &*self.failed.lock() {
            // To sync the log of a failed write is an error from which RocksDB does not recover.
            return Err(error.clone());
        }
        let written = self.rocks.latest_sequence_number();
        self.rocks.flush_wal(true)?;
        if let Some(durable) = &self.durable {
            durable.note(written);
        }
        Ok(())
    }

    /// Whether a flush of all that is written still finds room: a log that can't be appended to is worse than a write that
    /// is refused. What was found counts for a while, since the disk takes longer to answer than a batch to be written.
    fn check_space(&self) -> Result<(), StoreError> {
        let mut checked = self.space_checked.lock();
        if checked.is_some_and(|checked| checked.elapsed() < SPACE_CHECK) {
            return Ok(());
        }
        *checked = None;
        match self.durable.as_ref().map(Durable::free_bytes).transpose() {
            Ok(Some(..SPACE_KEPT_BYTES)) => Err(StoreError::DiskFull),
            Ok(_) => {
                *checked = Some(Instant::now());
                Ok(())
            }
            Err(error) => {
                tracing::debug!(%error, "it is not known how much room the disk has");
                Ok(())
            }
        }
    }

    /// Rewrites all files, so that nothing overwritten or deleted takes space.
    pub(super) fn compact(&self) -> Result<(), StoreError> {
        for family in FAMILIES {
            let family = self.family(family)?;
            self.rocks.flush_cf(family)?;
            self.rocks
                .compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    pub(super) fn batch(&self) -> Batch<'_> {
        Batch {
            database: self,
            batch: WriteBatch::with_capacity_bytes(BATCH_BYTES),
            missing: None,
        }
    }

    pub(super) fn get(
        &self,
        family: &'static str,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.newest().get(family, key)
    }

    pub(super) fn meta(&self, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.get(META, key)?.ok_or_else(|| damaged(key))
    }

    pub(super) fn family(&self, name: &'static str) -> Result<&rocksdb::ColumnFamily, StoreError> {
        self.rocks
            .cf_handle(name)
            .ok_or_else(|| damaged(name.as_bytes()))
    }
}

/// What is only in the write-ahead log goes into tables, whose damage is told without a note of how much there was. After a
/// crash the next opening does the same.
impl Drop for Database {
    fn drop(&mut self) {
        let Some(durable) = &self.durable else {
            return; // a flush would wait for ever where there is no writing
        };
        let families = FAMILIES
            .iter()
            .filter_map(|name| self.rocks.cf_handle(name))
            .collect::<Vec<_>>();
        let flushed = self
            .rocks
            .flush_cfs_opt(&families, &FlushOptions::default());
        match flushed {
            Ok(()) => durable.note_closed(),
            // As on a full disk. All of it is in the log.
            Err(error) => tracing::debug!(%error, "the log was not emptied"),
        }
    }
}

/// Writes that become visible and durable together.
pub(super) struct Batch<'a> {
    database: &'a Database,
    batch: WriteBatch,
    missing: Option<StoreError>,
}

impl Batch<'_> {
    pub(super) fn put(&mut self, family: &'static str, key: &[u8], value: impl AsRef<[u8]>) {
        match self.database.family(family) {
            Ok(family) => self.batch.put_cf(family, key, value),
            Err(error) => self.missing = Some(error),
        }
    }

    /// Merges into what is stored under the key: appends to `documents`, adds to `attachments` and `sums`.
    pub(super) fn append(&mut self, family: &'static str, key: &[u8], value: &[u8]) {
        match self.database.family(family) {
            Ok(family) => self.batch.merge_cf(family, key, value),
            Err(error) => self.missing = Some(error),
        }
    }

    pub(super) fn delete(&mut self, family: &'static str, key: &[u8]) {
        match self.database.family(family) {
            Ok(family) => self.batch.delete_cf(family, key),
            Err(error) => self.missing = Some(error),
        }
    }

    /// Deletes the keys from `from` on, below `to`.
    pub(super) fn delete_range(&mut self, family: &'static str, from: &[u8], to: &[u8]) {
        match self.database.family(family) {
            Ok(family) => self.batch.delete_range_cf(family, from, to),
            Err(error) => self.missing = Some(error),
        }
    }

    /// Returns once the batch is on disk.
    pub(super) fn write(self) -> Result<(), StoreError> {
        let database = self.database;
        self.write_unsynced()?;
        Ok(database.sync()?)
    }

    /// Returns at once; the batch reaches the disk with the next sync, never before an earlier one.
    pub(super) fn write_unsynced(self) -> Result<(), StoreError> {
        if let Some(error) = self.missing {
            return Err(error);
        }
        self.database.check_space()?;
        let written = self.database.rocks.write(self.batch);
        *self.database.failed.lock() = written.as_ref().err().cloned();
        Ok(written?)
    }
}

/// RocksDB would take a folder without its `CURRENT` for a new database, and remove the old one's files.
fn check_whole(path: &Path) -> Result<(), StoreError> {
    let is_new = !path.join("CURRENT").exists();
    let holds_data = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.ends_with(".sst") || name.ends_with(".log") || name.starts_with("MANIFEST")
    };
    let has_data = std::fs::read_dir(path)
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(holds_data)));
    if is_new && has_data {
        return Err(StoreError::Damaged {
            what: format!("the store {}", path.display()),
            reason: "its file CURRENT is missing".to_owned(),
        });
    }
    Ok(())
}

/// Why a database can't be opened.
fn unopened(path: &Path, error: rocksdb::Error) -> StoreError {
    let text = error.as_ref();
    if text.contains(DISK_FULL) {
        StoreError::Database(error)
    } else if text.contains("lock") && text.contains("LOCK") {
        StoreError::InUse(path.to_owned())
    } else if error.kind() == ErrorKind::Corruption || text.contains("No such file") {
        StoreError::Damaged {
            what: format!("the store {}", path.display()),
            reason: text.to_owned(),
        }
    } else {
        StoreError::Database(error)
    }
}

/// All families. The unused default one is named for its options: after a full disk RocksDB resumes once the largest
/// write buffer of any family has room, and by its own default that is 64 MiB.
fn families() -> impl Iterator<Item = ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    let families = FAMILIES.into_iter().chain([DEFAULT_COLUMN_FAMILY_NAME]);
    families.map(move |name| ColumnFamilyDescriptor::new(name, family_options(name, &cache)))
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_keep_log_file_num(2);
    options.set_max_background_jobs(2);
    // A file that does not grow is synced in two thirds of the time: nothing is to be said of it to the file system. The
    // end of a log that is written over an older one looks like damage, so that only `durable` knows damage.
    options.set_recycle_log_file_num(LOGS_KEPT);
    options.set_atomic_flush(true); // otherwise each log waits for the family that is flushed last
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options
}

fn family_options(name: &str, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_block_size(BLOCK_BYTES);
    blocks.set_format_version(6);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    if name == DOCUMENTS {
        options.set_merge_operator_associative("append", append);
    }
    if name == ATTACHMENTS {
        options.set_merge_operator_associative("count", super::blobs::add_counts);
    }
    if name == SUMS {
        options.set_merge_operator_associative("sum", super::reconcile::add_summaries);
    }
    options
}

/// A document's record grows by whole chunks; reading concatenates them.
fn append(_key: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let mut record = existing.unwrap_or_default().to_vec();
    for operand in operands {
        record.extend_from_slice(operand);
    }
    Some(record)
}

pub(super) fn decode(key: &DocumentKey, bytes: &[u8]) -> Result<Value, StoreError> {
    Value::decode(bytes).map_err(|error| StoreError::Damaged {
        what: format!("the value of document {}", key.id),
        reason: error.to_string(),
    })
}

pub(super) fn damaged(what: &[u8]) -> StoreError {
    StoreError::Damaged {
        what: format!("the entry {:?}", String::from_utf8_lossy(what)),
        reason: "missing or of unexpected length".to_owned(),
    }
}

pub(super) fn fixed<const N: usize>(what: &[u8], bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| damaged(what))
}
