//! Ed25519 keys. A device has one, and its libp2p `PeerId` is that key.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use libp2p_identity::{Keypair, PeerId};
use zeroize::Zeroizing;

use crate::hex::hex;

/// Separates the hash of a key's id from every other use of BLAKE3.
const KEY_ID_DOMAIN: &str = "sedge key id 1";

/// The secret key of a device. Wiped from memory when dropped; `Debug` shows the public half only.
#[derive(Clone)]
pub struct DeviceKey(SigningKey);

/// An Ed25519 public key: a point on the curve that is not of small order. Ordered and hashed by its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// A short name of a public key (first 16 bytes of a BLAKE3 hash), by which a certificate names its issuer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 16]);

/// Why bytes or a peer id are no usable public key, or a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no point of the curve in its canonical encoding, or one of small order, under which signatures
    /// prove nothing.
    #[error("the 32 bytes are no valid Ed25519 public key")]
    Invalid,
    /// The peer id was made from another kind of key, or is only a hash of one.
    #[error("the peer id does not contain an Ed25519 public key: only Ed25519 peers are supported")]
    NotEd25519,
    /// The signature was not made by this key over these bytes.
    #[error("the signature does not belong to this key and these bytes")]
    Signature,
}

impl DeviceKey {
    /// The key that grows from 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&Zeroizing::new(seed)))
    }

    /// The 32 bytes from which the key grows: what a key file holds.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The peer id of the device.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.public().peer_id()
    }

    /// The same key in libp2p's type, for the handshakes of the transports.
    #[must_use]
    #[expect(clippy::expect_used, reason = "fails for another length than 32 only")]
    pub fn libp2p_keypair(&self) -> Keypair {
        let mut seed = self.seed();
        Keypair::ed25519_from_bytes(&mut seed[..]).expect("a seed has 32 bytes")
    }

    /// Signs `message`. Deterministic (RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.public())
    }
}

impl PublicKey {
    /// Checks 32 bytes and makes them a key.
    ///
    /// # Errors
    /// [`KeyError::Invalid`] when the bytes are no canonical point of the curve or one of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() && is_canonical(&bytes) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(KeyError::Invalid),
        }
    }

    /// A key that no check would let pass, to show what a forger could do with it.
    #[cfg(test)]
    pub(crate) fn unchecked(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key inside a peer id.
    ///
    /// # Errors
    /// [`KeyError::NotEd25519`] when the peer id holds another kind of key, [`KeyError::Invalid`] for a weak key.
    pub fn from_peer_id(peer: &PeerId) -> Result<Self, KeyError> {
        let protobuf = peer.as_ref().digest();
        // A hashed peer id fails here: its 32 bytes of SHA-256 are no protobuf of this key, or the check below
        // finds that the key does not lead back to the peer id.
        let key = libp2p_identity::PublicKey::try_decode_protobuf(protobuf)
            .ok()
            .and_then(|key| key.try_into_ed25519().ok())
            .ok_or(KeyError::NotEd25519)?;
        let key = Self::from_bytes(key.to_bytes())?;
        if key.peer_id() == *peer {
            Ok(key)
        } else {
            Err(KeyError::NotEd25519)
        }
    }

    /// The peer id of this key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_public_key(&self.to_libp2p())
    }

    /// The 32 bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The short name of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut id = [0; 16];
        blake3::Hasher::new_derive_key(KEY_ID_DOMAIN)
            .update(&self.0)
            .finalize_xof()
            .fill(&mut id);
        KeyId(id)
    }

    /// Checks a signature by the strict rules: canonical encodings, no key or nonce of small order. Every verifier
    /// decides alike, and a signature has one form only.
    ///
    /// # Errors
    /// [`KeyError::Signature`] when it does not hold.
    pub fn verify_strict(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), KeyError> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| KeyError::Invalid)?;
        key.verify_strict(message, &Signature::from_bytes(signature))
            .map_err(|_| KeyError::Signature)
    }

    /// The protobuf form of the key that libp2p puts into envelopes and peer ids.
    pub(crate) fn to_protobuf(self) -> Vec<u8> {
        self.to_libp2p().encode_protobuf()
    }

    #[expect(
        clippy::expect_used,
        reason = "every value of this type was checked to be a point"
    )]
    fn to_libp2p(self) -> libp2p_identity::PublicKey {
        libp2p_identity::ed25519::PublicKey::try_from_bytes(&self.0)
            .expect("a checked key is a point")
            .into()
    }
}

impl KeyId {
    /// Takes the 16 bytes of a key id as they stand.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of the id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Whether the encoded y coordinate is below the field's prime 2^255 - 19 (RFC 8032, 5.1.3). Otherwise one point would
/// have two encodings, and one key two peer ids.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = bytes;
    *lowest < 0xed || middle.iter().any(|byte| *byte != 0xff) || highest & 0x7f != 0x7f
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl From<PublicKey> for PeerId {
    fn from(key: PublicKey) -> Self {
        key.peer_id()
    }
}

impl TryFrom<&PeerId> for PublicKey {
    type Error = KeyError;

    fn try_from(peer: &PeerId) -> Result<Self, Self::Error> {
        Self::from_peer_id(peer)
    }
}

impl TryFrom<PeerId> for PublicKey {
    type Error = KeyError;

    fn try_from(peer: PeerId) -> Result<Self, Self::Error> {
        Self::from_peer_id(&peer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Goal: the key of RFC 8032's first test leads to the public key, peer id and key id it always led to.
    #[test]
    fn a_known_seed_gives_known_ids() {
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec,
            0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03,
            0x1c, 0xae, 0x7f, 0x60,
        ];
        let public = DeviceKey::from_seed(seed).public();
        assert_eq!(
            public.to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(
            public.peer_id().to_string(),
            "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"
        );
        assert_eq!(public.id().to_string(), "f08807bed1ed7e9a368be355e87d9661");
    }

    /// Goal: keys under which signatures prove nothing, and peer ids of other keys, are refused.
    #[test]
    fn weak_and_foreign_keys_are_refused() {
        let mut identity_point = [0; 32];
        identity_point[0] = 1;
        assert_eq!(
            PublicKey::from_bytes(identity_point),
            Err(KeyError::Invalid)
        );
        assert_eq!(PublicKey::from_bytes([0; 32]), Err(KeyError::Invalid));
        assert_eq!(PublicKey::from_bytes([0xff; 32]), Err(KeyError::Invalid));
        let hashed: PeerId = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
            .parse()
            .unwrap();
        assert_eq!(PublicKey::from_peer_id(&hashed), Err(KeyError::NotEd25519));
    }

    proptest! {
        /// Goal: a key and its peer id lead to each other, in our types and in libp2p's.
        #[test]
        fn peer_ids_round_trip(seed: [u8; 32]) {
            let key = DeviceKey::from_seed(seed);
            prop_assert_eq!(PublicKey::from_peer_id(&key.peer_id()), Ok(key.public()));
            prop_assert_eq!(key.libp2p_keypair().public().to_peer_id(), key.peer_id());
            prop_assert_eq!(*key.seed(), seed);
        }

        /// Goal: a signature holds for its own key and message only.
        #[test]
        fn signatures_bind_key_and_message(seed: [u8; 32], message: Vec<u8>) {
            let key = DeviceKey::from_seed(seed);
            let signature = key.sign(&message);
            prop_assert!(key.public().verify_strict(&message, &signature).is_ok());
            let longer = [&message[..], b"!"].concat();
            prop_assert_eq!(key.public().verify_strict(&longer, &signature), Err(KeyError::Signature));
        }
    }
}
