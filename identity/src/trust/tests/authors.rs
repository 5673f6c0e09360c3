//! Authors: chains judged at the time of a seal, in whose hands they may be.

use super::{
    chains::{links, root_certificate, verify_links},
    *,
};

const DAY_MS: u64 = 24 * HOUR_MS;

fn author(links: &[SignedCertificate]) -> Result<Author, CertificateError> {
    author_under(&trust(), links)
}

fn author_under(trust: &Trust, links: &[SignedCertificate]) -> Result<Author, CertificateError> {
    let (first, issuers) = links.split_first().unwrap();
    trust.verify_author(&CertificateChain::new(first.clone(), issuers)?)
}

/// Goal: an author says who it is and who vouches for it, the same whether its chain came with a seal or a connection.
#[test]
fn an_author_says_who_it_is() {
    let found = author(&links()).unwrap();
    assert_eq!(found.subject(), device().public());
    assert_eq!(found.name(), links()[0].name());
    assert_eq!(found.device_name(), "pi in the hall");
    assert_eq!(found.kind(), CertificateKind::Device);
    assert_eq!(found.root(), root().public().id());
    let subjects: Vec<_> = found.certificates().map(|link| link.subject).collect();
    let verified = verify_links(&links()).unwrap();
    let expected: Vec<_> = verified.along_chain().map(|link| link.subject).collect();
    assert_eq!(subjects, expected);

    let trust = Trust::certified(app("demo"), &[root_certificate(|_| ())]).unwrap();
    let found = author_under(&trust, &links()).unwrap();
    assert_eq!(found.root(), root().public().id());
    assert_eq!(found.certificates().count(), 4);
}

/// Goal: an author's time is checked by the seal's time, to the millisecond, and the error says how far it is off.
#[test]
fn an_author_counts_while_its_certificate_does() {
    let found = author(&[issue(request())]).unwrap();
    let (from_ms, to_ms) = (NOW_MS - CLOCK_TOLERANCE_MS, NOW_MS + HOUR_MS);
    assert_eq!(found.was_valid_at(from_ms), Ok(()));
    assert_eq!(found.was_valid_at(to_ms), Ok(()));
    let refused = |time_ms| found.was_valid_at(time_ms).unwrap_err();
    for (time_ms, code, words) in [
        (
            0,
            RefusalCode::NotYetValid,
            "it became valid 20254 days later",
        ),
        (
            from_ms - 1,
            RefusalCode::NotYetValid,
            "it became valid 1 ms later",
        ),
        (
            to_ms + 1,
            RefusalCode::Expired,
            "it had expired 1 ms before",
        ),
        (
            to_ms + 3 * DAY_MS,
            RefusalCode::Expired,
            "it had expired 3 days before",
        ),
    ] {
        let error = refused(time_ms);
        assert_eq!(error.code(), code);
        assert_eq!(
            error.to_string(),
            format!("the certificate was not valid when this was sealed: {words}")
        );
    }
    assert_eq!(
        refused(to_ms + 1),
        CertificateError::NotValidThen {
            not_before_ms: from_ms,
            not_after_ms: to_ms,
            time_ms: to_ms + 1
        }
    );
    assert!(
        author(&[issue(request())])
            .unwrap()
            .was_valid_at(u64::MAX)
            .is_err()
    );
}

/// Goal: the certificate of an issuer, and of the root, limits the time of its authors as their own does.
#[test]
fn an_author_counts_while_all_of_its_chain_does() {
    let short = |request: &mut CertificateRequest| {
        request.validity = Validity::Life { life_ms: HOUR_MS };
    };
    let endless = CertificateRequest::development(device().public(), "pi");
    let [_, _, region] = links();
    let mut limited = CertificateRequest {
        kind: CertificateKind::Issuer,
        ..CertificateRequest::development(DeviceKey::from_seed([30; 32]).public(), "short")
    };
    short(&mut limited);
    let site = Issuer::new(app("demo"), DeviceKey::from_seed([30; 32]));
    let region_key = Issuer::new(app("demo"), DeviceKey::from_seed([20; 32]));
    let chain = [
        site.issue(endless.clone(), [7; 16], NOW_MS).unwrap(),
        region_key.issue(limited, [8; 16], NOW_MS).unwrap(),
        region,
    ];
    let found = author(&chain).unwrap();
    assert_eq!(found.was_valid_at(NOW_MS + HOUR_MS), Ok(()));
    let error = found.was_valid_at(NOW_MS + HOUR_MS + 1).unwrap_err();
    assert!(matches!(error, CertificateError::Issuer { place: 1, .. }));
    assert_eq!(error.code(), RefusalCode::Expired);

    let trust = Trust::certified(app("demo"), &[root_certificate(short)]).unwrap();
    let found = author_under(&trust, &[issue(endless)]).unwrap();
    assert_eq!(found.was_valid_at(NOW_MS + HOUR_MS), Ok(()));
    let error = found.was_valid_at(NOW_MS + HOUR_MS + 1).unwrap_err();
    assert!(matches!(error, CertificateError::Issuer { place: 1, .. }));
}

