//! Reading the change log, page by page, through the published view: never what is not durable.

use super::super::Store;
use super::super::error::StoreError;
use super::super::schema::{DocumentKey, LOG};
use super::super::source::Source;
use super::super::view::View;
use super::{Checkpoint, Held, Record, Since, damaged_log, entry_bytes, sequence_of};
use crate::id::DocumentId;
use crate::limits::{FEED_PAGE_BYTES_MAX, FEED_PAGE_ENTRIES_MAX};
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one accepted change made of its document, as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Its place in the order in which this store accepted changes.
    pub sequence: u64,
    /// When this store committed it, in ms since 1970 by this device's clock.
    pub time_ms: i64,
    /// Whether the change was made on this device; else it came from another one.
    pub is_local: bool,
    /// The collection's name.
    pub collection: Arc<str>,
    /// The document.
    pub id: DocumentId,
    /// The document before; `None` when there was none to be seen.
    pub before: Option<Value>,
    /// The document after; `None` when it is deleted.
    pub after: Option<Value>,
}

/// A stretch of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    /// In the order in which the changes were accepted. There may be none though there is more.
    pub entries: Vec<LogEntry>,
    /// Where the next page begins: behind these entries, and those of other collections.
    pub checkpoint: Checkpoint,
    /// Whether more has been accepted by now.
    pub more: bool,
}

impl Store {
    /// The first of what was accepted since then, of one collection if that is named: at most
    /// [`FEED_PAGE_ENTRIES_MAX`] entries or [`FEED_PAGE_BYTES_MAX`] bytes are looked at, but one at least. Whoever goes on from
    /// each page's checkpoint sees each change that made a difference once, in order: what an entry says was before is
    /// what the entry before it of the same document said comes after.
    ///
    /// # Errors
    /// What came then is trimmed; the checkpoint is of another feed, or ahead of this one; there is no such collection; or
    /// the database fails.
    pub fn feed_since(
        &self,
        since: Since,
        collection: Option<&str>,
    ) -> Result<LogPage, StoreError> {
        let view = self.view();
        let wanted = collection.map(|name| view.number(name)).transpose()?;
        let after = self.sequence_of(since, &view)?;
        let mut page = LogPage {
            entries: Vec::new(),
            checkpoint: Checkpoint {
                feed: *self.0.feed.read(),
                sequence: after,
            },
            more: false,
        };
        let (mut names, mut looked_at, mut bytes_read) = (BTreeMap::new(), 0, 0);
        let start = after.saturating_add(1).to_be_bytes();
        for entry in view.reads().entries_from(LOG, &start)? {
            let (key, bytes) = entry?;
            bytes_read += entry_bytes(&bytes);
            if looked_at > 0
                && (looked_at == FEED_PAGE_ENTRIES_MAX || bytes_read > FEED_PAGE_BYTES_MAX)
            {
                page.more = true;
                return Ok(page);
            }
            looked_at += 1;
            let sequence = sequence_of(&key)?;
            let record = Record::read(&bytes).ok_or_else(damaged_log)?;
            let document = DocumentKey::read(record.document).ok_or_else(damaged_log)?;
            page.checkpoint.sequence = sequence;
            let number = document.collection;
            if wanted.is_some_and(|wanted| wanted != number) {
                continue;
            }
            let name = names
                .entry(number)
                .or_insert_with(|| view.catalog().name(number));
            page.entries.push(LogEntry {
                sequence,
                time_ms: record.stamp.time_ms,
                is_local: record.stamp.is_local,
                collection: name.clone().ok_or_else(damaged_log)?,
                id: document.id,
                before: value(record.before)?,
                after: value(record.after)?,
            });
        }
        // What the last changes left as it was is passed over, too.
        page.checkpoint.sequence = view.transaction_id();
        Ok(page)
    }

    /// Returns once something later than `sequence` is accepted and durable.
    pub async fn wait_beyond(&self, sequence: u64) {
        let mut published = self.0.published.subscribe();
        let accepted = published.wait_for(|view| view.transaction_id() > sequence);
        // The sender lives as long as the store, which is held here.
        drop(accepted.await);
    }

    /// The sequence after which to read.
    fn sequence_of(&self, since: Since, view: &View) -> Result<u64, StoreError> {
        let newest = view.transaction_id();
        let since = match since {
            Since::Now => return Ok(newest),
            Since::Oldest => return Ok(Held::load(view.reads())?.trimmed),
            Since::Sequence(sequence) => sequence,
            Since::Checkpoint(Checkpoint { feed, sequence }) if feed == *self.0.feed.read() => {
                sequence
            }
            Since::Checkpoint(_) => return Err(StoreError::OtherFeed),
        };
        let oldest = Held::load(view.reads())?.trimmed;
        if since > newest {
            return Err(StoreError::AheadOfFeed { since, newest });
        }
        match since < oldest {
            true => Err(StoreError::FeedTrimmed { since, oldest }),
            false => Ok(since),
        }
    }
}

fn value(bytes: Option<&[u8]>) -> Result<Option<Value>, StoreError> {
    let value = bytes.map(Value::decode).transpose();
    value.map_err(|_| damaged_log())
}
