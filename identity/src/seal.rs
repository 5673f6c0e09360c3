//! Seals: what a device signs about up to [`SEAL_CHANGES_MAX`] of its changes at once.
//!
//! A seal has a fixed layout of [`Seal::BYTES`] bytes, so it has one encoding only and its hash can serve as its name. App and
//! collection are signed and not carried: whoever checks a seal knows for which it is to count. Which changes it covers
//! follows from its root and [`merkle`](crate::merkle); whether its certificate counts is [`Trust`](crate::Trust)'s to say.

use std::fmt;

use crate::{
    actor::{ActorName, Incarnation},
    app::AppId,
    certificate::CertificateName,
    hex::hex,
    key::{DeviceKey, PublicKey},
    limits::SEAL_CHANGES_MAX,
    merkle::{self, MerkleHash},
};

/// Begins what is signed. With its length in front it is the beginning of nothing else that a device's key signs: not of an
/// envelope, a Noise handshake or a TLS certificate.
const DOMAIN: &[u8] = b"sedge seal 1";

/// The version of the layout that is written and understood.
const VERSION: u8 = 1;

const UNSIGNED_BYTES: usize = 1 + 32 + 8 + 8 + 2 + 32;
const SIGNATURE_BYTES: usize = 64;

/// A device's signature over changes of one collection. That it holds is known once [`Seal::verify`] said so.
#[derive(Clone, PartialEq, Eq)]
pub struct Seal {
    certificate: CertificateName,
    incarnation: Incarnation,
    time_ms: u64,
    count: u16,
    root: MerkleHash,
    signature: [u8; SIGNATURE_BYTES],
}

/// The name of a seal: the first 16 bytes of BLAKE3 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealName(pub [u8; 16]);

/// What a seal says beside the changes it covers.
#[derive(Debug, Clone, Copy)]
pub struct SealTerms<'a> {
    /// The app in which it counts.
    pub app: &'a AppId,
    /// The collection of all its changes.
    pub collection: &'a str,
    /// The certificates of the key that signs, by the name of their chain.
    pub certificate: CertificateName,
    /// The incarnation in which the changes were made.
    pub incarnation: Incarnation,
    /// The signer's time, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// Why bytes are no seal, or a seal does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not as many bytes as a seal has.
    #[error("{bytes} bytes are no seal: one has {}", Seal::BYTES)]
    Length {
        /// Size found, in bytes.
        bytes: usize,
    },
    /// Written by another version of Sedge.
    #[error(
        "the seal has version {version}, this device understands {VERSION}: update the older of the two"
    )]
    UnsupportedVersion {
        /// The version found.
        version: u8,
    },
    /// No change, or more than a seal may cover.
    #[error("a seal over {changes} changes: it covers 1 to {SEAL_CHANGES_MAX}")]
    Count {
        /// How many changes.
        changes: usize,
    },
    /// Not signed by this key for this app and collection, or changed since.
    #[error(
        "the seal's signature does not hold: it was changed, or made by another key or for another app or collection"
    )]
    Signature,
}

impl Seal {
    /// The size of a seal, in bytes: version, certificate, incarnation, time, count, root, signature.
    pub const BYTES: usize = UNSIGNED_BYTES + SIGNATURE_BYTES;

    /// Seals the changes with these leaves, in this order.
    ///
    /// # Errors
    /// [`SealError::Count`] when there are none or more than [`SEAL_CHANGES_MAX`].
    pub fn sign(
        key: &DeviceKey,
        terms: SealTerms<'_>,
        leaves: &[MerkleHash],
    ) -> Result<Self, SealError> {
        let mut seal = Self {
            certificate: terms.certificate,
            incarnation: terms.incarnation,
            time_ms: terms.time_ms,
            count: check_count(leaves.len())?,
            root: merkle::root(leaves),
            signature: [0; SIGNATURE_BYTES],
        };
        seal.signature = key.sign(&seal.message(terms.app, terms.collection));
        Ok(seal)
    }

