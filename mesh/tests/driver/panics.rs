//! A store that panics under the driver.

use super::*;
use sedge_mesh::{
    Answered, Bundle, ChangeHash, ChangesLimits, Cursor, FeedPage, IngestOutcome, Item, Missing,
    Offered, Origin, PageLimits, Range, ReplicaError, Summary,
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A replica whose first calls of `ingest` panic.
struct Panicking {
    replica: Arc<MemoryReplica>,
    panics_left: AtomicUsize,
}

impl Replica for Panicking {
    fn feed(&self) -> Result<FeedPosition, ReplicaError> {
        self.replica.feed()
    }

    fn collections(&self) -> Result<BTreeSet<CollectionName>, ReplicaError> {
        self.replica.collections()
    }

    fn feed_page(
        &self,
        after: Sequence,
        interest: &Interest,
        limits: PageLimits,
    ) -> Result<FeedPage, ReplicaError> {
        self.replica.feed_page(after, interest, limits)
    }

    fn summary(&self, range: &Range) -> Result<Summary, ReplicaError> {
        self.replica.summary(range)
    }

    fn summaries(&self, range: &Range, span: u8) -> Result<Vec<Summary>, ReplicaError> {
        self.replica.summaries(range, span)
    }

    fn items(
        &self,
        range: &Range,
        after: Option<&DocumentKey>,
        most: usize,
    ) -> Result<Vec<(DocumentKey, Item)>, ReplicaError> {
        self.replica.items(range, after, most)
    }

    fn offered(&self, document: &DocumentKey) -> Result<Option<Offered>, ReplicaError> {
        self.replica.offered(document)
    }

    fn missing(&self, entries: &[Offered]) -> Result<Vec<Missing>, ReplicaError> {
        self.replica.missing(entries)
    }

    fn changes(
        &self,
        wants: &[(DocumentKey, Vec<ChangeHash>)],
        limits: ChangesLimits,
    ) -> Result<Answered, ReplicaError> {
        self.replica.changes(wants, limits)
    }

    fn ingest(
        &self,
        bundles: Vec<Bundle>,
        origin: &Origin,
    ) -> Result<Vec<IngestOutcome>, ReplicaError> {
        let left = |left: usize| left.checked_sub(1);
        let spent = self
            .panics_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
        assert!(spent.is_err(), "the test's panic");
        self.replica.ingest(bundles, origin)
    }

    fn cursor(&self, feed: FeedId, interest: &Interest) -> Result<Cursor, ReplicaError> {
        self.replica.cursor(feed, interest)
    }

    fn store_cursor(
        &self,
        feed: FeedId,
        interest: &Interest,
        cursor: Cursor,
    ) -> Result<(), ReplicaError> {
        self.replica.store_cursor(feed, interest, cursor)
    }
}

/// A store that panics fails the session it was asked for; the session is tried again, and everything arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_store_is_survived() {
    let mut peers = [Peer::new(1), Peer::new(2)];
    let panicking = Arc::new(Panicking {
        replica: peers[1].replica.clone(),
        panics_left: AtomicUsize::new(2),
    });
    peers[1].seen = panicking.clone();
    peers[0].replica.write(writes(0..10));
    let a = peers[0].start(ANY, &[]).await;
    peers[1].start(ANY, &[a]).await;
    wait_for("after the panics", LIMIT, || {
        peers[1].replica.contents().len() == 10 && all_equal(&peers)
    })
    .await;
    assert_eq!(panicking.panics_left.load(Ordering::SeqCst), 0);
    peers[0].replica.write(writes(10..20));
    wait_for("new writes", LIMIT, || all_equal(&peers)).await;
    peers[0].stop().await;
    peers[1].stop().await;
}
