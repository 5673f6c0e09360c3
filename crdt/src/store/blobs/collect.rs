//! Removing what no document names.

use super::{Attachments, references};
use crate::blob::{BlobId, BlobRef};
use crate::limits::COLLECT_PIECE_MAX;
use crate::store::StoreError;
use crate::store::schema::ATTACHMENTS;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many attachments, those that were here in part among them.
    pub attachments: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

impl Attachments<'_> {
    /// Removes the bytes that no document has named for the time `grace`, and that came that long ago. It works in pieces,
    /// between which writers get their turn. While a [checkpoint](crate::Store::checkpoint) is taken, whole ones stay.
    ///
    /// # Errors
    /// The disk or the database fails; what was removed before stays removed.
    pub fn collect(&self, grace: Duration) -> Result<Collected, StoreError> {
        let then = SystemTime::now().checked_sub(grace).unwrap_or(UNIX_EPOCH);
        let mut collected = Collected::default();
        self.forget_unused(then)?;
        for shard in 0..=u8::MAX {
            for piece in self.0.blobs.folder.shard(shard)?.chunks(COLLECT_PIECE_MAX) {
                self.collect_whole(piece, then, &mut collected)?;
            }
        }
        for piece in self.0.blobs.folder.partials()?.chunks(COLLECT_PIECE_MAX) {
            self.collect_partial(piece, then, &mut collected)?;
        }
        Ok(collected)
    }

    /// Removes counts that have been zero for long enough. Synced before any bytes go: the write that brought a count to
    /// zero must not be undone by a power loss after them.
    fn forget_unused(&self, then: SystemTime) -> Result<(), StoreError> {
        let since_1970 = then.duration_since(UNIX_EPOCH).unwrap_or_default();
        let then_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        let mut start = Vec::new();
        loop {
            self.0.let_others_write();
            let _writer = self.0.transaction(); // nobody adds to a count that is being removed
            let mut batch = self.0.database.batch();
            let (mut seen, mut unused) = (0, 0);
            for entry in references::counts(&self.0.database, &start)?.take(COLLECT_PIECE_MAX) {
                let (blob, count) = entry?;
                let key = references::key(blob);
                if count.is_unused_since(then_ms) {
                    batch.delete(ATTACHMENTS, &key);
                    unused += 1;
                }
                start = [&key[..], &[0]].concat(); // the first key behind it
                seen += 1;
            }
            if unused > 0 {
                batch.write()?;
            }
            if seen < COLLECT_PIECE_MAX {
                return Ok(());
            }
        }
    }

    fn collect_whole(
        &self,
        piece: &[BlobId],
        then: SystemTime,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        self.0.let_others_write();
        let _writer = self.0.transaction(); // no document names it between the look and the removal
        let blobs = &self.0.blobs;
        let Some(_leaving) = blobs.leaving.try_write() else {
            return Ok(()); // the next collection comes
        };
        for id in piece {
            let _placing = blobs.placing.lock();
            let is_old = blobs
                .folder
                .whole_since(*id)?
                .is_some_and(|since| since <= then);
            if is_old && !references::is_counted(&self.0.database, *id, None)? {
                let removed = blobs.folder.remove_whole(*id)?;
                collected.attachments += 1;
                collected.bytes += removed.unwrap_or(0);
            }
        }
        Ok(())
    }

    fn collect_partial(
        &self,
        piece: &[BlobRef],
        then: SystemTime,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        self.0.let_others_write();
        let _writer = self.0.transaction();
        let blobs = &self.0.blobs;
        for blob in piece {
            let since = blobs.folder.partial_since(*blob)?;
            let is_old = since.is_some_and(|since| since <= then);
            let is_named = || references::is_counted(&self.0.database, blob.id, Some(blob.len));
            // What came as a whole by another way needs no part any more.
            let is_whole = blobs.folder.whole_len(blob.id)?.is_some();
            if is_whole || (is_old && !is_named()?) {
                blobs.close(*blob);
                collected.attachments += 1;
                collected.bytes += blobs.folder.remove_partial(*blob)?;
            }
        }
        Ok(())
    }
}
