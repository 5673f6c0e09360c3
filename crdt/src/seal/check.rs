//! Checks the seals that came with documents: which changes do they name, and whose are they?
//!
//! Nothing here looks at a clock or at what else the store holds, but for the certificates: what holds here holds at every
//! store that has the same ones.

use super::{Certified, Evidence, Proof, SealedChange, leaf};
use crate::id::DocumentId;
use crate::limits::SEALS_PER_THREAD_MIN;
use crate::spread::spread;
use automerge::{ActorId, Change, ChangeHash};
use sedge_identity::{
    ActorName, AppId, CertificateName, MerkleHash, Opened, SealName, open as open_tree, root_of,
};
use std::collections::HashMap;
use std::sync::Arc;

/// A change by its name, and who made it: all of it that a seal speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) change: ChangeHash,
    pub(crate) actor: ActorId,
}

impl Made {
    pub(crate) fn of(change: &Change) -> Self {
        Self {
            change: change.hash(),
            actor: change.actor_id().clone(),
        }
    }
}

/// What one document says of seals.
pub(crate) struct Claims<'a> {
    pub(crate) collection: &'a str,
    pub(crate) id: &'a DocumentId,
    pub(crate) changes: &'a [Made],
    pub(crate) proofs: &'a [SealedChange],
}

/// What is known beforehand.
pub(crate) trait Authorities: Sync {
    /// Who holds a certificate, if it is here and its issuers are trusted.
    fn certified(&self, name: &CertificateName) -> Option<Arc<Certified>>;

    /// Whether this seal was found to hold for this collection before.
    fn is_known(&self, evidence: &Evidence, collection: &str) -> bool;
}

/// A change that a seal names, which holds: made by nothing but [`check`].
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    pub(crate) change: ChangeHash,
    /// Who made it.
    pub(crate) actor: ActorName,
    /// Whose seal it is.
    pub(crate) certified: Arc<Certified>,
    /// The time that the seal states.
    pub(crate) sealed_ms: u64,
    pub(crate) place: Place,
    /// Which of the seals it is.
    pub(crate) seal: usize,
}

/// Where a change stands in a seal.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) seal: SealName,
    pub(crate) index: u16,
    /// The way to the root; empty when all leaves of the seal are known.
    pub(crate) path: Vec<MerkleHash>,
}

impl Proven {
    /// The proof that is to be kept, of a change that has this number among its actor's, and stands for changes of so many
    /// bytes.
    pub(crate) fn proof(&self, seq: u64, bytes: usize) -> Proof {
        let Place { seal, index, path } = self.place.clone();
        Proof::new((self.actor, seq, &self.change), (seal, index), bytes, path)
    }
}

/// Why a document's proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotProven {
    /// Nobody has shown this certificate here.
    UnknownCertificate(CertificateName),
    /// It will never hold.
    Refused(String),
}

/// What came of a bundle.
pub(crate) struct Checked {
    /// For each document, in order, what comes of each of its proofs.
    pub(crate) documents: Vec<Vec<Result<Proven, NotProven>>>,
    /// For each seal that came, its leaves if the documents gave all of them.
    pub(crate) leaves: Vec<Option<Vec<MerkleHash>>>,
    /// Whether a seal came that no document names, or twice.
    pub(crate) has_unnamed: bool,
}

/// A seal with the leaves that the documents give.
struct Named<'a> {
    evidence: &'a Evidence,
    /// The collection of the first document that names it; a document of another one can't.
    collection: Option<&'a str>,
    known: Vec<(u16, MerkleHash)>,
}

/// What is found out about a seal.
struct Found {
    certified: Arc<Certified>,
    /// By place among the known leaves; none when all are known.
    paths: Vec<Vec<MerkleHash>>,
}

