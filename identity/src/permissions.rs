//! What a certificate lets its device read and write, as data. Queries are evaluated elsewhere.

use std::collections::BTreeMap;

use crate::refusal::CertificateError;

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

    /// Whether nothing is withheld.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.read.is_everything() && self.write.is_everything()
    }

    /// Refuses permissions that plainly go beyond those of the certificate above: everything, or a collection, that it
    /// does not have. Queries are not compared: a right is had only where both allow it.
    ///
    /// # Errors
    /// [`CertificateError::BeyondIssuer`].
    pub fn check_within(&self, above: &Self) -> Result<(), CertificateError> {
        let directions = [
            ("read", &self.read, &above.read),
            ("write", &self.write, &above.write),
        ];
        for (direction, rights, above) in directions {
            let Some(collection) = rights.beyond(above) else {
                continue;
            };
            return Err(CertificateError::BeyondIssuer {
                direction,
                collection: collection.map(str::to_owned),
            });
        }
        Ok(())
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

    /// What `above` does not have: a collection, or everything (`Some(None)`).
    fn beyond(&self, above: &Self) -> Option<Option<&str>> {
        match (self, above) {
            (_, Self::Everything) => None,
            (Self::Everything, Self::Collections(_)) => Some(None),
            (Self::Collections(ours), Self::Collections(theirs)) => ours
                .keys()
                .find(|collection| !theirs.contains_key(*collection))
                .map(|collection| Some(collection.as_str())),
        }
    }

    /// Whether nothing is withheld.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }
}
