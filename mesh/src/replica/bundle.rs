//! Changes as they travel: deltas of documents, and beside them what proves them. Both are opaque to the mesh, which
//! only takes care that they arrive together.

use bytes::Bytes;

use super::{ChangeHash, DocumentKey, ReplicaError};
use crate::limits::{EVIDENCE_ENTRY_BYTES, FLOOD_BYTES_MAX, FLOOD_DOCUMENTS_MAX, FLOOD_SEALS_MAX};

/// Changes of one document, encoded by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The document.
    pub document: DocumentKey,
    /// The changes, opaque to the mesh.
    pub payload: Bytes,
}

/// A certificate, with those of its issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCertificate {
    /// The name by which seals refer to it. That it fits the bytes is for the receiving store to check.
    pub name: [u8; 32],
    /// The certificates, opaque to the mesh.
    pub bytes: Bytes,
}

/// Deltas and what proves them.
///
/// A seal carries the hashes that can't be computed from the deltas beside it, so it proves exactly the bundle that it
/// was made for. The mesh hands a bundle on whole: it never merges or splits one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The certificates that the seals name; those that the receiver was sent before may be absent.
    pub certificates: Vec<NamedCertificate>,
    /// The seals, opaque to the mesh.
    pub seals: Vec<Bytes>,
    /// The changes that they prove.
    pub deltas: Vec<Delta>,
}

impl Bundle {
    /// What the seals and certificates count in an answer, in bytes (see [`evidence_bytes`]).
    pub fn evidence_bytes(&self) -> usize {
        let certificates = self.certificates.iter().map(|it| it.bytes.len());
        let seals = self.seals.iter().map(Bytes::len);
        certificates.chain(seals).map(evidence_bytes).sum()
    }
}

/// What a seal or certificate of so many bytes counts in an answer, in bytes.
pub fn evidence_bytes(bytes: usize) -> usize {
    bytes.saturating_add(EVIDENCE_ENTRY_BYTES)
}

/// What a peer lacks of a document, or the first part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaPart {
    /// The changes; what they build on is at the peer or among them.
    pub delta: Delta,
    /// What it adds to the seals and certificates of the answer, in bytes as [`evidence_bytes`] counts them, or an
    /// upper bound of that.
    pub evidence_bytes: usize,
    /// `None` when nothing is left; else the heads that the peer has once it has taken this in, with which the rest is
    /// to be asked for.
    pub more_after: Option<Vec<ChangeHash>>,
}

/// How large an answer may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangesLimits {
    /// Once payloads, seals and certificates together reach so many bytes, no further document is begun.
    pub answer_bytes_max: usize,
    /// Bounds of each document's part.
    pub part: PartLimits,
}

/// How large the part of one document in an answer may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLimits {
    /// Most bytes of its payload.
    pub delta_bytes_max: usize,
    /// Most bytes that it adds to the seals and certificates, as [`evidence_bytes`] counts them.
    pub evidence_bytes_max: usize,
}

impl PartLimits {
    /// Whether a payload of so many bytes, and what it adds to the seals and certificates, keeps within them.
    pub fn hold(&self, payload_bytes: usize, evidence_bytes: usize) -> bool {
        payload_bytes <= self.delta_bytes_max && evidence_bytes <= self.evidence_bytes_max
    }
}

/// The answer to wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// At most one delta for each of the answered wants, in their order, and all that proves them.
    pub bundle: Bundle,
    /// How many of the wants are answered, from the first on; at least one.
    pub answered: usize,
    /// When the last of those is answered in part: the heads that the neighbour then has of it.
    pub more_after: Option<Vec<ChangeHash>>,
}

/// Collects the deltas of an answer until it is full, or a document's changes are too many for one delta. What proves
/// them is for the replica to add, once it knows them all.
///
/// `part_of` gives what is to be sent of a document (to who has these heads of it), the first part of it within the
/// limits, or `None` when there is nothing, or not even one change fits. A part beyond the limits is passed over.
///
/// # Errors
/// Those of `part_of`.
pub fn collect_deltas(
    wants: &[(DocumentKey, Vec<ChangeHash>)],
    limits: ChangesLimits,
    mut part_of: impl FnMut(
        &DocumentKey,
        &[ChangeHash],
        PartLimits,
    ) -> Result<Option<DeltaPart>, ReplicaError>,
) -> Result<Answered, ReplicaError> {
    let (mut answer, mut bytes) = (Answered::default(), 0);
    for (document, have_heads) in wants {
        if bytes >= limits.answer_bytes_max || answer.more_after.is_some() {
            break;
        }
        answer.answered += 1;
        let part = part_of(document, have_heads, limits.part)?;
        if let Some(part) = part.filter(|part| {
            limits
                .part
                .hold(part.delta.payload.len(), part.evidence_bytes)
        }) {
            bytes += part.delta.payload.len() + part.evidence_bytes;
            answer.bundle.deltas.push(part.delta);
            answer.more_after = part.more_after;
        }
    }
    Ok(answer)
}

/// Whether changes with payloads of these sizes, in bytes, one for each document, and seals of these sizes, are few and
/// small enough to be flooded. What is more is left to the offers.
pub fn fits_flood(
    payload_bytes: impl IntoIterator<Item = usize>,
    seal_bytes: impl IntoIterator<Item = usize>,
) -> bool {
    let (mut payloads, mut seals) = (payload_bytes.into_iter(), seal_bytes.into_iter());
    let of_payloads: usize = payloads.by_ref().take(FLOOD_DOCUMENTS_MAX).sum();
    let of_seals: usize = seals.by_ref().take(FLOOD_SEALS_MAX).sum();
    of_payloads + of_seals <= FLOOD_BYTES_MAX && payloads.next().is_none() && seals.next().is_none()
}
