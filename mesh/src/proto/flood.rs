//! Flooding: which commits go out on gossip and in which messages, and what becomes of those that come in.
//! Incoming messages wait while the store works, and are then taken in together.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    codec::{decode_flood, encode_flood},
    event::{Effect, FloodId, Note, Verdict},
    request::{Answer, Request},
    session::{Outbox, Purpose},
};
use crate::{
    limits::FLOODS_WAITING_MAX,
    replica::{Bundle, CollectionName, Commit, DocumentKey, IngestOutcome, Origin, PeerKey},
};

/// The messages that flood a commit, one per collection; none when it has too many documents, seals or bytes, does not
/// carry its changes, or carries what neighbours would reject.
pub(super) fn messages(commit: &Commit) -> Vec<(CollectionName, Bytes)> {
    if !commit.fits_flood() {
        return Vec::new();
    }
    let floods = commit.floods.iter();
    let messages: Vec<_> = floods
        .map(|(name, bundle)| (name.clone(), encode_flood(bundle)))
        .collect();
    // All or nothing: a commit that is flooded in part would have its offer delayed for nothing.
    if messages
        .iter()
        .all(|(name, payload)| decode_flood(payload.clone(), name).is_ok())
    {
        messages
    } else {
        Vec::new()
    }
}

/// Flooded messages on their way into the store.
#[derive(Debug, Default)]
pub(super) struct Floods {
    waiting: VecDeque<Incoming>,
    /// Those that the store is taking in now.
    ingesting: Vec<Taken>,
}

#[derive(Debug)]
struct Incoming {
    source: PeerKey,
    id: FloodId,
    bundle: Bundle,
}

/// An incoming message whose bundle the store has.
#[derive(Debug)]
struct Taken {
    source: PeerKey,
    id: FloodId,
    documents: Vec<DocumentKey>,
}

impl Floods {
    /// A message has come in.
    pub fn on_message(
        &mut self,
        source: PeerKey,
        id: FloodId,
        topic: &CollectionName,
        payload: Bytes,
        out: &mut Outbox,
    ) {
        let bundle = match decode_flood(payload, topic) {
            Ok(bundle) => bundle,
            Err(_) => return judge(source, id, Verdict::Reject, out),
        };
        if self.waiting.len() >= FLOODS_WAITING_MAX {
            return judge(source, id, Verdict::Ignore, out);
        }
        self.waiting.push_back(Incoming { source, id, bundle });
        self.pump(out);
    }

    /// The store has answered.
    pub fn on_answer(&mut self, answer: Answer, out: &mut Outbox) {
        let outcomes = if let Answer::Ingested(outcomes) = answer {
            outcomes
        } else {
            Vec::new()
        };
        let mut outcomes = outcomes.into_iter();
        for Taken {
            source,
            id,
            documents,
        } in std::mem::take(&mut self.ingesting)
        {
            let mut verdict = Verdict::Accept;
            for document in documents {
                match outcomes.next() {
                    Some(IngestOutcome::Applied | IngestOutcome::Known) => {}
                    Some(
                        IngestOutcome::MissingDependencies
                        | IngestOutcome::UnknownCertificate
                        | IngestOutcome::Damaged,
                    )
                    | None => verdict = at_least(verdict, Verdict::Ignore),
                    // What counts of it goes on with offers.
                    Some(IngestOutcome::Partly { reason }) => {
                        verdict = at_least(verdict, Verdict::Ignore);
                        out.note(Note::Rejected {
                            peer: source.clone(),
                            document,
                            reason,
                        });
                    }
                    Some(IngestOutcome::Rejected { reason }) => {
                        verdict = Verdict::Reject;
                        out.note(Note::Rejected {
                            peer: source.clone(),
                            document,
                            reason,
                        });
                    }
                }
            }
            judge(source, id, verdict, out);
        }
        self.pump(out);
    }

    /// Hands everything that waits to the store, unless it is busy with earlier ones.
    fn pump(&mut self, out: &mut Outbox) {
        if !self.ingesting.is_empty() || self.waiting.is_empty() {
            return;
        }
        let mut bundles = Vec::with_capacity(self.waiting.len());
        for Incoming { source, id, bundle } in self.waiting.drain(..) {
            let deltas = bundle.deltas.iter();
            let documents = deltas.map(|delta| delta.document.clone()).collect();
            self.ingesting.push(Taken {
                source,
                id,
                documents,
            });
            bundles.push(bundle);
        }
        out.ask(Purpose::Floods, Request::Ingest(bundles, Origin::Flood));
    }
}

/// Rejection outweighs ignoring.
fn at_least(verdict: Verdict, other: Verdict) -> Verdict {
    if verdict == Verdict::Reject {
        verdict
    } else {
        other
    }
}

fn judge(source: PeerKey, id: FloodId, verdict: Verdict, out: &mut Outbox) {
    out.effects.push(Effect::Judge {
        source,
        id,
        verdict,
    });
}
