//! Whoever shows a certified device anything but a good certificate gets nothing.

use crate::certificates::uncertified;
use crate::harness::{Device, World, wait_for, wait_until_same};
use crate::neighbour::shows_until_cut;
use crate::stranger::{Shown, answer_to, name_of};
use sedge::{CertificateChain, SignedCertificate};
use sedge_identity::{
    AppId, CERTIFICATE_BYTES_MAX, CertificateKind, CertificateRequest, DeviceKey, Envelope,
    Extension, Issuer, LocalIdentity, Permissions, PublicKey, RefusalCode, Rights, Trust, Validity,
    parse_hex,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const HOUR_MS: u64 = 3_600_000;

/// The issuer that the attacked device trusts, and what can be wrong with what it, or somebody else, signs.
struct Forger {
    root: Issuer,
    root_key: DeviceKey,
    now_ms: u64,
    /// The stranger's key.
    subject: PublicKey,
}

impl Forger {
    fn new(subject: PublicKey) -> Self {
        let root_key = DeviceKey::from_seed([1; 32]);
        Self {
            root: Issuer::new(app("shop"), root_key.clone()),
            root_key,
            now_ms: sedge::now_ms(),
            subject,
        }
    }

    fn request(&self) -> CertificateRequest {
        CertificateRequest {
            validity: Validity::Life { life_ms: HOUR_MS },
            ..CertificateRequest::development(self.subject, "stranger")
        }
    }

    fn signed(&self, by: &Issuer, request: CertificateRequest) -> Vec<u8> {
        let signed = by.issue(request, [5; 16], self.now_ms).unwrap();
        signed.as_bytes().to_vec()
    }

    /// The root's signature under a request that was changed.
    fn changed(&self, change: impl FnOnce(&mut CertificateRequest)) -> Vec<u8> {
        let mut request = self.request();
        change(&mut request);
        self.signed(&self.root, request)
    }

    fn issuing(&self, issuer: &Issuer, permissions: Permissions) -> Vec<u8> {
        let request = CertificateRequest {
            kind: CertificateKind::Issuer,
            permissions,
            ..CertificateRequest::development(issuer.public(), "site")
        };
        self.signed(&self.root, request)
    }

    /// Every forgery: its name, what is shown, the code that is answered if any, and a part of the line in the log.
    fn forgeries(
        &self,
        replayed: &CertificateChain,
    ) -> Vec<(&'static str, Shown, Option<RefusalCode>, &'static str)> {
        use RefusalCode as Code;
        let good = self.signed(&self.root, self.request());
        let site = Issuer::new(app("shop"), DeviceKey::from_seed([2; 32]));
        let other = Issuer::new(app("shop"), DeviceKey::from_seed([3; 32]));
        let by_site = self.signed(&site, self.request());
        let everything = Permissions::everything();
        let cars = Permissions {
            read: Rights::Collections(BTreeMap::from([("cars".into(), vec!["true".into()])])),
            write: Rights::nothing(),
        };
        let site_certificate = self.issuing(&site, everything.clone());
        let at = |issued_ms| {
            let signed = self.root.issue(self.request(), [5; 16], issued_ms).unwrap();
            signed.as_bytes().to_vec()
        };
        let flipped = |index: usize| {
            let mut bytes = good.clone();
            bytes[index] ^= 1;
            bytes
        };
        let elsewhere = Envelope::sign(
            &self.root_key,
            "sedge-certificate",
            "/libp2p/peer-record",
            vec![8, 1],
        );
        let office = Issuer::new(app("office"), self.root_key.clone());
        let stranger = Issuer::new(app("shop"), DeviceKey::from_seed([40; 32]));
        let refused = vec![
            (
                "wrong app",
                self.signed(&office, self.request()).into(),
                Code::OtherApp,
                "app 'office'",
            ),
            (
                "other key",
                self.changed(|request| request.subject = site.public())
                    .into(),
                Code::OtherKey,
                "another key",
            ),
            (
                "replayed",
                replayed.first().as_bytes().to_vec().into(),
                Code::OtherKey,
                "copied certificate",
            ),
            (
                "expired",
                at(self.now_ms - 3 * HOUR_MS).into(),
                Code::Expired,
                "expired",
            ),
            (
                "not yet valid",
                at(self.now_ms + 3 * HOUR_MS).into(),
                Code::NotYetValid,
                "becomes valid",
            ),
            (
                "unknown root",
                self.signed(&other, self.request()).into(),
                Code::UnknownRoot,
                "does not trust",
            ),
            (
                "unfinished chain",
                by_site.clone().into(),
                Code::UnknownRoot,
                "does not trust",
            ),
            (
                "broken chain",
                Shown::Chain(
                    by_site.clone(),
                    vec![self.issuing(&other, everything.clone())],
                ),
                Code::BrokenChain,
                "chain is broken",
            ),
            (
                "a device as issuer",
                Shown::Chain(self.signed(&stranger, self.request()), vec![good.clone()]),
                Code::BrokenChain,
                "chain is broken",
            ),
            (
                "too long a chain",
                Shown::Chain(by_site.clone(), vec![site_certificate.clone(); 4]),
                Code::BrokenChain,
                "at most 4",
            ),
            (
                "rights beyond the issuer's",
                Shown::Chain(by_site.clone(), vec![self.issuing(&site, cars.clone())]),
                Code::BeyondIssuer,
                "may not give",
            ),
            (
                "reading a part only",
                self.changed(|request| request.permissions = cars).into(),
                Code::LimitedReading,
                "read a part only",
            ),
            (
                "unknown critical",
                self.changed(|request| {
                    request.critical = vec![Extension {
                        name: "geo".into(),
                        value: vec![],
                    }]
                })
                .into(),
                Code::UnknownCritical,
                "\"geo\"",
            ),
            (
                "changed byte",
                flipped(good.len() - 1).into(),
                Code::Signature,
                "signature does not hold",
            ),
            (
                "truncated",
                good[..good.len() - 1].to_vec().into(),
                Code::Damaged,
                "truncated or damaged",
            ),
            (
                "oversized",
                vec![0; CERTIFICATE_BYTES_MAX + 1].into(),
                Code::Damaged,
                "8193 bytes",
            ),
            (
                "wrong payload type",
                elsewhere.as_bytes().to_vec().into(),
                Code::Damaged,
                "not a certificate",
            ),
            (
                "an issuer's own",
                self.changed(|request| request.kind = CertificateKind::Issuer)
                    .into(),
                Code::OtherKey,
                "is an issuer's",
            ),
        ];
        let refused = refused
            .into_iter()
            .map(|(name, shown, code, line)| (name, shown, Some(code), line));
        let named = (
            "the name of another device's chain, which is known",
            Shown::Named(name_of(replayed)),
            None,
            "something else where a certificate",
        );
        refused.chain([named]).collect()
    }
}

fn app(name: &str) -> AppId {
    AppId::new(name).unwrap()
}

/// Certifies a device by the forger's root, in its rightful use.
fn certified(world: &World, forger: &Forger, name: &str) -> (Device, CertificateChain) {
    let root = forger.root.issue(
        CertificateRequest {
            kind: CertificateKind::Issuer,
            ..CertificateRequest::development(forger.root.public(), "root")
        },
        [0; 16],
        forger.now_ms,
    );
    world.file("root.crt", root.unwrap().to_text());
    let (device, key) = uncertified(world, name, "root.crt");
    let key = PublicKey::from_bytes(parse_hex(&key).unwrap()).unwrap();
    let request = CertificateRequest {
        subject: key,
        name: name.to_owned(),
        ..forger.request()
    };
    let signed: SignedCertificate = forger.root.issue(request, [7; 16], forger.now_ms).unwrap();
    let chain = CertificateChain::from(signed);
    let file = world.file(&format!("{name}.crt"), chain.to_text());
    device
        .finish(["cert".as_ref(), "install".as_ref(), file.as_os_str()])
        .ok();
    (device, chain)
}

/// Goal: whoever shows a forged, damaged, foreign or copied certificate is told a code and nothing else, the log says which
/// check failed in one line, and those with good certificates go on meeting.
#[test]
fn forged_certificates_get_nothing() {
    let world = World::new();
    let strangers = Forger::new(DeviceKey::from_seed([40; 32]).public());
    let (ours, _) = certified(&world, &strangers, "ours");
    ours.insert("cars", &json!({"_id": "ours"}));
    let daemon = ours.start(&[]);
    // Whom the strangers try to pass for has been here.
    let (friend, replayed) = certified(&world, &strangers, "friend");
    let friendly = friend.start(&[&daemon]);
    wait_until_same(&[&ours, &friend], "cars", 1);
    let forgeries = strangers.forgeries(&replayed).len();
    assert!(forgeries >= 14);
    for index in 0..forgeries {
        // Each time another stranger, because the log tells the same of the same peer once.
        let key = DeviceKey::from_seed([40 + index as u8; 32]);
        let forger = Forger::new(key.public());
        let mut all = forger.forgeries(&replayed);
        let (name, shown, code, expected) = all.swap_remove(index);
        let refused = answer_to(&daemon.address, &key, &shown);
        let expected_answer = code.map_or(Vec::new(), |code| {
            vec![0, 4, 0x22, 2, 8, code.to_wire() as u8]
        });
        assert_eq!(refused, expected_answer, "{name}");
        let peer = key.peer_id().to_string();
        let lines = wait_for(name, || {
            let log = daemon.log();
            let lines: Vec<_> = log
                .lines()
                .filter(|line| line.contains(&peer))
                .map(str::to_owned)
                .collect();
            (!lines.is_empty()).then_some(lines)
        });
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        assert!(
            lines[0].contains("not admitted") && lines[0].contains(expected),
            "{name}: {lines:?}"
        );
    }
    let peers: Value = ours.finish(["peers", "--json"]).json();
    let names: Vec<_> = peers
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| &peer["name"])
        .collect();
    assert_eq!(names, ["friend"]);

    assert_eq!(friendly.end_by("TERM"), Some(0));
    ours.insert("cars", &json!({"_id": "more"}));
    let _again = friend.start(&[&daemon]);
    wait_until_same(&[&ours, &friend], "cars", 2);
}

