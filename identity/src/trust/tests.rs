//! Certificates good and bad, through the one path that believes them.

mod authors;
mod chains;
mod revoked;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    CertificateRequest, DeviceKey, Envelope, Extension, Issuer, LocalIdentity, NO_END_MS,
    Permissions, RefusalCode, Rights, Serial, Validity, certificate, hex,
    limits::{CERTIFICATE_BYTES_MAX, CLOCK_TOLERANCE_MS},
};

const NOW_MS: u64 = 1_750_000_000_000;
const HOUR_MS: u64 = 3_600_000;

fn app(name: &str) -> AppId {
    AppId::new(name).unwrap()
}

fn root() -> Issuer {
    Issuer::new(app("demo"), DeviceKey::from_seed([1; 32]))
}

fn device() -> DeviceKey {
    DeviceKey::from_seed([2; 32])
}

fn trust() -> Trust {
    Trust::new(
        app("demo"),
        &[DeviceKey::from_seed([9; 32]).public(), root().public()],
    )
    .unwrap()
}

fn request() -> CertificateRequest {
    CertificateRequest {
        validity: Validity::Life { life_ms: HOUR_MS },
        ..CertificateRequest::development(device().public(), "pi in the hall")
    }
}

fn issue(request: CertificateRequest) -> SignedCertificate {
    root().issue(request, [5; 16], NOW_MS).unwrap()
}

fn verify(bytes: &[u8], now_ms: u64) -> Result<Verified<Certificate>, CertificateError> {
    let chain = CertificateChain::from(SignedCertificate::from_bytes(bytes)?);
    trust().verify(&chain, device().public(), now_ms)
}

/// A certificate whose payload was changed by its rightful issuer's key, for formats that we do not write ourselves.
fn resigned(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let signed = issue(request());
    let opened = Envelope::open(
        signed.as_bytes(),
        certificate::DOMAIN,
        certificate::PAYLOAD_TYPE,
        CERTIFICATE_BYTES_MAX,
    )
    .unwrap();
    let mut payload = opened.payload().to_vec();
    change(&mut payload);
    let key = DeviceKey::from_seed([1; 32]);
    Envelope::sign(
        &key,
        certificate::DOMAIN,
        certificate::PAYLOAD_TYPE,
        payload,
    )
    .as_bytes()
    .to_vec()
}

/// Goal: the exact bytes of a certificate are fixed, and a device's certificate with two rules stays small.
#[test]
fn bytes_are_pinned() {
    let rules =
        |query: &str| Rights::Collections(BTreeMap::from([("cars".into(), vec![query.into()])]));
    let signed = issue(CertificateRequest {
        user_id: Some("ada".into()),
        permissions: Permissions {
            read: rules("_id.loc == 'x'"),
            write: rules("_id.owner == 'ada'"),
        },
        claims: BTreeMap::from([("team".into(), "blue".into())]),
        extra: vec![Extension {
            name: "note".into(),
            value: vec![1, 2],
        }],
        ..request()
    });
    assert_eq!(
        hex(signed.as_bytes()).to_string(),
        concat!(
            "0a24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c1212",
            "2f73656467652f63657274696669636174651ac50108011210050505050505050505050505050505",
            "051a0464656d6f22208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b3",
            "942a0e706920696e207468652068616c6c320361646138024080dba79ff732488095dfa2f7325210",
            "eacea32994cae455381478cf0941a4455a1812160a0463617273120e5f69642e6c6f63203d3d2027",
            "7827621c121a0a046361727312125f69642e6f776e6572203d3d2027616461276a0c0a047465616d",
            "1204626c75657a0a0a046e6f7465120201022a406732ce6912eaf5af4243c4713126d0a8fc51ba10",
            "d8fc61a4c8424e8fb80f275efeb241c89ffe743f189bcabfb4016ba8fdae258b9efd0881c0cd9be3",
            "f4266f00",
        )
    );
    assert!(
        signed.as_bytes().len() <= 400,
        "{} bytes",
        signed.as_bytes().len()
    );
    let found = verify(signed.as_bytes(), NOW_MS).unwrap();
    assert_eq!(found.user_id.as_deref(), Some("ada"));
}

/// Goal: a certificate truncated at any byte or with any bit flipped is refused.
#[test]
fn damage_is_refused() {
    let signed = issue(request());
    let bytes = signed.as_bytes();
    assert!(verify(bytes, NOW_MS).is_ok());
    for length in 0..bytes.len() {
        assert!(
            verify(&bytes[..length], NOW_MS).is_err(),
            "truncated to {length}"
        );
    }
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.to_vec();
            bytes[index] ^= 1 << bit;
            assert!(verify(&bytes, NOW_MS).is_err(), "bit {bit} of byte {index}");
        }
    }
}

