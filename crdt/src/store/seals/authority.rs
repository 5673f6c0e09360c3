//! Whose seals count: this device's identity, and the certificates of those whose seals came.

use super::super::database::damaged;
use super::super::error::StoreError;
use super::super::reads::Reads;
use super::super::schema::CERTIFICATES;
use super::super::{Inner, Store};
use crate::limits::CERTIFIED_KEPT_MAX;
use crate::seal::Certified;
use hashlink::LruCache;
use parking_lot::{Mutex, RwLock};
use sedge_identity::{
    CertificateChain, CertificateError, CertificateName, LocalIdentity, SignedCertificate,
};
use std::sync::Arc;

/// What a store knows of identities.
pub(in crate::store) struct Authority {
    own: RwLock<Option<Arc<Own>>>,
    certified: Mutex<LruCache<CertificateName, Arc<Certified>>>,
}

/// As whom this store writes, and whom it trusts.
pub(in crate::store) struct Own {
    pub(in crate::store) identity: Arc<LocalIdentity>,
    pub(in crate::store) certified: Arc<Certified>,
    pub(in crate::store) name: CertificateName,
}

impl Authority {
    pub(in crate::store) fn new() -> Self {
        Self {
            own: RwLock::default(),
            certified: Mutex::new(LruCache::new(CERTIFIED_KEPT_MAX)),
        }
    }

    /// Forgets who was certified with whom this store trusted: the roots may be others.
    fn replace(&self, own: Own) {
        let mut certified = self.certified.lock();
        *self.own.write() = Some(Arc::new(own));
        certified.clear();
    }

    /// Keeps who holds a certificate for `own`, unless that was replaced meanwhile.
    fn keep(&self, own: &Own, name: CertificateName, holder: Certified) -> Arc<Certified> {
        let holder = Arc::new(holder);
        let mut certified = self.certified.lock();
        let present = self.own.read();
        if present.as_deref().is_some_and(|it| std::ptr::eq(it, own)) {
            certified.insert(name, Arc::clone(&holder));
        }
        holder
    }

    /// # Errors
    /// [`StoreError::NotCertified`] before [`Store::certify`].
    pub(in crate::store) fn own(&self) -> Result<Arc<Own>, StoreError> {
        self.own.read().clone().ok_or(StoreError::NotCertified)
    }
}

impl Store {
    /// Says as whom this store writes and whom it trusts, from now on: what is written here is sealed, what others sealed is
    /// taken in. To be called again with each new certificate.
    ///
    /// # Errors
    /// The identity is of another device or app, or the database fails.
    pub fn certify(&self, identity: Arc<LocalIdentity>) -> Result<(), StoreError> {
        let inner = &self.0;
        if identity.key().public() != inner.device || *identity.app() != inner.app {
            return Err(StoreError::OtherIdentity);
        }
        let chain = identity.certificate().signed();
        let name = chain.name();
        let author = identity.trust().verify_author(chain)?;
        let certified = Arc::new(Certified::new(author)?);
        // A round of sealing sees what may be written and by which certificate that is sealed change at once.
        let sealing = inner.sealing.lock();
        if inner.database.newest().certificate(&name)?.as_ref() != Some(chain) {
            let mut batch = inner.database.batch();
            batch.put(CERTIFICATES, name.as_bytes(), chain_bytes(chain));
            batch.write_unsynced()?;
        }
        self.set_access(Some(Arc::new(certified.access.clone())));
        let authority = &inner.authority;
        authority.replace(Own {
            identity,
            certified,
            name,
        });
        let own = authority.own()?;
        inner.retry_set_aside(&own)?;
        inner.seal_again(&own)?;
        drop(sealing);
        self.1.sealing.start(inner);
        inner.release.wake();
        Ok(())
    }
}

impl Store {
    /// As whom this store writes.
    ///
    /// # Errors
    /// It has not been said yet.
    pub fn identity(&self) -> Result<Arc<LocalIdentity>, StoreError> {
        Ok(Arc::clone(&self.0.authority.own()?.identity))
    }
}

impl Inner {
    /// Who holds a certificate that is here, if its issuers are trusted.
    pub(in crate::store) fn certified(
        &self,
        own: &Own,
        name: &CertificateName,
    ) -> Result<Option<Arc<Certified>>, StoreError> {
        if let Some(certified) = self.authority.certified.lock().get(name) {
            return Ok(Some(Arc::clone(certified)));
        }
        let Some(chain) = self.database.newest().certificate(name)? else {
            return Ok(None);
        };
        let Ok(author) = own.identity.trust().verify_author(&chain) else {
            return Ok(None); // its root was trusted once
        };
        let certified = Certified::new(author)?;
        Ok(Some(self.authority.keep(own, *name, certified)))
    }

