//! The bytes of sealed changes.

use crate::document::{Delta, DeltaError};
use crate::limits::DELTA_PROOFS_MAX;
use crate::wire;
use prost::Message;
use sedge_identity::{MerkleHash, SEAL_CHANGES_MAX, Seal, SealError, SealName};

/// A document's changes on their way between two stores, with the seals that cover them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// The changes.
    pub delta: Delta,
    /// Where they stand in seals. Not every change is named: a seal covers what its actor made before, too.
    pub proofs: Vec<SealedChange>,
}

/// A change's place in a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedChange {
    /// The change, counted in the delta's changes.
    pub change: u32,
    /// The seal.
    pub seal: SealName,
    /// Which of the seal's leaves is the change's.
    pub index: u16,
}

/// A seal as it travels beside the documents whose changes it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The seal.
    pub seal: Seal,
    /// The hashes of its tree that the documents beside it don't give: see [`sedge_identity::prove`].
    pub rest: Vec<MerkleHash>,
}

/// Why bytes are no evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Not the wire format.
    #[error("a seal can't be decoded: {0}")]
    Wire(#[from] prost::DecodeError),
    /// Not the one encoding of what it says.
    #[error("a seal is encoded in another way than it is to be")]
    Encoding,
    /// The seal itself is none.
    #[error("a seal is refused: {0}")]
    Seal(#[from] SealError),
    /// The hashes beside it are cut, or too many.
    #[error(
        "a seal comes with {bytes} bytes of hashes; they have 32 each, and at most {SEAL_CHANGES_MAX} are needed"
    )]
    Rest {
        /// Their bytes.
        bytes: usize,
    },
}

impl Sealed {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let proofs = self.proofs.iter().map(|proof| wire::Proof {
            change: proof.change,
            seal: proof.seal.0.to_vec(),
            index: proof.index.into(),
        });
        wire::Sealed {
            delta: Some(self.delta.to_wire()),
            proofs: proofs.collect(),
        }
        .encode_to_vec()
    }

    /// Reads bytes from outside.
    ///
    /// # Errors
    /// Damaged bytes, or more or other parts than there may be.
    pub fn decode(bytes: &[u8]) -> Result<Self, DeltaError> {
        let wire = wire::Sealed::decode(bytes)?;
        let delta = Delta::from_wire(wire.delta.unwrap_or_default())?;
        if wire.proofs.len() > DELTA_PROOFS_MAX {
            return Err(DeltaError::Proofs);
        }
        let proof = |proof: wire::Proof| {
            let change = usize::try_from(proof.change).ok();
            if change.is_none_or(|change| change >= delta.changes()) {
                return None;
            }
            Some(SealedChange {
                change: proof.change,
                seal: SealName(proof.seal.try_into().ok()?),
                index: proof.index.try_into().ok()?,
            })
        };
        let proofs = wire.proofs.into_iter().map(proof);
        let proofs = proofs.collect::<Option<_>>().ok_or(DeltaError::Proofs)?;
        let sealed = Self { delta, proofs };
        // Unknown, repeated or reordered fields would give one content ever new names where it is flooded.
        match sealed.encode() == bytes {
            true => Ok(sealed),
            false => Err(DeltaError::Encoding),
        }
    }

    /// The bytes of its parts, without encoding them; what travels has a few more.
    pub fn bytes(&self) -> usize {
        self.delta.bytes() + self.proofs.len() * SealedChange::BYTES
    }
}

impl SealedChange {
    /// About what one takes on the wire.
    pub(crate) const BYTES: usize = 32;
}

impl Evidence {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        wire::Evidence {
            seal: self.seal.to_bytes().to_vec(),
            rest: self.rest.iter().flat_map(|hash| hash.0).collect(),
        }
        .encode_to_vec()
    }

    /// Reads bytes from outside. Whether the seal holds is not looked at.
    ///
    /// # Errors
    /// They are no evidence.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let wire = wire::Evidence::decode(bytes)?;
        let seal = Seal::decode(&wire.seal)?;
        let refused = EvidenceError::Rest {
            bytes: wire.rest.len(),
        };
        let (rest, []) = wire.rest.as_chunks::<32>() else {
            return Err(refused);
        };
        if rest.len() > SEAL_CHANGES_MAX {
            return Err(refused);
        }
        let evidence = Self {
            seal,
            rest: rest.iter().map(|hash| MerkleHash(*hash)).collect(),
        };
        match evidence.encode() == bytes {
            true => Ok(evidence),
            false => Err(EvidenceError::Encoding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedge_identity::{hex, parse_hex};

    /// A seal of three changes, as `sedge-identity` pins it.
    const SEAL: &str = concat!(
        "01030303030303030303030303030303030303030303030303030303030303030304040404040404",
        "04000001977420dc000003a974988177a10fce395244ba69aed231342eb8a2183b6545c960f14966",
        "748a09a105ac0d1b8dac55fcfa22e2b93f78fc8c2123e3853fec547a916beab0b58a8f7db0f50e71",
        "2f215ba12f2092a1817b72b4fa6fed98fe488f3278aeca0c2eb800",
    );

    fn sealed() -> Sealed {
        let delta = b"\x0a\x03\x12\x01m\x12\x06change\x12\x06change";
        Sealed {
            delta: Delta::decode(delta).unwrap(),
            proofs: vec![SealedChange {
                change: 1,
                seal: SealName([7; 16]),
                index: 300,
            }],
        }
    }

    fn evidence() -> Evidence {
        let seal: [u8; Seal::BYTES] = parse_hex(SEAL).unwrap();
        Evidence {
            seal: Seal::decode(&seal).unwrap(),
            rest: vec![MerkleHash([5; 32]), MerkleHash([6; 32])],
        }
    }

    /// Goal: the bytes of sealed changes and of a seal beside them are fixed, and read as what they were made of.
    #[test]
    fn the_wire_forms_are_pinned() {
        let bytes = sealed().encode();
        let proof = ["121708011210", &"07".repeat(16), "18ac02"].concat();
        let delta = "0a150a0312016d12066368616e676512066368616e6765";
        assert_eq!(hex(&bytes).to_string(), [delta, &proof].concat());
        assert_eq!(Sealed::decode(&bytes).unwrap(), sealed());

        let bytes = evidence().encode();
        let [five, six] = ["05", "06"].map(|byte| byte.repeat(32));
        let rest = ["1240", &five, &six].concat();
        assert_eq!(hex(&bytes).to_string(), ["0a9301", SEAL, &rest].concat());
        assert_eq!(Evidence::decode(&bytes).unwrap(), evidence());
    }

    /// Goal: each has one encoding, so that one content has one name where it is flooded.
    #[test]
    fn there_is_one_encoding() {
        let (sealed, evidence) = (sealed().encode(), evidence().encode());
        for tail in [&[0x78, 0x01][..], &[0x7a, 3, 1, 2, 3], &[0x0a, 0]] {
            let more = [&sealed, tail].concat();
            assert!(matches!(Sealed::decode(&more), Err(DeltaError::Encoding)));
            let refused = Evidence::decode(&[&evidence, tail].concat());
            assert!(refused.is_err(), "{refused:?}");
        }
        // The proof before the delta, and the hashes before the seal.
        let (delta, proof) = sealed.split_at(2 + 0x15);
        let turned = Sealed::decode(&[proof, delta].concat());
        assert!(matches!(turned, Err(DeltaError::Encoding)), "{turned:?}");
        let (seal, rest) = evidence.split_at(3 + 0x93);
        let turned = Evidence::decode(&[rest, seal].concat());
        assert_eq!(turned, Err(EvidenceError::Encoding));
    }
}
