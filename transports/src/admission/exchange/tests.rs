//! Two sides of the exchange talk to each other, message by message.

use proptest::prelude::*;
use sedge_identity::{CertificateError, DeviceKey, Permissions};

use super::*;
use crate::{
    admission::message_bytes,
    device::{ISSUED_MS as NOW_MS, LIFE_MS, device, device_below},
};

fn registry() -> Arc<Admitted> {
    Arc::new(Admitted::new(1))
}

fn side(
    role: Role,
    own: &Arc<LocalIdentity>,
    registry: &Arc<Admitted>,
    peer: &LocalIdentity,
) -> Exchange {
    Exchange::new(
        role,
        Arc::clone(own),
        Arc::clone(registry),
        peer.key().public(),
    )
}

/// The message inside what was sent.
fn body(sent: &[u8]) -> &[u8] {
    let (length, body) = sent.split_first_chunk().unwrap();
    assert_eq!(message_bytes(*length).unwrap(), body.len());
    body
}

type End = Result<Admission, AdmissionError>;

/// Lets both talk until neither has anything to say: how it ended for the dialer and for the listener.
fn talk(dialer: &mut Exchange, listener: &mut Exchange, now_ms: u64) -> (Option<End>, Option<End>) {
    let first = dialer.start();
    assert!(listener.start().send.is_none());
    let (mut ends, mut sent, mut to_listener) = ([first.end, None], first.send, true);
    while let Some(bytes) = sent {
        let receiver = if to_listener {
            &mut *listener
        } else {
            &mut *dialer
        };
        let step = receiver.handle(body(&bytes), now_ms);
        ends[usize::from(to_listener)] = step.end;
        sent = step.send;
        to_listener = !to_listener;
    }
    let [dialer_end, listener_end] = ends;
    (dialer_end, listener_end)
}

/// Goal: two devices of one app admit each other, and their places live as long as the admissions.
#[test]
fn members_admit_each_other() {
    let (a, b) = (device("demo", 1, 2), device("demo", 1, 3));
    let (a_registry, b_registry) = (registry(), registry());
    let ends = talk(
        &mut side(Role::Dialer, &a, &a_registry, &b),
        &mut side(Role::Listener, &b, &b_registry, &a),
        NOW_MS,
    );
    let (Some(Ok(a_end)), Some(Ok(b_end))) = ends else {
        panic!("{ends:?}")
    };
    assert_eq!(a_end.certificate().subject, b.key().public());
    assert_eq!(b_end.certificate().subject, a.key().public());
    assert!(a_registry.get(&b.peer_id()).is_some() && b_registry.get(&a.peer_id()).is_some());
    drop((a_end, b_end));
    assert!(a_registry.is_empty() && b_registry.is_empty());
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
        let (own, registries) = (device("demo", 1, 2), [registry(), registry()]);
        let ends = talk(
            &mut side(Role::Dialer, &own, &registries[0], &stranger),
            &mut side(Role::Listener, &stranger, &registries[1], &own),
            now_ms,
        );
        let (Some(Err(AdmissionError::Certificate(found))), Some(Err(told))) = ends else {
            panic!("{ends:?}")
        };
        assert_eq!(found.code(), code);
        assert!(
            matches!(told, AdmissionError::RefusedByPeer(heard) if heard == code),
            "{told}"
        );
        assert!(registries.iter().all(|registry| registry.is_empty()));
    }
}

