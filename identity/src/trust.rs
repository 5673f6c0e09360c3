//! Whom a device trusts, and the one path by which a certificate becomes believed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::Arc,
};

use crate::{
    app::AppId,
    author::{Author, Links},
    certificate::{Certificate, CertificateKind, CertificateName, SignedCertificate},
    chain::CertificateChain,
    key::{KeyId, PublicKey},
    limits::ROOTS_MAX,
    policy::Policy,
    refusal::CertificateError,
};

/// For which purpose a trust is hashed.
const DIGEST_DOMAIN: &str = "sedge 2026 what a trust accepts";

/// The app of a device, the issuers whose certificates count in it, and what of these was taken back. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    app: AppId,
    roots: Arc<[Root]>,
    policy: Arc<Policy>,
}

/// An issuer that is trusted for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Root {
    key: PublicKey,
    /// What it says about itself: how long it counts and what it may give. With several it counts as long as any of them
    /// does. Without one it counts always and may give everything, as a development issuer does.
    certificates: Arc<[Certificate]>,
    /// Their names, ascending.
    names: Arc<[CertificateName]>,
}

/// Something that was signed, together with the proof that it was checked: only this crate's checks make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    links: Arc<Links<T>>,
    signed: CertificateChain,
    pub(crate) begins_ms: u64,
    pub(crate) ends_ms: u64,
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
    /// Two certificates of one root say different things.
    #[error(
        "the certificates of the root {name:?} differ in permissions or claims, so what it may give is unclear: leave one out"
    )]
    Contradiction {
        /// The root's name in the later one.
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
            certificates: Arc::default(),
            names: Arc::default(),
        };
        Ok(Self {
            app,
            roots: roots.iter().map(bare).collect(),
            policy: Arc::default(),
        })
    }

    /// Trusts the issuers that made these certificates for themselves, as long and as far as these say. One that renewed its
    /// own counts as long as either does, so that what was sealed before the renewal remains.
    ///
    /// # Errors
    /// [`TrustError`] when there is none or more than [`ROOTS_MAX`], one of them is no root's or of another app, or two of
    /// one root give different rights.
    pub fn certified(app: AppId, roots: &[SignedCertificate]) -> Result<Self, TrustError> {
        check_count(roots.len())?;
        let mut by_key: BTreeMap<PublicKey, Vec<Certificate>> = BTreeMap::new();
        let mut names: BTreeMap<PublicKey, BTreeSet<CertificateName>> = BTreeMap::new();
        for signed in roots {
            let (found, signer) = signed.open()?;
            check_app(&found, &app)?;
            if found.kind != CertificateKind::Issuer || found.subject != signer {
                return Err(TrustError::NotRoot { name: found.name });
            }
            let known = by_key.entry(signer).or_default();
            let agrees = |other: &Certificate| {
                other.permissions == found.permissions && other.claims == found.claims
            };
            if !known.iter().all(agrees) {
                return Err(TrustError::Contradiction { name: found.name });
            }
            known.push(found);
            names.entry(signer).or_default().insert(signed.name());
        }
        let mut root = |(key, certificates): (PublicKey, Vec<Certificate>)| Root {
            key,
            certificates: certificates.into(),
            names: names.remove(&key).unwrap_or_default().into_iter().collect(),
        };
        Ok(Self {
            app,
            roots: by_key.into_iter().map(&mut root).collect(),
            policy: Arc::default(),
        })
    }

    /// The same, with what was revoked in the place of what was revoked before.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self {
            policy: Arc::new(policy),
            ..self
        }
    }

    /// What was revoked.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Names what decides which changes are accepted: the roots, what each says of how long it counts and what it may give, and
    /// the cuts. Whoever has the same accepts alike, in whatever order it was told of them.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST_DOMAIN);
        let mut roots: Vec<&Root> = self.roots.iter().collect();
        roots.sort_unstable_by_key(|root| root.key);
        roots.dedup_by_key(|root| root.key);
        hasher.update(&(roots.len() as u64).to_le_bytes());
        for root in roots {
            hasher.update(root.key.as_bytes());
            hasher.update(&(root.names.len() as u64).to_le_bytes());
            for name in &*root.names {
                hasher.update(name.as_bytes());
            }
        }
        for (actor, cut_ms) in &self.policy.cuts {
            hasher.update(&actor.0);
            hasher.update(&cut_ms.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// The keys of the trusted issuers, by their short names.
    pub fn roots(&self) -> impl Iterator<Item = KeyId> {
        self.roots.iter().map(|root| root.key.id())
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// Admits the holder of the first certificate of `chain`: it is an [author](Trust::verify_author)'s, it is about
    /// `subject`, the key that the other side has proven to hold, nothing of the chain is revoked, and all of it is valid at
    /// `now_ms`.
    ///
    /// # Errors
    /// [`CertificateError`] names the first check that failed.
    pub fn verify(
        &self,
        chain: &CertificateChain,
        subject: PublicKey,
        now_ms: u64,
    ) -> Result<Verified<Certificate>, CertificateError> {
        let links = self.links(chain)?;
        if links.first.subject != subject {
            return Err(CertificateError::OtherKey {
                subject: links.first.subject,
                presented: subject,
            });
        }
        links.check_now(&self.policy, now_ms)?;
        let (begins_ms, ends_ms) = links.span_ms(&self.policy, now_ms);
        Ok(Verified {
            links: Arc::new(links),
            signed: chain.clone(),
            begins_ms,
            ends_ms,
        })
    }

    /// Believes the first certificate of `chain`, whoever shows it: it leads to a trusted root, all of it is for this app, it
    /// is a device's or service's, and no certificate plainly claims more than the one above it has. The app is looked at
    /// before the issuer, because an app's development issuer differs with its id and "another app" is the plainer reason.
    ///
    /// Neither the time nor what is revoked counts here: a seal was made at its own time ([`Author::was_valid_at`]), and what
    /// was written before a revocation remains, unless [a cut](Policy::excludes) takes it.
    ///
    /// # Errors
    /// [`CertificateError`] names the first check that failed.
    pub fn verify_author(&self, chain: &CertificateChain) -> Result<Author, CertificateError> {
        Ok(Author::new(Arc::new(self.links(chain)?)))
    }

    fn links(&self, chain: &CertificateChain) -> Result<Links<Certificate>, CertificateError> {
        let links = self.walk(chain)?;
        if links.first.kind == CertificateKind::Issuer {
            return Err(CertificateError::IssuerKind);
        }
        links.check_rights()?;
        Ok(links)
    }

    /// Follows the signatures from the first certificate to the uppermost root. So an issuer that comes to be trusted as a root
    /// changes nothing about the chains that went through it, as long as the root above it is trusted too; and they lead to
    /// itself once that one is not.
    fn walk(&self, chain: &CertificateChain) -> Result<Links<Certificate>, CertificateError> {
        let (first, mut signer) = self.read(chain.first())?;
        let mut above = Vec::with_capacity(chain.issuers().len());
        let mut found = self.root(signer).map(|root| (0, root));
        for (index, signed) in chain.issuers().iter().enumerate() {
            let (issuer, its_signer) = self
                .read(signed)
                .map_err(|error| error.of_issuer(index + 1))?;
            let fits = issuer.kind == CertificateKind::Issuer && issuer.subject == signer;
            if !fits || its_signer == signer {
                return Err(CertificateError::BrokenChain { place: index + 1 });
            }
            above.push(issuer);
            signer = its_signer;
            found = self.root(signer).map(|root| (above.len(), root)).or(found);
        }
        let (below, root) = found.ok_or(CertificateError::UnknownRoot {
            issuer: signer.id(),
        })?;
        above.truncate(below);
        Ok(Links {
            first,
            above,
            of_root: Arc::clone(&root.certificates),
            name: chain.first().name(),
            root: root.key.id(),
        })
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

impl Verified<Certificate> {
    /// The exact bytes that were verified.
    #[must_use]
    pub fn signed(&self) -> &CertificateChain {
        &self.signed
    }

    /// What the certificate says, then what each certificate above it says, up to the root's where that has one. A right
    /// is only had if the permissions of every one of them give it; a rule speaks of the claims that stand beside it.
    pub fn along_chain(&self) -> impl Iterator<Item = &Certificate> {
        self.links.iter()
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.links.first
    }
}

#[cfg(test)]
mod tests;
