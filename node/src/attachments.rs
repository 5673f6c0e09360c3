//! Attachments as async code sees them: streams in and out, a bounded number at once, on the blocking pool; and fetches from
//! neighbours.

use crate::blobs::to_mesh;
use crate::error::NodeError;
use crate::limits::{COLLECT_PAUSE_SECONDS, TRANSFER_PIECES_QUEUED_MAX, TRANSFERS_MAX};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use sedge_crdt::limits::ATTACHMENT_GRACE_SECONDS;
use sedge_crdt::{Attachment, BlobId, BlobReader, BlobRef, BlobStat, Collected, Store, StoreError};
use sedge_mesh::{Fetcher, Fetching};
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

/// A handle on a node's attachments. Cheap to clone.
#[derive(Clone)]
pub struct AttachmentsHandle {
    store: Store,
    transfers: Arc<Semaphore>,
    /// None where no mesh runs.
    fetcher: Option<Fetcher>,
}

/// How long [`AttachmentsHandle::fetch`] waits for a neighbour that has what is missing.
pub const FETCH_WAIT: Duration = Duration::from_secs(10);

/// The bytes of an attachment on their way out.
pub struct Download {
    /// How many bytes the whole attachment has.
    pub len: u64,
    /// Which of them these are.
    pub range: Range<u64>,
    /// The bytes in pieces of up to 64 KiB, each verified. A failure is the last item.
    pub pieces: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl AttachmentsHandle {
    pub(crate) fn new(store: Store, fetcher: Option<Fetcher>) -> Self {
        Self {
            store,
            fetcher,
            transfers: Arc::new(Semaphore::new(TRANSFERS_MAX)),
        }
    }

    /// Takes in what a reader gives and returns the token for a document; see
    /// [`sedge_crdt::Attachments::put`]. Durable on return. What no document names within an hour is removed.
    ///
    /// # Errors
    /// The reader fails, there are too many bytes or too much metadata, or the disk fails: then nothing is kept.
    pub async fn put(
        &self,
        content: impl Read + Send + 'static,
        metadata: BTreeMap<String, String>,
    ) -> Result<Attachment, NodeError> {
        let permit = self.permit().await?;
        self.call(permit, move |store| {
            store.attachments().put(content, metadata)
        })
        .await
    }

    /// As [`put`](Self::put), of a stream's items until it ends or fails.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn put_stream(
        &self,
        content: impl Stream<Item = io::Result<Bytes>> + Send,
        metadata: BTreeMap<String, String>,
    ) -> Result<Attachment, NodeError> {
        let permit = self.permit().await?;
        let (pieces, receiver) = mpsc::channel(TRANSFER_PIECES_QUEUED_MAX);
        let feeding = async move {
            let mut content = pin!(content);
            while let Some(piece) = content.next().await {
                let is_empty = piece.as_ref().is_ok_and(Bytes::is_empty);
                if !is_empty && pieces.send(piece).await.is_err() {
                    return; // the store has failed, and says why
                }
            }
            // Told, because a stream that is dropped half-way must not look like a short attachment.
            pieces.send(Ok(Bytes::new())).await.unwrap_or_default();
        };
        let reader = Pieces {
            receiver,
            piece: Bytes::new(),
            ended: false,
        };
        let putting = self.call(permit, move |store| {
            store.attachments().put(reader, metadata)
        });
        let (put, ()) = tokio::join!(putting, feeding);
        put
    }

    /// The bytes of an attachment that are in `range`, so far as there are any.
    ///
    /// # Errors
    /// The attachment is not on this device, is damaged, or the disk fails.
    pub async fn get(&self, id: BlobId, range: Range<u64>) -> Result<Download, NodeError> {
        self.get_within(id, range, None).await
    }

