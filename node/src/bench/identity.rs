//! Figures of identity: what certificates cost on every new connection.

mod admission;

use super::figure::{BenchError, Bound, Figure, Measured, Workplace};
use sedge_identity::{
    AppId, CertificateKind, CertificateRequest, DeviceKey, Issuer, Permissions, Rights, Validity,
};
use std::collections::BTreeMap;

pub(super) const FIGURES: &[Figure] = &[
    admission::CPU,
    admission::ROUND_TRIPS,
    Figure {
        name: "identity.certificate_bytes",
        unit: "bytes",
        bound: Bound::AtMost(400.0),
        take: certificate_bytes,
    },
];

/// A device of a user, with a claim, and one rule for reading and one for writing, signed by a root.
fn certificate_bytes(_: &Workplace) -> Result<Measured, BenchError> {
    let unavailable = |error: &dyn std::fmt::Display| BenchError::Unavailable(error.to_string());
    let app = AppId::new("shop").map_err(|error| unavailable(&error))?;
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
        .map_err(|error| unavailable(&error))?;
    Ok(Measured {
        value: signed.as_bytes().len() as f64,
        medians: Vec::new(),
    })
}
