//! What becomes of deltas that count in part.

use super::{
    fixtures::{collection, document, peer},
    victim::*,
};
use crate::{
    proto::{Answer, CloseCode, Event, FloodId, Message, Request, Verdict},
    replica::{Bundle, Delta, IngestOutcome},
};

/// A store that answers by the bytes of the first delta.
fn by_bytes(request: &Request) -> Option<Answer> {
    let Request::Ingest(bundles, _) = request else {
        return None;
    };
    let deltas = bundles.iter().flat_map(|bundle| &bundle.deltas);
    let reason = "a cut excludes it".to_owned();
    let outcomes = deltas.map(|delta| match delta.payload.len() {
        1 => IngestOutcome::Rejected {
            reason: reason.clone(),
        },
        2 => IngestOutcome::Partly {
            reason: reason.clone(),
        },
        3 => IngestOutcome::MissingDependencies,
        _ => IngestOutcome::Applied,
    });
    Some(Answer::Ingested(outcomes.collect()))
}

/// Goal: where something of a document's part is refused for good the parts behind it are asked for all the same, since they
/// may hold others' changes; what builds on the refused ends nothing, and that something was left out is told.
#[test]
fn parts_behind_a_refused_one_are_taken() {
    for refused in [1, 2] {
        let mut victim = Victim::fetching();
        victim.answers = Some(by_bytes);
        for bytes in [refused, 3, 4] {
            let part = piece(document("cars", 77), bytes, false);
            victim.hear(changes(10, vec![part], Some(0)));
            assert_eq!(victim.closed, None);
            assert!(
                matches!(victim.said.last(), Some(Message::Want { wants, .. }) if wants.len() == 2)
            );
        }
        let rest = [77, 78].map(|id| piece(document("cars", id), 4, false));
        victim.hear(changes(10, rest.to_vec(), Some(2)));
        assert_eq!(victim.said.last(), Some(&ack_of_a_part(10)));
    }
    let mut victim = Victim::fetching();
    victim.answers = Some(by_bytes);
    let part = piece(document("cars", 77), 3, false);
    victim.hear(changes(10, vec![part], Some(0)));
    assert_eq!(victim.closed, Some(CloseCode::Incomplete));
}

/// Goal: a flood of which something never counts is not passed on as it is, and its bearer is not blamed.
#[test]
fn a_flood_that_counts_in_part_is_not_passed_on() {
    let mut victim = Victim::greeted();
    victim.answers = Some(by_bytes);
    let delta = |id, bytes| Delta {
        document: document("cars", id),
        payload: vec![0; bytes].into(),
    };
    let bundle = Bundle {
        deltas: vec![delta(1, 2), delta(2, 4)],
        ..Bundle::default()
    };
    let payload = crate::proto::codec::encode_flood(&bundle);
    victim.feed(Event::Flooded {
        source: peer(9),
        id: FloodId::of(&payload),
        collection: collection("cars"),
        payload,
    });
    assert_eq!(victim.judged, [Verdict::Ignore]);
}
