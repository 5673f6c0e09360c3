//! A document that a certificate does not give.

use super::error::Direction;
use super::level::TriedRule;
use crate::id::DocumentId;
use crate::limits::{RULE_CHARS_TOLD_MAX, RULES_TOLD_MAX};
use sedge_identity::CertificateKind;
use std::fmt;
use std::sync::Arc;

/// Which right is lacking for which document, and which certificate of the chain withholds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What the right is for.
    pub direction: Direction,
    /// The document's collection.
    pub collection: String,
    /// Its id.
    pub id: DocumentId,
    /// The name in the certificate.
    pub holder: Arc<str>,
    /// What that certificate is for: a device's own, or an issuer's above it.
    pub kind: CertificateKind,
    /// The certificate's rules for the collection, none of which the document satisfies; empty where it has no right to the
    /// collection at all.
    pub rules: Arc<[TriedRule]>,
}

impl std::error::Error for Denied {}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            direction,
            collection,
            id,
            holder,
            kind,
            rules,
        } = self;
        write!(
            f,
            "no right to {direction} document {id} of collection {collection:?}: the certificate of the {kind} {holder:?} "
        )?;
        match rules.len() {
            0 => f.write_str("gives no right to this collection")?,
            1 => f.write_str("asks for ")?,
            _ => f.write_str("asks for one of ")?,
        }
        for (index, rule) in rules.iter().take(RULES_TOLD_MAX).enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            tell(f, rule)?;
        }
        if rules.len() > RULES_TOLD_MAX {
            write!(f, " | and {} more", rules.len() - RULES_TOLD_MAX)?;
        }
        f.write_str("; have one issued that gives it, then: sedge cert install FILE")
    }
}

fn tell(f: &mut fmt::Formatter<'_>, rule: &TriedRule) -> fmt::Result {
    let text = &rule.text;
    match text.char_indices().nth(RULE_CHARS_TOLD_MAX) {
        Some((end, _)) => write!(f, "{}…", text.get(..end).unwrap_or_default())?,
        None => f.write_str(text)?,
    }
    match &rule.error {
        Some(error) => write!(f, " (which gives nothing: {error})"),
        None => Ok(()),
    }
}
