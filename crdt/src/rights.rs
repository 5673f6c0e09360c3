//! What the holder of a certificate may read and write: the permissions of a chain, compiled once and then asked for every
//! document.
//!
//! A right is had only where every certificate of the chain gives it, and each is looked at by itself: its rules name what
//! stands in it. Whether a document may be written follows from the certificates and the document's `_id` alone, so that
//! every peer decides alike; whether it may be read, also from its current state. A rule that is none, that fails, or whose
//! outcome is not known gives nothing, and takes nothing away from the others.

mod denied;
mod error;
mod json;
mod level;
#[cfg(test)]
mod tests;

use crate::id::DocumentId;
use crate::value::{Encoded, Value};
use level::{Level, Subject, check};
use sedge_identity::{CHAIN_CERTIFICATES_MAX, Certificate, CertificateRequest};
use std::sync::Arc;

pub use denied::Denied;
pub use error::{Direction, RightsError};
pub use json::{permissions_from_json, permissions_to_json};
pub use level::TriedRule;

/// Refuses a certificate with a rule that would give nothing, before it is signed.
///
/// # Errors
/// Says which rule, and what is wrong with it at which line and column; or which claim can't be named.
pub fn check_permissions(request: &CertificateRequest) -> Result<(), RightsError> {
    check(&Subject::from(request), &request.permissions)
}

/// What the holder of a chain of certificates may do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access {
    /// The certificates that withhold something, from the holder's upwards; empty where everything may be done.
    read: Arc<[Level]>,
    write: Arc<[Level]>,
}

impl Access {
    /// Compiles the permissions of a chain: the holder's certificate first, then those above it up to the root's own, as
    /// [`along_chain`](sedge_identity::Verified::along_chain) gives them. Nothing here verifies them.
    ///
    /// # Errors
    /// There is no certificate, or more than a chain has. A rule that is wrong is no error: it gives nothing.
    pub fn of<'a>(
        certificates: impl Iterator<Item = &'a Certificate>,
    ) -> Result<Self, RightsError> {
        let (mut read, mut write) = (Vec::new(), Vec::new());
        let mut count = 0;
        for certificate in certificates {
            count += 1;
            if count > CHAIN_CERTIFICATES_MAX + 1 {
                return Err(RightsError::TooManyCertificates);
            }
            let subject = Subject::from(certificate);
            let rights = &certificate.permissions;
            read.extend(Level::of(Direction::Read, &subject, &rights.read));
            write.extend(Level::of(Direction::Write, &subject, &rights.write));
        }
        match count {
            0 => Err(RightsError::NoCertificate),
            _ => Ok(Self {
                read: read.into(),
                write: write.into(),
            }),
        }
    }

    /// Whether a document may be written, whatever is in it: a function of the certificates and these two alone.
    ///
    /// # Errors
    /// Says which certificate withholds it, and what rules it has.
    pub fn may_write(&self, collection: &str, id: &DocumentId) -> Result<(), Denied> {
        if self
            .write
            .iter()
            .all(|level| level.gives_all_of(collection))
        {
            return Ok(());
        }
        let document = Value::Map([("_id".to_owned(), id.to_value())].into());
        match self
            .write
            .iter()
            .find(|level| !level.gives(collection, &document))
        {
            None => Ok(()),
            Some(level) => Err(level.denied(collection, id)),
        }
    }

    /// Whether a document may be read, with its whole history: by its current state, `_id` included. Everything that
    /// gives documents to the holder asks this.
    pub fn may_read(&self, collection: &str, document: &Value) -> bool {
        self.read
            .iter()
            .all(|level| level.gives(collection, document))
    }

    /// As [`may_read`](Self::may_read), of a document in binary form, most of which is never decoded. What is damaged may
    /// not be read.
    pub fn may_read_encoded(&self, collection: &str, document: &[u8]) -> bool {
        self.reads_all_of(collection)
            || match level::in_place(document) {
                true => self
                    .read
                    .iter()
                    .all(|level| level.gives_encoded(collection, Encoded::new(document))),
                false => Value::decode(document)
                    .is_ok_and(|document| self.may_read(collection, &document)),
            }
    }

    /// Whether every document of the collection may be read, as is plain to see.
    pub fn reads_all_of(&self, collection: &str) -> bool {
        self.read.iter().all(|level| level.gives_all_of(collection))
    }

    /// Whether every document of every collection may be read.
    pub fn reads_everything(&self) -> bool {
        self.read.is_empty()
    }

    /// Whether every document of every collection may be written.
    pub fn writes_everything(&self) -> bool {
        self.write.is_empty()
    }
}
