//! Chains: several issuers, each of which may be wrong in its own way.

use super::*;

/// The keys of the issuers below the root, from the root downwards.
const REGION: u8 = 20;
const SITE: u8 = 21;

fn issuer(seed: u8) -> Issuer {
    Issuer::new(app("demo"), DeviceKey::from_seed([seed; 32]))
}

/// A request for the certificate of the issuer with this key.
fn issuing(seed: u8) -> CertificateRequest {
    CertificateRequest {
        kind: CertificateKind::Issuer,
        ..CertificateRequest::development(issuer(seed).public(), "an issuer")
    }
}

fn signed(by: &Issuer, request: CertificateRequest) -> SignedCertificate {
    by.issue(request, [6; 16], NOW_MS).unwrap()
}

fn reading(collections: &[&str]) -> Permissions {
    let rules = |name: &&str| ((*name).to_owned(), vec!["true".to_owned()]);
    Permissions {
        read: Rights::Collections(collections.iter().map(rules).collect()),
        write: Rights::nothing(),
    }
}

/// The device's certificate by the site, the site's by the region, the region's by the root.
pub(super) fn links() -> [SignedCertificate; 3] {
    [
        signed(&issuer(SITE), request()),
        signed(&issuer(REGION), issuing(SITE)),
        signed(&root(), issuing(REGION)),
    ]
}

pub(super) fn verify_links(
    links: &[SignedCertificate],
) -> Result<Verified<Certificate>, CertificateError> {
    let (first, issuers) = links.split_first().unwrap();
    let chain = CertificateChain::new(first.clone(), issuers)?;
    trust().verify(&chain, device().public(), NOW_MS)
}

/// The certificate that the root made for itself.
pub(super) fn root_certificate(change: impl FnOnce(&mut CertificateRequest)) -> SignedCertificate {
    let mut request = CertificateRequest {
        subject: root().public(),
        ..issuing(REGION)
    };
    change(&mut request);
    signed(&root(), request)
}

/// Goal: a chain leads to the root, also from an issuer nearer to it, and every certificate of it is there to be asked.
#[test]
fn a_chain_leads_to_the_root() {
    let found = verify_links(&links()).unwrap();
    assert_eq!(found.name, "pi in the hall");
    assert_eq!(found.along_chain().count(), 3);
    assert!(found.along_chain().all(|it| it.permissions.is_everything()));
    let direct = [signed(&issuer(REGION), request()), links()[2].clone()];
    assert_eq!(verify_links(&direct).unwrap().along_chain().count(), 2);
}

/// Goal: trusts have one digest if they accept the same changes: it follows from the roots, their certificates and the cuts,
/// not from the order in which they were given or from what is revoked for admission alone.
#[test]
fn a_digest_names_what_is_accepted() {
    let certified = |roots: &[&SignedCertificate]| {
        let roots: Vec<_> = roots.iter().map(|it| (*it).clone()).collect();
        Trust::certified(app("demo"), &roots).unwrap()
    };
    let first = root_certificate(|_| ());
    let renewed = root_certificate(|request| {
        request.validity = Validity::Life { life_ms: HOUR_MS };
    });
    let both = certified(&[&first, &renewed]).digest();
    assert_eq!(both, certified(&[&renewed, &first]).digest());
    let keys = [root().public(), issuer(SITE).public()];
    let [one, other] = [[keys[0], keys[1]], [keys[1], keys[0]]];
    let bare = |keys: &[PublicKey]| Trust::new(app("demo"), keys).unwrap();
    assert_eq!(bare(&one).digest(), bare(&other).digest());
    let cut = |actor, cut_ms| {
        let cuts = [(crate::ActorName([actor; 16]), cut_ms)].into();
        let policy = Policy {
            cuts,
            ..Policy::default()
        };
        bare(&one).with_policy(policy).digest()
    };
    let revoking = Policy {
        revoked_devices: [device().public()].into(),
        ..Policy::default()
    };
    assert_eq!(
        bare(&one).with_policy(revoking).digest(),
        bare(&one).digest()
    );
    let different = [
        both,
        certified(&[&first]).digest(),
        certified(&[&renewed]).digest(),
        bare(&one).digest(),
        bare(&one[..1]).digest(),
        cut(1, 5),
        cut(1, 6),
        cut(2, 5),
    ];
    let distinct: std::collections::BTreeSet<_> = different.into_iter().collect();
    assert_eq!(distinct.len(), different.len());
}

