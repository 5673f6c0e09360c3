//! What the store offers to whoever replicates it: its feed, heads and cursors, the changes that others lack
//! (`outgoing`), and a way in for theirs (`arriving`).

mod arriving;
mod outgoing;

use super::error::StoreError;
use super::schema::{CURSORS, DocumentKey, DocumentState, FEED, read_u64};
use super::source::Source;
use super::view::View;
use super::{Inner, Store};
use crate::document::Document;
use crate::id::DocumentId;
use automerge::ChangeHash;
use std::sync::Arc;

pub use arriving::{Arrival, Arrived, Arriving};
pub use outgoing::{Bundle, Bundled, Flood};

/// The feed's identity and its newest sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Random, drawn when the store was created.
    pub id: [u8; 16],
    /// 0 when nothing was ever committed.
    pub last: u64,
}

/// A document in the feed, with the heads it has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// The collection's name.
    pub collection: Arc<str>,
    /// The document.
    pub id: DocumentId,
    /// Its newest changes, ascending.
    pub heads: Vec<[u8; 32]>,
}

/// A stretch of the feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedPage {
    /// The documents of the stretch, each once, in feed order.
    pub entries: Vec<FeedEntry>,
    /// The last sequence of the stretch, left-out entries included.
    pub up_to: u64,
}

/// How far one page may reach.
pub struct FeedLimits<'a> {
    /// Whether a collection's documents are wanted.
    pub wanted: &'a dyn Fn(&str) -> bool,
    /// Whether the page has no room for one more entry beside those it has.
    pub full: &'a mut dyn FnMut(&FeedEntry) -> bool,
    /// Most feed entries to walk.
    pub scan_max: usize,
}

/// What a store lacks of a document, or the first part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaPart {
    /// An encoded [`Sealed`](crate::Sealed), whose dependencies are there or within it.
    pub delta: Vec<u8>,
    /// `None` when nothing is left; else the heads that the store has once it has taken this in, with which the rest is
    /// to be asked for.
    pub more_after: Option<Vec<[u8; 32]>>,
}

/// How far another store's feed has been taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedCursor {
    /// Up to here everything is dealt with; 0 when nothing is.
    pub up_to: u64,
    /// Up to here nothing was left out.
    pub whole_to: u64,
}

impl Store {
    /// This store's feed.
    pub fn feed(&self) -> Feed {
        Feed {
            id: *self.0.feed.read(),
            last: self.transaction_id(),
        }
    }

    /// The stretch of the feed after `after`, as far as it is sealed.
    ///
    /// # Errors
    /// The database fails.
    pub fn feed_page(&self, after: u64, limits: FeedLimits<'_>) -> Result<FeedPage, StoreError> {
        let sealed_to = self.0.release.sealed_to();
        let view = self.0.newest_view();
        let mut page = FeedPage {
            entries: Vec::new(),
            up_to: after,
        };
        let start = after.saturating_add(1).to_be_bytes();
        let mut entries = view.reads().entries_from(FEED, &start)?;
        for _ in 0..limits.scan_max {
            let Some(entry) = entries.next() else {
                // What was committed last may be in the feed no more: it was evicted.
                page.up_to = after.max(sealed_to);
                break;
            };
            let (sequence, bytes) = entry?;
            let sequence = <[u8; 8]>::try_from(&*sequence).map(u64::from_be_bytes);
            let key = DocumentKey::read(&bytes);
            let (Ok(sequence), Some(key)) = (sequence, key) else {
                return Err(damaged_feed());
            };
            if sequence > sealed_to {
                page.up_to = after.max(sealed_to);
                break;
            }
            let collection = view.catalog().name(key.collection);
            let collection = collection.ok_or_else(damaged_feed)?;
            if (limits.wanted)(&collection) {
                let state = match view.reads().state(&key) {
                    // Named without heads. The damage is told when its changes are asked for; the others go on.
                    Err(StoreError::Damaged { .. }) => DocumentState::default(),
                    state => state?.unwrap_or_default(),
                };
                let heads = state.sealed_heads(sealed_to);
                if heads.is_empty() && state.is_unsealed(sealed_to) {
                    page.up_to = sequence; // nothing of it may leave the device
                    continue;
                }
                let entry = FeedEntry {
                    collection,
                    id: key.id,
                    heads: heads.iter().map(|head| head.0).collect(),
                };
                if (limits.full)(&entry) {
                    break;
                }
                page.entries.push(entry);
            }
            page.up_to = sequence;
        }
        Ok(page)
    }

