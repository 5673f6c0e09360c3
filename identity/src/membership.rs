//! What all who take part in admission share: who this device is at present, who is admitted, and the time.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{
    admitted::Admitted,
    certificate::Certificate,
    chain::CertificateChain,
    clock::Clock,
    key::PublicKey,
    local::LocalIdentity,
    refusal::CertificateError,
    trust::{Trust, Verified},
};

/// A device's part in its app. Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Replaced as a whole when the certificate is renewed or the trust changes.
    identity: Arc<RwLock<Arc<LocalIdentity>>>,
    admitted: Arc<Admitted>,
    clock: Arc<Clock>,
}

impl Membership {
    /// Puts the parts together.
    #[must_use]
    pub fn new(identity: LocalIdentity, admitted: Admitted, clock: Clock) -> Self {
        Self {
            identity: Arc::new(RwLock::new(Arc::new(identity))),
            admitted: Arc::new(admitted),
            clock: Arc::new(clock),
        }
    }

    /// Who this device is now. Asked for anew each time it matters, because it may be renewed.
    #[must_use]
    pub fn identity(&self) -> Arc<LocalIdentity> {
        let identity = self.identity.read();
        Arc::clone(&identity.unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces who this device is: with another certificate of its key, or another trust. Connections that are open are
    /// the mesh's affair.
    pub fn replace(&self, identity: LocalIdentity) {
        let own = self.identity.write();
        *own.unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }

    /// The admitted peers.
    #[must_use]
    pub fn admitted(&self) -> &Arc<Admitted> {
        &self.admitted
    }

    /// The clock by which certificates are judged.
    #[must_use]
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Takes up another certificate of this device, if others would take it.
    ///
    /// # Errors
    /// [`CertificateError`] as others would find it; then the present one stays.
    pub fn renew(&self, chain: &CertificateChain) -> Result<(), CertificateError> {
        let own = self.identity();
        let (key, trust) = (own.key().clone(), own.trust().clone());
        self.replace(LocalIdentity::new(key, chain, trust, self.clock.now_ms())?);
        Ok(())
    }
}

/// Why a peer is not admitted by its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inadmissible {
    /// The chain does not hold.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate, or one of its issuers', does not let it read everything.
    #[error("its certificate lets it read a part only, and this version holds nobody to a part")]
    LimitedReading,
}

/// Believes `chain` for admission at `now_ms`, when it is shown and when it is renewed: it is verified, about the key
/// `subject` that the connection has proven, and lets it read everything, because nothing holds an admitted peer to a part yet.
/// What it may write is judged change by change, whoever brings them, so a peer that may write nothing can carry others'
/// changes.
///
/// # Errors
/// [`Inadmissible`] says why not.
pub fn admissible(
    trust: &Trust,
    chain: &CertificateChain,
    subject: PublicKey,
    now_ms: u64,
) -> Result<Verified<Certificate>, Inadmissible> {
    let certificate = trust.verify(chain, subject, now_ms)?;
    if !certificate.reads_everything() {
        return Err(Inadmissible::LimitedReading);
    }
    Ok(certificate)
}

impl Verified<Certificate> {
    /// The last moment at which all certificates of the chain are valid, in ms since the Unix epoch. Of a root that renewed its
    /// certificate one is enough at each moment.
    #[must_use]
    pub fn ends_ms(&self) -> u64 {
        self.ends_ms
    }

    /// Whether no certificate of the chain withholds reading from the holder.
    #[must_use]
    pub fn reads_everything(&self) -> bool {
        let everything = |it: &Certificate| it.permissions.read.is_everything();
        self.along_chain().all(everything)
    }

    /// The latest time that an issuer of the chain has put its name to, in ms since the Unix epoch: the beginning of what
    /// it signed. Of a root's certificates the earliest that counts; never later than the time at which the chain was verified.
    #[must_use]
    pub fn begins_ms(&self) -> u64 {
        self.begins_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AppId, CLOCK_TOLERANCE_MS, CertificateKind, CertificateRequest, DeviceKey, Issuer,
        SignedCertificate, Validity,
    };

    const NOW_MS: u64 = 1_750_000_000_000;

    struct Issuing {
        root: Issuer,
        site: Issuer,
    }

    impl Issuing {
        fn new() -> Self {
            let app = AppId::new("demo").unwrap();
            let issuer = |seed| Issuer::new(app.clone(), DeviceKey::from_seed([seed; 32]));
            Self {
                root: issuer(1),
                site: issuer(2),
            }
        }

        fn root_certificate(&self, life_ms: u64) -> SignedCertificate {
            let request = CertificateRequest {
                kind: CertificateKind::Issuer,
                validity: Validity::Life { life_ms },
                ..CertificateRequest::development(self.root.public(), "root")
            };
            self.root.issue(request, [1; 16], NOW_MS).unwrap()
        }