/// Goal: what an issuer certified goes on to count when it is made a root: as before while the root above it is trusted, and by
/// itself afterwards.
#[test]
fn an_issuer_that_becomes_a_root_keeps_its_past() {
    let [first, site, region] = links();
    let chain = CertificateChain::new(first, &[site, region]).unwrap();
    for (roots, leads_to, count) in [
        (vec![root().public()], root(), 3),
        (vec![issuer(SITE).public(), root().public()], root(), 3),
        (vec![root().public(), issuer(REGION).public()], root(), 3),
        (vec![issuer(REGION).public()], issuer(REGION), 2),
        (vec![issuer(SITE).public()], issuer(SITE), 1),
    ] {
        let trust = Trust::new(app("demo"), &roots).unwrap();
        let author = trust.verify_author(&chain).unwrap();
        assert_eq!(author.root(), leads_to.public().id());
        assert_eq!(author.certificates().count(), count);
    }
}

/// Goal: a certificate that is left out, swapped, doubled, or one too many, breaks the chain.
#[test]
fn a_broken_chain_is_refused() {
    let [first, site, region] = links();
    let broken = |place| Err(CertificateError::BrokenChain { place });
    let verified = |links: &[&SignedCertificate]| {
        let links: Vec<_> = links.iter().map(|link| (*link).clone()).collect();
        verify_links(&links).map(drop)
    };
    assert_eq!(verified(&[&first, &region]), broken(1));
    assert_eq!(verified(&[&first, &region, &site]), broken(1));
    assert_eq!(verified(&[&first, &site, &site]), broken(2));
    assert_eq!(verified(&[&first, &site, &first]), broken(2));
    let root = root_certificate(|_| ());
    assert_eq!(verified(&[&first, &site, &region, &root]), broken(3));
    let unfinished = verified(&[&first, &site]).unwrap_err();
    assert_eq!(unfinished.code(), RefusalCode::UnknownRoot);
    let too_long = verified(&[&first, &site, &region, &region, &region]);
    assert_eq!(too_long.unwrap_err().code(), RefusalCode::BrokenChain);
}

/// Goal: a device's key signs nothing for others, though its own certificate is good.
#[test]
fn a_device_is_no_issuer() {
    let posing = Issuer::new(app("demo"), device());
    let links = [signed(&posing, request()), issue(request())];
    assert_eq!(
        verify_links(&links).unwrap_err(),
        CertificateError::BrokenChain { place: 1 }
    );
}

/// Goal: an issuer's certificate is checked as the device's is, and the error says which one it was.
#[test]
fn issuers_are_checked_too() {
    let expired = CertificateRequest {
        validity: Validity::Life { life_ms: 1 },
        ..issuing(REGION)
    };
    let old = root().issue(expired, [6; 16], NOW_MS - HOUR_MS).unwrap();
    let [first, site, region] = links();
    let error = verify_links(&[first.clone(), site.clone(), old]).unwrap_err();
    assert_eq!(error.code(), RefusalCode::Expired);
    assert!(error.to_string().contains("certificate 2"), "{error}");

    let other = Issuer::new(app("fleet"), DeviceKey::from_seed([1; 32]));
    let foreign = signed(&other, issuing(REGION));
    let error = verify_links(&[first.clone(), site.clone(), foreign]).unwrap_err();
    assert_eq!(error.code(), RefusalCode::OtherApp);

    for length in 0..region.as_bytes().len() {
        let cut = SignedCertificate::from_bytes(&region.as_bytes()[..length]).unwrap();
        let error = verify_links(&[first.clone(), site.clone(), cut]).unwrap_err();
        assert!(matches!(error, CertificateError::Issuer { place: 2, .. }));
    }
}

