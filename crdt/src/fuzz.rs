//! Readers of stored bytes that nothing outside this crate uses, for the fuzz targets. No part of the library.

use crate::document::{
    Author, DEVICE_ACTOR_BYTES, Decoded, Delta, DeltaError, Document, Grounds, Here, Ingested,
    create,
};
use crate::id::DocumentId;
use crate::query::{Filter, QueryError, Select, Work};
use crate::record::{DocumentKey, DocumentState};
use crate::seal::{Authorities, Certified, Claims, Evidence, Made, Sealed, SealedChange, check};
use crate::value::{DecodeError, Encoded, Plain, Value};
use sedge_identity::{CertificateChain, CertificateName, Trust};
use std::collections::HashMap;
use std::sync::Arc;

/// The collection's number and the id in a document's key, and the key that these two have.
pub fn document_key(bytes: &[u8]) -> Option<(u32, DocumentId, Vec<u8>)> {
    let key = DocumentKey::read(bytes)?;
    let written = key.bytes();
    Some((key.collection, key.id, written))
}

/// A document's record of state, written again.
pub fn document_state(bytes: &[u8]) -> Option<Vec<u8>> {
    DocumentState::read(bytes).map(|state| state.bytes())
}

/// A value that is read where it lies, as scans do.
#[derive(Clone, Copy, Debug)]
pub struct InPlace<'a>(Encoded<'a>);

impl<'a> InPlace<'a> {
    /// The value that begins with these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Encoded::new(bytes))
    }

    /// The member of a map.
    ///
    /// # Errors
    /// What has to be read for it is no value.
    pub fn member(self, key: &str) -> Result<Option<Self>, DecodeError> {
        Ok(self.0.member(key)?.map(Self))
    }

    /// The item of a list.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn item(self, index: usize) -> Result<Option<Self>, DecodeError> {
        Ok(self.0.item(index)?.map(Self))
    }

    /// Whether it is `value`, if both are strings or both ints; `None` where in-place comparison leaves it to decoding.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn is_plainly(self, value: &Value) -> Result<Option<bool>, DecodeError> {
        Ok(match (self.0.plain()?, value) {
            (Some(Plain::Text(bytes)), Value::String(text)) => Some(bytes == text.as_bytes()),
            (Some(Plain::Int(found)), Value::Int(number)) => Some(found == *number),
            (Some(_), _) => Some(false),
            (None, _) => None,
        })
    }

    /// The value, decoded.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn value(self) -> Result<Value, DecodeError> {
        self.0.value()
    }

    /// The record of a document's conflicts.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn conflicts(self) -> Result<Option<Value>, DecodeError> {
        self.0.conflicts()
    }
}

/// Whether a stored document satisfies a condition, as scans ask: most of it is never decoded.
///
/// # Errors
/// As [`Filter::matches`].
pub fn matches_stored(
    filter: &Filter,
    document: &[u8],
    work: &Work<'_>,
) -> Result<bool, QueryError> {
    filter.matches_encoded(Encoded::new(document), work)
}

/// The rows of a SELECT as a live query makes them: each of one document alone, then sorted and cut. `None` for a SELECT whose
/// rows are not made of one document each.
///
/// # Errors
/// As [`Select::rows`], also for documents behind the last that the answer needs.
pub fn rows_by_document(
    select: &Select,
    documents: &[Value],
    work: &Work<'_>,
) -> Result<Option<Vec<Value>>, QueryError> {
    if !select.is_by_document() {
        return Ok(None);
    }
    let (limit, offset) = select.limit_and_offset()?;
    let mut rows = Vec::new();
    for document in documents {
        rows.extend(select.sorted_row(document, work)?);
    }
    rows.sort_by(|(left, _), (right, _)| select.order(left, right));
    let rows = rows.into_iter().map(|(_, row)| row);
    let shown = rows.skip(offset).take(limit.unwrap_or(usize::MAX));
    Ok(Some(shown.collect()))
}

