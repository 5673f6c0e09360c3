//! A fetch's stream to one neighbour.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, io::ReadHalf, io::WriteHalf};
use libp2p::{PeerId, Stream};
use libp2p_stream::Control;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{BLOB_PROTOCOL, frames::read_frame};
use crate::{
    blob::{BlobAnswer, BlobRequest},
    driver::names::{chain, short},
    limits::{BLOB_ANSWER_BYTES_MAX, FETCH_CHUNKS_PER_PEER_MAX, STREAM_OPEN_TIMEOUT_MS},
};

/// Tells the streams of a fetch apart, also those to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkId(pub u64);

/// What comes over a link.
#[derive(Debug)]
pub(super) enum FromLink {
    Answer(BlobAnswer),
    /// Bytes that are no answer; it has ended.
    Undecodable,
    Ended,
}

pub(super) type LinkEvent = (PeerId, LinkId, FromLink);

/// A stream that is open, or being opened. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Link {
    pub id: LinkId,
    requests: mpsc::Sender<BlobRequest>,
    task: JoinHandle<()>,
}

impl Link {
    /// Opens a stream; what comes over it goes to `events`, and at last that it has ended.
    pub fn open(
        id: LinkId,
        peer: PeerId,
        control: Control,
        events: mpsc::Sender<LinkEvent>,
    ) -> Self {
        // What a fetch asks of a peer, and what it asks first.
        let (requests, queue) = mpsc::channel(FETCH_CHUNKS_PER_PEER_MAX + 1);
        let task = tokio::spawn(async move {
            let last = run(peer, id, control, queue, &events).await;
            // The fetch may be over.
            events.send((peer, id, last)).await.ok();
        });
        Self { id, requests, task }
    }

    /// Queues a request; false when the stream has ended.
    pub fn send(&self, request: BlobRequest) -> bool {
        self.requests.try_send(request).is_ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    peer: PeerId,
    id: LinkId,
    mut control: Control,
    requests: mpsc::Receiver<BlobRequest>,
    events: &mpsc::Sender<LinkEvent>,
) -> FromLink {
    let limit = Duration::from_millis(STREAM_OPEN_TIMEOUT_MS);
    let stream = match timeout(limit, control.open_stream(peer, BLOB_PROTOCOL)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(peer = %short(&peer), error = %chain(&error), "no blob stream");
            return FromLink::Ended;
        }
        Err(_) => return FromLink::Ended,
    };
    let (reader, writer) = stream.split();
    tokio::select! {
        last = read(reader, peer, id, events) => last,
        () = write(writer, requests) => FromLink::Ended,
    }
}

async fn read(
    mut reader: ReadHalf<Stream>,
    peer: PeerId,
    id: LinkId,
    events: &mpsc::Sender<LinkEvent>,
) -> FromLink {
    while let Ok(body) = read_frame(&mut reader, BLOB_ANSWER_BYTES_MAX).await {
        let Some(Ok(answer)) = body.map(BlobAnswer::decode) else {
            return FromLink::Undecodable;
        };
        let event = (peer, id, FromLink::Answer(answer));
        if events.send(event).await.is_err() {
            break;
        }
    }
    FromLink::Ended
}

async fn write(mut writer: WriteHalf<Stream>, mut requests: mpsc::Receiver<BlobRequest>) {
    while let Some(request) = requests.recv().await {
        let written = async {
            writer.write_all(&request.encode()).await?;
            writer.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
}
