//! Runs the fetch of one blob: the core decides, this opens streams, calls the store and keeps the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use libp2p::PeerId;
use libp2p_stream::Control;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    FetchError, FetchState, Offence,
    calls::Calls,
    link::{FromLink, Link, LinkEvent, LinkId},
};
use crate::{
    blob::{
        Blob, BlobAnswer, BlobRequest, Chunk, ChunkSet, Fetch, FetchEffect, FetchEvent,
        FetchFailure, Taken,
    },
    driver::PeerStatus,
    limits::BLOB_ANSWERS_QUEUED_MAX,
    proto::Millis,
    replica::PeerKey,
};

/// What a fetch needs.
pub(super) struct FetchTask {
    pub blob: Blob,
    pub wait: Duration,
    pub control: Control,
    pub calls: Calls,
    pub peers: watch::Receiver<Vec<PeerStatus>>,
    pub offences: mpsc::Sender<Offence>,
    pub state: Arc<watch::Sender<FetchState>>,
    /// Fetches that may bring chunks at once.
    pub turns: Arc<Semaphore>,
}

impl FetchTask {
    /// Runs the fetch until it ends or nobody waits for it any more.
    pub async fn run(self) {
        let state = Arc::clone(&self.state);
        tokio::select! {
            outcome = self.fetch() => state.send_modify(|state| state.outcome = Some(outcome)),
            () = state.closed() => {}
        }
    }

    async fn fetch(self) -> Result<(), FetchError> {
        let blob = self.blob;
        let here = self.calls.call(move |blobs| blobs.held(blob)).await;
        let here = here.map_err(|reason| FetchFailure::Store { reason })?;
        let wait_ms = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX / 4);
        let (core, effects) = Fetch::new(blob, here, wait_ms.min(u64::MAX / 4), Millis(0));
        let (answers_in, answers) = mpsc::channel(BLOB_ANSWERS_QUEUED_MAX);
        let running = Running {
            core,
            answers_in,
            links: BTreeMap::new(),
            next_link: 0,
            connected: BTreeSet::new(),
            store: JoinSet::new(),
            started: Instant::now(),
            turn: None,
            task: self,
        };
        running.run(effects, answers).await
    }
}

/// What the store has done.
enum FromStore {
    Checked(u64, Result<Taken, String>),
    Here(Result<ChunkSet, String>),
}

struct Running {
    core: Fetch,
    answers_in: mpsc::Sender<LinkEvent>,
    links: BTreeMap<PeerId, Link>,
    next_link: u64,
    /// The neighbours that the core knows to be connected.
    connected: BTreeSet<PeerId>,
    /// Calls under way, as many as the core has chunks in flight at most.
    store: JoinSet<FromStore>,
    started: Instant,
    /// Taken when somebody has chunks: a fetch that only waits keeps none from bringing theirs.
    turn: Option<OwnedSemaphorePermit>,
    task: FetchTask,
}

