//! What stores send each other, in the hands of a test: honest bundles, and what a certified device may seal besides.

use automerge::{ActorId, Change};
use sedge_crdt::{
    Arrival, Arrived, Arriving, Delta, DocumentId, Evidence, Sealed, SealedChange, Store,
};
use sedge_identity::{
    ActorName, AppId, CertificateRequest, DeviceKey, Incarnation, Issuer, LocalIdentity,
    MerkleHash, Seal, SealTerms, Trust, leaf, prove,
};
use std::sync::Arc;

/// When all certificates here were issued.
const ISSUED_MS: u64 = 1_700_000_000_000;

/// The incarnation under which devices seal here without a store.
const INCARNATION: Incarnation = Incarnation([1; 8]);

/// The identity of a device of an app.
pub fn identity(app: &str, device: u8) -> Arc<LocalIdentity> {
    let app = AppId::new(app).unwrap();
    let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([99; 32]));
    let key = DeviceKey::from_seed([device; 32]);
    let request = CertificateRequest::development(key.public(), &format!("device {device}"));
    let certificate = issuer.issue(request, [device; 16], ISSUED_MS).unwrap();
    let trust = Trust::new(app, &[issuer.public()]).unwrap();
    let identity = LocalIdentity::new(key, &certificate.into(), trust, ISSUED_MS);
    Arc::new(identity.unwrap())
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
        let own = actor(device);
        let changes = delta.chunks().iter();
        let changes = changes.map(|chunk| Change::from_bytes(chunk.clone()).unwrap());
        let numbers = (0..).zip(changes);
        let own = numbers.filter(|(_, change)| *change.actor_id() == own);
        let (numbers, leaves): (Vec<u32>, Vec<MerkleHash>) = own
            .map(|(number, change)| (number, leaf(id.as_bytes(), &change.hash().0)))
            .unzip();
        let seal = seal(device, collection, &leaves);
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
                collection.to_owned(),
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

fn seal(device: &LocalIdentity, collection: &str, leaves: &[MerkleHash]) -> Seal {
    let terms = SealTerms {
        app: device.app(),
        collection,
        certificate: device.certificate().signed().name(),
        incarnation: INCARNATION,
        time_ms: ISSUED_MS + 1,
    };
    Seal::sign(device.key(), terms, leaves).unwrap()
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
