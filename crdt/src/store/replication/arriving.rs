//! Taking in what other stores give.

use super::super::commit::Origin;
use super::super::error::StoreError;
use super::super::seals::authority::{Own, read_chain};
use super::super::source::Source;
use super::super::transaction::{ArrivingSeals, Taken, Transaction};
use super::super::{Inner, Store};
use crate::document::{Decoded, Grounds};
use crate::id::DocumentId;
use crate::limits::{
    BUNDLE_CERTIFICATES_MAX, BUNDLE_SEALS_MAX, DOCUMENTS_PER_THREAD_MIN, INFLATED_KEPT_BYTES_MAX,
};
use crate::seal::{
    Authorities, Certified, Claims, Evidence, EvidenceError, Made, NotProven, Proven, Sealed,
    SealedChange, check,
};
use crate::spread::spread;
use sedge_identity::{CertificateName, MerkleHash, Seal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A document's changes as they arrive, unchecked.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The collection's name.
    pub collection: &'a str,
    /// The document's id in canonical form.
    pub id: &'a [u8],
    /// An encoded [`Sealed`].
    pub delta: &'a [u8],
}

/// Documents that arrive together with what proves their changes: as another store's [`Bundle`](super::Bundle) gave them.
#[derive(Clone, Debug, Default)]
pub struct Arriving<'a> {
    /// Chains of certificates.
    pub certificates: Vec<&'a [u8]>,
    /// Each an encoded [`Evidence`].
    pub seals: Vec<&'a [u8]>,
    /// The documents.
    pub arrivals: Vec<Arrival<'a>>,
}

/// What became of an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Something of it was new and is durable. `incomplete` when changes were left out whose dependencies are not here.
    Applied {
        /// See above.
        incomplete: bool,
    },
    /// As [`Applied`](Self::Applied), but some of it was left out that will never be acceptable.
    Partly {
        /// Why.
        reason: String,
    },
    /// All of it was here.
    Known,
    /// None of what is new could be applied: it builds on changes that are not here, or no seal covers it.
    MissingDependencies,
    /// A seal names a certificate that is not here.
    UnknownCertificate,
    /// It will never be acceptable.
    Rejected {
        /// Why.
        reason: String,
    },
    /// What this store has of the document is damaged, so that nothing can be added; the sender is not at fault.
    Damaged {
        /// What is damaged, and what to do.
        reason: String,
    },
}

/// An arrival, decoded.
struct Opened {
    id: DocumentId,
    /// `None` where there was no room to keep it: then it is decoded again once it is taken in.
    delta: Option<Decoded>,
    made: Vec<Made>,
    proofs: Vec<SealedChange>,
}

/// How many bytes of decoded changes may still be kept.
struct Room(AtomicUsize);

impl Room {
    /// Whether there was room for so many, which is taken then.
    fn take(&self, bytes: usize) -> bool {
        let left = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Relaxed, Relaxed, left).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Relaxed);
    }
}

/// A document whose proofs are checked.
struct Judged {
    opened: Opened,
    proven: Vec<Proven>,
    /// Why one of the others proves nothing, if there are others.
    refused: Option<String>,
}

/// A bundle whose documents are decoded and whose seals are checked.
struct Checked {
    documents: Vec<Result<Judged, Arrived>>,
    seals: Vec<Seal>,
    /// For each seal its leaves, if the documents gave all of them.
    leaves: Vec<Option<Vec<MerkleHash>>>,
}

/// What this store knows, while it takes in a bundle.
struct Known<'a> {
    store: &'a Inner,
    own: &'a Own,
    /// The certificates that came with it and are refused.
    refused: Refused,
}

/// Why certificates are refused.
type Refused = BTreeMap<CertificateName, String>;

impl Known<'_> {
    /// What holds of a document's proofs. One that doesn't spoils none of the others.
    ///
    /// # Errors
    /// None holds, or a certificate has to come first.
    fn judge(
        &self,
        opened: Opened,
        proofs: Vec<Result<Proven, NotProven>>,
    ) -> Result<Judged, Arrived> {
        let mut proven = Vec::with_capacity(proofs.len());
        let mut refused = None;
        for proof in proofs {
            let why = match proof {
                Ok(holds) => {
                    proven.push(holds);
                    continue;
                }
                Err(NotProven::Refused(reason)) => reason,
                Err(NotProven::UnknownCertificate(name)) => match self.unknown(&name) {
                    Arrived::Rejected { reason } => reason,
                    waits => return Err(waits),
                },
            };
            refused.get_or_insert(why);
        }
        match refused {
            Some(reason) if proven.is_empty() => Err(Arrived::Rejected { reason }),
            refused => Ok(Judged {
                opened,
                proven,
                refused,
            }),
        }
    }

    /// Of a certificate that is not known to be good.
    fn unknown(&self, name: &CertificateName) -> Arrived {
        let reason = match self.refused.get(name) {
            Some(reason) => reason.clone(),
            None => match self.store.database.newest().certificate(name) {
                Ok(None) => return Arrived::UnknownCertificate,
                Ok(Some(chain)) => match self.own.identity.trust().verify_author(&chain) {
                    Err(error) => error.to_string(),
                    Ok(_) => return Arrived::UnknownCertificate,
                },
                Err(error) => error.to_string(),
            },
        };
        Arrived::Rejected { reason }
    }
}

