//! Attachments over the mesh: one task starts fetches and serves what neighbours ask for, each in a task of its own, beside
//! the main task, so that sync never waits for them. It knows connections only by the list of neighbours.

mod calls;
mod fetch;
mod frames;
mod link;
mod serve;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::StreamExt;
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, IncomingStreams};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::{Id, JoinHandle, JoinSet},
};

use self::{calls::Calls, fetch::FetchTask};
use super::{MeshError, PeerStatus, names::short};
use crate::{
    blob::{Blob, Blobs, FetchFailure, FetchProgress},
    limits::{
        BLOB_STREAMS_MAX, BLOB_STREAMS_PER_PEER_MAX, FETCHES_MAX, FETCHES_WAITING_MAX,
        OFFENCES_QUEUED_MAX,
    },
};

/// The protocol's name.
const BLOB_PROTOCOL: StreamProtocol = StreamProtocol::new("/sedge/blob/1");

/// A peer that broke the protocol, and how.
pub(super) type Offence = (PeerId, &'static str);

/// Why a blob was not fetched. What came of it stays, and another fetch goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It ended without all of it.
    #[error(transparent)]
    Failed(#[from] FetchFailure),
    /// There can be no such blob.
    #[error("no attachment may have {0} bytes")]
    TooLong(u64),
    /// As many fetches run or wait as may.
    #[error("{FETCHES_WAITING_MAX} attachments are being fetched already; try again later")]
    TooMany,
    /// The mesh has stopped.
    #[error("the mesh has stopped; start it again, and the fetch goes on where it was")]
    Stopped,
}

/// Starts fetches on a running mesh, and does not keep it running. Clones are the same.
#[derive(Clone, Debug)]
pub struct Fetcher {
    orders: mpsc::Sender<Order>,
}

/// Somebody wants a blob.
#[derive(Debug)]
struct Order {
    blob: Blob,
    wait: Duration,
    answer: oneshot::Sender<Result<Fetching, FetchError>>,
}

impl Fetcher {
    /// Begins to fetch what is missing of a blob from the neighbours that have it, or joins the fetch of it that runs. Where no
    /// neighbour has it, it waits for one for the time `wait`.
    ///
    /// # Errors
    /// [`FetchError`]: it can't be begun. How it ends is told by [`Fetching`].
    pub async fn fetch(&self, blob: Blob, wait: Duration) -> Result<Fetching, FetchError> {
        let (answer, answered) = oneshot::channel();
        let order = Order { blob, wait, answer };
        let sent = self.orders.send(order).await;
        sent.map_err(|_| FetchError::Stopped)?;
        answered.await.map_err(|_| FetchError::Stopped)?
    }
}

/// A fetch that runs. It ends when all of those who wait for it have dropped theirs; what came stays.
#[derive(Clone, Debug)]
pub struct Fetching {
    state: watch::Receiver<FetchState>,
    /// How far it was when that was last told.
    told: FetchProgress,
}

/// What is known of a fetch.
#[derive(Clone, Debug, Default)]
struct FetchState {
    progress: FetchProgress,
    outcome: Option<Result<(), FetchError>>,
}

impl Fetching {
    fn new(state: watch::Receiver<FetchState>) -> Self {
        let told = FetchProgress::default();
        Self { state, told }
    }

    /// How far it is now.
    pub fn progress(&self) -> FetchProgress {
        self.state.borrow().progress
    }

    /// Waits until it is further, and tells how far; `None` once it has ended. Whoever looks rarely sees the latest only.
    pub async fn further(&mut self) -> Option<FetchProgress> {
        let told = self.told;
        let news = |state: &FetchState| state.outcome.is_some() || state.progress != told;
        let state = self.state.wait_for(news).await.ok()?;
        self.told = state.progress;
        state.outcome.is_none().then_some(state.progress)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn done(&mut self) -> Result<(), FetchError> {
        let ended = self.state.wait_for(|state| state.outcome.is_some()).await;
        let outcome = ended.ok().and_then(|state| state.outcome.clone());
        outcome.unwrap_or(Err(FetchError::Stopped))
    }
}

/// The task for blobs, as the main task has it.
pub(super) struct BlobTask {
    /// The peers that broke the protocol.
    pub offences: mpsc::Receiver<Offence>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl BlobTask {
    /// Starts it, for those who are in the list of `peers`.
    pub fn start(
        mut control: Control,
        blobs: Arc<dyn Blobs>,
        peers: watch::Receiver<Vec<PeerStatus>>,
    ) -> Result<(Self, Fetcher), MeshError> {
        let incoming = control.accept(BLOB_PROTOCOL);
        let incoming = incoming.map_err(|error| MeshError::Settings {
            part: "libp2p-stream",
            reason: error.to_string(),
        })?;
        let (orders_in, orders) = mpsc::channel(FETCHES_MAX);
        let (offences_in, offences) = mpsc::channel(OFFENCES_QUEUED_MAX);
        let (stop, stopped) = oneshot::channel();
        let service = Service {
            incoming,
            orders,
            control,
            calls: Calls::new(blobs),
            peers,
            offences: offences_in,
            turns: Arc::new(Semaphore::new(FETCHES_MAX)),
            serving: JoinSet::new(),
            served: HashMap::new(),
            fetching: JoinSet::new(),
            fetched: HashMap::new(),
        };
        let task = tokio::spawn(service.run(stopped));
        let this = Self {
            offences,
            stop,
            task,
        };
        Ok((this, Fetcher { orders: orders_in }))
    }

    /// Ends all fetches and streams, and waits until nothing of them uses the store any more.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task for attachments ended badly");
        }
    }
}

struct Service {
    incoming: IncomingStreams,
    orders: mpsc::Receiver<Order>,
    control: Control,
    calls: Calls,
    peers: watch::Receiver<Vec<PeerStatus>>,
    offences: mpsc::Sender<Offence>,
    /// Fetches that may bring chunks at once.
    turns: Arc<Semaphore>,
    serving: JoinSet<()>,
    /// Whom the tasks serve.
    served: HashMap<Id, PeerId>,
    fetching: JoinSet<()>,
    /// What the tasks fetch.
    fetched: HashMap<Id, (Blob, Arc<watch::Sender<FetchState>>)>,
}

impl Service {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                Some((peer, stream)) = self.incoming.next() => self.serve(peer, stream),
                Some(order) = self.orders.recv() => self.start(order),
                Some(ended) = self.serving.join_next_with_id() => {
                    self.served.remove(&id_of(ended));
                }
                Some(ended) = self.fetching.join_next_with_id() => {
                    self.fetched.remove(&id_of(ended));
                }
            }
        }
        self.serving.shutdown().await;
        self.fetching.shutdown().await;
        self.calls.finish().await;
    }

    fn serve(&mut self, peer: PeerId, stream: Stream) {
        let of_peer = self.served.values().filter(|served| **served == peer);
        if of_peer.count() >= BLOB_STREAMS_PER_PEER_MAX || self.served.len() >= BLOB_STREAMS_MAX {
            tracing::debug!(peer = %short(&peer), "too many blob streams; one is dropped");
            return;
        }
        let serving = serve::serve(peer, stream, self.calls.clone(), self.offences.clone());
        let task = self.serving.spawn(serving);
        self.served.insert(task.id(), peer);
    }

    fn start(&mut self, order: Order) {
        let fetching = self.begin(order.blob, order.wait);
        // Who ordered it may have left.
        order.answer.send(fetching).ok();
    }

    fn begin(&mut self, blob: Blob, wait: Duration) -> Result<Fetching, FetchError> {
        if !blob.is_allowed() {
            return Err(FetchError::TooLong(blob.len));
        }
        let runs = |(of, state): &&(Blob, Arc<watch::Sender<FetchState>>)| {
            *of == blob && state.receiver_count() > 0 && state.borrow().outcome.is_none()
        };
        if let Some((_, state)) = self.fetched.values().find(runs) {
            return Ok(Fetching::new(state.subscribe()));
        }
        if self.fetched.len() >= FETCHES_WAITING_MAX {
            return Err(FetchError::TooMany);
        }
        let (state, watched) = watch::channel(FetchState::default());
        let state = Arc::new(state);
        let task = FetchTask {
            blob,
            wait,
            control: self.control.clone(),
            calls: self.calls.clone(),
            peers: self.peers.clone(),
            offences: self.offences.clone(),
            state: Arc::clone(&state),
            turns: Arc::clone(&self.turns),
        };
        let task = self.fetching.spawn(task.run());
        self.fetched.insert(task.id(), (blob, state));
        Ok(Fetching::new(watched))
    }
}

/// Which task has ended, and how is told if it was badly.
fn id_of(ended: Result<(Id, ()), tokio::task::JoinError>) -> Id {
    match ended {
        Ok((id, ())) => id,
        Err(error) => {
            tracing::error!(%error, "a task for an attachment ended badly");
            error.id()
        }
    }
}
