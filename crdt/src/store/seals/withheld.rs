//! What this device has written that has not left it, and why: for whoever operates the device.

use super::super::error::StoreError;
use super::super::schema::FEED;
use super::super::source::Source;
use super::super::{Inner, Store};
use crate::DocumentId;
use crate::limits::{SET_ASIDE_TOLD_MAX, UNSEALED_COUNTED_MAX};
use crate::record::{DocumentKey, SET_ASIDE};
use std::sync::Arc;

/// Own changes that others don't get at present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    /// Documents with own changes that are not sealed yet, as far as that was counted: a running device seals them
    /// within milliseconds, one that rests when it runs again.
    pub unsealed: u64,
    /// There may be more than `unsealed`: only so many changed documents are looked at.
    pub is_more_unsealed: bool,
    /// Why sealing has stopped; it is tried again every few seconds. `None` while it goes on, or has not begun.
    pub reason: Option<String>,
    /// How many documents have own changes that this device's certificate does not let it seal: others would not accept them.
    pub set_aside: u64,
    /// Some of these, as collection and `_id`.
    pub set_aside_first: Vec<(Arc<str>, DocumentId)>,
}

impl Store {
    /// What this device has written that others don't get at present.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn withheld(&self) -> Result<Withheld, StoreError> {
        let (unsealed, is_more_unsealed) = self.0.count_unsealed()?;
        let keys = self.0.set_aside()?;
        let view = self.view();
        let named =
            |key: &DocumentKey| Some((view.catalog().name(key.collection)?, key.id.clone()));
        Ok(Withheld {
            unsealed,
            is_more_unsealed,
            reason: self.0.release.failure(),
            set_aside: keys.len() as u64,
            set_aside_first: keys
                .iter()
                .filter_map(named)
                .take(SET_ASIDE_TOLD_MAX)
                .collect(),
        })
    }
}

impl Inner {
    fn count_unsealed(&self) -> Result<(u64, bool), StoreError> {
        let view = self.view();
        let sealed_to = self.release.sealed_to();
        let start = sealed_to.saturating_add(1).to_be_bytes();
        let mut unsealed = 0;
        let mut entries = view.reads().entries_from(FEED, &start)?;
        for entry in entries.by_ref().take(UNSEALED_COUNTED_MAX) {
            let (_, key) = entry?;
            let Some(key) = DocumentKey::stored(&key) else {
                continue;
            };
            let state = match view.reads().state(&key) {
                Err(StoreError::Damaged { .. }) => continue, // told where its changes are asked for
                state => state?.unwrap_or_default(),
            };
            let is_waiting = state.is_unsealed(sealed_to) && state.own_sequence != SET_ASIDE;
            unsealed += u64::from(is_waiting);
        }
        Ok((unsealed, entries.next().is_some()))
    }
}
