//! Signed envelopes, the wire format of libp2p RFC 0002:
//! <https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md>.
//!
//! The payload's exact bytes are signed and carried; nobody encodes them again to check them. Beyond the RFC an
//! envelope must be in the one encoding that [`Envelope::sign`] writes, so that its hash can serve as a name, and its
//! key must be Ed25519.

use prost::Message;

use crate::{
    key::{DeviceKey, PublicKey},
    wire,
};

/// An envelope whose signature holds: it was opened by [`Envelope::open`] or made here.
///
/// That its signer is to be trusted is another question, see [`Trust`](crate::Trust).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    signer: PublicKey,
    payload: Vec<u8>,
    bytes: Vec<u8>,
}

/// Why bytes are no envelope of the expected kind with a valid signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// More bytes than the format allows.
    #[error("{bytes} bytes are more than the {bytes_max} allowed")]
    TooLarge {
        /// Size found, in bytes.
        bytes: usize,
        /// Size allowed, in bytes.
        bytes_max: usize,
    },
    /// The bytes end early or are no envelope.
    #[error("truncated or damaged: the bytes are no signed envelope")]
    Damaged,
    /// The key is not a usable Ed25519 key.
    #[error("the signer's key is no valid Ed25519 key")]
    Key,
    /// The envelope holds something else.
    #[error("holds {found:?} where {expected:?} was expected")]
    PayloadType {
        /// What was expected.
        expected: String,
        /// What the envelope says it holds, shortened.
        found: String,
    },
    /// The signature does not belong to these bytes.
    #[error("the signature does not hold: the bytes were changed or signed by another key")]
    Signature,
}

/// Most characters of a foreign payload type that an error repeats.
const FOUND_CHARS_MAX: usize = 32;

impl Envelope {
    /// Signs `payload` as being of `payload_type`, for use in `domain` only.
    #[must_use]
    pub fn sign(key: &DeviceKey, domain: &str, payload_type: &str, payload: Vec<u8>) -> Self {
        let signer = key.public();
        let message = signed_bytes(domain, payload_type.as_bytes(), &payload);
        let bytes = wire::Envelope {
            public_key: signer.to_protobuf(),
            payload_type: payload_type.as_bytes().to_vec(),
            payload: payload.clone(),
            signature: key.sign(&message).to_vec(),
        }
        .encode_to_vec();
        Self {
            signer,
            payload,
            bytes,
        }
    }

    /// Reads an envelope and checks its signature.
    ///
    /// # Errors
    /// [`EnvelopeError`] names the first check that failed, in the order of its variants.
    pub fn open(
        bytes: &[u8],
        domain: &str,
        payload_type: &str,
        bytes_max: usize,
    ) -> Result<Self, EnvelopeError> {
        if bytes.len() > bytes_max {
            return Err(EnvelopeError::TooLarge {
                bytes: bytes.len(),
                bytes_max,
            });
        }
        let envelope = wire::Envelope::decode(bytes).map_err(|_| EnvelopeError::Damaged)?;
        // Unknown, repeated or reordered fields would let anybody give the same signature another name.
        if envelope.encode_to_vec() != bytes {
            return Err(EnvelopeError::Damaged);
        }
        let signature: [u8; 64] = envelope
            .signature
            .as_slice()
            .try_into()
            .map_err(|_| EnvelopeError::Damaged)?;
        let signer = signer(&envelope.public_key)?;
        if envelope.payload_type != payload_type.as_bytes() {
            let found = String::from_utf8_lossy(&envelope.payload_type);
            return Err(EnvelopeError::PayloadType {
                expected: payload_type.to_owned(),
                found: found.chars().take(FOUND_CHARS_MAX).collect(),
            });
        }
        let message = signed_bytes(domain, &envelope.payload_type, &envelope.payload);
        signer
            .verify_strict(&message, &signature)
            .map_err(|_| EnvelopeError::Signature)?;
        Ok(Self {
            signer,
            payload: envelope.payload,
            bytes: bytes.to_vec(),
        })
    }

    /// The key that signed.
    #[must_use]
    pub fn signer(&self) -> PublicKey {
        self.signer
    }

    /// What was signed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The exact bytes of the whole envelope.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads libp2p's protobuf form of a public key, in its one canonical encoding.
fn signer(protobuf: &[u8]) -> Result<PublicKey, EnvelopeError> {
    let key = libp2p_identity::PublicKey::try_decode_protobuf(protobuf)
        .ok()
        .and_then(|key| key.try_into_ed25519().ok())
        .and_then(|key| PublicKey::from_bytes(key.to_bytes()).ok())
        .ok_or(EnvelopeError::Key)?;
    if key.to_protobuf() == protobuf {
        Ok(key)
    } else {
        Err(EnvelopeError::Key)
    }
}

/// The message under the signature: domain, type and payload, each with its length in front (RFC 0002, "Signature
/// Production").
fn signed_bytes(domain: &str, payload_type: &[u8], payload: &[u8]) -> Vec<u8> {
    let parts = [domain.as_bytes(), payload_type, payload];
    let mut message = Vec::with_capacity(parts.iter().map(|part| part.len() + 10).sum());
    for part in parts {
        prost::encoding::encode_varint(part.len() as u64, &mut message);
        message.extend_from_slice(part);
    }
    message
}

#[cfg(test)]
mod tests {
    use libp2p_core::SignedEnvelope;
    use proptest::prelude::*;

