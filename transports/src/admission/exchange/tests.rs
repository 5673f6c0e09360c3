//! Two sides of the exchange talk to each other, message by message.

mod known;
mod turns;

use proptest::prelude::*;
use sedge_identity::{
    AppId, CertificateError, CertificateKind, CertificateRequest, DeviceKey, Issuer, Permissions,
    Rights, Trust,
};

use super::*;
use crate::{
    admission::message_bytes,
    device::{ISSUED_MS as NOW_MS, LIFE_MS, device, lasting},
};

fn registry() -> Arc<Admitted> {
    Arc::new(Admitted::new(1))
}

/// A device, and what it keeps between exchanges.
struct Side {
    own: Arc<LocalIdentity>,
    registry: Arc<Admitted>,
    known: Arc<KnownChains>,
}

impl Side {
    fn new(own: &Arc<LocalIdentity>) -> Self {
        Self {
            own: Arc::clone(own),
            registry: registry(),
            known: Arc::default(),
        }
    }

    fn exchange(&self, role: Role, peer: PublicKey) -> Exchange {
        Exchange::new(
            role,
            Arc::clone(&self.own),
            Arc::clone(&self.registry),
            Arc::clone(&self.known),
            peer,
        )
    }

    fn key(&self) -> PublicKey {
        self.own.key().public()
    }
}

/// The message inside what was sent.
fn body(sent: &[u8]) -> &[u8] {
    let (length, body) = sent.split_first_chunk().unwrap();
    assert_eq!(message_bytes(*length).unwrap(), body.len());
    body
}

/// What has become of an exchange for one side.
#[derive(Debug, Default)]
struct Outcome {
    admission: Option<Admission>,
    end: Option<Result<(), AdmissionError>>,
    /// How many messages had travelled when the side could use the connection.
    after: Option<usize>,
}

/// What two sides have said.
#[derive(Debug)]
struct Talk {
    dialer: Outcome,
    listener: Outcome,
    sent: Vec<Message>,
}

impl Talk {
    fn between(dialer: &Side, listener: &Side, now_ms: u64) -> Self {
        Self::at([now_ms, now_ms], dialer, listener)
    }

    /// Lets both talk, each by its clock, until neither has anything to say.
    fn at(now_ms: [u64; 2], dialer: &Side, listener: &Side) -> Self {
        let mut ends = [
            dialer.exchange(Role::Dialer, listener.key()),
            listener.exchange(Role::Listener, dialer.key()),
        ];
        let mut outcomes = [Outcome::default(), Outcome::default()];
        assert!(ends[1].start(now_ms[1]).send.is_none());
        let (mut step, mut turn, mut sent) = (ends[0].start(now_ms[0]), 0, Vec::new());
        loop {
            let outcome = &mut outcomes[turn];
            if let Some(admission) = step.admission {
                outcome.admission = Some(admission);
                outcome.after = Some(sent.len());
            }
            outcome.end = step.end.or(outcome.end.take());
            let Some(bytes) = step.send else { break };
            sent.push(Message::decode(body(&bytes)).unwrap());
            turn = 1 - turn;
            step = ends[turn].handle(body(&bytes), now_ms[turn]);
        }
        let [dialer, listener] = outcomes;
        Self {
            dialer,
            listener,
            sent,
        }
    }

    fn is_mutual(&self) -> bool {
        let good = |it: &Outcome| it.admission.is_some() && matches!(it.end, Some(Ok(())));
        good(&self.dialer) && good(&self.listener)
    }

    /// What was sent, without the contents.
    fn kinds(&self) -> Vec<&'static str> {
        let kind = |message: &Message| match message {
            Message::Open(Open { known, .. }) if known.is_empty() => "open",
            Message::Open(_) => "open, named",
            Message::Answer(answer) => match (&answer.certificate, answer.admitted) {
                (Some(_), false) => "answer, shown",
                (Some(_), true) => "answer, shown, admitted",
                (None, false) => "answer",
                (None, true) => "answer, admitted",
            },
            Message::Certificate(_) => "certificate",
            Message::Admitted => "admitted",
            Message::Refused(_) => "refused",
        };
        self.sent.iter().map(kind).collect()
    }
}

fn refused_by_peer(outcome: &Outcome, code: RefusalCode) -> bool {
    matches!(&outcome.end, Some(Err(AdmissionError::RefusedByPeer(heard))) if *heard == code)
}

