//! Any bytes as a certificate, as the one above it in a chain, and as what a trusted issuer signed: only the fixture
//! verifies as it is, and what verifies once signed says what it must say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_fuzz::fixtures::{CERTIFICATE_DOMAIN, CERTIFICATE_TYPE, Certified, NOW_MS, certified};
use sedge_fuzz::{Guarded, guarded};
use sedge_identity::{CertificateChain, CertificateKind, Envelope, SignedCertificate};
use std::sync::OnceLock;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory a certificate of at most 8 KiB may take: a thousand entries and their copies.
const BYTES_MAX: usize = 4 << 20;

fn fixture() -> &'static Certified {
    static FIXTURE: OnceLock<Certified> = OnceLock::new();
    FIXTURE.get_or_init(certified)
}

fuzz_target!(|bytes: &[u8]| {
    let fixture = fixture();
    guarded(BYTES_MAX + bytes.len() * 64, || {
        as_envelope(fixture, bytes);
        as_payload(fixture, bytes);
        as_issuer(fixture, bytes);
        as_text(bytes);
    });
});

fn as_envelope(fixture: &Certified, bytes: &[u8]) {
    let Ok(signed) = SignedCertificate::from_bytes(bytes) else {
        return;
    };
    assert!(signed.as_bytes() == bytes);
    let chain = CertificateChain::from(signed);
    if let Ok(verified) = fixture.trust.verify(&chain, fixture.subject, NOW_MS) {
        assert!(
            bytes == fixture.certificate.as_bytes(),
            "a forged certificate verifies"
        );
        assert!(verified.signed() == &chain);
    }
}

/// Without the issuer's key no change of a payload would get past the signature.
fn as_payload(fixture: &Certified, bytes: &[u8]) {
    let signed = Envelope::sign(
        &fixture.root,
        CERTIFICATE_DOMAIN,
        CERTIFICATE_TYPE,
        bytes.to_vec(),
    );
    let Ok(signed) = SignedCertificate::from_bytes(signed.as_bytes()) else {
        return;
    };
    let Ok(verified) = fixture
        .trust
        .verify(&signed.into(), fixture.subject, NOW_MS)
    else {
        return;
    };
    assert!(verified.subject == fixture.subject);
    assert!(verified.app == *fixture.trust.app());
    assert!(verified.issuer == fixture.root.public().id());
    assert!(verified.kind != CertificateKind::Issuer);
    assert!(
        verified.critical.is_empty(),
        "no critical extension is understood"
    );
    assert!((verified.not_before_ms..=verified.not_after_ms).contains(&NOW_MS));
}

/// Between the device's certificate, signed by another issuer than the root, and the root.
fn as_issuer(fixture: &Certified, bytes: &[u8]) {
    let envelope = Envelope::sign(
        &fixture.root,
        CERTIFICATE_DOMAIN,
        CERTIFICATE_TYPE,
        bytes.to_vec(),
    );
    let below = fixture.below.as_bytes();
    let Ok(chain) = CertificateChain::from_envelopes(below, &[envelope.as_bytes()]) else {
        return;
    };
    let Ok(verified) = fixture.trust.verify(&chain, fixture.subject, NOW_MS) else {
        return;
    };
    let links: Vec<_> = verified.along_chain().collect();
    let [device, issuer] = links[..] else {
        panic!("there are two certificates in the chain");
    };
    assert!(issuer.kind == CertificateKind::Issuer && issuer.subject.id() == device.issuer);
    assert!(issuer.app == device.app && issuer.issuer == fixture.root.public().id());
    assert!(issuer.permissions.is_everything(), "as the device's are");
}

/// As the text of a file.
fn as_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(chain) = CertificateChain::from_text(text) {
        assert!(CertificateChain::from_text(&chain.to_text()) == Ok(chain));
    }
}
