//! A sync stream: frames in, frames out. What arrives is decoded here, beside the main task; a message that
//! the main task has no room for yet waits here, and with it the neighbour.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, io::ReadHalf, io::WriteHalf};
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    limits::{
        FRAME_BYTES_MAX, MESSAGES_QUEUED_BYTES_MAX, MESSAGES_QUEUED_MAX, SHUTDOWN_TIMEOUT_MS,
    },
    proto::{CloseCode, Message, decode_frame, encode_frame},
};

/// The protocol's name.
pub(super) const SYNC_PROTOCOL: StreamProtocol = StreamProtocol::new("/sedge/sync/1");

/// Tells streams apart, also those of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamId(pub u64);

/// What the sync streams with a peer have carried, in bytes, since it connected: frames with their lengths, without what
/// encrypts and carries them.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    /// Sent, and received.
    pub fn bytes(&self) -> (u64, u64) {
        (
            self.sent.load(Ordering::Relaxed),
            self.received.load(Ordering::Relaxed),
        )
    }
}

/// What a stream's task tells the main task.
#[derive(Debug)]
pub(super) enum FromStream {
    Message(Message),
    /// Bytes that are no message; the task has ended.
    Undecodable(CloseCode),
    Ended,
}

/// The main task's end of a stream. Dropping it sends what is queued (for a while) and closes the stream.
#[derive(Debug)]
pub(super) struct StreamHandle {
    pub id: StreamId,
    outgoing: Outgoing,
    /// Dropped with the handle, which the task notices.
    open: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl StreamHandle {
    /// Starts the task of a stream, which reports to `inputs`.
    pub fn start(
        id: StreamId,
        peer: PeerId,
        stream: Stream,
        traffic: Arc<Traffic>,
        inputs: mpsc::Sender<(PeerId, StreamId, FromStream)>,
    ) -> Self {
        let (outgoing, frames) = outgoing();
        let (open, closed) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let (reader, writer) = stream.split();
            let last = tokio::select! {
                last = read(reader, &traffic, peer, id, &inputs) => last,
                result = write(writer, &traffic, frames) => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "writing to a sync stream failed");
                    }
                    FromStream::Ended
                }
                () = grace(closed) => FromStream::Ended,
            };
            // The main task may be gone already; then nobody needs to know.
            inputs.send((peer, id, last)).await.ok();
        });
        Self {
            id,
            outgoing,
            open,
            task,
        }
    }

    /// Queues a message; false when the neighbour has let too many pile up, or the stream has ended.
    pub fn send(&self, message: Message) -> bool {
        self.outgoing.push(&message)
    }

    /// Sends what is queued, closes the stream, and waits until that is done.
    pub async fn finish(self) {
        let Self {
            outgoing,
            open,
            task,
            ..
        } = self;
        drop((outgoing, open));
        if let Err(error) = task.await {
            tracing::error!(%error, "the task of a sync stream ended badly");
        }
    }
}

/// Ends some time after the main task has let go of the stream, whether all was written or not.
async fn grace(closed: oneshot::Receiver<()>) {
    if closed.await.is_err() {
        tokio::time::sleep(Duration::from_millis(SHUTDOWN_TIMEOUT_MS)).await;
    }
}

async fn read(
    mut reader: ReadHalf<Stream>,
    traffic: &Traffic,
    peer: PeerId,
    id: StreamId,
    inputs: &mpsc::Sender<(PeerId, StreamId, FromStream)>,
) -> FromStream {
    loop {
        let body = match read_frame(&mut reader, traffic).await {
            Ok(Some(body)) => body,
            Ok(None) => return FromStream::Undecodable(CloseCode::TooLarge),
            Err(error) => {
                tracing::trace!(%error, "a sync stream has ended");
                return FromStream::Ended;
            }
        };
        match decode_frame(body) {
            Ok(message) => {
                if inputs
                    .send((peer, id, FromStream::Message(message)))
                    .await
                    .is_err()
                {
                    return FromStream::Ended;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a frame cannot be read");
                return FromStream::Undecodable(error.code());
            }
        }
    }
}

/// The body of the next frame; `None` when it is too long.
async fn read_frame(reader: &mut ReadHalf<Stream>, traffic: &Traffic) -> io::Result<Option<Bytes>> {
    let mut prefix = [0; 4];
    reader.read_exact(&mut prefix).await?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length > FRAME_BYTES_MAX {
        return Ok(None);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let bytes = (prefix.len() + length) as u64;
    traffic.received.fetch_add(bytes, Ordering::Relaxed);
    Ok(Some(body.into()))
}

async fn write(
    mut writer: WriteHalf<Stream>,
    traffic: &Traffic,
    mut frames: Frames,
) -> io::Result<()> {
    while let Some(frame) = frames.next().await {
        writer.write_all(&frame).await?;
        traffic
            .sent
            .fetch_add(frame.len() as u64, Ordering::Relaxed);
        if frames.queue.is_empty() {
            writer.flush().await?;
        }
    }
    writer.close().await
}

/// The frames that wait to be written, bounded in number and in bytes: a neighbour that asks and does not read must
/// not make this peer keep what it asked for.
fn outgoing() -> (Outgoing, Frames) {
    let (sender, queue) = mpsc::channel(MESSAGES_QUEUED_MAX);
    let bytes = Arc::new(AtomicUsize::new(0));
    let outgoing = Outgoing {
        queue: sender,
        bytes: bytes.clone(),
    };
    (outgoing, Frames { queue, bytes })
}

#[derive(Debug)]
struct Outgoing {
    queue: mpsc::Sender<Bytes>,
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Frames {
    queue: mpsc::Receiver<Bytes>,
    bytes: Arc<AtomicUsize>,
}

impl Outgoing {
    /// Queues a message; false when there is no room for it, or nobody takes it any more: then the stream is given up,
    /// so nothing is counted back.
    fn push(&self, message: &Message) -> bool {
        let frame = encode_frame(message);
        let waiting = self.bytes.fetch_add(frame.len(), Ordering::Relaxed);
        waiting + frame.len() <= MESSAGES_QUEUED_BYTES_MAX && self.queue.try_send(frame).is_ok()
    }
}

impl Frames {
    async fn next(&mut self) -> Option<Bytes> {
        let frame = self.queue.recv().await?;
        self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        proto::{Changes, Piece},
        replica::{CollectionName, DocumentKey, Sequence},
    };

    /// Goal: what waits for a neighbour that does not read is bounded in bytes, and reading makes room.
    #[tokio::test]
    async fn what_is_not_read_is_bounded() {
        let collection = CollectionName::new("cars").unwrap();
        let message = Message::Changes(Changes {
            up_to: Sequence(1),
            pieces: vec![Piece {
                document: DocumentKey::new(collection, "1").unwrap(),
                payload: vec![7; FRAME_BYTES_MAX / 2].into(),
                more: false,
            }],
            certificates: Vec::new(),
            seals: Vec::new(),
            answered_below: None,
        });
        let frame_bytes = encode_frame(&message).len();
        let (outgoing, mut frames) = outgoing();
        let room = MESSAGES_QUEUED_BYTES_MAX / frame_bytes;
        assert!(room < MESSAGES_QUEUED_MAX, "bytes are the narrower bound");
        for _ in 0..room {
            assert!(outgoing.push(&message));
            frames.next().await.unwrap();
        }
        let queued = (0..MESSAGES_QUEUED_MAX).take_while(|_| outgoing.push(&message));
        assert_eq!(queued.count(), room);
    }
}
