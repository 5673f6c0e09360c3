//! What the core asks of the store, as data, and the one way to carry it out.

use crate::{
    limits::{ANSWER_BYTES_MAX, DELTA_BYTES_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, PAGE_SCAN_MAX},
    replica::{
        ChangeHash, Cursor, Delta, DocumentKey, FeedId, FeedPage, IngestOutcome, Interest, Missing,
        Offered, Origin, PageLimits, Replica, ReplicaError, Sequence,
    },
};

/// Ties an answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Something to ask of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// How far a feed has been taken in.
    Cursor(FeedId, Interest),
    /// The next page of the own feed.
    Page(Sequence, Interest),
    /// Which of these are missing.
    Missing(Vec<Offered>),
    /// The changes for these wants, in order, as many as an answer holds.
    Changes(Vec<(DocumentKey, Vec<ChangeHash>)>),
    /// Take these in.
    Ingest(Vec<Delta>, Origin),
    /// Keep a cursor.
    StoreCursor(FeedId, Interest, Cursor),
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Cursor`].
    Cursor(Cursor),
    /// To [`Request::Page`].
    Page(FeedPage),
    /// To [`Request::Missing`], per entry.
    Missing(Vec<Missing>),
    /// To [`Request::Changes`].
    Changes {
        /// The deltas, in the order of the wants.
        deltas: Vec<Delta>,
        /// How many of the wants are answered, from the first on; at least one.
        answered: usize,
        /// When the last of those is answered in part: the heads that the neighbour then has of it.
        more_after: Option<Vec<ChangeHash>>,
    },
    /// To [`Request::Ingest`].
    Ingested(Vec<IngestOutcome>),
    /// To [`Request::StoreCursor`].
    CursorStored,
    /// The store failed.
    Failed {
        /// Its reason.
        reason: String,
    },
}

/// Carries out a request.
pub fn execute(replica: &dyn Replica, request: Request) -> Answer {
    try_execute(replica, request).unwrap_or_else(|error| Answer::Failed {
        reason: error.to_string(),
    })
}

fn try_execute(replica: &dyn Replica, request: Request) -> Result<Answer, ReplicaError> {
    const LIMITS: PageLimits = PageLimits {
        entries_max: PAGE_ENTRIES_MAX,
        bytes_max: PAGE_BYTES_MAX,
        scan_max: PAGE_SCAN_MAX,
    };
    Ok(match request {
        Request::Cursor(feed, interest) => Answer::Cursor(replica.cursor(feed, &interest)?),
        Request::Page(after, interest) => {
            Answer::Page(replica.feed_page(after, &interest, LIMITS)?)
        }
        Request::Missing(entries) => Answer::Missing(replica.missing(&entries)?),
        Request::Changes(wants) => changes(replica, &wants)?,
        Request::Ingest(deltas, origin) => Answer::Ingested(replica.ingest(deltas, &origin)?),
        Request::StoreCursor(feed, interest, cursor) => {
            replica.store_cursor(feed, &interest, cursor)?;
            Answer::CursorStored
        }
    })
}

/// Collects deltas until the answer is full (at most `ANSWER_BYTES_MAX` and one more delta) or a document's changes
/// are too many for one delta.
fn changes(
    replica: &dyn Replica,
    wants: &[(DocumentKey, Vec<ChangeHash>)],
) -> Result<Answer, ReplicaError> {
    let (mut deltas, mut answered, mut more_after, mut bytes) = (Vec::new(), 0, None, 0);
    for (document, have_heads) in wants {
        if bytes >= ANSWER_BYTES_MAX || more_after.is_some() {
            break;
        }
        answered += 1;
        if let Some(part) = replica.delta(document, have_heads, DELTA_BYTES_MAX)? {
            bytes += part.delta.payload.len();
            deltas.push(part.delta);
            more_after = part.more_after;
        }
    }
    Ok(Answer::Changes {
        deltas,
        answered,
        more_after,
    })
}
