//! Devices with certificates, for the tests inside the crate and those outside it.

use std::sync::Arc;

use sedge_identity::{
    AppId, CertificateRequest, DeviceKey, Issuer, LocalIdentity, Trust, Validity,
};

/// When every certificate of the tests is issued, in ms since the Unix epoch.
pub const ISSUED_MS: u64 = 1_750_000_000_000;

/// How long it is valid, in ms.
pub const LIFE_MS: u64 = 3_600_000;

/// A device of `app` under the issuer that grows from `root`.
pub fn device(app: &str, root: u8, seed: u8) -> Arc<LocalIdentity> {
    device_for(Validity::Life { life_ms: LIFE_MS }, app, root, seed)
}

/// The same with a certificate that does not end.
pub fn lasting(app: &str, root: u8, seed: u8) -> Arc<LocalIdentity> {
    device_for(Validity::Unlimited, app, root, seed)
}

fn device_for(validity: Validity, app: &str, root: u8, seed: u8) -> Arc<LocalIdentity> {
    let app = AppId::new(app).unwrap();
    let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([root; 32]));
    let key = DeviceKey::from_seed([seed; 32]);
    let request = CertificateRequest {
        validity,
        ..CertificateRequest::development(key.public(), "pi")
    };
    let signed = issuer.issue(request, [seed; 16], ISSUED_MS).unwrap();
    let trust = Trust::new(app, &[issuer.public()]).unwrap();
    Arc::new(LocalIdentity::new(key, &signed.into(), trust, ISSUED_MS).unwrap())
}
