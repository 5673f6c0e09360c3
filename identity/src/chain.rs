//! A certificate together with those of the issuers that stand between it and a root.

use std::sync::Arc;

use crate::{
    armour::ArmourError,
    certificate::{CertificateName, SignedCertificate},
    limits::{CERTIFICATE_BYTES_MAX, CHAIN_CERTIFICATES_MAX},
    refusal::CertificateError,
};

/// Separates the hash of a chain's name from every other use of BLAKE3.
const NAME_DOMAIN: &str = "sedge certificate chain 1";

/// A certificate and its issuers' certificates: each is signed with the key of the one after it, the last with a root's.
/// The root's own is not part of it, because whoever trusts the root has it. Not yet believed; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateChain {
    first: SignedCertificate,
    issuers: Arc<[SignedCertificate]>,
}

impl CertificateChain {
    /// Puts the parts together. Only their number and size are checked.
    ///
    /// # Errors
    /// [`CertificateError::TooLong`] above [`CHAIN_CERTIFICATES_MAX`] certificates, [`CertificateError::TooLarge`] when
    /// all of them have more than [`CERTIFICATE_BYTES_MAX`] bytes.
    pub fn new(
        first: SignedCertificate,
        issuers: &[SignedCertificate],
    ) -> Result<Self, CertificateError> {
        let certificates = issuers.len() + 1;
        if certificates > CHAIN_CERTIFICATES_MAX {
            return Err(CertificateError::TooLong { certificates });
        }
        let bytes = std::iter::once(&first)
            .chain(issuers)
            .map(|certificate| certificate.as_bytes().len())
            .sum();
        if bytes > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLarge { bytes });
        }
        Ok(Self {
            first,
            issuers: Arc::from(issuers),
        })
    }

    /// Takes the bytes of envelopes, as a peer sent them.
    ///
    /// # Errors
    /// As [`CertificateChain::new`].
    pub fn from_envelopes<B: AsRef<[u8]>>(
        first: &[u8],
        issuers: &[B],
    ) -> Result<Self, CertificateError> {
        let first = SignedCertificate::from_bytes(first)?;
        let issuers = issuers
            .iter()
            .take(CHAIN_CERTIFICATES_MAX) // one more than there may be, so that it is refused below
            .map(|envelope| SignedCertificate::from_bytes(envelope.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        Self::new(first, &issuers)
    }

    /// Reads an armoured text: the certificate, then those of its issuers upwards.
    ///
    /// # Errors
    /// [`ArmourError`] when the text is damaged, or what is in it is no chain by [`CertificateChain::new`].
    pub fn from_text(text: &str) -> Result<Self, ArmourError> {
        let certificates = SignedCertificate::all_from_text(text)?;
        let (first, issuers) = certificates
            .split_first()
            .ok_or(CertificateError::Damaged("the file"))?;
        Ok(Self::new(first.clone(), issuers)?)
    }

    /// The armoured text of all certificates, the first one first.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.iter().map(SignedCertificate::to_text).collect()
    }

    /// The certificate that the others vouch for.
    #[must_use]
    pub fn first(&self) -> &SignedCertificate {
        &self.first
    }

    /// The certificates of its issuers, from its own one upwards.
    #[must_use]
    pub fn issuers(&self) -> &[SignedCertificate] {
        &self.issuers
    }

    /// The name of the chain: that of its certificate where a root signed it, else BLAKE3 (derive-key
    /// context `sedge certificate chain 1`) of the names of all certificates, the first one first. A
    /// certificate has several chains once an issuer of it was certified anew, and they may give different rights.
    #[must_use]
    pub fn name(&self) -> CertificateName {
        if self.issuers.is_empty() {
            return self.first.name();
        }
        let mut hasher = blake3::Hasher::new_derive_key(NAME_DOMAIN);
        for certificate in self.iter() {
            hasher.update(certificate.name().as_bytes());
        }
        CertificateName::from_bytes(*hasher.finalize().as_bytes())
    }

    /// All of them, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &SignedCertificate> {
        std::iter::once(&self.first).chain(self.issuers.iter())
    }
}

impl From<SignedCertificate> for CertificateChain {
    /// A certificate that a root signed itself.
    fn from(first: SignedCertificate) -> Self {
        Self {
            first,
            issuers: Arc::from([]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(bytes: usize) -> SignedCertificate {
        SignedCertificate::from_bytes(&vec![0; bytes]).unwrap()
    }

    /// Goal: as many certificates and bytes as there may be are taken, one more is refused.
    #[test]
    fn chains_are_bounded() {
        let chain = |bytes, count| {
            CertificateChain::new(certificate(bytes), &vec![certificate(1); count - 1])
        };
        let most = chain(10, CHAIN_CERTIFICATES_MAX).unwrap();
        assert_eq!(most.iter().count(), CHAIN_CERTIFICATES_MAX);
        assert_eq!(
            chain(10, CHAIN_CERTIFICATES_MAX + 1),
            Err(CertificateError::TooLong {
                certificates: CHAIN_CERTIFICATES_MAX + 1
            })
        );
        let largest = chain(CERTIFICATE_BYTES_MAX - 1, 2).unwrap();
        assert_eq!(CertificateChain::from_text(&largest.to_text()), Ok(largest));
        assert_eq!(
            chain(CERTIFICATE_BYTES_MAX, 2),
            Err(CertificateError::TooLarge {
                bytes: CERTIFICATE_BYTES_MAX + 1
            })
        );
        let many = vec![[0_u8; 1]; 10_000];
        assert_eq!(
            CertificateChain::from_envelopes(&[0], &many),
            Err(CertificateError::TooLong {
                certificates: CHAIN_CERTIFICATES_MAX + 1
            })
        );
    }
}
