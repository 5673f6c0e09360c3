//! The node's grip on a running mesh.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{muxing::StreamMuxerBox, transport::Boxed},
    swarm::NetworkBehaviour,
};
use sedge_identity::Membership;
use tokio::sync::{Notify, mpsc, watch};

use super::{
    MeshConfig, MeshError, PeerStatus,
    blobs::{BlobTask, Fetcher},
    run::Driver,
};
use crate::{
    blob::Blobs,
    limits::{COLLECTIONS_MAX, COMMITS_QUEUED_MAX},
    replica::{CollectionName, Commit, FeedId, Origin, Replica, Sequence},
};

/// The mesh as a whole; see [`Mesh::start`].
#[derive(Debug)]
pub enum Mesh {}

impl Mesh {
    /// Starts a mesh: listens, dials the static peers for ever, and keeps the replica in step with every
    /// neighbour until [`MeshHandle::shutdown`]. Must be called within a tokio runtime. The replica's calls
    /// are made on one blocking thread, one after the other, those of `blobs` beside it, a few at once.
    ///
    /// `transport` yields authenticated (and, in a node, admitted) connections; `behaviour` is anything
    /// else that shares the swarm (discovery, relay): what it dials is used, its events are its own
    /// affair. A connection ends with the certificate that its peer has in the registry of `membership`, and all of them
    /// with this device's own.
    ///
    /// # Errors
    /// [`MeshError`]: an address cannot be listened on, the settings make no sense, or the store fails.
    pub async fn start<B>(
        config: MeshConfig,
        local: PeerId,
        transport: Boxed<(PeerId, StreamMuxerBox)>,
        behaviour: B,
        membership: Membership,
        replica: Arc<dyn Replica>,
        blobs: Arc<dyn Blobs>,
    ) -> Result<MeshHandle, MeshError>
    where
        B: NetworkBehaviour + Send + 'static,
        B::ToSwarm: std::fmt::Debug + Send + 'static,
    {
        config.check()?;
        let (commits, commit_queue) = mpsc::channel(COMMITS_QUEUED_MAX);
        let shared = Arc::new(Shared::default());
        let (peers_in, peers) = watch::channel(Vec::new());
        let (stop, stopped) = watch::channel(false);
        let (done_in, done) = watch::channel(());
        let listen = config.listen.clone();
        let mut driver = Driver::new(
            config,
            local,
            transport,
            behaviour,
            membership,
            replica,
            shared.clone(),
        )
        .await?;
        let started = match driver.listen(listen).await {
            Ok(()) => BlobTask::start(driver.control.clone(), blobs, peers.clone()),
            Err(error) => Err(error),
        };
        let (blobs, fetcher) = match started {
            Ok(started) => started,
            Err(error) => {
                // Its worker still holds the replica; nobody else is to close the store behind our back.
                driver.stop().await;
                return Err(error);
            }
        };
        tokio::spawn(async move {
            driver.run(commit_queue, stopped, peers_in, blobs).await;
            drop(done_in);
        });
        Ok(MeshHandle {
            commits,
            shared,
            peers,
            fetcher,
            stop: Arc::new(stop),
            done,
        })
    }
}

/// A running mesh. Clones are the same mesh; it also stops, without waiting, when all of them are dropped.
#[derive(Clone, Debug)]
pub struct MeshHandle {
    commits: mpsc::Sender<Commit>,
    shared: Arc<Shared>,
    peers: watch::Receiver<Vec<PeerStatus>>,
    fetcher: Fetcher,
    stop: Arc<watch::Sender<bool>>,
    done: watch::Receiver<()>,
}

/// What the handle and the main task share beside channels.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub listening: Mutex<Vec<Multiaddr>>,
    backlog: Mutex<Backlog>,
    pub backlog_grown: Notify,
    pub identity_changed: Notify,
}

/// The commits that found the queue full, merged.
#[derive(Debug, Default)]
struct Backlog {
    documents: usize,
    feed: Option<FeedId>,
    last_sequence: Sequence,
    collections: BTreeSet<CollectionName>,
}

impl MeshHandle {
    /// Tells the mesh about a durable commit. The store is the one source of commits: every commit is
    /// told exactly once and in order, those the mesh's own ingests caused included (see [`Commit`]).
    ///
    /// Never blocks, so it may be called under the store's locks: when the mesh lags behind, commits are
    /// merged and go out by offers instead of floods.
    pub fn committed(&self, mut commit: Commit) {
        commit.trim();
        if let Err(mpsc::error::TrySendError::Full(commit)) = self.commits.try_send(commit) {
            self.shared.merge(commit);
        }
    }

    /// Tells the mesh that the identity of its membership was replaced: another certificate is shown to all neighbours, and
    /// by another trust those that it does not admit are disconnected. Returns at once.
    pub fn identity_changed(&self) {
        self.shared.identity_changed.notify_one();
    }

    /// The addresses this peer listens on.
    pub fn listen_addrs(&self) -> Vec<Multiaddr> {
        self.shared
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The connected neighbours, at most 0.1 s old.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.peers.borrow().clone()
    }

    /// The connected neighbours, as they change. Whoever has it does not keep the mesh running.
    pub fn watch_peers(&self) -> watch::Receiver<Vec<PeerStatus>> {
        self.peers.clone()
    }

    /// Fetches the bytes of attachments from neighbours. It does not keep the mesh running.
    pub fn fetcher(&self) -> Fetcher {
        self.fetcher.clone()
    }

    /// Says goodbye to all neighbours and stops; completes when everything has ended. Requests to the
    /// store that have begun are finished. Further calls only wait.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        // The main task never sends on this channel: an error says that it has dropped its end.
        while self.done.clone().changed().await.is_ok() {}
    }
}

impl Shared {
    fn merge(&self, commit: Commit) {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        backlog.documents = backlog.documents.saturating_add(commit.documents);
        backlog.feed = Some(commit.feed);
        backlog.last_sequence = backlog.last_sequence.max(commit.last_sequence);
        if backlog.collections.len() < COLLECTIONS_MAX {
            backlog.collections.extend(commit.collections);
        }
        self.backlog_grown.notify_one();
    }

    /// The merged commits as one that is too large to be flooded.
    pub fn take_backlog(&self) -> Option<Commit> {
        let backlog =
            std::mem::take(&mut *self.backlog.lock().unwrap_or_else(PoisonError::into_inner));
        let feed = backlog.feed.filter(|_| backlog.documents > 0)?;
        Some(Commit {
            origin: Origin::Local,
            feed,
            last_sequence: backlog.last_sequence,
            documents: backlog.documents,
            collections: backlog.collections,
            floods: Default::default(),
        })
    }
}
