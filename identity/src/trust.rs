//! Whom a device trusts, and the one path by which a certificate becomes believed.

use std::{ops::Deref, sync::Arc};

use crate::{
    app::AppId,
    certificate::{Certificate, CertificateKind, SignedCertificate},
    chain::CertificateChain,
    key::PublicKey,
    limits::ROOTS_MAX,
    refusal::CertificateError,
};

/// The app of a device and the issuers whose certificates count in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    app: AppId,
    roots: Arc<[Root]>,
}

/// An issuer that is trusted for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Root {
    key: PublicKey,
    /// What it says about itself: how long it counts and what it may give. Without one it counts always and may give
    /// everything, as a development issuer does.
    certificate: Option<Certificate>,
}

/// Something that was signed, together with the proof that it was checked: only this crate's checks make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    /// What its issuers' certificates say, from its own issuer up to the root.
    above: Arc<[T]>,
    signed: CertificateChain,
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
    /// A certificate can't be read, or belongs to another app.
    #[error("a root's certificate is refused: {0}")]
    Certificate(#[from] CertificateError),
    /// A certificate is not one that an issuer made for itself.
    #[error(
        "the certificate of {name:?} is no root's: a root signs its own, this one is signed by another issuer or is no issuer's"
    )]
    NotRoot {
        /// Whose certificate it is.
        name: String,
    },
}

impl Trust {
    /// Trusts the holders of the keys `roots` to issue certificates for `app`. Several at once, so that a root can be
    /// replaced.
    ///
    /// # Errors
    /// [`TrustError`] when there is no root or more than [`ROOTS_MAX`].
    pub fn new(app: AppId, roots: &[PublicKey]) -> Result<Self, TrustError> {
        check_count(roots.len())?;
        let bare = |key: &PublicKey| Root {
            key: *key,
            certificate: None,
        };
        Ok(Self {
            app,
            roots: roots.iter().map(bare).collect(),
        })
    }

    /// Trusts the issuers that made these certificates for themselves, as long and as far as these say.
    ///
    /// # Errors
    /// [`TrustError`] when there is none or more than [`ROOTS_MAX`], or one of them is no root's or of another app.
    pub fn certified(app: AppId, roots: &[SignedCertificate]) -> Result<Self, TrustError> {
        check_count(roots.len())?;
        let root = |signed: &SignedCertificate| {
            let (found, signer) = signed.open()?;
            check_app(&found, &app)?;
            if found.kind != CertificateKind::Issuer || found.subject != signer {
                return Err(TrustError::NotRoot { name: found.name });
            }
            Ok(Root {
                key: signer,
                certificate: Some(found),
            })
        };
        let roots = roots.iter().map(root).collect::<Result<_, _>>()?;
        Ok(Self { app, roots })
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// Believes the first certificate of `chain` if it leads to a trusted root, all of it is for this app and valid at
    /// `now_ms`, no certificate plainly claims more than the one above it has, and the first one is about `subject`: the
    /// key that the other side has proven to hold.
    ///
    /// # Errors
    /// [`CertificateError`] names the first check that failed. The app is looked at before the issuer, because an
    /// app's development issuer differs with its id and "another app" is the plainer reason.
    pub fn verify(
        &self,
        chain: &CertificateChain,
        subject: PublicKey,
        now_ms: u64,
    ) -> Result<Verified<Certificate>, CertificateError> {
        let (value, above) = self.walk(chain)?;
        check_holder(&value, subject)?;
        check_time(&value, now_ms)?;
        for (index, issuer) in above.iter().enumerate() {
            check_time(issuer, now_ms).map_err(|error| error.of_issuer(index + 1))?;
        }
        let mut below = &value;
        for issuer in &above {
            below.permissions.check_within(&issuer.permissions)?;
            below = issuer;
        }
        Ok(Verified {
            value,
            above: above.into(),
            signed: chain.clone(),
        })
    }

    /// Follows the signatures from the first certificate to a root, and gives what they say, apart and in this order.
    fn walk(
        &self,
        chain: &CertificateChain,
    ) -> Result<(Certificate, Vec<Certificate>), CertificateError> {
        let (first, mut signer) = self.read(chain.first())?;
        let mut above = Vec::with_capacity(chain.issuers().len() + 1);
        for (index, signed) in chain.issuers().iter().enumerate() {
            let (issuer, its_signer) = self
                .read(signed)
                .map_err(|error| error.of_issuer(index + 1))?;
            let fits = issuer.kind == CertificateKind::Issuer && issuer.subject == signer;
            if !fits || self.root(signer).is_some() {
                return Err(CertificateError::BrokenChain { place: index + 1 });
            }
            above.push(issuer);
            signer = its_signer;
        }
        let root = self.root(signer).ok_or(CertificateError::UnknownRoot {
            issuer: signer.id(),
        })?;
        above.extend(root.certificate.clone());
        Ok((first, above))
    }

    fn read(
        &self,
        signed: &SignedCertificate,
    ) -> Result<(Certificate, PublicKey), CertificateError> {
        let (found, signer) = signed.open()?;
        check_app(&found, &self.app)?;
        Ok((found, signer))
    }

    fn root(&self, key: PublicKey) -> Option<&Root> {
        self.roots.iter().find(|root| root.key == key)
    }
}

fn check_count(roots: usize) -> Result<(), TrustError> {
    match roots {
        0 => Err(TrustError::NoRoot),
        1..=ROOTS_MAX => Ok(()),
        roots => Err(TrustError::TooManyRoots { roots }),
    }
}

fn check_app(found: &Certificate, ours: &AppId) -> Result<(), CertificateError> {
    if found.app == *ours {
        return Ok(());
    }
    Err(CertificateError::OtherApp {
        theirs: found.app.clone(),
        ours: ours.clone(),
    })
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
    pub fn signed(&self) -> &CertificateChain {
        &self.signed
    }

    /// What the certificate says, then what each certificate above it says, up to the root's where that has one. A right
    /// is only had if the permissions of every one of them give it; a rule speaks of the claims that stand beside it.
    pub fn along_chain(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.value).chain(self.above.iter())
    }

    /// Whether nothing is withheld from the holder, by any certificate of the chain.
    #[must_use]
    pub fn has_every_right(&self) -> bool {
        self.along_chain()
            .all(|certificate| certificate.permissions.is_everything())
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests;