/// Goal: a device that an issuer below the root certified is admitted with its whole chain; one that lacks a right is not,
/// by either side, while nothing would hold it to its rights.
#[test]
fn a_chain_is_admitted_with_every_right_only() {
    let own = device("demo", 1, 2);
    for (permissions, admitted) in [
        (Permissions::everything(), true),
        (Permissions::nothing(), false),
    ] {
        let other = device_below("demo", 1, 3, permissions);
        for (dialer, listener) in [(&own, &other), (&other, &own)] {
            let ends = talk(
                &mut side(Role::Dialer, dialer, &registry(), listener),
                &mut side(Role::Listener, listener, &registry(), dialer),
                NOW_MS,
            );
            let ends = [ends.0.unwrap(), ends.1.unwrap()];
            assert!(ends.iter().all(|end| end.is_ok() == admitted), "{ends:?}");
            let limited = |end: &End| matches!(end, Err(AdmissionError::LimitedRights));
            assert_eq!(ends.iter().any(limited), !admitted);
        }
    }
}

/// Goal: the listener judges too: a dialer that shows a copied certificate is refused after the listener's own was fine.
#[test]
fn a_copied_certificate_is_refused() {
    let (owner, listener, registry) = (device("demo", 1, 2), device("demo", 1, 3), registry());
    let thief = DeviceKey::from_seed([4; 32]).public();
    let mut exchange = Exchange::new(
        Role::Listener,
        Arc::clone(&listener),
        Arc::clone(&registry),
        thief,
    );
    assert!(
        exchange
            .handle(body(&Message::Open(1).encode().unwrap()), NOW_MS)
            .end
            .is_none()
    );
    let certificate = owner.certificate().signed().first();
    let copied = Message::Certificate(certificate.as_bytes().to_vec(), Vec::new());
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
    assert!(registry.is_empty());
}

/// Goal: another version is refused before anything is shown.
#[test]
fn another_version_is_refused() {
    let own = device("demo", 1, 2);
    let mut exchange = side(Role::Listener, &own, &registry(), &device("demo", 1, 3));
    let step = exchange.handle(body(&Message::Open(2).encode().unwrap()), NOW_MS);
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

/// Goal: a full registry refuses on either side, and says so.
#[test]
fn a_full_registry_refuses() {
    let (a, b, c) = (
        device("demo", 1, 2),
        device("demo", 1, 3),
        device("demo", 1, 4),
    );
    let full = registry();
    let place = Arc::new(
        a.trust()
            .verify(c.certificate().signed(), c.key().public(), NOW_MS)
            .unwrap(),
    );
    full.admit(c.peer_id(), place).unwrap();
    let ends = talk(
        &mut side(Role::Dialer, &a, &registry(), &b),
        &mut side(Role::Listener, &b, &full, &a),
        NOW_MS,
    );
    assert!(
        matches!(
            ends,
            (
                Some(Err(AdmissionError::RefusedByPeer(RefusalCode::Full))),
                Some(Err(AdmissionError::Full(_)))
            )
        ),
        "{ends:?}"
    );
}

/// Goal: a message out of its turn ends the exchange, and nothing revives it.
#[test]
fn messages_out_of_turn_end_the_exchange() {
    let (own, peer) = (device("demo", 1, 2), device("demo", 1, 3));
    let admitted = Message::Admitted.encode().unwrap();
    for role in [Role::Dialer, Role::Listener] {
        let mut exchange = side(role, &own, &registry(), &peer);
        exchange.start();
        for _ in 0..2 {
            let step = exchange.handle(body(&admitted), NOW_MS);
            assert!(step.send.is_none());
            assert!(matches!(
                step.end,
                Some(Err(AdmissionError::Unexpected { .. }))
            ));
        }
    }
}

proptest! {
    /// Goal: no sequence of arbitrary messages admits anybody or panics.
    #[test]
    fn noise_admits_nobody(messages: Vec<Vec<u8>>, dialer: bool) {
        let role = if dialer { Role::Dialer } else { Role::Listener };
        let (own, registry) = (device("demo", 1, 2), registry());
        let mut exchange = side(role, &own, &registry, &device("demo", 1, 3));
        exchange.start();
        for message in messages {
            let step = exchange.handle(&message, NOW_MS);
            prop_assert!(!matches!(step.end, Some(Ok(_))));
            prop_assert!(registry.is_empty());
        }
    }
}
