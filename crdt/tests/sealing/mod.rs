//! What stores send each other, in the hands of a test: honest bundles, and what a certified device may seal besides.

use automerge::{ActorId, Change};
use sedge_crdt::{
    Arrival, Arrived, Arriving, Delta, DocumentId, Evidence, Sealed, SealedChange, Store,
};
use sedge_identity::{
    ActorName, AppId, CertificateRequest, DeviceKey, Incarnation, Issuer, LocalIdentity,
    MerkleHash, Policy, Seal, SealTerms, Trust, leaf, prove,
};
use std::sync::Arc;

/// When all certificates here were issued.
pub const ISSUED_MS: u64 = 1_700_000_000_000;

/// The incarnation under which devices seal here without a store.
pub const INCARNATION: Incarnation = Incarnation([1; 8]);

/// The identity of a device of an app.
pub fn identity(app: &str, device: u8) -> Arc<LocalIdentity> {
    Terms::of(app, device).identity()
}

/// What makes an identity, to be changed by a test.
pub struct Terms {
    pub app: AppId,
    pub device: u8,
    /// The seed of the issuer's key.
    pub issuer: u8,
    pub serial: u8,
    pub issued_ms: u64,
    pub request: CertificateRequest,
    pub policy: Policy,
}

impl Terms {
    /// A device with every right and no end, by the one issuer that devices here trust.
    pub fn of(app: &str, device: u8) -> Self {
        let subject = DeviceKey::from_seed([device; 32]).public();
        Self {
            app: AppId::new(app).unwrap(),
            device,
            issuer: 99,
            serial: device,
            issued_ms: ISSUED_MS,
            request: CertificateRequest::development(subject, &format!("device {device}")),
            policy: Policy::default(),
        }
    }

    pub fn identity(self) -> Arc<LocalIdentity> {
        let issuer = Issuer::new(self.app.clone(), DeviceKey::from_seed([self.issuer; 32]));
        let certificate = issuer.issue(self.request, [self.serial; 16], self.issued_ms);
        let trust = Trust::new(self.app, &[issuer.public()]).unwrap();
        let key = DeviceKey::from_seed([self.device; 32]);
        let chain = certificate.unwrap().into();
        let trust = trust.with_policy(self.policy);
        Arc::new(LocalIdentity::new(key, &chain, trust, self.issued_ms).unwrap())
    }
}

/// Documents on their way from one store to another.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    pub certificates: Vec<Vec<u8>>,
    pub seals: Vec<Vec<u8>>,
    /// Collection, id and sealed changes.
    pub documents: Vec<(String, Vec<u8>, Vec<u8>)>,
}

impl Packet {
    /// What a store gives of documents of a collection to one that has none of them.
    pub fn of(store: &Store, collection: &str, ids: &[&[u8]]) -> Self {
        store.seal().unwrap();
        let mut bundle = store.bundle();
        let documents = ids.iter().map(|id| {
            let part = bundle
                .add(collection, id, &[], usize::MAX, |_, _| true)
                .unwrap()
                .unwrap();
            assert_eq!(part.more_after, None);
            (collection.to_owned(), id.to_vec(), part.delta)
        });
        let documents = documents.collect();
        let bundled = bundle.finish().unwrap();
        let chains = bundled.certificates.into_iter().map(|(_, chain)| chain);
        Self {
            certificates: chains.collect(),
            seals: bundled.seals,
            documents,
        }
    }

    /// Changes of a document that a device seals, as far as they are its own.
    pub fn sealed_by(
        device: &LocalIdentity,
        collection: &str,
        id: &DocumentId,
        delta: Delta,
    ) -> Self {
        Self::sealed_under(&Sealing::by(device, collection), id, delta)
    }

    /// The same under terms of the test's, which need not be honest.
    pub fn sealed_under(sealing: &Sealing<'_>, id: &DocumentId, delta: Delta) -> Self {
        let (device, own) = (sealing.device, sealing.of.clone());
        let changes = delta.chunks().iter();
        let changes = changes.map(|chunk| Change::from_bytes(chunk.clone()).unwrap());
        let numbers = (0..).zip(changes);
        let own = numbers.filter(|(_, change)| *change.actor_id() == own);
        let (numbers, leaves): (Vec<u32>, Vec<MerkleHash>) = own
            .map(|(number, change)| (number, leaf(id.as_bytes(), &change.hash().0)))
            .unzip();
        let seal = Seal::sign(device.key(), sealing.terms, &leaves).unwrap();
        let indices: Vec<u16> = (0..leaves.len() as u16).collect();
        let proofs = numbers
            .iter()
            .zip(&indices)
            .map(|(change, index)| SealedChange {
                change: *change,
                seal: seal.name(),
                index: *index,
            });
        let proofs = proofs.collect();
        let rest = prove(&leaves, &indices);
        Self {
            certificates: vec![chain(device)],
            seals: vec![Evidence { seal, rest }.encode()],
            documents: vec![(
                sealing.collection.to_owned(),
                id.as_bytes().to_vec(),
                Sealed { delta, proofs }.encode(),
            )],
        }
    }

    /// Hands it to a store; one answer for each document.
    pub fn arrive(&self, store: &Store) -> Vec<Arrived> {
        let arrivals = self
            .documents
            .iter()
            .map(|(collection, id, delta)| Arrival {
                collection,
                id,
                delta,
            });
        let arriving = Arriving {
            certificates: self.certificates.iter().map(Vec::as_slice).collect(),
            seals: self.seals.iter().map(Vec::as_slice).collect(),
            arrivals: arrivals.collect(),
        };
        store.ingest(&[arriving], [1].into()).unwrap()
    }
}

/// The actor under which a device seals here without a store.
pub fn actor(device: &LocalIdentity) -> ActorId {
    ActorId::from(ActorName::of(&device.key().public(), INCARNATION).0)
}

/// How a device seals changes without a store.
pub struct Sealing<'a> {
    pub device: &'a LocalIdentity,
    /// Where the changes are sent.
    pub collection: &'a str,
    /// Whose changes it seals.
    pub of: ActorId,
    pub terms: SealTerms<'a>,
}

impl<'a> Sealing<'a> {
    /// As an honest device does.
    pub fn by(device: &'a LocalIdentity, collection: &'a str) -> Self {
        Self {
            device,
            collection,
            of: actor(device),
            terms: SealTerms {
                app: device.app(),
                collection,
                certificate: device.certificate().signed().name(),
                incarnation: INCARNATION,
                time_ms: ISSUED_MS + 1,
            },
        }
    }
}

/// A device's certificates as they travel: each behind its length.
fn chain(device: &LocalIdentity) -> Vec<u8> {
    let mut bytes = Vec::new();
    for certificate in device.certificate().signed().iter() {
        let certificate = certificate.as_bytes();
        bytes.extend_from_slice(&(certificate.len() as u32).to_le_bytes());
        bytes.extend_from_slice(certificate);
    }
    bytes
}
