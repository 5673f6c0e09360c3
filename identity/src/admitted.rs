//! The peers that have been admitted, with their certificates. The transports fill it, the mesh reads it.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use libp2p_identity::PeerId;

use crate::{certificate::Certificate, trust::Verified};

/// The admitted peers: a bounded map that every thread may use.
///
/// A peer is in it while it has a connection: each [`Admitted::admit`] counts one, each [`Admitted::release`] takes one
/// off. The transports do both, so a reader only ever asks.
#[derive(Debug)]
pub struct Admitted {
    peers: RwLock<HashMap<PeerId, Entry>>,
    peers_max: usize,
}

#[derive(Debug)]
struct Entry {
    certificate: Arc<Verified<Certificate>>,
    connections: usize,
}

/// The registry has no room for another peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this device has admitted {peers_max} peers, as many as it takes")]
pub struct Full {
    /// The bound that was reached, in peers.
    pub peers_max: usize,
}

impl Admitted {
    /// An empty registry with room for `peers_max` peers.
    #[must_use]
    pub fn new(peers_max: usize) -> Self {
        Self {
            peers: RwLock::default(),
            peers_max,
        }
    }

    /// Notes one more connection of `peer`. The newest certificate counts for all its connections.
    ///
    /// # Errors
    /// [`Full`] when the peer is new and there is no room.
    pub fn admit(&self, peer: PeerId, certificate: Arc<Verified<Certificate>>) -> Result<(), Full> {
        let mut peers = self.write();
        if let Some(entry) = peers.get_mut(&peer) {
            entry.certificate = certificate;
            entry.connections += 1;
        } else if peers.len() < self.peers_max {
            peers.insert(
                peer,
                Entry {
                    certificate,
                    connections: 1,
                },
            );
        } else {
            return Err(Full {
                peers_max: self.peers_max,
            });
        }
        Ok(())
    }

    /// Notes one connection of `peer` less, and forgets the peer with its last one. A peer that is not there is no error.
    pub fn release(&self, peer: &PeerId) {
        let mut peers = self.write();
        if let Some(entry) = peers.get_mut(peer) {
            entry.connections -= 1;
            if entry.connections == 0 {
                peers.remove(peer);
            }
        }
    }

    /// Replaces the certificate of `peer`, which has shown another one; whether the peer is there.
    pub fn renew(&self, peer: &PeerId, certificate: Arc<Verified<Certificate>>) -> bool {
        let mut peers = self.write();
        let entry = peers.get_mut(peer);
        entry.map(|entry| entry.certificate = certificate).is_some()
    }

    /// The certificate of `peer`, while it has a connection.
    #[must_use]
    pub fn get(&self, peer: &PeerId) -> Option<Arc<Verified<Certificate>>> {
        self.read()
            .get(peer)
            .map(|entry| Arc::clone(&entry.certificate))
    }

    /// Whether no peer is admitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    // A thread that panicked while holding the lock leaves whole entries behind: no method can stop half-way.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<PeerId, Entry>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<PeerId, Entry>> {
        self.peers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppId, CertificateRequest, DeviceKey, Issuer, Trust};

    fn verified(seed: u8) -> (PeerId, Arc<Verified<Certificate>>) {
        let app = AppId::new("demo").unwrap();
        let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([99; 32]));
        let subject = DeviceKey::from_seed([seed; 32]).public();
        let request = CertificateRequest::development(subject, "pi");
        let signed = issuer.issue(request, [seed; 16], 0).unwrap();
        let trust = Trust::new(app, &[issuer.public()]).unwrap();
        (
            subject.peer_id(),
            Arc::new(trust.verify(&signed.into(), subject, 1).unwrap()),
        )
    }

    /// Goal: a peer stays while one of its connections does, and the bound counts peers, not connections.
    #[test]
    fn peers_are_counted_by_connection() {
        let admitted = Admitted::new(1);
        let ((a, a_certificate), (b, b_certificate)) = (verified(1), verified(2));
        admitted.admit(a, Arc::clone(&a_certificate)).unwrap();
        admitted.admit(a, a_certificate).unwrap();
        assert_eq!(
            admitted.admit(b, Arc::clone(&b_certificate)),
            Err(Full { peers_max: 1 })
        );
        admitted.release(&b);
        admitted.release(&a);
        assert!(admitted.get(&a).is_some());
        admitted.release(&a);
        assert!(admitted.is_empty() && admitted.get(&a).is_none());
        admitted.admit(b, b_certificate).unwrap();
        assert_eq!(admitted.get(&b).unwrap().subject.peer_id(), b);
    }

    /// Goal: a renewed certificate counts at once for a peer that is there, and lets nobody in who is not.
    #[test]
    fn a_renewed_certificate_counts() {
        let admitted = Admitted::new(1);
        let ((a, first), (b, renewed)) = (verified(1), verified(2));
        assert!(!admitted.renew(&a, Arc::clone(&first)));
        admitted.admit(a, first).unwrap();
        assert!(admitted.renew(&a, Arc::clone(&renewed)) && !admitted.renew(&b, renewed));
        assert_eq!(admitted.get(&a).unwrap().subject.peer_id(), b);
        admitted.release(&a);
        assert!(admitted.is_empty());
    }

    /// Goal: a panic in a thread that holds the lock does not take the registry with it.
    #[test]
    fn poisoning_is_survived() {
        let admitted = Arc::new(Admitted::new(1));
        let holder = Arc::clone(&admitted);
        let thread = std::thread::spawn(move || {
            let _guard = holder.peers.write().unwrap();
            panic!("poison");
        });
        assert!(thread.join().is_err());
        let (a, certificate) = verified(1);
        admitted.admit(a, certificate).unwrap();
        assert!(admitted.get(&a).is_some());
    }
}
