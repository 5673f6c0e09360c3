//! What is wrong with permissions.

use crate::query::QueryError;
use sedge_identity::CHAIN_CERTIFICATES_MAX;
use std::fmt;

/// What a right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Reading documents.
    Read,
    /// Writing documents.
    Write,
}

/// Why permissions can't be read, signed or compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// There is no certificate whose rights could be asked for.
    #[error("there is no certificate, so there are no rights")]
    NoCertificate,
    /// There are more certificates than a chain has.
    #[error("a chain has at most {} certificates with the root's", CHAIN_CERTIFICATES_MAX + 1)]
    TooManyCertificates,
    /// A rule would give nothing.
    #[error("the rule {text:?} to {direction} collection {collection:?}: {error}")]
    Rule {
        /// What it is for.
        direction: Direction,
        /// The collection.
        collection: String,
        /// The rule.
        text: String,
        /// What is wrong with it.
        error: QueryError,
    },
    /// A claim has a name that means something else in rules.
    #[error(
        "a claim can't be named {0:?}: names that begin with _ are the certificate's own fields, as :_userId"
    )]
    ReservedClaim(String),
    /// A text is no JSON of permissions.
    #[error("{0}")]
    Json(String),
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}
