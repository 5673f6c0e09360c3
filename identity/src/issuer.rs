//! Issuers: keys that sign certificates.

use std::{collections::BTreeMap, fmt};

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::{
    app::AppId,
    certificate::{self, Certificate, CertificateKind, Extension, Serial, SignedCertificate},
    envelope::Envelope,
    key::{DeviceKey, PublicKey},
    limits::{
        ARGON2_LANES, ARGON2_MEMORY_KIB, ARGON2_PASSES, CERTIFICATE_BYTES_MAX, CLOCK_TOLERANCE_MS,
        NO_END_MS,
    },
    permissions::Permissions,
    secret::SharedSecret,
};

/// Begins the salt, so that the same secret used in other software leads to another key.
const DEVELOPMENT_DOMAIN: &str = "sedge development issuer 1/";

/// A key that signs certificates for one app.
#[derive(Clone)]
pub struct Issuer {
    app: AppId,
    key: DeviceKey,
}

/// What a certificate is to say. App, issuer and serial come from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The key that the certificate is about.
    pub subject: PublicKey,
    /// The device's name, for people.
    pub name: String,
    /// The user on whose behalf the device acts, if any.
    pub user_id: Option<String>,
    /// What the key may be used for.
    pub kind: CertificateKind,
    /// How long the certificate counts.
    pub validity: Validity,
    /// What the device may read and write.
    pub permissions: Permissions,
    /// Facts about the user or device that permission rules can name.
    pub claims: BTreeMap<String, String>,
    /// Extensions that a reader must understand or else refuse the certificate.
    pub critical: Vec<Extension>,
    /// Extensions that a reader may ignore.
    pub extra: Vec<Extension>,
}

/// How long a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// At all times. Right for development certificates: whoever could renew one can also date it as it likes, and a
    /// device without a battery-backed clock must not lock itself out.
    Unlimited,
    /// From [`CLOCK_TOLERANCE_MS`] before the issue to `life_ms` after it.
    Life {
        /// Milliseconds from the issue to the end of validity.
        life_ms: u64,
    },
}

/// Why no certificate was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// A field is malformed or beyond its limit.
    #[error("the certificate's field '{0}' is malformed or beyond its limit")]
    Field(&'static str),
    /// The key of a development issuer could not be derived.
    #[error(
        "the development issuer could not be derived from the secret ({0}): {ARGON2_MEMORY_KIB} KiB of memory must be free"
    )]
    Derivation(String),
    /// The whole is too large.
    #[error(
        "the certificate would have {bytes} bytes, at most {CERTIFICATE_BYTES_MAX} are allowed: shorten its permissions or claims"
    )]
    TooLarge {
        /// Size it would have, in bytes.
        bytes: usize,
    },
}

impl Issuer {
    /// An issuer whose key is already there.
    #[must_use]
    pub fn new(app: AppId, key: DeviceKey) -> Self {
        Self { app, key }
    }

    /// The development issuer: every device that knows the app's secret derives the same one, offline, and issues itself
    /// a certificate. Slow on purpose, because the issuer's public key invites guessing secrets; see
    /// [`ARGON2_MEMORY_KIB`].
    ///
    /// # Errors
    /// [`IssueError::Derivation`] when the memory for it is not there.
    pub fn development(app: &AppId, secret: &SharedSecret) -> Result<Self, IssueError> {
        let seed =
            derive_seed(app, secret).map_err(|error| IssueError::Derivation(error.to_string()))?;
        Ok(Self {
            app: app.clone(),
            key: DeviceKey::from_seed(*seed),
        })
    }

