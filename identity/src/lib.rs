//! Who a device is and what it may do: keys, certificates, and the trust in their issuers.
//!
//! Nothing here does IO, reads a clock or draws random bytes: the time (milliseconds since the Unix
//! epoch) and randomness are arguments, so every decision can be repeated in a test.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod actor;
mod admitted;
mod app;
mod armour;
mod author;
mod certificate;
mod chain;
mod clock;
mod envelope;
mod hex;
mod issuer;
mod issuer_key;
mod key;
mod limits;
mod local;
mod membership;
mod merkle;
mod permissions;
mod policy;
mod refusal;
mod repeats;
mod seal;
mod secret;
mod trust;
mod wire;

pub use actor::{ActorName, Incarnation};
pub use admitted::{Admitted, Full};
pub use app::{AppId, AppIdError};
pub use armour::{ArmourError, ArmourLabel, armour, unarmour};
pub use author::Author;
pub use certificate::{
    Certificate, CertificateKind, CertificateName, Extension, Serial, SignedCertificate,
};
pub use chain::CertificateChain;
pub use clock::Clock;
pub use envelope::{Envelope, EnvelopeError};
pub use hex::{hex, parse_hex};
pub use issuer::{CertificateRequest, IssueError, Issuer, Validity};
pub use issuer_key::{EncryptedIssuerKey, IssuerKeyError, Passphrase};
pub use key::{DeviceKey, KeyError, KeyId, PublicKey};
pub use limits::*;
pub use local::LocalIdentity;
pub use membership::{Inadmissible, Membership, admissible};
pub use merkle::{MerkleHash, Opened, leaf, open, prove, prove_from_paths, root, root_of};
pub use permissions::{Permissions, Rights};
pub use policy::Policy;
pub use refusal::{CertificateError, RefusalCode};
pub use repeats::Repeats;
pub use seal::{Seal, SealError, SealName, SealTerms};
pub use secret::{SecretError, SharedSecret};
pub use trust::{Trust, TrustError, Verified};