impl Store {
    /// Takes in bundles from another store in one transaction; one answer for each document, in order. What was applied is
    /// durable on return. `origin` is told to the subscribers of [`commits`](Self::commits).
    ///
    /// # Errors
    /// The device is not certified, or the database fails: then nothing was applied.
    pub fn ingest(
        &self,
        bundles: &[Arriving<'_>],
        origin: Arc<[u8]>,
    ) -> Result<Vec<Arrived>, StoreError> {
        let own = self.0.authority.own()?;
        let room = Room(AtomicUsize::new(INFLATED_KEPT_BYTES_MAX));
        let opened = bundles.iter().map(|it| open(&self.0, &own, &room, it));
        let opened: Vec<_> = opened.collect();
        let mut transaction = self.0.transaction();
        let mut answers = Vec::new();
        for (bundle, opened) in bundles.iter().zip(opened) {
            take(&mut transaction, &own, bundle, opened?, &mut answers)?;
        }
        transaction.commit(Origin::Remote(origin))?;
        Ok(answers)
    }
}

/// Decodes the documents of a bundle and checks its seals; the store is asked for certificates only.
fn open(
    store: &Inner,
    own: &Own,
    room: &Room,
    bundle: &Arriving<'_>,
) -> Result<Checked, StoreError> {
    let (evidence, refused) = match seals(store, own, bundle)? {
        Ok(seals) => seals,
        Err(reason) => return Ok(Checked::refused(bundle, &reason)),
    };
    let opened = spread(&bundle.arrivals, DOCUMENTS_PER_THREAD_MIN, |arrival| {
        decode(arrival, room)
    });
    let claims = bundle.arrivals.iter().zip(&opened);
    let claims = claims.filter_map(|(arrival, opened)| {
        let opened = opened.as_ref().ok()?;
        Some(Claims {
            collection: arrival.collection,
            id: &opened.id,
            changes: &opened.made,
            proofs: &opened.proofs,
        })
    });
    let claims: Vec<Claims<'_>> = claims.collect();
    let known = Known {
        store,
        own,
        refused,
    };
    let checked = check(&store.app, &evidence, &claims, &known);
    drop(claims);
    // Seals that nothing needs would give one content ever new names where it is flooded.
    if checked.has_unnamed {
        return Ok(Checked::refused(
            bundle,
            "a seal came with it that no document names",
        ));
    }
    let mut proven = checked.documents.into_iter();
    let documents = opened.into_iter().map(|opened| {
        let opened = opened?;
        known.judge(opened, proven.next().unwrap_or_default())
    });
    Ok(Checked {
        documents: documents.collect(),
        seals: evidence.into_iter().map(|evidence| evidence.seal).collect(),
        leaves: checked.leaves,
    })
}

impl Checked {
    /// None of a bundle's documents can be taken in.
    fn refused(bundle: &Arriving<'_>, reason: &str) -> Self {
        let rejected = |_: &Arrival<'_>| {
            let reason = reason.to_owned();
            Err(Arrived::Rejected { reason })
        };
        Self {
            documents: bundle.arrivals.iter().map(rejected).collect(),
            seals: Vec::new(),
            leaves: Vec::new(),
        }
    }
}