impl Shown {
    /// The chain, where the bytes are one: others can't be sent by software that reads them first.
    fn chain(&self) -> Option<CertificateChain> {
        let Self::Chain(first, issuers) = self else {
            return None;
        };
        let signed = |bytes: &Vec<u8>| SignedCertificate::from_bytes(bytes).ok();
        let issuers: Option<Vec<_>> = issuers.iter().map(signed).collect();
        CertificateChain::new(signed(first)?, &issuers?).ok()
    }
}

/// Goal: an admitted device that shows a forged, damaged, foreign or copied certificate as its renewed one is cut off, and one
/// line says which check failed; the others are not disturbed.
#[test]
fn forged_renewals_end_the_connection() {
    let world = World::new();
    let issuing = Forger::new(DeviceKey::from_seed([40; 32]).public());
    let (ours, _) = certified(&world, &issuing, "ours");
    let daemon = ours.start(&[]);
    let (friend, replayed) = certified(&world, &issuing, "friend");
    let _friendly = friend.start(&[&daemon]);
    let mut shown = 0;
    for index in 0..issuing.forgeries(&replayed).len() {
        // Each time another device, because one that was cut off is kept away for a while.
        let key = DeviceKey::from_seed([40 + index as u8; 32]);
        let forger = Forger::new(key.public());
        let (name, forged, _, expected) = forger.forgeries(&replayed).swap_remove(index);
        let Some(forged) = forged.chain() else {
            continue;
        };
        let peer = key.peer_id().to_string();
        let good = forger.root.issue(forger.request(), [5; 16], forger.now_ms);
        let trust = Trust::new(app("shop"), &[forger.root.public()]).unwrap();
        let own = LocalIdentity::new(key, &good.unwrap().into(), trust, forger.now_ms).unwrap();
        shows_until_cut(&daemon.address, own, forged);
        let log = daemon.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&peer)).collect();
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        assert!(
            lines[0].contains("is refused") && lines[0].contains(expected),
            "{name}: {lines:?}"
        );
        shown += 1;
    }
    assert!(shown >= 12, "{shown} can be sent");
    ours.insert("cars", &json!({"_id": "more"}));
    wait_until_same(&[&ours, &friend], "cars", 1);
}
