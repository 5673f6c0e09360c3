//! Messages that are cut off, or come in the wrong place, in every state of both roles.

use super::*;

/// Every exchange there is, as the messages that reach each role in turn.
fn heard_by(role: Role, known: bool) -> (Side, PublicKey, Vec<Vec<u8>>) {
    let [a, b] = [2, 3].map(|seed| Side::new(&device("demo", 1, seed)));
    if known {
        assert!(Talk::between(&a, &b, NOW_MS).is_mutual());
    }
    let talk = Talk::between(&a, &b, NOW_MS);
    let sent = talk
        .sent
        .iter()
        .map(|message| body(&message.encode().unwrap()).to_vec());
    let (mine, theirs, skip) = match role {
        Role::Dialer => (a, b, 1),
        Role::Listener => (b, a, 0),
    };
    let heard = sent.skip(skip).step_by(2).collect();
    drop(talk);
    if !known {
        // As it was before they met.
        return (Side::new(&mine.own), theirs.key(), heard);
    }
    (mine, theirs.key(), heard)
}

/// Goal: a message cut off anywhere, in any place of the exchange and in both roles, admits nobody who would not have been
/// admitted anyway, and never ends well.
#[test]
fn truncated_messages_admit_nobody() {
    for (role, known) in [
        (Role::Dialer, false),
        (Role::Dialer, true),
        (Role::Listener, false),
        (Role::Listener, true),
    ] {
        let (side, peer, heard) = heard_by(role, known);
        for (place, message) in heard.iter().enumerate() {
            for length in 0..message.len() {
                let mut exchange = side.exchange(role, peer);
                exchange.start(NOW_MS);
                let before = heard.iter().take(place);
                let admitted = before
                    .filter_map(|it| exchange.handle(it, NOW_MS).admission)
                    .last();
                let step = exchange.handle(&message[..length], NOW_MS);
                let goes_on = step.end.is_none() && step.send.is_some();
                // Without its last field, "admitted", an answer is that of a listener that does not know the dialer.
                let is_other_answer = role == Role::Dialer && known && goes_on;
                assert!(
                    step.admission.is_none() || is_other_answer,
                    "{role:?} {place} {length}"
                );
                assert!(
                    !matches!(step.end, Some(Ok(()))),
                    "{role:?} {place} {length}"
                );
                drop((step, admitted));
                assert!(side.registry.is_empty());
            }
        }
    }
}

/// Goal: a message out of its turn ends the exchange in every state of both roles, and nothing revives it.
#[test]
fn messages_out_of_turn_end_the_exchange() {
    for (role, known) in [
        (Role::Dialer, false),
        (Role::Dialer, true),
        (Role::Listener, false),
        (Role::Listener, true),
    ] {
        let (side, peer, heard) = heard_by(role, known);
        let theirs = [
            heard_by(Role::Dialer, false),
            heard_by(Role::Listener, false),
        ];
        let theirs: Vec<_> = theirs.into_iter().flat_map(|(_, _, heard)| heard).collect();
        let kind = |message: &[u8]| message.first().copied();
        for place in 0..=heard.len() {
            for wrong in theirs
                .iter()
                .filter(|it| kind(it) != heard.get(place).and_then(|it| kind(it)))
            {
                let mut exchange = side.exchange(role, peer);
                exchange.start(NOW_MS);
                let mut admissions = Vec::new();
                for message in heard.iter().take(place) {
                    admissions.extend(exchange.handle(message, NOW_MS).admission);
                }
                for _ in 0..2 {
                    let step = exchange.handle(wrong, NOW_MS);
                    assert!(step.send.is_none() && step.admission.is_none());
                    assert!(matches!(
                        step.end,
                        Some(Err(AdmissionError::Unexpected { .. }))
                    ));
                }
                for message in &heard {
                    assert!(exchange.handle(message, NOW_MS).admission.is_none());
                }
            }
        }
    }
}