/// Checks the seals of a bundle, and the places of its documents' changes in them.
pub(crate) fn check(
    app: &AppId,
    evidence: &[Evidence],
    documents: &[Claims<'_>],
    authorities: &dyn Authorities,
) -> Checked {
    let mut named: Vec<Named<'_>> = evidence.iter().map(Named::new).collect();
    let numbers: HashMap<SealName, usize> = evidence
        .iter()
        .enumerate()
        .map(|(number, evidence)| (evidence.seal.name(), number))
        .collect();
    for document in documents {
        for (proof, change) in document.places() {
            let number = numbers.get(&proof.seal);
            if let Some(named) = number.and_then(|number| named.get_mut(*number)) {
                named.collection.get_or_insert(document.collection);
                named
                    .known
                    .push((proof.index, leaf(document.id, &change.change)));
            }
        }
    }
    for named in &mut named {
        named.known.sort_unstable();
    }
    let found = spread(&named, SEALS_PER_THREAD_MIN, |named| {
        named.check(app, authorities)
    });
    let documents = documents.iter().map(|document| {
        let place = |(proof, change): (&SealedChange, &Made)| {
            let number = *numbers
                .get(&proof.seal)
                .ok_or_else(|| refused("it names a seal that did not come with it"))?;
            let named = named.get(number).zip(found.get(number));
            let (named, found) = named.ok_or_else(|| refused("it names no seal"))?;
            named.place(
                document,
                proof,
                change,
                found.as_ref().map_err(Clone::clone)?,
                number,
            )
        };
        document.places().map(place).collect()
    });
    let documents = documents.collect();
    let is_whole =
        |named: &Named<'_>| named.known.len() == usize::from(named.evidence.seal.count());
    let leaves = named.iter().map(|named| {
        let leaves = || named.known.iter().map(|(_, leaf)| *leaf).collect();
        is_whole(named).then(leaves)
    });
    Checked {
        documents,
        leaves: leaves.collect(),
        has_unnamed: named.iter().any(|named| named.known.is_empty()),
    }
}

impl Claims<'_> {
    /// The proofs with the changes that they name.
    fn places(&self) -> impl Iterator<Item = (&SealedChange, &Made)> {
        self.proofs.iter().filter_map(|proof| {
            let change = self.changes.get(usize::try_from(proof.change).ok()?)?;
            Some((proof, change))
        })
    }
}

impl<'a> Named<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        Self {
            evidence,
            collection: None,
            known: Vec::new(),
        }
    }

    fn check(&self, app: &AppId, authorities: &dyn Authorities) -> Result<Found, NotProven> {
        let seal = &self.evidence.seal;
        let collection = self
            .collection
            .ok_or_else(|| refused("no document names it"))?;
        let certified = authorities
            .certified(&seal.certificate())
            .ok_or_else(|| NotProven::UnknownCertificate(seal.certificate()))?;
        if !authorities.is_known(self.evidence, collection) {
            let holds = seal.verify(&certified.author.subject(), app, collection);
            holds.map_err(|error| refused(format_args!("its seal does not hold: {error}")))?;
        }
        let paths = self
            .open()
            .ok_or_else(|| refused("it is not among what its seal covers"))?;
        Ok(Found { certified, paths })
    }

    /// Whether the leaves lead to the seal's root. Their ways there if not all of them are here.
    fn open(&self) -> Option<Vec<Vec<MerkleHash>>> {
        let seal = &self.evidence.seal;
        let rest = &self.evidence.rest;
        if self.known.len() == usize::from(seal.count()) {
            let root = root_of(seal.count(), &self.known, rest)?;
            return (root == seal.root()).then(Vec::new);
        }
        let Opened { root, paths } = open_tree(seal.count(), &self.known, rest)?;
        (root == seal.root()).then_some(paths)
    }

    fn place(
        &self,
        document: &Claims<'_>,
        proof: &SealedChange,
        change: &Made,
        found: &Found,
        seal: usize,
    ) -> Result<Proven, NotProven> {
        if self.collection != Some(document.collection) {
            return Err(refused("its seal is of another collection"));
        }
        let actor = self.evidence.seal.actor(&found.certified.author.subject());
        if actor.0 != change.actor.to_bytes() {
            return Err(refused("its seal is of another device or incarnation"));
        }
        let known = self
            .known
            .binary_search_by_key(&proof.index, |(index, _)| *index);
        let path = known.ok().and_then(|known| found.paths.get(known));
        Ok(Proven {
            change: change.change,
            actor,
            certified: Arc::clone(&found.certified),
            sealed_ms: self.evidence.seal.time_ms(),
            place: Place {
                seal: proof.seal,
                index: proof.index,
                path: path.cloned().unwrap_or_default(),
            },
            seal,
        })
    }
}

fn refused(reason: impl ToString) -> NotProven {
    NotProven::Refused(reason.to_string())
}
