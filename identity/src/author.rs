//! Whom a chain of certificates makes an author: what holds of a chain at every time and in everybody's hands.

use std::sync::Arc;

use crate::{
    certificate::{Certificate, CertificateKind, CertificateName},
    key::{KeyId, PublicKey},
    policy::Policy,
    refusal::CertificateError,
};

/// A device or service that a trusted root vouches for: its chain leads there and claims nothing beyond it. Whether the chain
/// counted when something was sealed is what [`Author::was_valid_at`] tells. Made by [`Trust`](crate::Trust) alone, and cheap
/// to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author(Arc<Links<Certificate>>);

/// What a chain of signed things says, checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Links<T> {
    pub(crate) first: T,
    /// What those of its issuers below the root say, from its own one upwards.
    pub(crate) above: Vec<T>,
    /// What the root says about itself: nothing when it is trusted without, more than once when it was renewed; these differ
    /// in their time alone.
    pub(crate) of_root: Arc<[T]>,
    /// The name of the first one.
    pub(crate) name: CertificateName,
    /// The key of the root.
    pub(crate) root: KeyId,
}

impl<T> Links<T> {
    /// From the first one upwards, with one of the root's.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let first = std::iter::once(&self.first);
        first.chain(&self.above).chain(self.of_root.first())
    }

    /// The first thing that is wrong with one of them. Of the root's certificates one must do.
    fn check(
        &self,
        check: impl Fn(&T) -> Result<(), CertificateError>,
    ) -> Result<(), CertificateError> {
        check(&self.first)?;
        for (issuer, place) in self.above.iter().zip(1..) {
            check(issuer).map_err(|error| error.of_issuer(place))?;
        }
        let mut outcome = Ok(());
        for certificate in &*self.of_root {
            outcome = check(certificate);
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map_err(|error| error.of_issuer(self.above.len() + 1))
    }
}

impl Links<Certificate> {
    /// Whether a device that shows them may be admitted at `now_ms`.
    pub(crate) fn check_now(&self, policy: &Policy, now_ms: u64) -> Result<(), CertificateError> {
        self.check(|certificate| {
            check_revoked(certificate, policy)?;
            check_time(certificate, now_ms)
        })
    }

    /// When the whole begins and ends to be valid around `now_ms`, at which it is: in ms since the Unix epoch. Of the root's
    /// certificates those count that do now, and those that take over from them without a gap.
    pub(crate) fn span_ms(&self, policy: &Policy, now_ms: u64) -> (u64, u64) {
        let of_root = self.of_root.iter();
        let of_root = of_root.filter(|it| check_revoked(it, policy).is_ok());
        let mut of_root: Vec<&Certificate> = of_root.collect();
        of_root.sort_by_key(|it| it.not_before_ms);
        let (mut begins_ms, mut ends_ms) = (now_ms, now_ms);
        for certificate in of_root {
            if certificate.not_after_ms >= now_ms
                && certificate.not_before_ms <= ends_ms.saturating_add(1)
            {
                begins_ms = begins_ms.min(certificate.not_before_ms);
                ends_ms = ends_ms.max(certificate.not_after_ms);
            }
        }
        // A root without a certificate counts always.
        if self.of_root.is_empty() {
            (begins_ms, ends_ms) = (0, u64::MAX);
        }
        for certificate in std::iter::once(&self.first).chain(&self.above) {
            begins_ms = begins_ms.max(certificate.not_before_ms);
            ends_ms = ends_ms.min(certificate.not_after_ms);
        }
        (begins_ms.min(now_ms), ends_ms)
    }

    /// Whether none of them plainly claims more than the one above it has.
    pub(crate) fn check_rights(&self) -> Result<(), CertificateError> {
        self.iter()
            .zip(self.iter().skip(1))
            .try_for_each(|(below, above)| below.permissions.check_within(&above.permissions))
    }
}

impl Author {
    pub(crate) fn new(links: Arc<Links<Certificate>>) -> Self {
        Self(links)
    }

    /// The key of the device.
    #[must_use]
    pub fn subject(&self) -> PublicKey {
        self.0.first.subject
    }

    /// The name of the device's certificate. Seals refer to it with its issuers', by the
    /// [name of the chain](crate::CertificateChain::name).
    #[must_use]
    pub fn name(&self) -> CertificateName {
        self.0.name
    }

    /// The device's name, for people.
    #[must_use]
    pub fn device_name(&self) -> &str {
        &self.0.first.name
    }

    /// Device or service.
    #[must_use]
    pub fn kind(&self) -> CertificateKind {
        self.0.first.kind
    }

    /// The root that vouches for it, by its key.
    #[must_use]
    pub fn root(&self) -> KeyId {
        self.0.root
    }

    /// What the device's certificate says, then what each one above it says, up to the root's where that has one. A right is
    /// only had if the permissions of every one of them give it; a rule speaks of the claims that stand beside it.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.0.iter()
    }

    /// Whether all of the chain, with a certificate of the root's, was valid when something was sealed: at `time_ms` since the
    /// Unix epoch, by the seal.
    ///
    /// # Errors
    /// [`CertificateError::NotValidThen`], within [`CertificateError::Issuer`] where it is an issuer's.
    pub fn was_valid_at(&self, time_ms: u64) -> Result<(), CertificateError> {
        self.0.check(|certificate| {
            check_time(certificate, time_ms).map_err(|_| CertificateError::NotValidThen {
                not_before_ms: certificate.not_before_ms,
                not_after_ms: certificate.not_after_ms,
                time_ms,
            })
        })
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

fn check_revoked(found: &Certificate, policy: &Policy) -> Result<(), CertificateError> {
    let key = policy.revoked_devices.contains(&found.subject);
    if key || policy.revoked_serials.contains(&found.serial) {
        return Err(CertificateError::Revoked {
            what: if key { "key" } else { "certificate" },
            serial: found.serial,
            subject: found.subject,
        });
    }
    Ok(())
}