    /// Reads a seal. Its signature is not looked at yet.
    ///
    /// # Errors
    /// [`SealError`] when the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.len() != Self::BYTES {
            return Err(SealError::Length { bytes: bytes.len() });
        }
        if let Some(version) = bytes.first().copied().filter(|found| *found != VERSION) {
            return Err(SealError::UnsupportedVersion { version });
        }
        let seal = Self::read(bytes).ok_or(SealError::Length { bytes: bytes.len() })?;
        check_count(usize::from(seal.count))?;
        Ok(seal)
    }

    /// Takes the fields as they stand; none when there are not as many bytes.
    fn read(bytes: &[u8]) -> Option<Self> {
        let ([_version], rest) = take(bytes)?;
        let (certificate, rest) = take(rest)?;
        let (incarnation, rest) = take(rest)?;
        let (time_ms, rest) = take(rest)?;
        let (count, rest) = take(rest)?;
        let (root, signature) = take(rest)?;
        Some(Self {
            certificate: CertificateName::from_bytes(certificate),
            incarnation: Incarnation(incarnation),
            time_ms: u64::from_be_bytes(time_ms),
            count: u16::from_be_bytes(count),
            root: MerkleHash(root),
            signature: signature.try_into().ok()?,
        })
    }

    /// Whether `key` signed this for `app` and `collection`, by the strict rules of [`PublicKey::verify_strict`].
    ///
    /// # Errors
    /// [`SealError::Signature`] when not.
    pub fn verify(&self, key: &PublicKey, app: &AppId, collection: &str) -> Result<(), SealError> {
        key.verify_strict(&self.message(app, collection), &self.signature)
            .map_err(|_| SealError::Signature)
    }

    /// The actor whose changes it covers, if `key` is the one that signed it.
    #[must_use]
    pub fn actor(&self, key: &PublicKey) -> ActorName {
        ActorName::of(key, self.incarnation)
    }

    /// The certificates of the key that signed it, by the [name of their chain](crate::CertificateChain::name).
    #[must_use]
    pub fn certificate(&self) -> CertificateName {
        self.certificate
    }

    /// The incarnation in which the changes were made.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The signer's time, in ms since the Unix epoch.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// How many changes it covers: 1 to [`SEAL_CHANGES_MAX`].
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The root over its changes.
    #[must_use]
    pub fn root(&self) -> MerkleHash {
        self.root
    }

    /// The name of the seal.
    #[must_use]
    pub fn name(&self) -> SealName {
        let mut name = [0; 16];
        let mut hash = blake3::Hasher::new();
        hash.update(&self.to_bytes()).finalize_xof().fill(&mut name);
        SealName(name)
    }

    /// The bytes of the seal.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        fill(&mut bytes, &[&self.unsigned(), &self.signature]);
        bytes
    }

    /// All before the signature.
    fn unsigned(&self) -> [u8; UNSIGNED_BYTES] {
        let mut bytes = [0; UNSIGNED_BYTES];
        let parts: [&[u8]; 6] = [
            &[VERSION],
            self.certificate.as_bytes(),
            &self.incarnation.0,
            &self.time_ms.to_be_bytes(),
            &self.count.to_be_bytes(),
            &self.root.0,
        ];
        fill(&mut bytes, &parts);
        bytes
    }

    /// What is signed.
    fn message(&self, app: &AppId, collection: &str) -> Vec<u8> {
        let mut message = Vec::new();
        for part in [DOMAIN, app.as_str().as_bytes(), collection.as_bytes()] {
            message.extend_from_slice(&(part.len() as u64).to_be_bytes());
            message.extend_from_slice(part);
        }
        message.extend_from_slice(&self.unsigned());
        message
    }
}

fn check_count(changes: usize) -> Result<u16, SealError> {
    match u16::try_from(changes) {
        Ok(count) if (1..=SEAL_CHANGES_MAX).contains(&changes) => Ok(count),
        Ok(_) | Err(_) => Err(SealError::Count { changes }),
    }
}

/// The first `N` bytes, and what follows.
fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((*first, rest))
}

fn fill(bytes: &mut [u8], parts: &[&[u8]]) {
    let from = parts.iter().copied().flatten();
    bytes
        .iter_mut()
        .zip(from)
        .for_each(|(to, from)| *to = *from);
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Seal({} over {} changes at {} ms by {})",
            self.name(),
            self.count,
            self.time_ms,
            self.certificate
        )
    }
}

impl fmt::Display for SealName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.0))
    }
}

impl fmt::Debug for SealName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealName({self})")
    }
}

#[cfg(test)]
mod tests;
