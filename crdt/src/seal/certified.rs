//! Whose seal it is, and what the certificates behind it give.

use crate::rights::{Access, RightsError};
use sedge_identity::Author;

/// A device that seals: its verified certificates, with their rights compiled.
#[derive(Debug)]
pub(crate) struct Certified {
    pub(crate) author: Author,
    pub(crate) access: Access,
}

impl Certified {
    /// # Errors
    /// The rights of its certificates can't be compiled.
    pub(crate) fn new(author: Author) -> Result<Self, RightsError> {
        let access = Access::of(author.certificates())?;
        Ok(Self { author, access })
    }
}
