//! An issuer at work: its key, what its own certificate says, and what its signature is worth.

use super::args::SignerArguments;
use super::files;
use super::passphrase::Prompt;
use crate::cli::CliError;
use sedge_crdt::random;
use sedge_identity::{
    Certificate, CertificateChain, CertificateRequest, DeviceKey, Issuer, SignedCertificate,
    Validity,
};
use std::path::Path;

/// How long a certificate counts when nothing is said, in ms: 90 days, so that a lost device is out after a season.
const LIFE_MS: u64 = 90 * 86_400_000;

/// How long a root counts when nothing is said, in ms: ten years of 365 days.
const ROOT_LIFE_MS: u64 = 3_650 * 86_400_000;

/// An issuer whose key is open.
pub(super) struct Signer {
    issuer: Issuer,
    /// What its own certificate says.
    pub(super) own: Certificate,
    /// What stands between its certificates and the root: nothing for the root itself.
    above: Vec<SignedCertificate>,
}

impl Signer {
    pub(super) fn of_arguments(
        arguments: &SignerArguments,
        prompt: &Prompt,
    ) -> Result<Self, CliError> {
        let SignerArguments {
            issuer,
            key,
            passphrase_file,
        } = arguments;
        Self::open(issuer, key, passphrase_file.as_deref(), prompt)
    }

    /// Reads an issuer's certificate and opens its key.
    pub(super) fn open(
        certificate: &Path,
        key: &Path,
        passphrase: Option<&Path>,
        prompt: &Prompt,
    ) -> Result<Self, CliError> {
        let chain = files::chain(certificate)?;
        let refused = |path: &Path, reason: &dyn std::fmt::Display| {
            CliError::Failed(format!("{}: {reason}", path.display()))
        };
        let (own, signer) = chain
            .first()
            .open()
            .map_err(|error| refused(certificate, &error))?;
        if own.kind != sedge_identity::CertificateKind::Issuer {
            let reason = format!("the certificate of {:?} is no issuer's", own.name);
            return Err(refused(certificate, &reason));
        }
        let encrypted = files::issuer_key(key)?;
        let opened = encrypted
            .decrypt(&prompt.ask(passphrase)?)
            .map_err(|error| refused(key, &error))?;
        if opened.public() != own.subject {
            let reason = format!("the key is not the one of {}", certificate.display());
            return Err(refused(key, &reason));
        }
        let above = match own.subject == signer {
            true => Vec::new(),
            false => chain.iter().cloned().collect(),
        };
        Ok(Self {
            issuer: Issuer::new(own.app.clone(), opened),
            own,
            above,
        })
    }

    /// Signs a certificate, and gives it with what leads to the root. `request.validity` is set here.
    pub(super) fn sign(
        &self,
        mut request: CertificateRequest,
        life_ms: Option<u64>,
    ) -> Result<CertificateChain, CliError> {
        let now_ms = sedge::now_ms();
        request.validity = Validity::Life {
            life_ms: self.life_ms(life_ms, now_ms)?,
        };
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
        request
            .permissions
            .check_within(&self.own.permissions)
            .map_err(|error| failed(&error))?;
        let signed = issued(&self.issuer, request, now_ms)?;
        CertificateChain::new(signed, &self.above).map_err(|error| failed(&error))
    }

    /// No certificate counts longer than its issuer's.
    fn life_ms(&self, asked_ms: Option<u64>, now_ms: u64) -> Result<u64, CliError> {
        let left_ms = self.own.not_after_ms.saturating_sub(now_ms);
        if left_ms == 0 {
            return Err(CliError::Failed(format!(
                "the issuer {:?} has expired; renew its certificate first",
                self.own.name
            )));
        }
        match asked_ms {
            None => Ok(LIFE_MS.min(left_ms)),
            Some(life_ms) if life_ms <= left_ms => Ok(life_ms),
            Some(_) => Err(CliError::Failed(format!(
                "the certificate would outlive its issuer {:?}, which has {} left; ask for less with --life",
                self.own.name,
                left_text(left_ms)
            ))),
        }
    }
}

/// The certificate that an issuer makes for itself.
pub(super) fn root(
    issuer: &Issuer,
    mut request: CertificateRequest,
    life_ms: Option<u64>,
) -> Result<CertificateChain, CliError> {
    request.validity = Validity::Life {
        life_ms: life_ms.unwrap_or(ROOT_LIFE_MS),
    };
    Ok(issued(issuer, request, sedge::now_ms())?.into())
}

/// A new key for an issuer.
pub(super) fn new_key() -> Result<DeviceKey, CliError> {
    Ok(DeviceKey::from_seed(random().map_err(unlucky)?))
}

pub(super) fn unlucky(error: sedge_crdt::RandomError) -> CliError {
    CliError::Failed(error.to_string())
}

fn issued(
    issuer: &Issuer,
    request: CertificateRequest,
    now_ms: u64,
) -> Result<SignedCertificate, CliError> {
    let serial = random().map_err(unlucky)?;
    issuer
        .issue(request, serial, now_ms)
        .map_err(|error| CliError::Failed(error.to_string()))
}

fn left_text(left_ms: u64) -> String {
    match left_ms / 3_600_000 {
        0 => format!("{} s", left_ms / 1000),
        hours @ 1..=47 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}