    /// What a peer that names these heads would have to send: `None` when all of them are here, else the heads that
    /// are. A document named without heads is always wanted.
    ///
    /// # Errors
    /// The database fails, or the stored document is damaged.
    pub fn lacking(
        &self,
        collection: &str,
        id: &[u8],
        offered: &[[u8; 32]],
    ) -> Result<Option<Vec<[u8; 32]>>, StoreError> {
        let sealed_to = self.0.release.sealed_to();
        let view = self.0.newest_view();
        let Some(key) = view.key(collection, id) else {
            return Ok(Some(Vec::new()));
        };
        let Some(state) = view.reads().state(&key)? else {
            return Ok(Some(Vec::new()));
        };
        let is_head = |hash: &[u8; 32]| state.heads.contains(&ChangeHash(*hash));
        let mut here = !offered.is_empty() && offered.iter().all(is_head);
        if !here && !offered.is_empty() {
            let document = view.load(&key)?;
            let aside = view.reads().aside(&key)?;
            here = offered
                .iter()
                .map(|hash| ChangeHash(*hash))
                .all(|hash| document.has(&hash) || aside.has(&hash));
        }
        let heads = state.sealed_heads(sealed_to).iter().map(|head| head.0);
        Ok((!here).then(|| heads.collect()))
    }

    /// How far another store's feed has been taken in for a scope (8 bytes that name what of it); the default when
    /// unknown.
    ///
    /// # Errors
    /// The database fails.
    pub fn cursor(&self, feed: &[u8; 16], scope: &[u8; 8]) -> Result<FeedCursor, StoreError> {
        let reads = self.0.database.newest();
        let bytes = reads.get(CURSORS, &cursor_key(feed, scope))?;
        Ok(bytes.as_deref().and_then(read_cursor).unwrap_or_default())
    }

    /// Keeps a cursor. It never becomes durable before what was ingested earlier.
    ///
    /// # Errors
    /// The database fails.
    pub fn store_cursor(
        &self,
        feed: &[u8; 16],
        scope: &[u8; 8],
        cursor: FeedCursor,
    ) -> Result<(), StoreError> {
        let mut batch = self.0.database.batch();
        batch.put(CURSORS, &cursor_key(feed, scope), cursor_bytes(cursor));
        batch.write_unsynced()
    }
}

impl View {
    /// The key of a document that may be here.
    pub(super) fn key(&self, collection: &str, id: &[u8]) -> Option<DocumentKey> {
        Some(DocumentKey {
            collection: self.catalog().number(collection)?,
            id: DocumentId::from_canonical(id).ok()?,
        })
    }

    pub(super) fn load(&self, key: &DocumentKey) -> Result<Document, StoreError> {
        match self.reads().record(key)? {
            Some(record) => Document::load(&record)
                .map_err(|error| StoreError::damaged_document(&key.id, &error)),
            None => Ok(Document::default()),
        }
    }
}

impl Inner {
    /// The database as it is now, with what is sealed since the newest commit became visible. It may hold commits that are
    /// not yet durable; nothing of this device's own in them is sealed.
    fn newest_view(&self) -> View {
        self.view().renewed(&self.database)
    }
}

fn cursor_key(feed: &[u8; 16], scope: &[u8; 8]) -> Vec<u8> {
    [&feed[..], scope].concat()
}

fn cursor_bytes(cursor: FeedCursor) -> Vec<u8> {
    [cursor.up_to.to_le_bytes(), cursor.whole_to.to_le_bytes()].concat()
}

fn read_cursor(bytes: &[u8]) -> Option<FeedCursor> {
    let (up_to, whole_to) = bytes.split_at_checked(8)?;
    Some(FeedCursor {
        up_to: read_u64(up_to)?,
        whole_to: read_u64(whole_to)?,
    })
}

fn damaged_feed() -> StoreError {
    StoreError::Damaged {
        what: "the feed".to_owned(),
        reason: "an entry can't be read".to_owned(),
    }
}