    use super::*;

    const DOMAIN: &str = "test domain";
    const TYPE: &str = "/test/type";
    const BYTES_MAX: usize = 1024;

    fn key() -> DeviceKey {
        DeviceKey::from_seed([7; 32])
    }

    /// Goal: the exact bytes are fixed.
    #[test]
    fn bytes_are_pinned() {
        let envelope = Envelope::sign(&key(), DOMAIN, TYPE, b"payload".to_vec());
        assert_eq!(
            crate::hex(envelope.as_bytes()).to_string(),
            concat!(
                "0a2408011220ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c120a",
                "2f746573742f747970651a077061796c6f61642a40d1a3b286ff001b00be9ce52276292f463cc3a4",
                "416b9d2a1e13c8324423ec99e10d20dfde4c61e53adc8ef40421931bfe6ece2c100b65978c7928c0",
                "fab320be04",
            )
        );
    }

    /// Goal: an envelope is refused after truncation at every byte and after a flip of every bit.
    #[test]
    fn damage_is_refused() {
        let good = Envelope::sign(&key(), DOMAIN, TYPE, b"payload".to_vec());
        let open = |bytes: &[u8]| Envelope::open(bytes, DOMAIN, TYPE, BYTES_MAX);
        assert_eq!(open(good.as_bytes()), Ok(good.clone()));
        for length in 0..good.as_bytes().len() {
            assert!(
                open(&good.as_bytes()[..length]).is_err(),
                "truncated to {length}"
            );
        }
        for index in 0..good.as_bytes().len() {
            for bit in 0..8 {
                let mut bytes = good.as_bytes().to_vec();
                bytes[index] ^= 1 << bit;
                assert!(open(&bytes).is_err(), "bit {bit} of byte {index}");
            }
        }
    }

    /// Goal: every reason is told apart, and a second encoding of the same contents is no envelope.
    #[test]
    fn reasons_are_precise() {
        let good = Envelope::sign(&key(), DOMAIN, TYPE, b"payload".to_vec());
        let bytes = good.as_bytes();
        assert_eq!(
            Envelope::open(bytes, DOMAIN, TYPE, 100),
            Err(EnvelopeError::TooLarge {
                bytes: bytes.len(),
                bytes_max: 100
            })
        );
        assert_eq!(
            Envelope::open(bytes, "other", TYPE, BYTES_MAX),
            Err(EnvelopeError::Signature)
        );
        assert_eq!(
            Envelope::open(bytes, DOMAIN, "/other", BYTES_MAX),
            Err(EnvelopeError::PayloadType {
                expected: "/other".into(),
                found: TYPE.into()
            })
        );
        // An unknown field (number 15) at the end.
        let longer = [bytes, &[0x78, 0x01]].concat();
        assert_eq!(
            Envelope::open(&longer, DOMAIN, TYPE, BYTES_MAX),
            Err(EnvelopeError::Damaged)
        );
    }

    proptest! {
        /// Goal: rust-libp2p reads what we write, and we read what it writes, with the same bytes.
        #[test]
        fn agrees_with_libp2p(seed: [u8; 32], domain in ".{0,40}", kind in ".{0,40}", payload: Vec<u8>) {
            let key = DeviceKey::from_seed(seed);
            let ours = Envelope::sign(&key, &domain, &kind, payload.clone());
            let theirs = SignedEnvelope::new(
                &key.libp2p_keypair(), domain.clone(), kind.as_bytes().to_vec(), payload.clone(),
            ).unwrap();
            prop_assert_eq!(ours.as_bytes(), &theirs.into_protobuf_encoding()[..]);
            let read = SignedEnvelope::from_protobuf_encoding(ours.as_bytes()).unwrap();
            let (read_payload, signer) =
                read.payload_and_signing_key(domain.clone(), kind.as_bytes()).unwrap();
            prop_assert_eq!(read_payload, &payload[..]);
            prop_assert_eq!(signer.to_peer_id(), ours.signer().peer_id());
            let again = Envelope::open(ours.as_bytes(), &domain, &kind, usize::MAX);
            prop_assert_eq!(again, Ok(ours));
        }

        /// Goal: arbitrary bytes never open and never panic.
        #[test]
        fn noise_is_refused(bytes: Vec<u8>) {
            prop_assert!(Envelope::open(&bytes, DOMAIN, TYPE, BYTES_MAX).is_err());
        }
    }
}