    /// Keeps a chain that came from outside, if its issuers are trusted. It is durable with what is written next.
    pub(in crate::store) fn learn(
        &self,
        own: &Own,
        name: CertificateName,
        chain: &CertificateChain,
    ) -> Result<(), StoreError> {
        if self.authority.certified.lock().contains_key(&name) {
            return Ok(());
        }
        let certified = Certified::new(own.identity.trust().verify_author(chain)?)?;
        let mut batch = self.database.batch();
        batch.put(CERTIFICATES, name.as_bytes(), chain_bytes(chain));
        batch.write_unsynced()?;
        self.authority.keep(own, name, certified);
        Ok(())
    }
}

impl Reads<'_> {
    pub(in crate::store) fn certificate(
        self,
        name: &CertificateName,
    ) -> Result<Option<CertificateChain>, StoreError> {
        let bytes = self.get(CERTIFICATES, name.as_bytes())?;
        let read =
            |bytes: Vec<u8>| read_chain(&bytes).map_err(|_| damaged(CERTIFICATES.as_bytes()));
        bytes.map(read).transpose()
    }
}

/// The certificates of a chain, each behind its length: as they are kept, and as they travel.
pub(in crate::store) fn chain_bytes(chain: &CertificateChain) -> Vec<u8> {
    let mut bytes = Vec::new();
    for certificate in chain.iter() {
        let certificate = certificate.as_bytes();
        bytes.extend_from_slice(&(certificate.len() as u32).to_le_bytes());
        bytes.extend_from_slice(certificate);
    }
    bytes
}

/// # Errors
/// The bytes are no chain.
pub(in crate::store) fn read_chain(mut bytes: &[u8]) -> Result<CertificateChain, CertificateError> {
    let mut certificates = Vec::new();
    while !bytes.is_empty() {
        let damaged = || CertificateError::Damaged("the chain");
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (certificate, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        certificates.push(SignedCertificate::from_bytes(certificate)?);
        bytes = rest;
    }
    let (first, issuers) = certificates
        .split_first()
        .ok_or(CertificateError::Damaged("the chain"))?;
    CertificateChain::new(first.clone(), issuers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedge_identity::{AppId, CertificateRequest, DeviceKey, Issuer, Trust};

    /// The certificate of a device by the issuer with this key.
    fn chain(issuer: u8, device: u8) -> CertificateChain {
        let key = DeviceKey::from_seed([device; 32]);
        let request = CertificateRequest::development(key.public(), "device");
        let certificate = root(issuer).issue(request, [device; 16], 1);
        certificate.unwrap().into()
    }

    fn root(issuer: u8) -> Issuer {
        Issuer::new(
            AppId::new("demo").unwrap(),
            DeviceKey::from_seed([issuer; 32]),
        )
    }

    /// Goal: who was certified by a trust that was replaced meanwhile is not remembered, though what began under it goes on.
    #[test]
    fn nothing_is_remembered_of_a_replaced_trust() {
        let folder = tempfile::tempdir().unwrap();
        let (app, key) = (AppId::new("demo").unwrap(), DeviceKey::from_seed([1; 32]));
        let store = Store::open(folder.path(), &app, &key.public()).unwrap();
        let trusting = |issuers: &[u8]| {
            let roots: Vec<_> = issuers.iter().map(|it| root(*it).public()).collect();
            let trust = Trust::new(app.clone(), &roots).unwrap();
            let own = LocalIdentity::new(key.clone(), &chain(98, 1), trust, 1);
            store.certify(Arc::new(own.unwrap())).unwrap();
            store.0.authority.own().unwrap()
        };
        let other = chain(99, 2);
        let before = trusting(&[98, 99]);
        store.0.learn(&before, other.name(), &other).unwrap();
        let found = |own: &Own| store.0.certified(own, &other.name()).unwrap();
        assert!(found(&before).is_some());
        let after = trusting(&[98]);
        assert!(found(&before).is_some());
        store.0.learn(&before, other.name(), &other).unwrap();
        assert!(found(&after).is_none());
    }
}
