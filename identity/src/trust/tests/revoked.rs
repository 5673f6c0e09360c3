//! Revocation: who is not admitted any more, and who remains an author.

use std::collections::BTreeSet;

use super::{
    chains::{links, root_certificate},
    *,
};

fn revoking(key: Option<PublicKey>, serial: Option<[u8; 16]>) -> Policy {
    Policy {
        revoked_devices: key.into_iter().collect(),
        revoked_serials: serial.into_iter().map(Serial).collect(),
        ..Policy::default()
    }
}

fn key(seed: u8) -> PublicKey {
    DeviceKey::from_seed([seed; 32]).public()
}

/// Another serial for each certificate of a chain, so that a policy can name one of them.
fn chain() -> CertificateChain {
    let [_, _, region] = links();
    let request = |kind, seed| CertificateRequest {
        kind,
        ..CertificateRequest::development(key(seed), "x")
    };
    let by = |seed| Issuer::new(app("demo"), DeviceKey::from_seed([seed; 32]));
    let device = request(CertificateKind::Device, 2);
    let device = by(21).issue(device, [1; 16], NOW_MS).unwrap();
    let site = request(CertificateKind::Issuer, 21);
    let site = by(20).issue(site, [2; 16], NOW_MS).unwrap();
    CertificateChain::new(device, &[site, region]).unwrap()
}

/// Goal: a revoked key or serial, of the device or of any issuer above it, is not admitted; the error says which, the peer is
/// told the code. Other keys and serials revoke nothing. Whoever was an author remains one.
#[test]
fn the_revoked_are_not_admitted() {
    let (chain, trust) = (chain(), trust());
    let author = trust.verify_author(&chain).unwrap();
    // Serial 6 is the region's.
    for (policy, place, what, revoked) in [
        (revoking(None, None), None, "", false),
        (revoking(Some(key(3)), Some([9; 16])), None, "", false),
        (
            revoking(Some(key(2)), None),
            None,
            "the key is revoked",
            true,
        ),
        (
            revoking(None, Some([1; 16])),
            None,
            "the certificate is revoked",
            true,
        ),
        (
            revoking(Some(key(21)), None),
            Some(1),
            "the key is revoked",
            true,
        ),
        (
            revoking(None, Some([2; 16])),
            Some(1),
            "the certificate is revoked",
            true,
        ),
        (
            revoking(Some(key(20)), None),
            Some(2),
            "the key is revoked",
            true,
        ),
        (
            revoking(None, Some([6; 16])),
            Some(2),
            "the certificate is revoked",
            true,
        ),
    ] {
        let trust = trust.clone().with_policy(policy.clone());
        assert_eq!(trust.policy(), &policy);
        assert_eq!(
            trust.verify_author(&chain).as_ref(),
            Ok(&author),
            "{policy:?}"
        );
        let admitted = trust.verify(&chain, key(2), NOW_MS);
        let local = LocalIdentity::new(device(), &chain, trust, NOW_MS);
        if !revoked {
            assert!(admitted.is_ok() && local.is_ok(), "{policy:?}");
            continue;
        }
        let error = admitted.unwrap_err();
        assert_eq!(local.unwrap_err(), error);
        assert_eq!(error.code(), RefusalCode::Revoked, "{policy:?}");
        assert!(error.to_string().contains(what), "{error}");
        let found = match &error {
            CertificateError::Issuer { place, .. } => Some(*place),
            CertificateError::Revoked { .. } => None,
            other => panic!("{other}"),
        };
        assert_eq!(found, place);
    }
}

/// Goal: a root's own certificate can be revoked too, which ends every admission under it.
#[test]
fn a_revoked_root_admits_nobody() {
    let trust = Trust::certified(app("demo"), &[root_certificate(|_| ())]).unwrap();
    assert!(trust.verify(&chain(), key(2), NOW_MS).is_ok());
    let trust = trust.with_policy(revoking(Some(root().public()), None));
    let error = trust.verify(&chain(), key(2), NOW_MS).unwrap_err();
    assert!(matches!(error, CertificateError::Issuer { place: 3, .. }));
    assert_eq!(error.code(), RefusalCode::Revoked);
}

/// Goal: a revoked device is told so, also when its certificate has expired: to renew it would be in vain.
#[test]
fn revocation_is_told_before_expiry() {
    let trust = trust().with_policy(revoking(Some(device().public()), None));
    let chain = CertificateChain::from(issue(request()));
    let error = trust
        .verify(&chain, key(2), NOW_MS + 2 * HOUR_MS)
        .unwrap_err();
    assert_eq!(error.code(), RefusalCode::Revoked);
    let thief = trust.verify(&chain, key(4), NOW_MS).unwrap_err();
    assert_eq!(thief.code(), RefusalCode::OtherKey);
}

/// Goal: a new policy takes the place of the old one, and a new certificate outlives the revoked serial.
#[test]
fn a_policy_replaces_another() {
    let trust = trust().with_policy(revoking(None, Some([5; 16])));
    let old = CertificateChain::from(issue(request()));
    assert!(trust.verify(&old, key(2), NOW_MS).is_err());
    let renewed = root().issue(request(), [7; 16], NOW_MS).unwrap();
    assert!(trust.verify(&renewed.into(), key(2), NOW_MS).is_ok());
    let trust = trust.with_policy(Policy::default());
    assert_eq!(trust.policy().revoked_serials, BTreeSet::new());
    assert!(trust.verify(&old, key(2), NOW_MS).is_ok());
}