/// Goal: a wrong app is named together with ours, also when the issuer differs, as it does between development apps.
#[test]
fn another_app_is_refused() {
    for seed in [1, 3] {
        let issuer = Issuer::new(app("fleet"), DeviceKey::from_seed([seed; 32]));
        let signed = issuer.issue(request(), [5; 16], NOW_MS).unwrap();
        let error = verify(signed.as_bytes(), NOW_MS).unwrap_err();
        assert_eq!(
            error,
            CertificateError::OtherApp {
                theirs: app("fleet"),
                ours: app("demo")
            }
        );
        assert_eq!(error.code(), RefusalCode::OtherApp);
    }
}

/// Goal: an issuer that is not trusted is refused, and the log hints at the secret.
#[test]
fn an_unknown_root_is_refused() {
    let issuer = Issuer::new(app("demo"), DeviceKey::from_seed([3; 32]));
    let signed = issuer.issue(request(), [5; 16], NOW_MS).unwrap();
    let error = verify(signed.as_bytes(), NOW_MS).unwrap_err();
    assert_eq!(
        error,
        CertificateError::UnknownRoot {
            issuer: issuer.public().id()
        }
    );
    assert!(error.to_string().contains("another secret?"), "{error}");
}

/// Goal: a forger who puts a trusted root's key beside its own signature is refused.
#[test]
fn a_forged_signature_is_refused() {
    let forged = Issuer::new(app("demo"), DeviceKey::from_seed([3; 32]));
    let forged = forged.issue(request(), [5; 16], NOW_MS).unwrap();
    let root_key = root().public();
    let forger_key = DeviceKey::from_seed([3; 32]).public();
    let mut bytes = forged.as_bytes().to_vec();
    let at = bytes
        .windows(32)
        .position(|part| part == forger_key.as_bytes())
        .unwrap();
    bytes[at..at + 32].copy_from_slice(root_key.as_bytes());
    assert_eq!(
        verify(&bytes, NOW_MS).unwrap_err(),
        CertificateError::Signature
    );
}

/// Goal: validity includes both its ends and not a millisecond more; without an end it holds at every date.
#[test]
fn validity_is_exact() {
    let signed = issue(request());
    let (from_ms, to_ms) = (NOW_MS - CLOCK_TOLERANCE_MS, NOW_MS + HOUR_MS);
    assert!(verify(signed.as_bytes(), from_ms).is_ok());
    assert!(verify(signed.as_bytes(), to_ms).is_ok());
    assert_eq!(
        verify(signed.as_bytes(), to_ms + 1).unwrap_err(),
        CertificateError::Expired {
            not_after_ms: to_ms,
            now_ms: to_ms + 1
        }
    );
    assert_eq!(
        verify(signed.as_bytes(), from_ms - 1).unwrap_err(),
        CertificateError::NotYetValid {
            not_before_ms: from_ms,
            now_ms: from_ms - 1
        }
    );
    let endless = issue(CertificateRequest::development(device().public(), "pi"));
    assert!(verify(endless.as_bytes(), 0).is_ok());
    assert!(verify(endless.as_bytes(), NO_END_MS).is_ok());
}

/// Goal: a certificate in the hands of another device, and an issuer's own certificate, admit nobody.
#[test]
fn another_key_is_refused() {
    let signed = issue(request());
    let thief = DeviceKey::from_seed([4; 32]).public();
    assert_eq!(
        trust().verify(&signed.into(), thief, NOW_MS).unwrap_err(),
        CertificateError::OtherKey {
            subject: device().public(),
            presented: thief
        }
    );
    let issuer = issue(CertificateRequest {
        kind: CertificateKind::Issuer,
        ..request()
    });
    assert_eq!(
        verify(issuer.as_bytes(), NOW_MS).unwrap_err(),
        CertificateError::IssuerKind
    );
}

/// Goal: what this version can't judge is refused, whatever else the certificate says.
#[test]
fn the_unknown_is_refused() {
    let critical = vec![Extension {
        name: "geo-fence".into(),
        value: vec![1],
    }];
    let signed = issue(CertificateRequest {
        critical,
        ..request()
    });
    assert_eq!(
        verify(signed.as_bytes(), NOW_MS).unwrap_err(),
        CertificateError::UnknownCritical {
            name: "geo-fence".into()
        }
    );
    // The payload begins with its version: field 1, value 1.
    let newer = resigned(|payload| payload[1] = 2);
    assert_eq!(
        verify(&newer, NOW_MS).unwrap_err(),
        CertificateError::UnsupportedVersion { version: 2 }
    );
    // Kind 9, given a second time at the end (field 7): the last one counts.
    let strange = resigned(|payload| payload.extend([0x38, 9]));
    assert_eq!(
        verify(&strange, NOW_MS).unwrap_err(),
        CertificateError::Damaged("kind")
    );
}