impl Running {
    async fn run(
        mut self,
        effects: Vec<FetchEffect>,
        mut answers: mpsc::Receiver<LinkEvent>,
    ) -> Result<(), FetchError> {
        let mut outcome = self.carry_out(effects);
        let mut events = self.neighbours();
        events.push(FetchEvent::Tick);
        loop {
            for event in events {
                let now = self.now();
                outcome = outcome.or_else(|| {
                    let effects = self.core.handle(event, now);
                    self.carry_out(effects)
                });
            }
            if let Some(outcome) = outcome {
                return Ok(outcome?);
            }
            let wake = self.core.wake_at(self.now());
            let wake = wake.map(|at| self.started + Duration::from_millis(at.0));
            events = tokio::select! {
                Some(event) = answers.recv() => {
                    self.take_turn(&event).await?;
                    self.on_link(event)
                }
                Some(done) = self.store.join_next() => self.on_store(done),
                changed = self.task.peers.changed() => match changed {
                    Ok(()) => self.neighbours(),
                    Err(_) => return Err(FetchError::Stopped),
                },
                () = sleep_until(wake) => vec![FetchEvent::Tick],
            };
        }
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Who came and who left since the last look.
    fn neighbours(&mut self) -> Vec<FetchEvent> {
        let peers = self.task.peers.borrow_and_update();
        let now: BTreeSet<PeerId> = peers.iter().map(|status| status.peer).collect();
        drop(peers);
        let before = std::mem::replace(&mut self.connected, now);
        let left = before.difference(&self.connected);
        let mut events = Vec::new();
        for peer in left {
            self.links.remove(peer);
            events.push(FetchEvent::Disconnected(PeerKey::from(*peer)));
        }
        let came = self.connected.difference(&before);
        events.extend(came.map(|peer| FetchEvent::Connected(PeerKey::from(*peer))));
        events
    }

    async fn take_turn(&mut self, (_, _, event): &LinkEvent) -> Result<(), FetchError> {
        let has_chunks = matches!(event, FromLink::Answer(BlobAnswer::Held(_)));
        if has_chunks && self.turn.is_none() {
            let turn = Arc::clone(&self.task.turns).acquire_owned().await;
            self.turn = Some(turn.map_err(|_| FetchError::Stopped)?);
        }
        Ok(())
    }

    fn on_link(&mut self, (peer, id, event): LinkEvent) -> Vec<FetchEvent> {
        if self.links.get(&peer).is_none_or(|link| link.id != id) {
            return Vec::new();
        }
        let key = PeerKey::from(peer);
        vec![match event {
            FromLink::Answer(answer) => FetchEvent::Answered(key, answer),
            FromLink::Undecodable => {
                self.offended(peer, "it sent bytes that are no answer");
                self.links.remove(&peer);
                FetchEvent::Failed(key)
            }
            FromLink::Ended => {
                self.links.remove(&peer);
                FetchEvent::Failed(key)
            }
        }]
    }

    fn on_store(&mut self, done: Result<FromStore, tokio::task::JoinError>) -> Vec<FetchEvent> {
        match done {
            Ok(FromStore::Checked(index, outcome)) => vec![FetchEvent::Checked(index, outcome)],
            Ok(FromStore::Here(Ok(here))) => vec![FetchEvent::Here(here)],
            // It is looked at again after the next chunk; without one the fetch ends by its wait.
            Ok(FromStore::Here(Err(reason))) => {
                tracing::warn!(blob = ?self.task.blob, "the store can't tell what is here: {reason}");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(%error, "a call for an attachment ended badly");
                Vec::new()
            }
        }
    }

    /// Does what the core wants; gives the outcome at the end.
    fn carry_out(&mut self, effects: Vec<FetchEffect>) -> Option<Result<(), FetchFailure>> {
        for effect in effects {
            match effect {
                FetchEffect::Send(peer, request) => self.send(&peer, request),
                FetchEffect::Close(peer) => {
                    peer.to_peer_id().and_then(|peer| self.links.remove(&peer));
                }
                FetchEffect::Ban(peer, how) => {
                    if let Some(peer) = peer.to_peer_id() {
                        self.offended(peer, how);
                    }
                }
                FetchEffect::Check(index, chunk) => self.check(index, chunk),
                FetchEffect::Look => self.look(),
                FetchEffect::Progress(progress) => {
                    self.task
                        .state
                        .send_modify(|state| state.progress = progress);
                }
                FetchEffect::End(outcome) => return Some(outcome),
            }
        }
        None
    }

    fn send(&mut self, peer: &PeerKey, request: BlobRequest) {
        let Some(peer) = peer.to_peer_id() else {
            return;
        };
        let link = self.links.entry(peer).or_insert_with(|| {
            let id = LinkId(self.next_link);
            self.next_link += 1;
            Link::open(id, peer, self.task.control.clone(), self.answers_in.clone())
        });
        if !link.send(request) {
            // Its end is on its way to the core.
            tracing::debug!("a blob stream has ended");
        }
    }

    fn check(&mut self, index: u64, chunk: Chunk) {
        let (calls, blob) = (self.task.calls.clone(), self.task.blob);
        self.store.spawn(async move {
            let taken = calls.call(move |blobs| blobs.accept(blob, index, &chunk));
            FromStore::Checked(index, taken.await)
        });
    }

    fn look(&mut self) {
        let (calls, blob) = (self.task.calls.clone(), self.task.blob);
        self.store.spawn(async move {
            let here = calls.call(move |blobs| blobs.held(blob));
            FromStore::Here(here.await)
        });
    }

    fn offended(&self, peer: PeerId, how: &'static str) {
        if self.task.offences.try_send((peer, how)).is_err() {
            tracing::debug!(how, "too many offences at once");
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
