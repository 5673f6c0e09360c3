//! What this device writes is held to its certificate, so that no change comes to be that others would not accept. What comes
//! from others, and evicting, is not asked for here.

use super::Store;
use super::error::StoreError;
use super::schema::DocumentKey;
use super::transaction::Transaction;
use crate::rights::Access;
use std::sync::Arc;

impl Store {
    /// Says what this device may write from now on; `None` for everything, as in a store that was just opened.
    pub fn set_access(&self, access: Option<Arc<Access>>) {
        let access = access.filter(|access| !access.writes_everything());
        *self.0.access.write() = access;
    }
}

impl Transaction<'_> {
    /// Refuses to stage an own change of a document that this device may not write.
    pub(super) fn check_permitted(&self, key: &DocumentKey) -> Result<(), StoreError> {
        match &*self.store().access.read() {
            None => Ok(()),
            Some(access) => {
                let collection = self.catalog.name(key.collection).unwrap_or_default();
                Ok(access.may_write(&collection, &key.id)?)
            }
        }
    }
}
