//! Figures of identity: what certificates cost on every new connection, and what it costs that changes are proven.

mod accept;
mod admission;
mod sealing;

use super::figure::{BenchError, Bound, Figure, Measured, Workplace};
use super::store::APP;
use sedge_identity::{
    AppId, CertificateKind, CertificateRequest, DeviceKey, Issuer, LocalIdentity, Permissions,
    Rights, Trust, Validity,
};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const FIGURES: &[Figure] = &[
    admission::CPU,
    admission::ROUND_TRIPS,
    Figure {
        name: "identity.certificate_bytes",
        unit: "bytes",
        bound: Bound::AtMost(400.0),
        take: certificate_bytes,
    },
    Figure {
        name: "identity.accept_us_bulk",
        unit: "us",
        bound: Bound::AtMost(15.0),
        take: accept::bulk,
    },
    Figure {
        name: "identity.accept_us_edit",
        unit: "us",
        bound: Bound::AtMost(60.0),
        take: accept::edit,
    },
    Figure {
        name: "identity.sealing_write_ratio",
        unit: "ratio",
        bound: Bound::AtMost(1.1),
        take: sealing::write_ratio,
    },
];

/// A device of a user, with a claim, and one rule for reading and one for writing, signed by a root.
fn certificate_bytes(_: &Workplace) -> Result<Measured, BenchError> {
    let app = AppId::new("shop").map_err(unavailable)?;
    let rules = |condition: &str| {
        let conditions = vec![condition.to_owned()];
        Rights::Collections(BTreeMap::from([("cars".to_owned(), conditions)]))
    };
    let request = CertificateRequest {
        subject: DeviceKey::from_seed([2; 32]).public(),
        name: "till-2 in the hall".to_owned(),
        user_id: Some("ada@example.com".to_owned()),
        kind: CertificateKind::Device,
        validity: Validity::Life {
            life_ms: 90 * 86_400_000,
        },
        permissions: Permissions {
            read: rules("shop = :shop"),
            write: rules("_id.shop = :shop"),
        },
        claims: BTreeMap::from([("shop".to_owned(), "berlin".to_owned())]),
        critical: Vec::new(),
        extra: Vec::new(),
    };
    let issuer = Issuer::new(app, DeviceKey::from_seed([1; 32]));
    let signed = issuer
        .issue(request, [0xff; 16], sedge::now_ms())
        .map_err(unavailable)?;
    Ok(Measured {
        value: signed.as_bytes().len() as f64,
        medians: Vec::new(),
    })
}

/// The device of a seed, in the app of the measured stores.
pub(super) fn device(seed: u8) -> Result<Arc<LocalIdentity>, BenchError> {
    let app = AppId::new(APP).map_err(unavailable)?;
    let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([99; 32]));
    let key = DeviceKey::from_seed([seed; 32]);
    let now_ms = sedge::now_ms();
    let request = CertificateRequest::development(key.public(), &format!("device {seed}"));
    let certificate = issuer.issue(request, [seed; 16], now_ms);
    let trust = Trust::new(app, &[issuer.public()]).map_err(unavailable)?;
    let identity = LocalIdentity::new(
        key,
        &certificate.map_err(unavailable)?.into(),
        trust,
        now_ms,
    );
    Ok(Arc::new(identity.map_err(unavailable)?))
}

fn unavailable(error: impl ToString) -> BenchError {
    BenchError::Unavailable(error.to_string())
}