/// Goal: sizes and envelopes of other kinds are refused before anything is read from them.
#[test]
fn other_envelopes_are_refused() {
    let large = vec![0; CERTIFICATE_BYTES_MAX + 1];
    assert_eq!(
        verify(&large, NOW_MS).unwrap_err(),
        CertificateError::TooLarge {
            bytes: CERTIFICATE_BYTES_MAX + 1
        }
    );
    let key = DeviceKey::from_seed([1; 32]);
    let record = Envelope::sign(&key, certificate::DOMAIN, "/libp2p/peer-record", vec![8, 1]);
    assert_eq!(
        verify(record.as_bytes(), NOW_MS).unwrap_err(),
        CertificateError::PayloadType {
            found: "/libp2p/peer-record".into()
        }
    );
    let elsewhere = Envelope::sign(
        &key,
        "another domain",
        certificate::PAYLOAD_TYPE,
        vec![8, 1],
    );
    assert_eq!(
        verify(elsewhere.as_bytes(), NOW_MS).unwrap_err(),
        CertificateError::Signature
    );
    let empty = Envelope::sign(
        &key,
        certificate::DOMAIN,
        certificate::PAYLOAD_TYPE,
        Vec::new(),
    );
    assert_eq!(
        verify(empty.as_bytes(), NOW_MS).unwrap_err(),
        CertificateError::UnsupportedVersion { version: 0 }
    );
}

/// Goal: trust needs a root and has a bound.
#[test]
fn roots_are_bounded() {
    assert_eq!(Trust::new(app("demo"), &[]), Err(TrustError::NoRoot));
    let roots = vec![root().public(); ROOTS_MAX + 1];
    assert_eq!(
        Trust::new(app("demo"), &roots),
        Err(TrustError::TooManyRoots {
            roots: ROOTS_MAX + 1
        })
    );
}

/// Goal: a device notices by itself that its own certificate would be refused.
#[test]
fn a_local_identity_verifies_itself() {
    let signed = issue(request());
    let chain = CertificateChain::from(signed);
    let local = LocalIdentity::new(device(), &chain, trust(), NOW_MS).unwrap();
    assert_eq!(local.certificate().signed(), &chain);
    assert_eq!(local.peer_id(), device().peer_id());
    let late_ms = NOW_MS + HOUR_MS + 1;
    let error = LocalIdentity::new(device(), &chain, trust(), late_ms).unwrap_err();
    assert_eq!(error.code(), RefusalCode::Expired);
}

fn any_rights() -> impl Strategy<Value = Rights> {
    let queries = prop::collection::vec(".{0,20}", 0..4);
    prop_oneof![
        Just(Rights::Everything),
        prop::collection::btree_map(".{1,10}", queries, 0..4).prop_map(Rights::Collections),
    ]
}

fn any_extensions() -> impl Strategy<Value = Vec<Extension>> {
    let extension =
        (".{1,10}", any::<Vec<u8>>()).prop_map(|(name, value)| Extension { name, value });
    prop::collection::vec(extension, 0..3)
}

prop_compose! {
    fn any_certificate()(
        serial: [u8; 16], seed: [u8; 32], issuer: [u8; 32],
        app in "[a-z0-9._-]{1,64}", name in ".{0,40}", user_id in prop::option::of(".{1,40}"),
        kind in prop_oneof![
            Just(CertificateKind::Issuer), Just(CertificateKind::Device), Just(CertificateKind::Service)
        ],
        times: (u64, u64), read in any_rights(), write in any_rights(),
        claims in prop::collection::btree_map(".{1,10}", ".{0,10}", 0..4), extra in any_extensions(),
    ) -> Certificate {
        Certificate {
            serial: Serial(serial),
            app: AppId::new(&app).unwrap(),
            subject: DeviceKey::from_seed(seed).public(),
            name,
            user_id,
            kind,
            not_before_ms: times.0.min(times.1),
            not_after_ms: times.0.max(times.1),
            issuer: DeviceKey::from_seed(issuer).public().id(),
            permissions: Permissions { read, write },
            claims,
            critical: Vec::new(),
            extra,
        }
    }
}

proptest! {
    /// Goal: every certificate that can be written reads back as it was.
    #[test]
    fn payloads_round_trip(certificate in any_certificate()) {
        let payload = certificate::encode(&certificate).unwrap();
        prop_assert_eq!(certificate::decode(&payload), Ok(certificate));
    }

    /// Goal: arbitrary payloads are read or refused, without a panic.
    #[test]
    fn noise_is_survived(payload: Vec<u8>) {
        if let Ok(certificate) = certificate::decode(&payload) {
            prop_assert!(certificate::encode(&certificate).is_ok());
        }
    }
}
