//! What a device of an authenticated identity has instead of a secret: the roots that it trusts, and its certificate.

use super::{Settings, StateError, StateFolder, read, write_private};
use crate::error::NodeError;
use crate::node::{Identity, now_ms};
use sedge_crdt::Access;
use sedge_identity::{
    AppId, Certificate, CertificateChain, CertificateError, PublicKey, SignedCertificate, Trust,
};
use std::path::PathBuf;

impl StateFolder {
    /// Makes a device as [`init`](StateFolder::init) does, which trusts `roots` instead of sharing a secret. Gives back the
    /// key that is to be certified.
    ///
    /// # Errors
    /// There is a device already, the app id or the name can't be one, the roots are none of this app, or the folder
    /// belongs to others or can't be written.
    pub fn init_certified(
        &self,
        settings: &Settings,
        roots: &[SignedCertificate],
    ) -> Result<PublicKey, NodeError> {
        Trust::certified(AppId::new(&settings.app)?, roots)?;
        let ((), key) = self.make_device(settings, || self.settle_roots(roots))?;
        Ok(key)
    }

    /// Makes a certificate the one by which this device is admitted. A running daemon takes it up by itself.
    ///
    /// # Errors
    /// The device shares a secret, or peers that trust the same roots would refuse the certificate.
    pub fn install_certificate(&self, chain: &CertificateChain) -> Result<(), NodeError> {
        let app = AppId::new(&self.settings()?.app)?;
        let path = self.roots_path();
        if !path.exists() {
            return Err(StateError::Content {
                path,
                reason: "is not there: this device shares a secret with others and needs no certificate; make one that has \
                         one with: sedge init --root FILE"
                    .to_owned(),
            }
            .into());
        }
        let roots = SignedCertificate::all_from_text(&read(&path)?)?;
        let trust = Trust::certified(app, &roots)?;
        trust.verify(chain, self.key()?.public(), now_ms())?;
        write_private(&self.certificate_path(), chain.to_text())?;
        Ok(())
    }

    /// How the device proves that it belongs to the app.
    ///
    /// # Errors
    /// A file can't be read, both a secret and roots are there, or no certificate has been installed yet.
    pub fn identity(&self) -> Result<Identity, StateError> {
        self.check_roots_are_there()?;
        if !self.roots_path().exists() {
            return Ok(Identity::development(self.secret()?.expose()));
        }
        self.check_no_secret()?;
        let path = self.certificate_path();
        if !path.exists() {
            return Err(StateError::NotCertified {
                path: self.path().to_owned(),
                key: self.key()?.public(),
            });
        }
        Ok(Identity::authenticated(
            read(&path)?,
            read(&self.roots_path())?,
        ))
    }

    /// What the installed certificate lets the device do, valid now or not: a device whose certificate has ended goes on
    /// within its rights, and one that waits for its first is not held to any. `None` also for one that shares a secret.
    ///
    /// # Errors
    /// A file can't be read, or holds no certificate.
    pub(crate) fn access(&self) -> Result<Option<Access>, NodeError> {
        self.check_roots_are_there()?;
        if !self.roots_path().exists() || !self.certificate_path().exists() {
            return Ok(None);
        }
        let chain = CertificateChain::from_text(&read(&self.certificate_path())?)?;
        let mut certificates = opened(chain.iter())?;
        // The root's certificate is not part of the chain, and limits it all the same.
        let issuer = certificates.last().map(|top| top.issuer);
        let roots = SignedCertificate::all_from_text(&read(&self.roots_path())?)?;
        let roots = opened(roots.iter())?;
        certificates.extend(
            roots
                .into_iter()
                .find(|root| Some(root.subject.id()) == issuer),
        );
        Ok(Some(Access::of(certificates.iter())?))
    }

    /// The text of the device's certificate; none where it shares a secret, or has not been certified yet.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn certificate(&self) -> Result<Option<String>, StateError> {
        let path = self.certificate_path();
        match self.roots_path().exists() && path.exists() {
            true => read(&path).map(Some),
            false => Ok(None),
        }
    }

    /// A certificate without its roots would pass for a shared secret, and leave the device without limits.
    fn check_roots_are_there(&self) -> Result<(), StateError> {
        let path = self.roots_path();
        if path.exists() || !self.certificate_path().exists() {
            return Ok(());
        }
        Err(StateError::Content {
            path,
            reason: "is not there, though this device has a certificate; put the certificates of the issuers that it trusts \
                     there again, as from a peer's roots.crt"
                .to_owned(),
        })
    }

    /// The roots of an init that was cut short stay only if they are the same.
    fn settle_roots(&self, roots: &[SignedCertificate]) -> Result<(), StateError> {
        self.check_no_secret()?;
        let (path, text) = (self.roots_path(), text_of(roots));
        if path.exists() && read(&path)? != text {
            return Err(StateError::Content {
                path,
                reason: "holds other roots; remove it, or choose another folder with --state"
                    .to_owned(),
            });
        }
        write_private(&path, text)
    }

    pub(super) fn check_no_roots(&self) -> Result<(), StateError> {
        only_one(self.roots_path())
    }

    fn check_no_secret(&self) -> Result<(), StateError> {
        only_one(self.secret_path())
    }

    fn roots_path(&self) -> PathBuf {
        self.path().join("roots.crt")
    }

    fn certificate_path(&self) -> PathBuf {
        self.path().join("device.crt")
    }
}

/// What certificates say. They were verified when they were installed.
fn opened<'a>(
    certificates: impl Iterator<Item = &'a SignedCertificate>,
) -> Result<Vec<Certificate>, CertificateError> {
    certificates.map(|signed| Ok(signed.open()?.0)).collect()
}

fn text_of(roots: &[SignedCertificate]) -> String {
    roots.iter().map(SignedCertificate::to_text).collect()
}

/// A device has a secret or roots, so that nobody has to guess which of the two counts.
fn only_one(other: PathBuf) -> Result<(), StateError> {
    if !other.exists() {
        return Ok(());
    }
    Err(StateError::Content {
        path: other,
        reason: "is there: a device shares a secret or trusts roots, not both; choose another folder with --state"
            .to_owned(),
    })
}
