//! What a certificate lets its device read and write, as data. Queries are evaluated elsewhere.

use std::collections::BTreeMap;

/// The rights of a certificate, apart for reading and writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// What the device may read.
    pub read: Rights,
    /// What the device may write.
    pub write: Rights,
}

/// The rights in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// Every document of every collection.
    Everything,
    /// By collection name, the queries of which a document must match one. A collection that is not named is closed.
    Collections(BTreeMap<String, Vec<String>>),
}

impl Permissions {
    /// Every right, as development certificates have it.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            read: Rights::Everything,
            write: Rights::Everything,
        }
    }

    /// No right at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            read: Rights::nothing(),
            write: Rights::nothing(),
        }
    }
}

impl Rights {
    /// No right at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self::Collections(BTreeMap::new())
    }

    /// Whether nothing is withheld.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }
}
