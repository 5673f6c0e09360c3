//! The feed for async readers: page by page, waiting for more when all is read.

use super::StoreHandle;
use crate::error::NodeError;
use crate::limits::FEEDS_MAX;
use futures::{Stream, stream};
use sedge_crdt::{Deadline, LogPage, Since};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

impl StoreHandle {
    /// What was accepted since then, and goes on being accepted, in order, of one collection if that is named: each change
    /// that made a difference with its document before and after, whether it was made here or came from a peer. Pages are
    /// bounded, and read as they are taken; there is none before something is accepted, but for the first. Whoever keeps the
    /// checkpoint of each page once it is dealt with can go on from there after any end. An error is the stream's last item.
    ///
    /// # Errors
    /// There are too many feeds. Then, in the stream: what was accepted next is trimmed, the checkpoint is of another feed,
    /// there is no such collection, or the database fails.
    pub fn feed(
        &self,
        since: Since,
        collection: Option<&str>,
    ) -> Result<impl Stream<Item = Result<LogPage, NodeError>> + Send + use<>, NodeError> {
        self.feed_pages(since, collection, true)
    }

    /// The same, without `follow` up to what is accepted by now.
    pub(crate) fn feed_pages(
        &self,
        since: Since,
        collection: Option<&str>,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<LogPage, NodeError>> + Send + use<>, NodeError> {
        let permit = Arc::clone(&self.feeds).try_acquire_owned();
        let permit = permit.map_err(|_| NodeError::TooManyFeeds(FEEDS_MAX))?;
        let reader = Reader {
            store: self.clone(),
            since,
            collection: collection.map(ToOwned::to_owned),
            told: None,
            _permit: permit,
        };
        Ok(stream::unfold(Some(reader), move |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(page) => {
                    let reader = (follow || page.more).then_some(reader);
                    Some((Ok(page), reader))
                }
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// One page of it; see [`feed`](Self::feed).
    ///
    /// # Errors
    /// As those in the stream.
    pub async fn feed_page(
        &self,
        since: Since,
        collection: Option<&str>,
    ) -> Result<LogPage, NodeError> {
        let collection = collection.map(ToOwned::to_owned);
        self.call(Deadline::default(), move |store, _| {
            store.feed_since(since, collection.as_deref())
        })
        .await
    }
}

/// Who follows the feed.
struct Reader {
    store: StoreHandle,
    since: Since,
    collection: Option<String>,
    /// The sequence of the checkpoint told last.
    told: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next page that tells something.
    async fn next(&mut self) -> Result<LogPage, NodeError> {
        if let Some(told) = self.told {
            self.store.inner().wait_beyond(told).await;
        }
        let page = self
            .store
            .feed_page(self.since, self.collection.as_deref())
            .await?;
        self.since = Since::Checkpoint(page.checkpoint);
        self.told = Some(page.checkpoint.sequence);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedge_crdt::query::Params;
    use sedge_crdt::{Store, StoreError, StoreOptions};
    use sedge_identity::{AppId, DeviceKey};
    use std::pin::pin;
    use tokio_stream::StreamExt;

    fn open(path: &std::path::Path, feed_keep_bytes: u64) -> StoreHandle {
        let (app, key) = (AppId::new("shop").unwrap(), DeviceKey::from_seed([1; 32]));
        let options = StoreOptions {
            feed_keep_bytes,
            ..StoreOptions::default()
        };
        StoreHandle::new(Store::open_with(path, &app, &key.public(), options).unwrap())
    }

    async fn insert(store: &StoreHandle, n: u32) {
        let statement = format!("INSERT INTO cars DOCUMENTS ({{'_id': 'd{n}'}})");
        store.execute(&statement, Params::new()).await.unwrap();
    }

    /// Goal: the feed gives what is there, then waits for each change; one that is not taken while more is written than is
    /// kept ends with the reason.
    #[tokio::test]
    async fn a_feed_waits_and_tells_who_fell_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), 300);
        insert(&store, 0).await;
        let mut feed = pin!(store.feed(Since::Sequence(0), None).unwrap());
        assert_eq!(feed.next().await.unwrap().unwrap().entries.len(), 1);
        for n in 1..4 {
            let (page, ()) = tokio::join!(feed.next(), insert(&store, n));
            let page = page.unwrap().unwrap();
            assert_eq!(
                page.entries[0].id.to_value().as_str(),
                Some(&*format!("d{n}"))
            );
            assert_eq!(page.checkpoint.sequence, u64::from(n) + 1);
        }
        for n in 4..30 {
            insert(&store, n).await;
        }
        let told = feed.next().await.unwrap().unwrap_err();
        assert!(
            matches!(
                told,
                NodeError::Store(StoreError::FeedTrimmed { since: 4, .. })
            ),
            "{told}"
        );
        assert!(feed.next().await.is_none());
    }

    /// Goal: no more readers than there may be; who leaves makes room.
    #[tokio::test]
    async fn readers_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), 300);
        let mut feeds: Vec<_> = (0..FEEDS_MAX)
            .map(|_| store.feed(Since::Now, None).unwrap())
            .collect();
        let refused = store.feed(Since::Now, None);
        assert!(matches!(refused.err(), Some(NodeError::TooManyFeeds(_))));
        feeds.pop();
        assert!(store.feed(Since::Now, None).is_ok());
    }
}
