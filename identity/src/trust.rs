//! Whom a device trusts, and the one path by which a certificate becomes believed.

use std::{ops::Deref, sync::Arc};

use crate::{
    app::AppId,
    certificate::{self, Certificate, CertificateKind, SignedCertificate, Unacceptable},
    envelope::Envelope,
    key::PublicKey,
    limits::{CERTIFICATE_BYTES_MAX, ROOTS_MAX},
    refusal::CertificateError,
};

/// The app of a device and the issuers whose certificates count in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    app: AppId,
    roots: Arc<[PublicKey]>,
}

/// Something that was signed, together with the proof that it was checked: only this crate's checks make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    signed: SignedCertificate,
}

/// Why a list of issuers can't be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// There is none.
    #[error("no trusted issuer is given: nobody could be admitted")]
    NoRoot,
    /// There are too many.
    #[error("{roots} trusted issuers are given, at most {ROOTS_MAX} are allowed")]
    TooManyRoots {
        /// How many were given.
        roots: usize,
    },
}

impl Trust {
    /// Trusts `roots` to issue certificates for `app`. Several at once, so that a root can be replaced.
    ///
    /// # Errors
    /// [`TrustError`] when there is no root or more than [`ROOTS_MAX`].
    pub fn new(app: AppId, roots: &[PublicKey]) -> Result<Self, TrustError> {
        match roots.len() {
            0 => Err(TrustError::NoRoot),
            1..=ROOTS_MAX => Ok(Self {
                app,
                roots: Arc::from(roots),
            }),
            roots => Err(TrustError::TooManyRoots { roots }),
        }
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// Believes the certificate in `envelope` if a trusted issuer signed it for this app and for `subject` (the key that
    /// the other side has proven to hold) and it is valid at `now_ms`.
    ///
    /// # Errors
    /// [`CertificateError`] names the first check that failed. The app is looked at before the issuer, because an
    /// app's development issuer differs with its id and "another app" is the plainer reason.
    pub fn verify(
        &self,
        envelope: &[u8],
        subject: PublicKey,
        now_ms: u64,
    ) -> Result<Verified<Certificate>, CertificateError> {
        let opened = Envelope::open(
            envelope,
            certificate::DOMAIN,
            certificate::PAYLOAD_TYPE,
            CERTIFICATE_BYTES_MAX,
        )?;
        let value = certificate::decode(opened.payload())?;
        self.check_issuer(&value, opened.signer())?;
        check_holder(&value, subject)?;
        check_time(&value, now_ms)?;
        let signed = SignedCertificate::from_bytes(envelope)?;
        Ok(Verified { value, signed })
    }

    /// One level: the signer is itself a root. A chain of issuing certificates would be walked here.
    fn check_issuer(&self, found: &Certificate, signer: PublicKey) -> Result<(), CertificateError> {
        if found.issuer != signer.id() {
            return Err(CertificateError::Damaged("issuer"));
        }
        if found.app != self.app {
            return Err(CertificateError::OtherApp {
                theirs: found.app.clone(),
                ours: self.app.clone(),
            });
        }
        if !self.roots.contains(&signer) {
            return Err(CertificateError::UnknownRoot {
                issuer: signer.id(),
            });
        }
        Ok(())
    }
}

fn check_holder(found: &Certificate, presented: PublicKey) -> Result<(), CertificateError> {
    match found.kind {
        CertificateKind::Issuer => Err(CertificateError::IssuerKind),
        CertificateKind::Device | CertificateKind::Service if found.subject == presented => Ok(()),
        CertificateKind::Device | CertificateKind::Service => Err(CertificateError::OtherKey {
            subject: found.subject,
            presented,
        }),
    }
}

fn check_time(found: &Certificate, now_ms: u64) -> Result<(), CertificateError> {
    if now_ms > found.not_after_ms {
        return Err(CertificateError::Expired {
            not_after_ms: found.not_after_ms,
            now_ms,
        });
    }
    if now_ms < found.not_before_ms {
        return Err(CertificateError::NotYetValid {
            not_before_ms: found.not_before_ms,
            now_ms,
        });
    }
    Ok(())
}

impl Verified<Certificate> {
    /// The exact bytes that were verified.
    #[must_use]
    pub fn signed(&self) -> &SignedCertificate {
        &self.signed
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl From<Unacceptable> for CertificateError {
    fn from(reason: Unacceptable) -> Self {
        match reason {
            Unacceptable::Version(version) => Self::UnsupportedVersion { version },
            Unacceptable::Critical(name) => Self::UnknownCritical { name },
            Unacceptable::Field(field) => Self::Damaged(field),
        }
    }
}

#[cfg(test)]
mod tests;