/// Goal: what plainly exceeds the issuer's rights is refused at any place of the chain, what fits is had as far as all
/// allow it.
#[test]
fn rights_are_those_of_the_whole_chain() {
    let chain = |device: Permissions, site: Permissions| {
        verify_links(&[
            signed(
                &issuer(SITE),
                CertificateRequest {
                    permissions: device,
                    ..request()
                },
            ),
            signed(
                &issuer(REGION),
                CertificateRequest {
                    permissions: site,
                    ..issuing(SITE)
                },
            ),
            links()[2].clone(),
        ])
    };
    let beyond = |collection: Option<&str>| CertificateError::BeyondIssuer {
        direction: "read",
        collection: collection.map(str::to_owned),
    };
    let refused = |device, site| chain(device, site).unwrap_err();
    let limited = reading(&["cars"]);
    assert_eq!(
        refused(Permissions::everything(), limited.clone()),
        beyond(None)
    );
    assert_eq!(
        refused(reading(&["bikes", "cars"]), limited.clone()),
        beyond(Some("bikes"))
    );
    let found = chain(limited.clone(), reading(&["bikes", "cars"])).unwrap();
    let sets: Vec<_> = found.along_chain().map(|link| &link.permissions).collect();
    assert_eq!(sets[0], &limited);
    assert_eq!(sets[1], &reading(&["bikes", "cars"]));
    assert_eq!(sets[2], &Permissions::everything());
}

/// Goal: a root's own certificate says how long and for what it counts; without one the key alone does.
#[test]
fn a_root_can_be_limited() {
    let verify_under = |root: SignedCertificate, now_ms| {
        let trust = Trust::certified(app("demo"), &[root])?;
        let chain = issue(CertificateRequest::development(device().public(), "pi")).into();
        Ok::<_, TrustError>(trust.verify(&chain, device().public(), now_ms)?)
    };
    let found = verify_under(root_certificate(|_| ()), NOW_MS).unwrap();
    assert_eq!(found.along_chain().count(), 2);

    let short = root_certificate(|request| {
        request.validity = Validity::Life { life_ms: HOUR_MS };
    });
    assert!(verify_under(short.clone(), NOW_MS + HOUR_MS).is_ok());
    let TrustError::Certificate(late) = verify_under(short, NOW_MS + HOUR_MS + 1).unwrap_err()
    else {
        panic!("the certificate is refused");
    };
    assert_eq!(late.code(), RefusalCode::Expired);

    let limited = root_certificate(|request| request.permissions = reading(&["cars"]));
    let TrustError::Certificate(beyond) = verify_under(limited, NOW_MS).unwrap_err() else {
        panic!("the certificate is refused");
    };
    assert_eq!(beyond.code(), RefusalCode::BeyondIssuer);
}

/// Goal: only an issuer's certificate for itself, of this app, makes a root.
#[test]
fn only_roots_are_trusted() {
    let certified = |signed| Trust::certified(app("demo"), &[signed]).unwrap_err();
    for none in [
        links()[2].clone(),
        issue(request()),
        signed(
            &Issuer::new(app("demo"), device()),
            CertificateRequest::development(device().public(), "pi"),
        ),
    ] {
        assert!(matches!(certified(none), TrustError::NotRoot { .. }));
    }
    let error = Trust::certified(app("fleet"), &[root_certificate(|_| ())]).unwrap_err();
    assert!(matches!(
        error,
        TrustError::Certificate(CertificateError::OtherApp { .. })
    ));
    assert_eq!(Trust::certified(app("demo"), &[]), Err(TrustError::NoRoot));
}