        fn chain(&self, site_ms: u64, device_ms: u64) -> CertificateChain {
            let request = |subject, kind, life_ms| CertificateRequest {
                kind,
                validity: Validity::Life { life_ms },
                ..CertificateRequest::development(subject, "it")
            };
            let site = request(self.site.public(), CertificateKind::Issuer, site_ms);
            let device = DeviceKey::from_seed([3; 32]).public();
            let device = request(device, CertificateKind::Device, device_ms);
            let above = self.root.issue(site, [2; 16], NOW_MS).unwrap();
            let first = self.site.issue(device, [3; 16], NOW_MS).unwrap();
            CertificateChain::new(first, &[above]).unwrap()
        }
    }

    fn member(issuing: &Issuing, chain: &CertificateChain, root_ms: u64) -> Membership {
        let app = AppId::new("demo").unwrap();
        let trust = Trust::certified(app, &[issuing.root_certificate(root_ms)]).unwrap();
        let identity = LocalIdentity::new(DeviceKey::from_seed([3; 32]), chain, trust, NOW_MS);
        let clock = Clock::new(|| NOW_MS, 0);
        Membership::new(identity.unwrap(), Admitted::new(1), clock)
    }

    /// Goal: whichever certificate ends first, the root's own too, ends the whole.
    #[test]
    fn a_chain_ends_with_its_first_end() {
        let issuing = Issuing::new();
        for (device_ms, site_ms, root_ms) in [(5, 6, 7), (6, 5, 7), (7, 6, 5)] {
            let member = member(&issuing, &issuing.chain(site_ms, device_ms), root_ms);
            let own = member.identity();
            assert_eq!(own.certificate().ends_ms(), NOW_MS + 5);
            assert_eq!(own.certificate().begins_ms(), NOW_MS - CLOCK_TOLERANCE_MS);
        }
    }

    /// Goal: a root that renewed its certificate keeps its devices until the last that follows without a gap ends, and what is
    /// only to come moves no clock, whatever the order in which they are given.
    #[test]
    fn a_renewed_root_keeps_its_devices() {
        const DAY_MS: u64 = 86_400_000;
        let issuing = Issuing::new();
        let root = |from_day: i64, to_day: i64| {
            let issued_ms = NOW_MS.saturating_add_signed(from_day * DAY_MS as i64);
            let life_ms = (to_day - from_day) as u64 * DAY_MS;
            let request = CertificateRequest {
                kind: CertificateKind::Issuer,
                validity: Validity::Life { life_ms },
                ..CertificateRequest::development(issuing.root.public(), "root")
            };
            issuing.root.issue(request, [1; 16], issued_ms).unwrap()
        };
        let (ended, now) = (root(-10, -1), root(-5, 20));
        let (next, distant) = (root(19, 40), root(50, 400));
        let chain = issuing.chain(100 * DAY_MS, 30 * DAY_MS);
        let subject = DeviceKey::from_seed([3; 32]).public();
        for (roots, end_day) in [
            (vec![&ended, &now], 20),
            (vec![&now, &ended], 20),
            (vec![&now, &distant], 20),
            (vec![&distant, &now], 20),
            (vec![&next, &now], 30),
            (vec![&distant, &now, &next, &ended], 30),
        ] {
            let roots: Vec<SignedCertificate> = roots.into_iter().cloned().collect();
            let trust = Trust::certified(AppId::new("demo").unwrap(), &roots).unwrap();
            let found = trust.verify(&chain, subject, NOW_MS).unwrap();
            assert_eq!(found.ends_ms(), NOW_MS + end_day * DAY_MS);
            assert_eq!(found.begins_ms(), NOW_MS - CLOCK_TOLERANCE_MS);
        }
    }

    /// Goal: a device takes up a certificate that others would take, for all who share its membership, and keeps the
    /// present one where they would not; what an earlier reader holds does not change.
    #[test]
    fn only_a_good_certificate_is_taken_up() {
        let issuing = Issuing::new();
        let first = issuing.chain(100, 100);
        let member = member(&issuing, &first, 1_000);
        let (before, shared) = (member.identity(), member.clone());
        let renewed = issuing.chain(200, 200);
        member.renew(&renewed).unwrap();
        assert_eq!(shared.identity().certificate().signed(), &renewed);
        assert_eq!(before.certificate().signed(), &first);

        member.clock().raise(NOW_MS + 201);
        let error = member.renew(&issuing.chain(150, 150)).unwrap_err();
        assert!(matches!(error, CertificateError::Expired { .. }), "{error}");
        assert_eq!(shared.identity().certificate().signed(), &renewed);
    }
}
