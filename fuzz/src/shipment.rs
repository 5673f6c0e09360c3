//! Honest documents of two devices with what proves them: what the target `sealed` begins with.

use crate::fixtures::NOW_MS;
use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Change, ROOT};
use prost::Message;
use sedge_crdt::fuzz::Bundle;
use sedge_crdt::{Delta, DocumentId, Evidence, Sealed, SealedChange, Value};
use sedge_identity::{
    ActorName, AppId, CertificateChain, CertificateRequest, DeviceKey, Incarnation, Issuer,
    MerkleHash, Seal, SealTerms, Trust, leaf, prove,
};
use std::collections::BTreeSet;

use crate::delta::WireDelta;

/// Documents on their way, and what is true of them.
pub struct Shipment {
    /// Trust in the issuer of the devices.
    pub trust: Trust,
    /// What is sent.
    pub bundle: Bundle,
    /// Every change that its device sealed: collection, document and chunk.
    pub sealed: BTreeSet<(String, DocumentId, Vec<u8>)>,
}

const INCARNATION: Incarnation = Incarnation([6; 8]);

/// Three documents of two collections, each changed by two devices in turn; a device seals per collection, and the last leaf of
/// each seal is of a document that is not sent.
///
/// # Panics
/// Never: every part is fixed.
pub fn shipment() -> Shipment {
    let app = AppId::new("fuzz").expect("the app's id is short");
    let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([1; 32]));
    let trust = Trust::new(app.clone(), &[issuer.public()]).expect("there is one root");
    let keys = [2, 3].map(|device| DeviceKey::from_seed([device; 32]));
    let chains = keys.each_ref().map(|key| {
        let request = CertificateRequest::development(key.public(), "pi");
        let signed = issuer.issue(request, [3; 16], NOW_MS);
        CertificateChain::from(signed.expect("the request is within limits"))
    });
    let actors = keys.each_ref().map(|key| {
        let name = ActorName::of(&key.public(), INCARNATION);
        ActorId::from(name.0)
    });
    let ids = [("c", "1"), ("c", "2"), ("d", "1")];
    let documents = ids.map(|(collection, id)| {
        let id = DocumentId::new(&Value::from(id)).expect("the id is a string");
        (collection.to_owned(), id, history(&actors))
    });
    let mut shipment = Shipment {
        trust,
        bundle: Bundle {
            certificates: chains.to_vec(),
            ..Bundle::default()
        },
        sealed: BTreeSet::new(),
    };
    let mut proofs = vec![Vec::new(); documents.len()];
    for collection in ["c", "d"] {
        for ((key, chain), actor) in keys.iter().zip(&chains).zip(&actors) {
            let mut leaves = Vec::new();
            let mut places = Vec::new();
            for (number, (of, id, changes)) in documents.iter().enumerate() {
                let last = changes.iter().rposition(|it| it.actor_id() == actor);
                if let (true, Some(last)) = (of == collection, last) {
                    places.push((number, last));
                    leaves.push(leaf(id.as_bytes(), &changes[last].hash().0));
                }
            }
            let known: Vec<u16> = (0..leaves.len() as u16).collect();
            leaves.push(MerkleHash([9; 32]));
            let terms = SealTerms {
                app: &app,
                collection,
                certificate: chain.name(),
                incarnation: INCARNATION,
                time_ms: NOW_MS,
            };
            let seal = Seal::sign(key, terms, &leaves).expect("there are few");
            for ((number, change), index) in places.into_iter().zip(0..) {
                proofs[number].push(SealedChange {
                    change: change as u32,
                    seal: seal.name(),
                    index,
                });
            }
            let rest = prove(&leaves, &known);
            shipment.bundle.seals.push(Evidence { seal, rest }.encode());
        }
    }
    for ((collection, id, changes), proofs) in documents.into_iter().zip(proofs) {
        let chunks: Vec<Vec<u8>> = changes.iter().map(|it| it.raw_bytes().to_vec()).collect();
        for chunk in &chunks {
            let change = (collection.clone(), id.clone(), chunk.clone());
            shipment.sealed.insert(change);
        }
        let wire = WireDelta {
            births: Vec::new(),
            changes: chunks,
        };
        let delta = Delta::decode(&wire.encode_to_vec()).expect("it was encoded");
        let sealed = Sealed { delta, proofs }.encode();
        shipment.bundle.documents.push((collection, id, sealed));
    }
    shipment
}

fn history(actors: &[ActorId]) -> Vec<Change> {
    let mut document = AutoCommit::new();
    let mut changes = Vec::new();
    for number in 0..4 {
        document.set_actor(actors[number % actors.len()].clone());
        document.put(ROOT, "n", number as i64).expect("it is a map");
        document.commit();
        changes.push(
            document
                .get_last_local_change()
                .expect("it was made")
                .clone(),
        );
    }
    changes
}
