//! Certificates: what an issuer signed about a device.
//!
//! The types here are what the rest of Sedge works with; [`wire`](self::wire) turns them into the signed bytes and
//! back. A certificate from outside is believed only as a [`Verified`](crate::Verified).

mod wire;

use std::{collections::BTreeMap, fmt, sync::Arc};

#[cfg(test)]
pub(crate) use self::wire::decode;
pub(crate) use self::wire::{DOMAIN, PAYLOAD_TYPE, encode};
use crate::{
    app::AppId,
    armour::{ArmourError, ArmourLabel, armour, unarmour},
    envelope::Envelope,
    hex::hex,
    key::{KeyId, PublicKey},
    limits::CERTIFICATE_BYTES_MAX,
    permissions::Permissions,
    refusal::CertificateError,
};

/// What an issuer states about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Told apart from every other certificate of the issuer by this random number; revocation names it.
    pub serial: Serial,
    /// The app in which the certificate counts.
    pub app: AppId,
    /// The key that the certificate is about.
    pub subject: PublicKey,
    /// The device's name, for people.
    pub name: String,
    /// The user on whose behalf the device acts, if any.
    pub user_id: Option<String>,
    /// What the key may be used for.
    pub kind: CertificateKind,
    /// First moment of validity, in ms since the Unix epoch.
    pub not_before_ms: u64,
    /// Last moment of validity, in ms since the Unix epoch; [`NO_END_MS`](crate::NO_END_MS) when it does not expire.
    pub not_after_ms: u64,
    /// The key that signed the certificate, by its short name.
    pub issuer: KeyId,
    /// What the device may read and write.
    pub permissions: Permissions,
    /// Facts about the user or device that permission rules can name.
    pub claims: BTreeMap<String, String>,
    /// Extensions that a reader must understand or else refuse the certificate.
    pub critical: Vec<Extension>,
    /// Extensions that a reader may ignore.
    pub extra: Vec<Extension>,
}

/// What a certificate's key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateKind {
    /// Signing other certificates. Such a key is never admitted as a peer.
    Issuer,
    /// A device of a user.
    Device,
    /// A service, such as a Big Peer.
    Service,
}

/// A part of a certificate that later versions may add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its contents, in a form that the name implies.
    pub value: Vec<u8>,
}

/// The random number of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub [u8; 16]);

/// The name of a certificate: BLAKE3 of its envelope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateName([u8; 32]);

/// The exact bytes of a certificate's envelope, not yet believed. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCertificate(Arc<[u8]>);

impl CertificateName {
    /// Takes the 32 bytes of a name as they stand.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl SignedCertificate {
    /// Takes the bytes of an envelope, as read from a file or a peer. Only their number is checked.
    ///
    /// # Errors
    /// [`CertificateError::TooLarge`] above [`CERTIFICATE_BYTES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLarge { bytes: bytes.len() });
        }
        Ok(Self(Arc::from(bytes)))
    }

    /// Reads the certificates of an armoured text, in its order. Only their number and sizes are checked.
    ///
    /// # Errors
    /// [`ArmourError`] when there is none, or a block is damaged, of another kind, or too large.
    pub fn all_from_text(text: &str) -> Result<Vec<Self>, ArmourError> {
        let blocks = unarmour(ArmourLabel::Certificate, text)?;
        let certificates = blocks.iter().map(|block| Self::from_bytes(block));
        Ok(certificates.collect::<Result<_, _>>()?)
    }

    /// The armoured text of the certificate.
    #[must_use]
    pub fn to_text(&self) -> String {
        armour(ArmourLabel::Certificate, &self.0)
    }

    /// The exact bytes of the envelope.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what the certificate says and the key that signed it, to show it or to go on checking. The signature
    /// holds; whether its signer is to be trusted is what [`Trust`](crate::Trust) decides.
    ///
    /// # Errors
    /// [`CertificateError`] when the bytes are no certificate, the signature does not hold or is not by the issuer that
    /// the certificate names, or a critical extension is unknown.
    pub fn open(&self) -> Result<(Certificate, PublicKey), CertificateError> {
        let opened = Envelope::open(&self.0, DOMAIN, PAYLOAD_TYPE, CERTIFICATE_BYTES_MAX)?;
        let certificate = wire::decode(opened.payload())?;
        if certificate.issuer != opened.signer().id() {
            return Err(CertificateError::Damaged("issuer"));
        }
        Ok((certificate, opened.signer()))
    }

    /// The name of the certificate.
    #[must_use]
    pub fn name(&self) -> CertificateName {
        CertificateName(*blake3::hash(&self.0).as_bytes())
    }
}

impl fmt::Display for CertificateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Issuer => "issuer",
            Self::Device => "device",
            Self::Service => "service",
        })
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.0))
    }
}

impl fmt::Debug for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateName({self})")
    }
}

impl fmt::Debug for SignedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SignedCertificate({} bytes, {})",
            self.0.len(),
            self.name()
        )
    }
}
