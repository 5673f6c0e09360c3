//! Flooding: which commits go out on gossip and in which messages, and what becomes of those that come in.
//! Incoming messages wait while the store works, and are then taken in together.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{
    codec::{decode_flood, encode_flood},
    event::{Effect, FloodId, Note, Verdict},
    request::{Answer, Request},
    session::{Outbox, Purpose},
};
use crate::{
    limits::{FLOOD_BYTES_MAX, FLOODS_WAITING_MAX},
    replica::{
        CollectionName, Commit, Delta, DocumentKey, IngestOutcome, Origin, PeerKey, fits_flood,
    },
};

/// The messages that flood a commit, one per collection; none when it has too many documents or too many
/// bytes, or does not carry its changes.
pub(super) fn messages(commit: &Commit) -> Vec<(CollectionName, Bytes)> {
    if !fits_flood(commit.deltas.iter().map(|delta| delta.payload.len())) {
        return Vec::new();
    }
    let mut by_collection: BTreeMap<&CollectionName, Vec<&Delta>> = BTreeMap::new();
    for delta in &commit.deltas {
        by_collection
            .entry(&delta.document.collection)
            .or_default()
            .push(delta);
    }
    let messages: Vec<_> = by_collection
        .into_iter()
        .map(|(name, deltas)| (name.clone(), encode_flood(&deltas)))
        .collect();
    // All or nothing: a commit that is flooded in part would have its offer delayed for nothing.
    if messages
        .iter()
        .all(|(_, payload)| payload.len() <= FLOOD_BYTES_MAX)
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
    deltas: Vec<Delta>,
}

/// An incoming message whose deltas the store has.
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
        let deltas = match decode_flood(payload, topic) {
            Ok(deltas) => deltas,
            Err(_) => return judge(source, id, Verdict::Reject, out),
        };
        if self.waiting.len() >= FLOODS_WAITING_MAX {
            return judge(source, id, Verdict::Ignore, out);
        }
        self.waiting.push_back(Incoming { source, id, deltas });
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
                    Some(IngestOutcome::MissingDependencies | IngestOutcome::Damaged) | None => {
                        verdict = at_least(verdict, Verdict::Ignore)
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
        let mut deltas = Vec::new();
        for Incoming {
            source,
            id,
            deltas: more,
        } in self.waiting.drain(..)
        {
            let documents = more.iter().map(|delta| delta.document.clone()).collect();
            self.ingesting.push(Taken {
                source,
                id,
                documents,
            });
            deltas.extend(more);
        }
        out.ask(Purpose::Floods, Request::Ingest(deltas, Origin::Flood));
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
