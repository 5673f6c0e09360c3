//! Peers that were here before: what the name of a chain is worth.

use super::*;

/// Goal: whoever was here before is known by the name of its chain, on either side alone or on both, and neither waits
/// longer than at first; a chain that was renewed since is shown again.
#[test]
fn known_chains_are_not_sent_again() {
    let (a, b) = (
        Side::new(&device("demo", 1, 2)),
        Side::new(&device("demo", 1, 3)),
    );
    assert!(Talk::between(&a, &b, NOW_MS).is_mutual());
    let talk = Talk::between(&a, &b, NOW_MS);
    assert!(talk.is_mutual(), "{talk:?}");
    assert_eq!(
        talk.kinds(),
        ["open, named", "answer, admitted", "admitted"]
    );
    assert_eq!((talk.dialer.after, talk.listener.after), (Some(2), Some(3)));
    let bytes = |talk: &Talk| {
        talk.sent
            .iter()
            .map(|it| it.encode().unwrap().len())
            .sum::<usize>()
    };
    assert!(bytes(&talk) < 100, "{}", bytes(&talk));
    drop(talk);
    // Either role profits from what the other has brought.
    assert_eq!(
        Talk::between(&b, &a, NOW_MS).kinds(),
        ["open, named", "answer, admitted", "admitted"]
    );

    let forgetful = Side::new(&b.own);
    let talk = Talk::between(&a, &forgetful, NOW_MS);
    assert!(talk.is_mutual(), "{talk:?}");
    assert_eq!(
        talk.kinds(),
        ["open, named", "answer", "certificate", "admitted"]
    );
    drop(talk);
    let forgetful = Side::new(&a.own);
    let talk = Talk::between(&forgetful, &b, NOW_MS);
    assert!(talk.is_mutual(), "{talk:?}");
    assert_eq!(
        talk.kinds(),
        ["open", "answer, shown, admitted", "admitted"]
    );
    drop(talk);

    let renewed = Side {
        own: device_below("demo", 1, 2, Permissions::everything()),
        ..a
    };
    let talk = Talk::between(&renewed, &b, NOW_MS);
    assert!(talk.is_mutual(), "{talk:?}");
    assert_eq!(
        talk.kinds(),
        ["open, named", "answer", "certificate", "admitted"]
    );
    let again = Talk::between(&renewed, &b, NOW_MS);
    assert_eq!(
        again.kinds(),
        ["open, named", "answer, admitted", "admitted"]
    );
}

/// Goal: a known chain is judged as a new one is: once it has expired, it is refused, by the listener and by the dialer.
#[test]
fn a_known_chain_is_judged_each_time() {
    let (a, b) = (
        Side::new(&device("demo", 1, 2)),
        Side::new(&lasting("demo", 1, 3)),
    );
    assert!(Talk::between(&a, &b, NOW_MS).is_mutual());
    let later_ms = NOW_MS + LIFE_MS + 1;
    let talk = Talk::at([NOW_MS, later_ms], &a, &b);
    assert_eq!(talk.kinds(), ["open, named", "refused"]);
    assert!(
        refused_by_peer(&talk.dialer, RefusalCode::Expired),
        "{talk:?}"
    );
    let forgetful = Side::new(&a.own);
    let talk = Talk::at([later_ms, NOW_MS], &b, &forgetful);
    assert_eq!(talk.kinds(), ["open, named", "answer", "refused"]);
    assert!(
        refused_by_peer(&talk.listener, RefusalCode::Expired),
        "{talk:?}"
    );
    assert!(
        [&a, &b, &forgetful]
            .iter()
            .all(|side| side.registry.is_empty())
    );
}

/// Goal: the name of another device's chain, which the listener knows, is worth nothing on the connection of another key:
/// neither is the dialer admitted by it, nor can it skip showing its own.
#[test]
fn the_name_of_anothers_chain_is_worth_nothing() {
    let (owner, listener) = (
        Side::new(&device("demo", 1, 2)),
        Side::new(&device("demo", 1, 3)),
    );
    assert!(Talk::between(&owner, &listener, NOW_MS).is_mutual());
    let thief = DeviceKey::from_seed([4; 32]).public();
    let chain = owner.own.certificate().signed();
    let names = [ChainName::of(chain).to_vec(), vec![7; 32]];
    for (name, last) in names.into_iter().zip([
        Message::Admitted,
        Message::Certificate(Envelopes::of(chain)),
    ]) {
        let mut exchange = listener.exchange(Role::Listener, thief);
        let open = Message::Open(Open {
            version: VERSION,
            own: name,
            known: Vec::new(),
        });
        let step = exchange.handle(body(&open.encode().unwrap()), NOW_MS);
        let answer = Message::decode(body(&step.send.unwrap()));
        assert!(matches!(
            answer,
            Some(Message::Answer(Answer {
                admitted: false,
                ..
            }))
        ));
        let step = exchange.handle(body(&last.encode().unwrap()), NOW_MS);
        assert!(step.admission.is_none());
        assert!(matches!(step.end, Some(Err(_))));
        assert!(listener.registry.is_empty());
    }
    assert!(listener.known.of(&thief).is_none());
}

/// Goal: a name that is none is no opening, and a listener that leaves its certificate out unasked is not believed.
#[test]
fn names_that_fit_nothing_are_refused() {
    let side = Side::new(&device("demo", 1, 2));
    let peer = device("demo", 1, 3).key().public();
    for bytes in [0, 31, 33] {
        let open = Message::Open(Open {
            version: VERSION,
            own: vec![7; bytes],
            known: Vec::new(),
        });
        let step = side
            .exchange(Role::Listener, peer)
            .handle(body(&open.encode().unwrap()), NOW_MS);
        assert!(step.send.is_none());
        assert!(matches!(
            step.end,
            Some(Err(AdmissionError::Unexpected { .. }))
        ));
    }
    let mut dialer = side.exchange(Role::Dialer, peer);
    dialer.start(NOW_MS);
    let answer = Message::Answer(Answer {
        certificate: None,
        admitted: true,
    });
    let step = dialer.handle(body(&answer.encode().unwrap()), NOW_MS);
    assert!(matches!(
        step.end,
        Some(Err(AdmissionError::Unexpected { .. }))
    ));
    assert!(step.send.is_none() && step.admission.is_none());
}
