//! Devices with certificates, for the tests inside the crate and those outside it.

use std::sync::Arc;

use sedge_identity::{
    AppId, CertificateChain, CertificateKind, CertificateRequest, DeviceKey, Issuer, LocalIdentity,
    Permissions, Trust, Validity,
};

/// When every certificate of the tests is issued, in ms since the Unix epoch.
pub const ISSUED_MS: u64 = 1_750_000_000_000;

/// How long it is valid, in ms.
pub const LIFE_MS: u64 = 3_600_000;

/// A device of `app` under the issuer that grows from `root`.
pub fn device(app: &str, root: u8, seed: u8) -> Arc<LocalIdentity> {
    let app = AppId::new(app).unwrap();
    let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([root; 32]));
    let key = DeviceKey::from_seed([seed; 32]);
    let request = CertificateRequest {
        validity: Validity::Life { life_ms: LIFE_MS },
        ..CertificateRequest::development(key.public(), "pi")
    };
    let signed = issuer.issue(request, [seed; 16], ISSUED_MS).unwrap();
    let trust = Trust::new(app, &[issuer.public()]).unwrap();
    Arc::new(LocalIdentity::new(key, &signed.into(), trust, ISSUED_MS).unwrap())
}

/// A device of `app` with these permissions, under an issuer whom the one that grows from `root` has certified.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn device_below(app: &str, root: u8, seed: u8, permissions: Permissions) -> Arc<LocalIdentity> {
    let app = AppId::new(app).unwrap();
    let [root, issuer] =
        [root, 200].map(|seed| Issuer::new(app.clone(), DeviceKey::from_seed([seed; 32])));
    let issuing = CertificateRequest {
        kind: CertificateKind::Issuer,
        ..CertificateRequest::development(issuer.public(), "site")
    };
    let key = DeviceKey::from_seed([seed; 32]);
    let request = CertificateRequest {
        permissions,
        ..CertificateRequest::development(key.public(), "pi")
    };
    let above = root.issue(issuing, [200; 16], ISSUED_MS).unwrap();
    let first = issuer.issue(request, [seed; 16], ISSUED_MS).unwrap();
    let chain = CertificateChain::new(first, &[above]).unwrap();
    let trust = Trust::new(app, &[root.public()]).unwrap();
    Arc::new(LocalIdentity::new(key, &chain, trust, ISSUED_MS).unwrap())
}
