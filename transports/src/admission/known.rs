//! The chains of certificates that peers have shown, so that a peer which comes back need not show its own again.
//!
//! To know a chain saves sending it and nothing else: each time it is verified as if it had just come.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sedge_identity::{CertificateChain, PublicKey};

use crate::limits::KNOWN_CHAINS_MAX;

/// The [name of a chain](CertificateChain::name), as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainName([u8; 32]);

impl ChainName {
    pub(crate) fn of(chain: &CertificateChain) -> Self {
        Self(*chain.name().as_bytes())
    }

    /// Takes the 32 bytes of a name; None of any other number.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    pub(crate) fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// The chains that were verified for peers whose connections had proven their keys: one for each key, the latest.
#[derive(Debug, Default)]
pub struct KnownChains(Mutex<Chains>);

#[derive(Debug, Default)]
struct Chains {
    by_key: HashMap<PublicKey, Known>,
    /// Grows with every use.
    uses: u64,
}

#[derive(Debug)]
struct Known {
    name: ChainName,
    chain: CertificateChain,
    /// When it was used last, as `uses` counts.
    used: u64,
}

impl KnownChains {
    /// The chain of the holder of this key, and its name, if it has been here.
    pub(crate) fn of(&self, key: &PublicKey) -> Option<(ChainName, CertificateChain)> {
        let mut chains = self.lock();
        chains.uses += 1;
        let uses = chains.uses;
        let known = chains.by_key.get_mut(key)?;
        known.used = uses;
        Some((known.name, known.chain.clone()))
    }

    /// Remembers a chain that was verified for this key. Where there are too many, the one goes that was longest not used.
    pub(crate) fn note(&self, key: PublicKey, chain: &CertificateChain) {
        let mut chains = self.lock();
        chains.uses += 1;
        let used = chains.uses;
        if chains.by_key.len() >= KNOWN_CHAINS_MAX && !chains.by_key.contains_key(&key) {
            let oldest = chains.by_key.iter().min_by_key(|(_, known)| known.used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                chains.by_key.remove(&oldest);
            }
        }
        let known = Known {
            name: ChainName::of(chain),
            chain: chain.clone(),
            used,
        };
        chains.by_key.insert(key, known);
    }

    // A thread that panicked while holding the lock leaves whole entries behind: no method can stop half-way.
    fn lock(&self) -> MutexGuard<'_, Chains> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sedge_identity::{DeviceKey, SignedCertificate};

    use super::*;

    fn certificate(number: u16) -> SignedCertificate {
        SignedCertificate::from_bytes(&number.to_le_bytes()).unwrap()
    }

    fn key(number: u16) -> PublicKey {
        let [low, high] = number.to_le_bytes();
        let mut seed = [low; 32];
        seed[0] = high;
        DeviceKey::from_seed(seed).public()
    }

    /// Goal: a chain's name is fixed, and tells apart what its certificates are and in which order they stand.
    #[test]
    fn names_are_pinned() {
        let chain = |first, issuers: &[u16]| {
            let issuers: Vec<_> = issuers.iter().copied().map(certificate).collect();
            ChainName::of(&CertificateChain::new(certificate(first), &issuers).unwrap())
        };
        assert_eq!(
            sedge_identity::hex(&chain(1, &[2]).0).to_string(),
            "64280fa3f9806979e97f922a2c6c96aaa7ce80875ff0a588f64509ba6426e910"
        );
        let others = [chain(1, &[]), chain(2, &[1]), chain(1, &[2, 3])];
        assert!(others.iter().all(|name| *name != chain(1, &[2])));
    }

    /// Goal: a chain is known for its own key only, a later one takes its place, and the number of them is bounded: the one
    /// that was longest not used goes.
    #[test]
    fn chains_are_known_by_key_and_bounded() {
        let known = KnownChains::default();
        let [first, second] = [1, 2].map(|number| CertificateChain::from(certificate(number)));
        known.note(key(0), &first);
        assert!(known.of(&key(1)).is_none());
        known.note(key(0), &second);
        assert_eq!(
            known.of(&key(0)),
            Some((ChainName::of(&second), second.clone()))
        );

        for number in 1..KNOWN_CHAINS_MAX as u16 {
            known.note(key(number), &first);
        }
        assert!(known.of(&key(0)).is_some(), "there was room for all");
        known.note(key(9999), &first);
        assert_eq!(known.lock().by_key.len(), KNOWN_CHAINS_MAX);
        assert!(known.of(&key(0)).is_some() && known.of(&key(1)).is_none());
    }
}
