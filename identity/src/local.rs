//! The identity of this device: its key, its certificate, and whom it trusts.

use libp2p_identity::PeerId;

use crate::{
    app::AppId,
    certificate::Certificate,
    chain::CertificateChain,
    key::DeviceKey,
    refusal::CertificateError,
    trust::{Trust, Verified},
};

/// What a device needs to be admitted by others and to admit them. Its own certificate was verified as others will.
#[derive(Debug, Clone)]
pub struct LocalIdentity {
    key: DeviceKey,
    certificate: Verified<Certificate>,
    trust: Trust,
}

impl LocalIdentity {
    /// Puts the parts together if the chain's first certificate holds for this key, this app and the time `now_ms`.
    ///
    /// # Errors
    /// [`CertificateError`] as others would find it.
    pub fn new(
        key: DeviceKey,
        chain: &CertificateChain,
        trust: Trust,
        now_ms: u64,
    ) -> Result<Self, CertificateError> {
        let certificate = trust.verify(chain, key.public(), now_ms)?;
        Ok(Self {
            key,
            certificate,
            trust,
        })
    }

    /// The device's key.
    #[must_use]
    pub fn key(&self) -> &DeviceKey {
        &self.key
    }

    /// The device's peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.key.peer_id()
    }

    /// The app that the device belongs to.
    #[must_use]
    pub fn app(&self) -> &AppId {
        self.trust.app()
    }

    /// The device's certificate; its `signed()` are the bytes to show to others.
    #[must_use]
    pub fn certificate(&self) -> &Verified<Certificate> {
        &self.certificate
    }

    /// Whom the device trusts.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }
}