    /// As [`get`](Self::get); it ends when the reader takes nothing for the time `stalled`.
    pub(crate) async fn get_within(
        &self,
        id: BlobId,
        range: Range<u64>,
        stalled: Option<Duration>,
    ) -> Result<Download, NodeError> {
        let permit = self.permit().await?;
        let open = move |store: &Store| {
            let mut reader = store.attachments().get(id)?;
            let len = reader.len();
            let range = range.start.min(len)..range.end.min(len).max(range.start.min(len));
            let start = SeekFrom::Start(range.start);
            reader.seek(start).map_err(sedge_crdt::BlobError::Content)?;
            // What is damaged from its first byte on is refused, not begun.
            reader.rest_of_chunk()?;
            Ok((permit, reader, range))
        };
        let (permit, reader, range) = self.blocking(open).await?;
        let len = reader.len();
        let (pieces, receiver) = mpsc::channel(TRANSFER_PIECES_QUEUED_MAX);
        let (runtime, end) = (Handle::current(), range.end);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            send(reader, end, |piece| {
                let sent = pieces.send(piece);
                match stalled {
                    None => runtime.block_on(sent).is_ok(),
                    Some(limit) => runtime
                        .block_on(async { tokio::time::timeout(limit, sent).await })
                        .is_ok_and(|sent| sent.is_ok()),
                }
            });
        });
        Ok(Download {
            len,
            range,
            pieces: ReceiverStream::new(receiver).boxed(),
        })
    }

    /// Fetches from neighbours what is missing of an attachment: `attachment.blob()` of a token. It waits up to
    /// [`FETCH_WAIT`] for a neighbour that has it; what came of a fetch that failed stays for the next.
    ///
    /// # Errors
    /// No neighbour has it, or the store fails.
    pub async fn fetch(&self, blob: BlobRef) -> Result<(), NodeError> {
        let outcome = self.fetching(blob, FETCH_WAIT).await?.done().await;
        outcome.map_err(|reason| {
            let id = blob.id;
            NodeError::Fetch { id, reason }
        })
    }

    /// As [`fetch`](Self::fetch), with the progress to be watched and another wait. It goes on for as long as somebody
    /// holds the [`Fetching`].
    ///
    /// # Errors
    /// It can't be begun.
    pub async fn fetching(&self, blob: BlobRef, wait: Duration) -> Result<Fetching, NodeError> {
        let id = blob.id;
        let fetcher = self.fetcher.as_ref().ok_or(NodeError::NoMesh(id))?;
        let fetching = fetcher.fetch(to_mesh(blob), wait).await;
        fetching.map_err(|reason| NodeError::Fetch { id, reason })
    }

    /// The attachment of this id with its length: as it is here, or else as documents name it.
    ///
    /// # Errors
    /// It is neither here nor named, or the store fails.
    pub async fn named(&self, id: BlobId) -> Result<BlobRef, NodeError> {
        let find = move |store: &Store| match store.attachments().stat(id)? {
            Some(stat) => Ok(Some(BlobRef { id, len: stat.len })),
            None => store.attachments().named(id),
        };
        self.blocking(find).await?.ok_or(NodeError::Unnamed(id))
    }

    /// What is known of an attachment; `None` when it is not on this device.
    ///
    /// # Errors
    /// The store fails.
    pub async fn stat(&self, id: BlobId) -> Result<Option<BlobStat>, NodeError> {
        self.blocking(move |store| store.attachments().stat(id))
            .await
    }

    /// The attachments on this device, ascending by id: a page of those behind `after`.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(&self, after: Option<BlobId>) -> Result<Vec<BlobStat>, NodeError> {
        self.blocking(move |store| store.attachments().list(after))
            .await
    }

    /// Removes what no document has named for the time `grace`.
    ///
    /// # Errors
    /// The store fails.
    pub async fn collect(&self, grace: Duration) -> Result<Collected, NodeError> {
        let permit = self.permit().await?;
        self.call(permit, move |store| store.attachments().collect(grace))
            .await
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, NodeError> {
        let permit = Arc::clone(&self.transfers).acquire_owned().await;
        permit.map_err(|_| STOPPED)
    }

    async fn call<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, NodeError> {
        self.blocking(move |store| {
            let _permit = permit;
            work(store)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        Ok(done.map_err(|_| STOPPED)??)
    }
}

const STOPPED: NodeError = NodeError::Stopped("the attachments");

/// Removes unused attachments from time to time, for ever.
pub(crate) async fn collect_regularly(attachments: AttachmentsHandle) {
    let grace = Duration::from_secs(ATTACHMENT_GRACE_SECONDS);
    loop {
        tokio::time::sleep(Duration::from_secs(COLLECT_PAUSE_SECONDS)).await;
        match attachments.collect(grace).await {
            Ok(Collected { attachments: 0, .. }) => {}
            Ok(gone) => tracing::info!(gone.attachments, gone.bytes, "removed unused attachments"),
            Err(error) => tracing::warn!(%error, "unused attachments could not be removed"),
        }
    }
}

/// Sends the bytes from the reader's place to `end`, until nobody takes them.
fn send(mut reader: BlobReader, end: u64, mut send: impl FnMut(Result<Bytes, StoreError>) -> bool) {
    while reader.position() < end {
        let left = usize::try_from(end - reader.position()).unwrap_or(usize::MAX);
        let piece = match reader.rest_of_chunk() {
            Ok(rest) => Ok(Bytes::copy_from_slice(&rest[..rest.len().min(left)])),
            Err(error) => Err(StoreError::from(error)),
        };
        let read = piece.as_ref().map_or(0, Bytes::len);
        reader.consume(read);
        if !send(piece) || read == 0 {
            return;
        }
    }
}

/// Reads what comes through a channel. An empty piece is the end; a channel that closes without one has failed.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            let next = self.receiver.blocking_recv();
            self.piece = next.ok_or(io::ErrorKind::UnexpectedEof)??;
            self.ended = self.piece.is_empty();
        }
        let read = buffer.len().min(self.piece.len());
        buffer[..read].copy_from_slice(&self.piece.split_to(read));
        Ok(read)
    }
}
