//! The main task: it owns the swarm and the core, waits for whatever happens next, and hands it on.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::{muxing::StreamMuxerBox, transport::Boxed, transport::ListenerId},
    gossipsub::TopicHash,
    multiaddr::Protocol,
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent},
};
use libp2p_stream::{Control, IncomingStreams};
use sedge_identity::{Membership, Repeats};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    Direction, MeshConfig, MeshError, PeerStatus,
    backoff::Backoffs,
    behaviour::Behaviour,
    blobs::BlobTask,
    certificates::Watch,
    handle::Shared,
    names::chain,
    statics::StaticPeers,
    stream::{FromStream, SYNC_PROTOCOL, StreamHandle, StreamId, Traffic},
    worker::Worker,
};
use crate::{
    limits::{
        FRAMES_QUEUED_MAX, LISTEN_TIMEOUT_MS, OPENED_QUEUED_MAX, SHUTDOWN_TIMEOUT_MS,
        STATUS_INTERVAL_MS, STREAM_PAUSE_MS,
    },
    proto::{
        Answer, CloseCode, Core, CoreConfig, Effect, Event, Message, Millis, RequestId, Timer,
    },
    replica::{CollectionName, Commit, PeerKey, Replica},
};

/// How long a connection without use stays: the sync stream and gossip keep theirs open anyway.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// The state of the main task.
pub(super) struct Driver<B: NetworkBehaviour> {
    pub swarm: Swarm<Behaviour<B>>,
    pub core: Core,
    pub local: PeerId,
    pub app: String,
    pub topics: HashMap<TopicHash, CollectionName>,
    pub peers: HashMap<PeerId, Neighbour>,
    pub statics: StaticPeers,
    pub backoffs: Backoffs,
    pub worker: Worker,
    pub control: Control,
    pub next_stream: u64,
    pub next_opening: u64,
    /// Floods that gossip did not take (no neighbours yet, or full queues); the offers bring them.
    pub floods_dropped: u64,
    /// The rejections that were logged lately, by peer and reason.
    pub rejections: Repeats<(PeerKey, String)>,
    pub timers: BTreeMap<(Millis, u64), Timer>,
    pub next_timer: u64,
    pub inputs_in: mpsc::Sender<(PeerId, StreamId, FromStream)>,
    pub opened_in: mpsc::Sender<Opened>,
    pub shared: Arc<Shared>,
    inputs: mpsc::Receiver<(PeerId, StreamId, FromStream)>,
    opened: mpsc::Receiver<Opened>,
    answers: mpsc::Receiver<(RequestId, Answer)>,
    incoming: IncomingStreams,
    pub membership: Membership,
    pub certificates: Watch,
    started: Instant,
    /// When the status is to be published, if something about it may have changed.
    status_due: Option<Instant>,
    status_published: Instant,
}

/// A connected peer.
pub(super) struct Neighbour {
    pub connections: Vec<(ConnectionId, Multiaddr, Direction)>,
    pub since: SystemTime,
    pub stream: Option<(StreamHandle, Instant)>,
    /// The attempt to open a stream that is under way.
    pub opening: Option<u64>,
    /// When to open a stream, if that is on this peer.
    pub open_at: Option<Instant>,
    /// Streams that did not last, in a row.
    pub failures: u32,
    /// When the peer last opened a stream that was taken.
    pub opened_at: Option<Instant>,
    pub traffic: Arc<Traffic>,
}

/// What has become of an attempt to open a stream.
pub(super) struct Opened {
    pub peer: PeerId,
    pub attempt: u64,
    pub stream: Option<libp2p::Stream>,
}

impl Neighbour {
    /// Whether this attempt to open a stream is the one under way, which it then no longer is. Another one is of an
    /// earlier connection: it ends late, and what it brings is not wanted.
    pub fn takes(&mut self, attempt: u64) -> bool {
        self.opening.take_if(|own| *own == attempt).is_some()
    }

    /// Whether a stream that the peer opens is taken: not so soon after the last.
    pub fn may_open(&mut self, now: Instant) -> bool {
        let pause = Duration::from_millis(STREAM_PAUSE_MS);
        let may = self.opened_at.is_none_or(|at| now >= at + pause);
        if may {
            self.opened_at = Some(now);
        }
        may
    }
}