/// Goal: two devices of one app admit each other, the dialer after one round trip, and their places live as long as the
/// admissions.
#[test]
fn members_admit_each_other() {
    let (a, b) = (
        Side::new(&device("demo", 1, 2)),
        Side::new(&device("demo", 1, 3)),
    );
    let talk = Talk::between(&a, &b, NOW_MS);
    assert!(talk.is_mutual(), "{talk:?}");
    assert_eq!(
        talk.kinds(),
        ["open", "answer, shown", "certificate", "admitted"]
    );
    assert_eq!((talk.dialer.after, talk.listener.after), (Some(2), Some(3)));
    let admission = |outcome: &Outcome| outcome.admission.as_ref().unwrap().certificate().subject;
    assert_eq!(admission(&talk.dialer), b.key());
    assert_eq!(admission(&talk.listener), a.key());
    assert!(a.registry.get(&b.own.peer_id()).is_some());
    assert!(b.registry.get(&a.own.peer_id()).is_some());
    drop(talk);
    assert!(a.registry.is_empty() && b.registry.is_empty());
}

/// Goal: a device whose own certificate has ended by its clock says nothing in either role, though the other's clock is
/// behind and would admit it.
#[test]
fn a_device_whose_certificate_has_ended_says_nothing() {
    let (ended, other) = (
        Side::new(&device("demo", 1, 2)),
        Side::new(&device("demo", 1, 3)),
    );
    let last_ms = NOW_MS + LIFE_MS;
    assert!(Talk::at([last_ms, NOW_MS], &ended, &other).is_mutual());
    let own = |outcome: &Outcome| matches!(outcome.end, Some(Err(AdmissionError::OwnCertificate)));
    let talk = Talk::at([last_ms + 1, NOW_MS], &ended, &other);
    assert!(own(&talk.dialer) && talk.sent.is_empty(), "{talk:?}");
    let talk = Talk::at([NOW_MS, last_ms + 1], &other, &ended);
    assert!(own(&talk.listener) && talk.sent.len() == 1, "{talk:?}");
}

/// Goal: whoever finds a fault knows it in full, the other is told a code only, and nobody gets a place.
#[test]
fn strangers_are_refused_with_a_code() {
    let cases = [
        (device("fleet", 1, 3), NOW_MS, RefusalCode::OtherApp),
        (device("demo", 9, 3), NOW_MS, RefusalCode::UnknownRoot),
        (
            device("demo", 1, 3),
            NOW_MS + LIFE_MS + 1,
            RefusalCode::Expired,
        ),
    ];
    for (stranger, now_ms, code) in cases {
        let (own, stranger) = (Side::new(&lasting("demo", 1, 2)), Side::new(&stranger));
        let talk = Talk::at([now_ms, NOW_MS], &own, &stranger);
        let Some(Err(AdmissionError::Certificate(found))) = &talk.dialer.end else {
            panic!("{talk:?}")
        };
        assert_eq!(found.code(), code);
        assert!(refused_by_peer(&talk.listener, code), "{talk:?}");
        assert!(own.registry.is_empty() && stranger.registry.is_empty());
        assert!(own.known.of(&stranger.key()).is_none());
    }
}

/// Goal: a device that an issuer below the root certified is admitted with its whole chain, also if it may write nothing; one
/// that may not read everything is not, by either side, while nothing would hold it to a part.
#[test]
fn a_chain_that_reads_everything_is_admitted() {
    let own = device("demo", 1, 2);
    let reader = Permissions {
        write: Rights::nothing(),
        ..Permissions::everything()
    };
    let writer = Permissions {
        read: Rights::nothing(),
        ..Permissions::everything()
    };
    for (permissions, admitted) in [
        (Permissions::everything(), true),
        (reader, true),
        (writer, false),
        (Permissions::nothing(), false),
    ] {
        let other = device_below("demo", 1, 3, permissions);
        for (dialer, listener) in [(&own, &other), (&other, &own)] {
            let talk = Talk::between(&Side::new(dialer), &Side::new(listener), NOW_MS);
            assert_eq!(talk.is_mutual(), admitted, "{talk:?}");
            let limited =
                |it: &Outcome| matches!(it.end, Some(Err(AdmissionError::LimitedReading)));
            assert_eq!(limited(&talk.dialer) || limited(&talk.listener), !admitted);
        }
    }
}

