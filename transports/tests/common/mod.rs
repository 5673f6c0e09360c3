//! Devices, swarms and a log to look into, for the tests of admission.

mod device;

use std::{
    cell::RefCell,
    io::{self, Write},
    sync::{Arc, Once},
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, Transport},
        upgrade,
    },
    identity::Keypair,
    noise, ping, swarm,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use sedge_identity::{Admitted, Clock, LocalIdentity, Membership, Policy};
use sedge_transports::{AdmissionLimits, transport_with};

use device::{ISSUED_MS, LIFE_MS};
pub use device::{device, lasting};

/// How long anything may take before a test gives up: far beyond what a busy machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The time at which every certificate is valid.
pub fn today() -> u64 {
    ISSUED_MS
}

/// The time at which every certificate has expired.
pub fn later() -> u64 {
    ISSUED_MS + 2 * LIFE_MS
}

/// A device of the tests under a policy.
pub fn under(own: &LocalIdentity, policy: Policy) -> Arc<LocalIdentity> {
    let (key, chain) = (own.key().clone(), own.certificate().signed());
    let trust = own.trust().clone().with_policy(policy);
    Arc::new(LocalIdentity::new(key, chain, trust, ISSUED_MS).unwrap())
}

/// Limits that no test runs into unless it sets them itself.
pub fn wide() -> AdmissionLimits {
    AdmissionLimits {
        admission_timeout: PATIENCE,
        first_byte_timeout: PATIENCE,
        handshake_timeout: PATIENCE,
        ..AdmissionLimits::default()
    }
}

/// A node whose application is ping, and what it has seen.
pub struct Node {
    pub swarm: Swarm<ping::Behaviour>,
    pub admitted: Arc<Admitted>,
    pub seen: Seen,
}

/// What the application of a node has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub established: usize,
    pub pings: usize,
    pub closed: usize,
    /// Errors of connections that were never established, or ended with one.
    pub failures: Vec<String>,
}

impl Node {
    pub fn new(identity: &Arc<LocalIdentity>, clock: fn() -> u64, limits: AdmissionLimits) -> Self {
        let clock = Clock::new(clock, 0);
        let membership = Membership::new(LocalIdentity::clone(identity), Admitted::new(8), clock);
        let admitted = Arc::clone(membership.admitted());
        let transport = transport_with(membership, limits).unwrap();
        let swarm = pinging(transport, identity.peer_id());
        Self {
            swarm,
            admitted,
            seen: Seen::default(),
        }
    }

    /// Listens and tells where.
    pub async fn listen(&mut self, address: &str) -> Multiaddr {
        self.swarm.listen_on(address.parse().unwrap()).unwrap();
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = self.swarm.select_next_some().await {
                return address;
            }
        }
    }

    /// Takes in one event.
    pub async fn step(&mut self) {
        match self.swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => self.seen.established += 1,
            SwarmEvent::ConnectionClosed { cause, .. } => {
                self.seen.closed += 1;
                self.seen
                    .failures
                    .extend(cause.map(|error| full_text(&error)));
            }
            SwarmEvent::Behaviour(ping::Event { result: Ok(_), .. }) => self.seen.pings += 1,
            SwarmEvent::IncomingConnectionError { error, .. } => {
                self.seen.failures.push(full_text(&error));
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                self.seen.failures.push(format!("{error:?}"));
            }
            _ => {}
        }
    }

    /// Runs alone until `done`.
    pub async fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let run = async {
            while !done(self) {
                self.step().await;
            }
        };
        if tokio::time::timeout(PATIENCE, run).await.is_err() {
            panic!("nothing more happened: {:?}", self.seen);
        }
    }

    /// That no connection ever reached the application.
    pub fn assert_untouched(&self) {
        assert_eq!(
            (self.seen.established, self.seen.pings),
            (0, 0),
            "{:?}",
            self.seen
        );
        assert!(self.admitted.is_empty());
    }
}

/// An error with everything that led to it.
fn full_text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Runs two nodes until `done` holds for both.
pub async fn run_both(a: &mut Node, b: &mut Node, done: impl Fn(&Node, &Node) -> bool) {
    let run = async {
        while !done(a, b) {
            tokio::select! {
                () = a.step() => {}
                () = b.step() => {}
            }
        }
    };
    if tokio::time::timeout(PATIENCE, run).await.is_err() {
        panic!("nothing more happened: {:?} and {:?}", a.seen, b.seen);
    }
}

fn pinging(transport: Boxed<(PeerId, StreamMuxerBox)>, peer: PeerId) -> Swarm<ping::Behaviour> {
    let config = ping::Config::new().with_interval(Duration::from_millis(50));
    idle_swarm(transport, ping::Behaviour::new(config), peer)
}

fn idle_swarm<B: NetworkBehaviour>(
    transport: Boxed<(PeerId, StreamMuxerBox)>,
    behaviour: B,
    peer: PeerId,
) -> Swarm<B> {
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(PATIENCE);
    Swarm::new(transport, behaviour, peer, config)
}

/// Noise and Yamux over TCP with no admission, as any libp2p software speaks them.
pub fn plain_transport(key: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
    tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(upgrade::Version::V1)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed()
}

/// A swarm of other libp2p software.
pub fn plain_swarm<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    let key = Keypair::generate_ed25519();
    idle_swarm(plain_transport(&key), behaviour, key.public().to_peer_id())
}

/// The warnings of this thread since it was made.
pub struct Log(());

thread_local! {
    /// Every test runs its nodes on a thread of its own.
    static WARNINGS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Log {
    pub fn new() -> Self {
        // One subscriber for all tests: with one per thread, what is switched on would depend on their timing.
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::WARN)
                .with_ansi(false)
                .with_writer(|| Writer)
                .init();
        });
        WARNINGS.with_borrow_mut(Vec::clear);
        Self(())
    }

    /// The warnings that come from Sedge itself.
    pub fn lines(&self) -> Vec<String> {
        let text = WARNINGS
            .with_borrow(|bytes| String::from_utf8(bytes.clone()))
            .unwrap();
        text.lines()
            .filter(|line| line.contains("sedge"))
            .map(str::to_owned)
            .collect()
    }
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WARNINGS.with_borrow_mut(|warnings| warnings.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