    /// The app for which it issues.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// The key by which others trust it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Signs a certificate. `serial` is to be random, `now_ms` is the time of issue in ms since the Unix epoch.
    ///
    /// # Errors
    /// [`IssueError`] when a field or the whole is beyond its limit: others would refuse such a certificate.
    pub fn issue(
        &self,
        request: CertificateRequest,
        serial: [u8; 16],
        now_ms: u64,
    ) -> Result<SignedCertificate, IssueError> {
        let (not_before_ms, not_after_ms) = match request.validity {
            Validity::Unlimited => (0, NO_END_MS),
            Validity::Life { life_ms } => (
                now_ms.saturating_sub(CLOCK_TOLERANCE_MS),
                now_ms.saturating_add(life_ms).min(NO_END_MS),
            ),
        };
        let payload = certificate::encode(&Certificate {
            serial: Serial(serial),
            app: self.app.clone(),
            subject: request.subject,
            name: request.name,
            user_id: request.user_id,
            kind: request.kind,
            not_before_ms,
            not_after_ms,
            issuer: self.public().id(),
            permissions: request.permissions,
            claims: request.claims,
            critical: request.critical,
            extra: request.extra,
        })
        .map_err(IssueError::Field)?;
        let envelope = Envelope::sign(
            &self.key,
            certificate::DOMAIN,
            certificate::PAYLOAD_TYPE,
            payload,
        );
        let bytes = envelope.as_bytes();
        SignedCertificate::from_bytes(bytes)
            .map_err(|_| IssueError::TooLarge { bytes: bytes.len() })
    }
}

fn derive_seed(app: &AppId, secret: &SharedSecret) -> Result<Zeroizing<[u8; 32]>, argon2::Error> {
    let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, Some(32))?;
    let salt = format!("{DEVELOPMENT_DOMAIN}{app}");
    let mut seed = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
        secret.expose().as_bytes(),
        salt.as_bytes(),
        &mut seed[..],
    )?;
    Ok(seed)
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({} for {})", self.public().id(), self.app)
    }
}

impl CertificateRequest {
    /// A device with every right and no end, as the development identity has it.
    #[must_use]
    pub fn development(subject: PublicKey, name: &str) -> Self {
        Self {
            subject,
            name: name.to_owned(),
            user_id: None,
            kind: CertificateKind::Device,
            validity: Validity::Unlimited,
            permissions: Permissions::everything(),
            claims: BTreeMap::new(),
            critical: Vec::new(),
            extra: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SharedSecret {
        SharedSecret::parse(text).unwrap()
    }

    /// Goal: app and secret alone fix the development issuer, for ever, and either of them changes it.
    #[test]
    fn development_issuer_is_pinned() {
        let demo = AppId::new("demo").unwrap();
        let other = AppId::new("demo2").unwrap();
        let issuer = |app, text| Issuer::development(app, &secret(text)).unwrap().public();
        let pinned = issuer(&demo, "correct horse battery");
        assert_eq!(
            pinned.to_string(),
            "a86e5891596eab168eb530c2ce888df6e784a12e2edb1dd1faf8e38da12b6ea7"
        );
        assert_ne!(issuer(&other, "correct horse battery"), pinned);
        assert_ne!(issuer(&demo, "correct horse batterz"), pinned);
    }

    /// Goal: what others would refuse is not signed in the first place, and the field is named.
    #[test]
    fn oversized_requests_are_refused() {
        let issuer = Issuer::new(AppId::new("demo").unwrap(), DeviceKey::from_seed([1; 32]));
        let subject = DeviceKey::from_seed([2; 32]).public();
        let request = CertificateRequest::development(subject, "pi");
        let long_name = CertificateRequest {
            name: "x".repeat(257),
            ..request.clone()
        };
        assert_eq!(
            issuer.issue(long_name, [0; 16], 0),
            Err(IssueError::Field("name"))
        );
        let extra = vec![Extension {
            name: "photo".into(),
            value: vec![0; CERTIFICATE_BYTES_MAX],
        }];
        let large = CertificateRequest {
            extra,
            ..request.clone()
        };
        assert!(matches!(
            issuer.issue(large, [0; 16], 0),
            Err(IssueError::TooLarge { .. })
        ));
        let critical = vec![Extension {
            name: String::new(),
            value: Vec::new(),
        }];
        let nameless = CertificateRequest {
            critical,
            ..request
        };
        assert_eq!(
            issuer.issue(nameless, [0; 16], 0),
            Err(IssueError::Field("critical"))
        );
    }
}