impl<B> Driver<B>
where
    B: NetworkBehaviour + Send + 'static,
    B::ToSwarm: std::fmt::Debug + Send + 'static,
{
    pub async fn new(
        config: MeshConfig,
        local: PeerId,
        transport: Boxed<(PeerId, StreamMuxerBox)>,
        behaviour: B,
        membership: Membership,
        replica: Arc<dyn Replica>,
        shared: Arc<Shared>,
    ) -> Result<Self, MeshError> {
        let (core, effects) = core(replica.clone(), &config).await?;
        let behaviour = Behaviour::new(config.connections_max, behaviour)?;
        let mut control = behaviour.streams.new_control();
        let incoming = control
            .accept(SYNC_PROTOCOL)
            .map_err(|error| MeshError::Settings {
                part: "libp2p-stream",
                reason: error.to_string(),
            })?;
        let settings =
            libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT);
        let (worker, answers) = Worker::start(replica);
        let (inputs_in, inputs) = mpsc::channel(FRAMES_QUEUED_MAX);
        let (opened_in, opened) = mpsc::channel(OPENED_QUEUED_MAX);
        let now = Instant::now();
        let mut driver = Self {
            swarm: Swarm::new(transport, behaviour, local, settings),
            core,
            local,
            app: config.app,
            topics: HashMap::new(),
            peers: HashMap::new(),
            statics: StaticPeers::new(local, config.peers, now),
            backoffs: Backoffs::default(),
            worker,
            control,
            next_stream: 0,
            next_opening: 0,
            floods_dropped: 0,
            rejections: Repeats::default(),
            timers: BTreeMap::new(),
            next_timer: 0,
            inputs_in,
            opened_in,
            shared,
            inputs,
            opened,
            answers,
            incoming,
            certificates: Watch::new(membership.identity()),
            membership,
            started: now,
            status_due: None,
            status_published: now,
        };
        driver.carry_out(effects);
        Ok(driver)
    }

    /// Listens on all addresses, and waits until each is known to work.
    pub async fn listen(&mut self, addresses: Vec<Multiaddr>) -> Result<(), MeshError> {
        let refused = |address: &Multiaddr, reason| MeshError::Listen {
            address: address.clone(),
            reason,
        };
        let mut open: HashMap<ListenerId, Multiaddr> = HashMap::new();
        for address in addresses {
            probe(&address).map_err(|error| refused(&address, error.to_string()))?;
            let listener = self
                .swarm
                .listen_on(address.clone())
                .map_err(|error| refused(&address, chain(&error)))?;
            open.insert(listener, address);
        }
        let deadline = Instant::now() + Duration::from_millis(LISTEN_TIMEOUT_MS);
        while let Some(address) = open.values().next().cloned() {
            let next = tokio::time::timeout_at(deadline, self.swarm.select_next_some()).await;
            let event =
                next.map_err(|_| refused(&address, "no answer from the system".to_owned()))?;
            match &event {
                SwarmEvent::NewListenAddr { listener_id, .. } => drop(open.remove(listener_id)),
                SwarmEvent::ListenerClosed {
                    listener_id,
                    reason: Err(error),
                    ..
                }
                | SwarmEvent::ListenerError { listener_id, error } => {
                    if let Some(address) = open.get(listener_id) {
                        return Err(refused(address, chain(error)));
                    }
                }
                _ => {}
            }
            self.on_swarm_event(event);
        }
        Ok(())
    }

    /// Runs until told to stop, or until nobody holds a handle any more.
    pub async fn run(
        mut self,
        mut commits: mpsc::Receiver<Commit>,
        mut stopped: watch::Receiver<bool>,
        status: watch::Sender<Vec<PeerStatus>>,
        mut blobs: BlobTask,
    ) {
        let shared = self.shared.clone();
        self.look_at_certificates(Instant::now());
        loop {
            let wake = self.next_deadline();
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                Some((id, answer)) = self.answers.recv() => self.feed(Event::Answered(id, answer)),
                commit = commits.recv() => match commit {
                    Some(commit) => self.feed(Event::Committed(commit)),
                    None => break,
                },
                () = shared.backlog_grown.notified() => {
                    if let Some(commit) = shared.take_backlog() {
                        self.feed(Event::Committed(commit));
                    }
                }
                () = shared.identity_changed.notified() => self.on_identity_changed(Instant::now()),
                () = sleep_until(wake) => self.on_deadline(),
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some((peer, id, input)) = self.inputs.recv() => self.on_input(peer, id, input),
                Some((peer, stream)) = self.incoming.next() => self.on_incoming_stream(peer, stream),
                Some(opened) = self.opened.recv() => self.on_opened(opened),
                Some((peer, how)) = blobs.offences.recv() => self.keep_away(peer, how),
            }
            self.publish_status(&status);
        }
        blobs.stop().await;
        self.stop().await;
    }

    /// The time, as the core counts it.
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Hands an event to the core and executes what it wants.
    pub fn feed(&mut self, event: Event) {
        let now = self.now();
        let effects = self.core.handle(event, now);
        self.carry_out(effects);
        self.status_changed();
    }

    /// Executes effects; one may fail at once, which is an event with effects of its own.
    fn carry_out(&mut self, mut effects: Vec<Effect>) {
        while !effects.is_empty() {
            let mut failures = Vec::new();
            for effect in effects {
                failures.extend(self.execute(effect));
            }
            let now = self.now();
            let events = failures.into_iter();
            effects = events
                .flat_map(|event| self.core.handle(event, now))
                .collect();
        }
    }

    /// The status may have changed: it is published soon.
    pub fn status_changed(&mut self) {
        let earliest = self.status_published + Duration::from_millis(STATUS_INTERVAL_MS);
        self.status_due.get_or_insert(earliest.max(Instant::now()));
    }

    fn publish_status(&mut self, status: &watch::Sender<Vec<PeerStatus>>) {
        let now = Instant::now();
        if self.status_due.is_some_and(|due| due <= now) {
            self.status_due = None;
            self.status_published = now;
            status.send_replace(
                self.peers
                    .iter()
                    .filter_map(|(peer, it)| self.status_of(peer, it))
                    .collect(),
            );
        }
    }

    fn status_of(&self, peer: &PeerId, neighbour: &Neighbour) -> Option<PeerStatus> {
        let (_, address, direction) = neighbour.connections.first()?;
        let (sent_bytes, received_bytes) = neighbour.traffic.bytes();
        Some(PeerStatus {
            peer: *peer,
            address: address.clone(),
            direction: *direction,
            name: self
                .membership
                .admitted()
                .get(peer)
                .map(|certificate| certificate.name.to_string()),
            connected_since: neighbour.since,
            sync: self.core.status(&PeerKey::from(*peer)),
            sent_bytes,
            received_bytes,
        })
    }

    fn next_deadline(&self) -> Option<Instant> {
        let timer = self
            .timers
            .keys()
            .next()
            .map(|(at, _)| self.started + Duration::from_millis(at.0));
        let open = self
            .peers
            .values()
            .filter_map(|neighbour| neighbour.open_at)
            .min();
        [
            timer,
            open,
            self.statics.next(),
            self.backoffs.next(),
            self.certificates.next(),
            self.status_due,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn on_deadline(&mut self) {
        let now = self.now();
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let timer = entry.remove();
            self.feed(Event::Timer(timer));
        }
        let now = Instant::now();
        self.on_certificates_deadline(now);
        self.on_network_deadline(now);
    }

    /// Says goodbye, and waits until nothing of the driver uses the replica any more.
    pub async fn stop(mut self) {
        self.inputs.close();
        let mut streams = Vec::new();
        for neighbour in self.peers.values_mut() {
            if let Some((stream, _)) = neighbour.stream.take() {
                if !stream.send(Message::Close(CloseCode::Goodbye)) {
                    tracing::debug!("a neighbour is too slow for a goodbye");
                }
                streams.push(stream.finish());
            }
        }
        let farewell = futures::future::join_all(streams);
        if tokio::time::timeout(Duration::from_millis(SHUTDOWN_TIMEOUT_MS), farewell)
            .await
            .is_err()
        {
            tracing::debug!("not every neighbour took the goodbye in time");
        }
        drop(self.swarm);
        drop(self.answers);
        self.worker.stop().await;
        self.shared
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Notices a TCP port that another process listens on. libp2p binds with `SO_REUSEPORT` (for hole punching),
/// which lets two processes of one user share a port, each getting some of the connections.
fn probe(address: &Multiaddr) -> std::io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => std::net::TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

/// Reads what a core must know, on a thread that may block.
async fn core(
    replica: Arc<dyn Replica>,
    config: &MeshConfig,
) -> Result<(Core, Vec<Effect>), MeshError> {
    let interest = config.interest.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(MeshError::Random)?;
        let (feed, collections) = (replica.feed()?, replica.collections()?);
        Ok::<_, MeshError>(CoreConfig::new(feed, collections, interest, seed))
    });
    Ok(Core::new(read.await.map_err(|_| MeshError::Ended)??))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour() -> Neighbour {
        Neighbour {
            connections: Vec::new(),
            since: SystemTime::UNIX_EPOCH,
            stream: None,
            opening: None,
            open_at: None,
            failures: 0,
            opened_at: None,
            traffic: Arc::default(),
        }
    }

    /// Goal: an attempt of an earlier connection that ends late neither ends the one under way nor counts for it.
    #[test]
    fn a_late_attempt_to_open_a_stream_is_ignored() {
        let mut neighbour = neighbour();
        neighbour.opening = Some(2);
        assert!(!neighbour.takes(1));
        assert_eq!(neighbour.opening, Some(2));
        assert!(neighbour.takes(2));
        assert!(!neighbour.takes(2), "it has ended");
    }

    /// Goal: a peer that opens stream after stream gets one per pause, and what is dropped does not lengthen it.
    #[test]
    fn streams_are_taken_at_a_pace() {
        let mut neighbour = neighbour();
        let start = Instant::now();
        let taken = (0..1_000).filter(|ms| neighbour.may_open(start + Duration::from_millis(*ms)));
        assert_eq!(taken.count() as u64, 1_000 / STREAM_PAUSE_MS);
    }
}
