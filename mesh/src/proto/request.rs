//! What the core asks of the store, as data, and the one way to carry it out.

use super::compare::{self, Described, Differs, Divergence, Found, Nonce, Root};
use crate::{
    limits::{
        ANSWER_BYTES_MAX, DELTA_BYTES_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, PAGE_SCAN_MAX,
        PART_EVIDENCE_BYTES_MAX,
    },
    replica::{
        Answered, Bundle, ChangeHash, ChangesLimits, Cursor, DocumentKey, FeedId, FeedPage,
        IngestOutcome, Interest, Missing, Offered, Origin, PageLimits, PartLimits, Range, Replica,
        ReplicaError, Sequence,
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
    /// Take these in, each bundle by itself.
    Ingest(Vec<Bundle>, Origin),
    /// Keep a cursor.
    StoreCursor(FeedId, Interest, Cursor),
    /// What the collections come to that are part of one of these interests.
    Roots(Nonce, Vec<Interest>),
    /// How these compare with a neighbour's.
    CompareRoots(Nonce, Vec<Interest>, Vec<Root>),
    /// What is in these ranges; of those marked, by their parts.
    Describe(Nonce, Vec<(Range, bool)>),
    /// What of these is otherwise here, by one who wants this.
    Compare(Nonce, Interest, Vec<Described>),
    /// The next page of these documents.
    Locate(Nonce, Vec<Found>),
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
    Changes(Answered),
    /// To [`Request::Ingest`], per delta.
    Ingested(Vec<IngestOutcome>),
    /// To [`Request::StoreCursor`].
    CursorStored,
    /// To [`Request::Roots`]: of those that hold documents, and how many these are in all. `None` where there are more
    /// collections than can be named.
    Roots(Option<Vec<Root>>, u64),
    /// To [`Request::CompareRoots`].
    Diverging(Divergence),
    /// To [`Request::Describe`].
    Described(Vec<Described>),
    /// To [`Request::Compare`]: per range, and the documents that only this store has so.
    Compared(Vec<Differs>, Vec<Found>),
    /// To [`Request::Locate`], with what is left.
    Located(Vec<Offered>, Vec<Found>),
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
    const PAGE: PageLimits = PageLimits {
        entries_max: PAGE_ENTRIES_MAX,
        bytes_max: PAGE_BYTES_MAX,
        scan_max: PAGE_SCAN_MAX,
    };
    const CHANGES: ChangesLimits = ChangesLimits {
        answer_bytes_max: ANSWER_BYTES_MAX,
        part: PartLimits {
            delta_bytes_max: DELTA_BYTES_MAX,
            evidence_bytes_max: PART_EVIDENCE_BYTES_MAX,
        },
    };
    Ok(match request {
        Request::Cursor(feed, interest) => Answer::Cursor(replica.cursor(feed, &interest)?),
        Request::Page(after, interest) => Answer::Page(replica.feed_page(after, &interest, PAGE)?),
        Request::Missing(entries) => Answer::Missing(replica.missing(&entries)?),
        Request::Changes(wants) => Answer::Changes(replica.changes(&wants, CHANGES)?),
        Request::Ingest(bundles, origin) => Answer::Ingested(replica.ingest(bundles, &origin)?),
        Request::StoreCursor(feed, interest, cursor) => {
            replica.store_cursor(feed, &interest, cursor)?;
            Answer::CursorStored
        }
        Request::Roots(nonce, scope) => {
            let (roots, documents) = compare::roots(replica, nonce, &scope)?;
            Answer::Roots(roots, documents)
        }
        Request::CompareRoots(nonce, scope, roots) => {
            Answer::Diverging(compare::compare_roots(replica, nonce, &scope, &roots)?)
        }
        Request::Describe(nonce, ranges) => {
            Answer::Described(compare::describe(replica, nonce, ranges)?)
        }
        Request::Compare(nonce, wanted, theirs) => {
            let (differs, found) = compare::compare(replica, nonce, &wanted, theirs)?;
            Answer::Compared(differs, found)
        }
        Request::Locate(nonce, found) => {
            let (entries, left) = compare::locate(replica, nonce, found, PAGE)?;
            Answer::Located(entries, left)
        }
    })
}