/// The record of a decoded document's conflicts.
pub fn conflicts(document: &Value) -> Option<Value> {
    document.conflicts().map(|record| record.into_owned())
}

/// As [`Document::ingest`], always by loading the document.
///
/// # Errors
/// As [`Document::ingest`].
pub fn ingest_loaded(
    record: &[u8],
    collection: &str,
    id: &DocumentId,
    delta: &Delta,
) -> Result<Ingested, DeltaError> {
    Document::ingest_loaded(record, collection, id, delta)
}

/// A document's first change as it travels, for inputs to begin with; `None` when there can be no such document.
pub fn first_delta(collection: &str, id: &DocumentId, document: &Value) -> Option<Vec<u8>> {
    let author = Author {
        actor: automerge::ActorId::from([5; DEVICE_ACTOR_BYTES]),
        seq: 1,
        time_ms: 1_700_000_000_000,
    };
    let mut fields = document.as_map()?.clone();
    fields.remove("_id");
    let (written, _) = create(collection, id, author, fields).ok()?;
    Some(written.delta.encode())
}

/// Documents with what proves their changes, as they travel.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// Chains of certificates.
    pub certificates: Vec<CertificateChain>,
    /// Each an encoded [`Evidence`].
    pub seals: Vec<Vec<u8>>,
    /// Collection, id and an encoded [`Sealed`].
    pub documents: Vec<(String, DocumentId, Vec<u8>)>,
}

/// Those whose certificates came with a bundle.
struct Shown(HashMap<CertificateName, Arc<Certified>>);

impl Authorities for Shown {
    fn certified(&self, name: &CertificateName) -> Option<Arc<Certified>> {
        self.0.get(name).cloned()
    }

    fn is_known(&self, _: &Evidence, _: &str) -> bool {
        false
    }
}

/// What a store that has nothing takes of a bundle, document by document.
pub fn take_in(trust: &Trust, bundle: &Bundle) -> Vec<Option<Ingested>> {
    let chains = bundle.certificates.iter();
    let shown = chains.filter_map(|chain| {
        let certified = Certified::new(trust.verify_author(chain).ok()?).ok()?;
        Some((chain.name(), Arc::new(certified)))
    });
    let shown = Shown(shown.collect());
    let seals = bundle.seals.iter();
    let evidence: Vec<Evidence> = seals.filter_map(|it| Evidence::decode(it).ok()).collect();
    let decoded: Vec<_> = bundle.documents.iter().map(decode).collect();
    let parts = bundle.documents.iter().zip(&decoded);
    let claims = parts.filter_map(|((collection, id, _), decoded)| {
        let (_, made, proofs) = decoded.as_ref()?;
        Some(Claims {
            collection,
            id,
            changes: made,
            proofs,
        })
    });
    let claims: Vec<Claims<'_>> = claims.collect();
    let mut proven = check(trust.app(), &evidence, &claims, &shown)
        .documents
        .into_iter();
    drop(claims);
    let documents = bundle.documents.iter().zip(decoded);
    let taken = documents.map(|((collection, id, _), decoded)| {
        let (delta, ..) = decoded?;
        let proven: Vec<_> = proven.next()?.into_iter().filter_map(Result::ok).collect();
        let grounds = Grounds {
            proven: &proven,
            policy: trust.policy(),
        };
        Document::ingest(Here::assumed(&[]), collection, id, delta, Some(grounds)).ok()
    });
    taken.collect()
}

fn decode(
    (collection, id, bytes): &(String, DocumentId, Vec<u8>),
) -> Option<(Decoded, Vec<Made>, Vec<SealedChange>)> {
    let Sealed { delta, proofs } = Sealed::decode(bytes).ok()?;
    let delta = Decoded::new(collection, id, delta).ok()?;
    let made = delta.made();
    Some((delta, made, proofs))
}
