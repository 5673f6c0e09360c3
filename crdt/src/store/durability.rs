//! When a write counts as done: on the disk, or handed to the operating system.
//!
//! In `Os` a crash of the system may lose the newest commits after others have heard of them. A marker says that a store is
//! open that way; one that is found at opening means that the end was unclean. Then the store writes under a new
//! incarnation, so that no (actor, seq) is used twice, and its feed is a new one, because sequences may stand for other
//! documents than before.

use super::Inner;
use super::clock::now_ms;
use super::database::{Database, StoreIdentity};
use super::error::StoreError;
use super::incarnation::Incarnation;
use super::schema::{META, META_FEED, META_INCARNATION, META_UNSYNCED};
use crate::limits::FEED_KEEP_BYTES;
use crate::random::random;
use serde::{Deserialize, Serialize};

/// When a write is acknowledged, made visible and told to peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Durability {
    /// Once it is on the disk: nothing acknowledged is ever lost.
    #[default]
    Synced,
    /// Once the operating system has it: for bulk loads. A crash of the process loses nothing, one of the system or a
    /// power cut may lose the newest writes, never some without all later ones.
    Os,
}

/// What settings say.
impl TryFrom<String> for Durability {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "synced" => Ok(Durability::Synced),
            "os" => Ok(Durability::Os),
            _ => Err(format!("durability is synced or os, not {text:?}")),
        }
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// When a write is acknowledged.
    pub durability: Durability,
    /// How many bytes of changes the feed keeps for [`Store::feed_since`](super::Store::feed_since); 0 for none.
    pub feed_keep_bytes: u64,
    /// Where the time comes from that changes and seals of this device carry, in ms since 1970. Nothing that comes from others
    /// is judged by it.
    pub clock: fn() -> u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            feed_keep_bytes: FEED_KEEP_BYTES,
            clock: || now_ms().cast_unsigned(),
        }
    }
}

impl Database {
    /// Draws a new incarnation and feed if the last end was unclean, and marks that commits are not synced from now on if
    /// that is so. Returns the identity that holds from now on.
    pub(super) fn begin(
        &self,
        identity: StoreIdentity,
        durability: Durability,
    ) -> Result<StoreIdentity, StoreError> {
        let unclean = self.newest().get(META, META_UNSYNCED)?.is_some();
        let identity = match unclean {
            true => {
                tracing::warn!(
                    "the store was not closed properly while its writes were not synced (durability os): the newest ones may \
                     be lost, unless peers have them"
                );
                self.renew()?
            }
            false => identity,
        };
        if durability == Durability::Os {
            let mut batch = self.batch();
            batch.put(META, META_UNSYNCED, []);
            batch.write()?;
        }
        Ok(identity)
    }

    /// Makes everything durable and removes the marker.
    fn end(&self) -> Result<(), StoreError> {
        let mut batch = self.batch();
        batch.delete(META, META_UNSYNCED);
        batch.write() // the log is synced up to here, with all that was written before
    }

    /// Draws a new incarnation and feed, under which nothing was written yet.
    pub(super) fn renew(&self) -> Result<StoreIdentity, StoreError> {
        let earlier = Incarnation::read(&self.meta(META_INCARNATION)?)?;
        let identity = StoreIdentity {
            incarnation: earlier.next()?,
            feed: random()?,
        };
        let mut batch = self.batch();
        identity.incarnation.store(&mut batch);
        batch.put(META, META_FEED, identity.feed);
        batch.delete(META, META_UNSYNCED);
        batch.write()?;
        Ok(identity)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.durability == Durability::Os
            && let Err(error) = self.database.end()
        {
            tracing::warn!(%error, "the store could not be closed properly");
        }
    }
}