/// Decodes the seals of a bundle and learns the certificates that they name; no others are kept.
///
/// # Errors
/// One of them is none. Or the database fails.
fn seals(
    store: &Inner,
    own: &Own,
    bundle: &Arriving<'_>,
) -> Result<Result<(Vec<Evidence>, Refused), String>, StoreError> {
    if bundle.seals.len() > BUNDLE_SEALS_MAX || bundle.certificates.len() > BUNDLE_CERTIFICATES_MAX
    {
        return Ok(Err("too many seals or certificates came with it".to_owned()));
    }
    let evidence = bundle.seals.iter().map(|bytes| Evidence::decode(bytes));
    let evidence: Vec<Evidence> = match evidence.collect() {
        Ok(evidence) => evidence,
        Err(error) => return Ok(Err(EvidenceError::to_string(&error))),
    };
    let named: BTreeSet<CertificateName> =
        evidence.iter().map(|it| it.seal.certificate()).collect();
    let mut refused = Refused::new();
    for bytes in &bundle.certificates {
        let chain = match read_chain(bytes) {
            Ok(chain) => chain,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let name = chain.name();
        if !named.contains(&name) {
            continue;
        }
        match store.learn(own, name, &chain) {
            // Not the sender's fault: all of it is asked for again.
            Err(error @ (StoreError::Database(_) | StoreError::DiskFull)) => return Err(error),
            Err(error) => drop(refused.insert(name, error.to_string())),
            Ok(()) => {}
        }
    }
    Ok(Ok((evidence, refused)))
}

/// Decodes an arrival, of which nothing is proven yet: no more of it is kept than there is room for.
fn decode(arrival: &Arrival<'_>, room: &Room) -> Result<Opened, Arrived> {
    let decode = || {
        let id = DocumentId::from_canonical(arrival.id)?;
        let Sealed { delta, proofs } = Sealed::decode(arrival.delta)?;
        let bytes_max = delta.inflated_bytes_max();
        let (made, delta) = match room.take(bytes_max) {
            true => {
                let delta = Decoded::new(arrival.collection, &id, delta);
                let kept = delta.as_ref().map_or(0, Decoded::inflated_bytes);
                room.give_back(bytes_max.saturating_sub(kept));
                let delta = delta?;
                (delta.made(), Some(delta))
            }
            false => (Decoded::made_in(&delta)?, None),
        };
        Ok::<_, StoreError>(Opened {
            id,
            delta,
            made,
            proofs,
        })
    };
    decode().map_err(rejected)
}

/// Decodes again what there was no room for.
fn decode_again(arrival: &Arrival<'_>, id: &DocumentId) -> Result<Decoded, StoreError> {
    let Sealed { delta, .. } = Sealed::decode(arrival.delta)?;
    Ok(Decoded::new(arrival.collection, id, delta)?)
}

fn rejected(error: StoreError) -> Arrived {
    Arrived::Rejected {
        reason: error.to_string(),
    }
}

fn take(
    transaction: &mut Transaction<'_>,
    own: &Own,
    bundle: &Arriving<'_>,
    checked: Checked,
    answers: &mut Vec<Arrived>,
) -> Result<(), StoreError> {
    for (arrival, document) in bundle.arrivals.iter().zip(checked.documents) {
        let Judged {
            opened,
            proven,
            refused,
        } = match document {
            Ok(document) => document,
            Err(answer) => {
                answers.push(answer);
                continue;
            }
        };
        let sealed = ArrivingSeals {
            grounds: Grounds {
                proven: &proven,
                policy: own.identity.trust().policy(),
            },
            seals: &checked.seals,
            leaves: &checked.leaves,
        };
        let delta = match opened.delta {
            Some(delta) => Ok(delta),
            None => decode_again(arrival, &opened.id),
        };
        let taken = delta
            .and_then(|delta| transaction.ingest(arrival.collection, &opened.id, delta, &sealed));
        answers.push(match taken {
            Ok(taken) => answer(taken, refused),
            Err(StoreError::Database(error)) => return Err(error.into()),
            Err(error @ StoreError::Damaged { .. }) => Arrived::Damaged {
                reason: error.to_string(),
            },
            Err(error) => rejected(error),
        });
    }
    Ok(())
}

/// What became of a document, of which a proof may have been refused before.
fn answer(taken: Taken, refused: Option<String>) -> Arrived {
    match taken.refused.or(refused) {
        Some(reason) if taken.applied => Arrived::Partly { reason },
        Some(reason) => Arrived::Rejected { reason },
        None if taken.applied => Arrived::Applied {
            incomplete: taken.incomplete,
        },
        None if taken.incomplete => Arrived::MissingDependencies,
        None => Arrived::Known,
    }
}

impl Authorities for Known<'_> {
    fn certified(&self, name: &CertificateName) -> Option<Arc<Certified>> {
        match self.store.certified(self.own, name) {
            Ok(certified) => certified,
            Err(error) => {
                tracing::warn!(%error, "a certificate can't be read");
                None
            }
        }
    }

    fn is_known(&self, evidence: &Evidence, collection: &str) -> bool {
        let kept = self.store.database.newest().seal(&evidence.seal.name());
        let number = self.store.view().catalog().number(collection);
        kept.ok().flatten().is_some_and(|kept| {
            kept.seal == evidence.seal && number.is_some_and(|number| number == kept.collection)
        })
    }
}