/// Goal: the listener judges too: a dialer that shows a copied certificate is refused after the listener's own was fine.
#[test]
fn a_copied_certificate_is_refused() {
    let (owner, listener) = (device("demo", 1, 2), Side::new(&device("demo", 1, 3)));
    let thief = DeviceKey::from_seed([4; 32]).public();
    let mut exchange = listener.exchange(Role::Listener, thief);
    let chain = owner.certificate().signed();
    let open = Message::Open(Open {
        version: VERSION,
        own: ChainName::of(chain).to_vec(),
        known: Vec::new(),
    });
    let step = exchange.handle(body(&open.encode().unwrap()), NOW_MS);
    assert!(step.end.is_none() && step.admission.is_none());
    let copied = Message::Certificate(Envelopes::of(chain));
    let step = exchange.handle(body(&copied.encode().unwrap()), NOW_MS);
    assert_eq!(
        step.send,
        Some(Message::Refused(RefusalCode::OtherKey).encode().unwrap())
    );
    assert!(matches!(
        step.end,
        Some(Err(AdmissionError::Certificate(
            CertificateError::OtherKey { .. }
        )))
    ));
    assert!(listener.registry.is_empty());
}

/// Goal: another version is refused before anything is shown, whatever else its opening holds.
#[test]
fn another_version_is_refused() {
    let side = Side::new(&device("demo", 1, 2));
    let peer = device("demo", 1, 3).key().public();
    for own in [Vec::new(), vec![1; 32]] {
        let open = Message::Open(Open {
            version: 2,
            own,
            known: Vec::new(),
        });
        let mut exchange = side.exchange(Role::Listener, peer);
        let step = exchange.handle(body(&open.encode().unwrap()), NOW_MS);
        assert_eq!(
            step.send,
            Some(
                Message::Refused(RefusalCode::UnsupportedVersion)
                    .encode()
                    .unwrap()
            )
        );
        assert!(matches!(
            step.end,
            Some(Err(AdmissionError::UnsupportedVersion {
                theirs: 2,
                ours: 1
            }))
        ));
    }
}

/// Goal: a full registry refuses on either side, and says so, also to whom it knows.
#[test]
fn a_full_registry_refuses() {
    let [a, b, c] = [2, 3, 4].map(|seed| Side::new(&device("demo", 1, seed)));
    for known in [false, true] {
        assert!(!known || Talk::between(&a, &b, NOW_MS).is_mutual());
        let trust = a.own.trust();
        let place = trust.verify(c.own.certificate().signed(), c.key(), NOW_MS);
        let peer = c.own.peer_id();
        b.registry.admit(peer, Arc::new(place.unwrap())).unwrap();
        let talk = Talk::between(&a, &b, NOW_MS);
        assert!(refused_by_peer(&talk.dialer, RefusalCode::Full), "{talk:?}");
        assert!(matches!(
            talk.listener.end,
            Some(Err(AdmissionError::Full(_)))
        ));
        assert_eq!(
            talk.dialer.admission.is_some(),
            !known,
            "it had gone on already"
        );
        drop(talk);
        assert!(a.registry.is_empty());
        b.registry.release(&peer);
    }
}

proptest! {
    /// Goal: no sequence of arbitrary messages admits anybody or panics.
    #[test]
    fn noise_admits_nobody(messages: Vec<Vec<u8>>, dialer: bool) {
        let role = if dialer { Role::Dialer } else { Role::Listener };
        let side = Side::new(&device("demo", 1, 2));
        let mut exchange = side.exchange(role, device("demo", 1, 3).key().public());
        exchange.start(NOW_MS);
        for message in messages {
            let step = exchange.handle(&message, NOW_MS);
            prop_assert!(step.admission.is_none());
            prop_assert!(!matches!(step.end, Some(Ok(_))));
            prop_assert!(side.registry.is_empty());
        }
    }
}

/// A device of `app` with these permissions, under an issuer whom the one that grows from `root` has certified.
fn device_below(app: &str, root: u8, seed: u8, permissions: Permissions) -> Arc<LocalIdentity> {
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
    let above = root.issue(issuing, [200; 16], NOW_MS).unwrap();
    let first = issuer.issue(request, [seed; 16], NOW_MS).unwrap();
    let chain = CertificateChain::new(first, &[above]).unwrap();
    let trust = Trust::new(app, &[root.public()]).unwrap();
    Arc::new(LocalIdentity::new(key, &chain, trust, NOW_MS).unwrap())
}