/// Goal: a root that renewed its own certificate counts as long as either does, in whichever order they are given, and not
/// in between; certificates of one root that give different rights are refused.
#[test]
fn a_renewed_root_counts_on() {
    let hour = Validity::Life { life_ms: HOUR_MS };
    let old = root_certificate(|request| request.validity = hour);
    let renewal = CertificateRequest {
        kind: CertificateKind::Issuer,
        validity: hour,
        ..CertificateRequest::development(root().public(), "an issuer")
    };
    let renewed_ms = NOW_MS + DAY_MS;
    let new = root().issue(renewal.clone(), [7; 16], renewed_ms).unwrap();
    let endless = CertificateRequest::development(device().public(), "pi");
    let chain = CertificateChain::from(issue(endless));
    for roots in [[old.clone(), new.clone()], [new, old.clone()]] {
        let trust = Trust::certified(app("demo"), &roots).unwrap();
        let admitted_at = |trust: &Trust, now_ms| {
            let admitted = trust.verify(&chain, device().public(), now_ms);
            admitted.is_ok()
        };
        let found = trust.verify_author(&chain).unwrap();
        assert_eq!(found.certificates().count(), 2);
        for (time_ms, holds) in [
            (NOW_MS + HOUR_MS, true),
            (NOW_MS + HOUR_MS + 1, false),
            (renewed_ms - CLOCK_TOLERANCE_MS, true),
            (renewed_ms + HOUR_MS, true),
            (renewed_ms + HOUR_MS + 1, false),
        ] {
            assert_eq!(found.was_valid_at(time_ms).is_ok(), holds, "{time_ms}");
            assert_eq!(admitted_at(&trust, time_ms), holds, "{time_ms}");
        }
        let revoked = Policy {
            revoked_serials: [Serial([7; 16])].into(),
            ..Policy::default()
        };
        let trust = trust.with_policy(revoked);
        assert!(admitted_at(&trust, NOW_MS));
        assert!(!admitted_at(&trust, renewed_ms));
    }
    let narrower = CertificateRequest {
        permissions: Permissions::nothing(),
        ..renewal
    };
    let narrower = root().issue(narrower, [7; 16], NOW_MS).unwrap();
    let refused = Trust::certified(app("demo"), &[old, narrower]).unwrap_err();
    assert!(matches!(refused, TrustError::Contradiction { .. }));
}

/// Goal: but for the time and the holder nothing is let through that admission refuses.
#[test]
fn a_forged_author_is_refused() {
    let [first, site, region] = links();
    let refused = |links: &[&SignedCertificate]| {
        let links: Vec<_> = links.iter().map(|link| (*link).clone()).collect();
        author(&links).unwrap_err().code()
    };
    assert_eq!(refused(&[&first, &region, &site]), RefusalCode::BrokenChain);
    assert_eq!(refused(&[&first, &site]), RefusalCode::UnknownRoot);
    assert_eq!(refused(&[&site, &region]), RefusalCode::OtherKey);
    let fleet = Issuer::new(app("fleet"), DeviceKey::from_seed([1; 32]));
    let foreign = fleet.issue(request(), [5; 16], NOW_MS).unwrap();
    assert_eq!(refused(&[&foreign]), RefusalCode::OtherApp);
    let limited = root_certificate(|request| request.permissions = Permissions::nothing());
    let trust = Trust::certified(app("demo"), &[limited]).unwrap();
    let beyond = author_under(&trust, &[issue(request())]).unwrap_err();
    assert_eq!(beyond.code(), RefusalCode::BeyondIssuer);
    let bytes = first.as_bytes();
    for index in 0..bytes.len() {
        let mut bytes = bytes.to_vec();
        bytes[index] ^= 1;
        let first = SignedCertificate::from_bytes(&bytes).unwrap();
        assert!(
            author(&[first, site.clone(), region.clone()]).is_err(),
            "byte {index}"
        );
    }
}

/// Goal: a renewed certificate makes another author of the same device.
#[test]
fn a_renewed_certificate_has_another_name() {
    let old = author(&[issue(request())]).unwrap();
    let new = root().issue(request(), [6; 16], NOW_MS + DAY_MS).unwrap();
    let new = author(&[new]).unwrap();
    assert_eq!(new.subject(), old.subject());
    assert_ne!(new.name(), old.name());
}
