//! Goal: real swarms over TCP (Noise, Yamux, no admission) do what the cores do in virtual time, and what
//! only a driver can get wrong is right: listening, redialling, shutdown, peers that break the protocol.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, upgrade::Version},
    },
    identity::Keypair,
    noise,
    swarm::{Config, dummy},
    tcp, yamux,
};
use sedge_identity::{
    Admitted, AppId, CertificateChain, CertificateRequest, Clock, DeviceKey, Issuer, LocalIdentity,
    Membership, SignedCertificate, Trust, Validity,
};
use sedge_mesh::{
    Answered, Bundle, ChangeHash, ChangesLimits, CollectionName, Cursor, Direction, DocumentKey,
    FeedId, FeedPage, FeedPosition, Hello, IngestOutcome, Interest, MemoryReplica, Mesh,
    MeshConfig, MeshError, MeshHandle, Message, Missing, Offered, Origin, PageLimits, Replica,
    ReplicaError, Sequence, encode_frame,
};
use tokio::time::{Instant, sleep};

fn transport(key: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
    tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed()
}

/// This machine's clock.
fn now_ms() -> u64 {
    let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    since_1970.as_millis() as u64
}

/// A device of the app `demo` whose certificate is issued now and has this life.
fn identity(number: u8, validity: Validity) -> LocalIdentity {
    let app = AppId::new("demo").unwrap();
    let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([99; 32]));
    let key = DeviceKey::from_seed([number; 32]);
    let request = CertificateRequest {
        validity,
        ..CertificateRequest::development(key.public(), "pi")
    };
    let chain = issuer.issue(request, [3; 16], now_ms()).unwrap().into();
    let trust = Trust::new(app, &[issuer.public()]).unwrap();
    LocalIdentity::new(key, &chain, trust, now_ms()).unwrap()
}

fn membership(identity: LocalIdentity) -> Membership {
    Membership::new(identity, Admitted::new(8), Clock::new(now_ms, 0))
}

fn document(id: u64) -> DocumentKey {
    DocumentKey::new(
        CollectionName::new("cars").unwrap(),
        id.to_string().into_bytes(),
    )
    .unwrap()
}

fn writes(ids: std::ops::Range<u64>) -> Vec<(DocumentKey, Bytes)> {
    ids.map(|id| (document(id), Bytes::from(vec![7; 200])))
        .collect()
}

/// A peer that can be stopped and started again with its key and store.
struct Peer {
    key: Keypair,
    replica: Arc<MemoryReplica>,
    /// The replica as the mesh gets it; the same, unless a test puts something in between.
    seen: Arc<dyn Replica>,
    membership: Membership,
    handle: Option<MeshHandle>,
}

impl Peer {
    fn new(number: u8) -> Self {
        let key = Keypair::ed25519_from_bytes([number; 32]).unwrap();
        let replica = Arc::new(MemoryReplica::new(FeedId([number; 16])));
        Self {
            key,
            seen: replica.clone(),
            replica,
            membership: membership(identity(number, Validity::Unlimited)),
            handle: None,
        }
    }

    async fn try_start(
        &mut self,
        listen: &str,
        peers: &[Multiaddr],
    ) -> Result<Multiaddr, MeshError> {
        let mut config = MeshConfig::new("demo");
        config.listen = vec![listen.parse().unwrap()];
        config.peers = peers.to_vec();
        let (local, transport) = (self.key.public().to_peer_id(), transport(&self.key));
        let handle = Mesh::start(
            config,
            local,
            transport,
            dummy::Behaviour,
            self.membership.clone(),
            self.seen.clone(),
        )
        .await?;
        let observer = handle.clone();
        self.replica
            .observe(move |commit| observer.committed(commit));
        let address = handle.listen_addrs().first().unwrap().clone();
        self.handle = Some(handle);
        Ok(address)
    }

    async fn start(&mut self, listen: &str, peers: &[Multiaddr]) -> Multiaddr {
        self.try_start(listen, peers).await.unwrap()
    }

    async fn stop(&mut self) {
        self.handle.take().unwrap().shutdown().await;
        self.replica.observe(drop);
    }

    fn handle(&self) -> &MeshHandle {
        self.handle.as_ref().unwrap()
    }
}

const SYNC: StreamProtocol = StreamProtocol::new("/sedge/sync/1");

const ANY: &str = "/ip4/127.0.0.1/tcp/0";

async fn wait_for(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        sleep(Duration::from_millis(2)).await;
    }
    start.elapsed()
}

fn all_equal(peers: &[Peer]) -> bool {
    peers
        .iter()
        .all(|peer| peer.replica.contents() == peers[0].replica.contents())
}

const LIMIT: Duration = Duration::from_secs(30);

/// A line of three: bulk and live writes arrive everywhere; the middle is stopped, both ends write on, and it
/// comes back under its old address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_converges_and_survives_the_loss_of_its_middle() {
    let mut peers = [Peer::new(1), Peer::new(2), Peer::new(3)];
    let a = peers[0].start(ANY, &[]).await;
    let b = peers[1].start(ANY, std::slice::from_ref(&a)).await;
    let with_id = b
        .clone()
        .with_p2p(peers[1].key.public().to_peer_id())
        .unwrap();
    peers[2].start(ANY, &[with_id]).await;

    peers[0].replica.write(writes(0..3_000));
    peers[2].replica.write(writes(3_000..3_010));
    let took = wait_for("bulk", LIMIT, || {
        peers[2].replica.contents().len() == 3_010 && all_equal(&peers)
    })
    .await;
    println!("3,010 documents over two hops: {took:?}");

    wait_for("status", LIMIT, || {
        let neighbours = peers[1].handle().peers();
        neighbours.len() == 2
            && neighbours
                .iter()
                .all(|peer| peer.sync.is_some_and(|sync| sync.is_current()))
    })
    .await;
    assert_eq!(peers[0].handle().peers().len(), 1, "the ends never meet");
    let neighbours = peers[1].handle().peers();
    let outbound = neighbours
        .iter()
        .find(|peer| peer.direction == Direction::Outbound)
        .unwrap();
    assert_eq!(
        (outbound.peer, &outbound.address),
        (peers[0].key.public().to_peer_id(), &a)
    );

    let mut latencies = Vec::new();
    for id in 4_000..4_030 {
        peers[0].replica.write(writes(id..id + 1));
        latencies.push(
            wait_for("edit", LIMIT, || {
                peers[2].replica.contents().contains_key(&document(id))
            })
            .await,
        );
    }
    latencies.sort();
    println!(
        "live edits over two hops: p50 {:?}, max {:?}",
        latencies[15], latencies[29]
    );
    assert!(
        latencies[15] < Duration::from_millis(100),
        "gossip precedes the offers: {latencies:?}"
    );

    peers[1].stop().await;
    peers[0].replica.write(writes(5_000..5_100));
    peers[2].replica.write(writes(6_000..6_003));
    wait_for("loss noticed", LIMIT, || {
        peers[0].handle().peers().is_empty()
    })
    .await;
    peers[1].start(&b.to_string(), &[a]).await;
    wait_for("healed", LIMIT, || {
        peers[1].replica.contents().len() == 3_143 && all_equal(&peers)
    })
    .await;
    for peer in &mut peers {
        peer.stop().await;
    }
}

/// An address that cannot be listened on is named in the error, and nothing is left running.
#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let (mut first, mut second) = (Peer::new(1), Peer::new(2));
    let address = first.start(ANY, &[]).await;
    let error = second
        .try_start(&address.to_string(), &[])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains("in use"), "{error}");
    let error = second
        .try_start("/ip4/127.0.0.1/udp/1", &[])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("/ip4/127.0.0.1/udp/1"), "{error}");
    first.stop().await;
}

/// Two peers that dial each other have one sync stream, and commits told faster than the mesh takes them
/// still arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_dials_and_a_burst_of_commits() {
    let mut peers = [Peer::new(1), Peer::new(2)];
    let a = peers[0].start(ANY, &[]).await;
    let b = peers[1].start(ANY, std::slice::from_ref(&a)).await;
    peers[0].stop().await;
    peers[0].start(&a.to_string(), &[b]).await;
    for id in 0..5_000 {
        peers[(id % 2) as usize].replica.write(writes(id..id + 1));
    }
    wait_for("burst", LIMIT, || {
        peers[0].replica.contents().len() == 5_000 && all_equal(&peers)
    })
    .await;
    peers[0].stop().await;
    peers[1].stop().await;
}

/// A peer that sends nonsense on the sync stream is cut off, whoever opens the stream; an honest one
/// beside it is not disturbed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_nonsense_is_cut_off() {
    let mut peers = [Peer::new(1), Peer::new(2)];
    let a = peers[0].start(ANY, &[]).await;
    peers[1].start(ANY, std::slice::from_ref(&a)).await;
    for number in 10..14 {
        for nonsense in [
            &[0xff_u8; 8][..],
            &[0, 0, 0, 3, 1, 2, 3],
            &[0, 0, 0, 2, 0x32, 0],
        ] {
            let key = Keypair::ed25519_from_bytes([number, nonsense[0] ^ nonsense[3]].repeat(16))
                .unwrap();
            let (local, behaviour) = (key.public().to_peer_id(), libp2p_stream::Behaviour::new());
            let mut control = behaviour.new_control();
            let mut swarm = Swarm::new(
                transport(&key),
                behaviour,
                local,
                Config::with_tokio_executor(),
            );
            swarm.dial(a.clone()).unwrap();
            let mut incoming = control.accept(SYNC).unwrap();
            let driving = tokio::spawn(async move { while swarm.next().await.is_some() {} });
            let victim = peers[0].key.public().to_peer_id();
            wait_for("connection", LIMIT, || {
                peers[0]
                    .handle()
                    .peers()
                    .iter()
                    .any(|peer| peer.peer == local)
            })
            .await;
            let mut stream = if local.to_bytes() < victim.to_bytes() {
                control.open_stream(victim, SYNC).await.unwrap()
            } else {
                incoming.next().await.unwrap().1
            };
            stream.write_all(nonsense).await.unwrap();
            stream.flush().await.unwrap();
            let mut answer = Vec::new();
            // The victim's hello and its reason, or a reset.
            drop(
                tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer))
                    .await
                    .unwrap(),
            );
            wait_for("cut", LIMIT, || {
                peers[0]
                    .handle()
                    .peers()
                    .iter()
                    .all(|peer| peer.peer != local)
            })
            .await;
            driving.abort();
        }
    }
    peers[0].replica.write(writes(0..10));
    wait_for("honest peers", LIMIT, || {
        peers[1].replica.contents().len() == 10
    })
    .await;
    assert_eq!(peers[1].replica.feed().unwrap().last.0, 10);
    peers[0].stop().await;
    peers[1].stop().await;
}

/// A connection stays while both certificates are valid and is closed when the peer's ends, or this device's own, by the
/// clock of whoever has the certificate in its registry; nothing is asked of the peer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_a_certificate() {
    let life = Validity::Life { life_ms: 2_000 };
    for (own, theirs) in [(Validity::Unlimited, life), (life, Validity::Unlimited)] {
        let mut peers = [Peer::new(1), Peer::new(2)];
        let start = Instant::now();
        let (own, theirs) = (identity(1, own), identity(2, theirs));
        let theirs = Arc::new(theirs.certificate().clone());
        peers[0].membership = membership(own);
        let registry = peers[0].membership.admitted();
        registry.admit(theirs.subject.peer_id(), theirs).unwrap();
        let a = peers[0].start(ANY, &[]).await;
        peers[1].start(ANY, &[a]).await;
        let connected = |count| move |peers: &[Peer; 2]| peers[0].handle().peers().len() == count;
        wait_for("connected", LIMIT, || connected(1)(&peers)).await;
        wait_for("closed", LIMIT, || connected(0)(&peers)).await;
        let lived = start.elapsed();
        let bounds = Duration::from_millis(1_950)..Duration::from_millis(4_000);
        assert!(bounds.contains(&lived), "{lived:?}");
        for peer in &mut peers {
            peer.stop().await;
        }
    }
}

/// A neighbour by hand: it is admitted by a certificate that ends soon, greets, and shows another one.
async fn shows(victim: &Peer, at: &Multiaddr, own: &LocalIdentity, shown: CertificateChain) {
    let key = own.key().libp2p_keypair();
    let (local, behaviour) = (own.peer_id(), libp2p_stream::Behaviour::new());
    let mut control = behaviour.new_control();
    let config = Config::with_tokio_executor();
    let mut swarm = Swarm::new(transport(&key), behaviour, local, config);
    swarm.dial(at.clone()).unwrap();
    let mut incoming = control.accept(SYNC).unwrap();
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    wait_for("connection", LIMIT, || is_connected(victim, own)).await;
    let victim_id = victim.key.public().to_peer_id();
    let mut stream = if local.to_bytes() < victim_id.to_bytes() {
        control.open_stream(victim_id, SYNC).await.unwrap()
    } else {
        incoming.next().await.unwrap().1
    };
    let hello = Message::Hello(Hello {
        feed: FeedPosition {
            id: FeedId([77; 16]),
            last: Sequence(0),
        },
        collections: BTreeSet::new(),
        interest: Interest::Everything,
    });
    for message in [hello, Message::Renewed(shown)] {
        stream.write_all(&encode_frame(&message)).await.unwrap();
    }
    stream.flush().await.unwrap();
    tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
}

fn is_connected(victim: &Peer, other: &LocalIdentity) -> bool {
    let peers = victim.handle().peers();
    peers.iter().any(|peer| peer.peer == other.peer_id())
}

/// A good renewed certificate takes the place of the old one, so that the connection outlives it; one of another root, of
/// another key, that has ended, or with a changed byte ends the connection at once and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_judged_as_the_first_was() {
    let hour = Validity::Life { life_ms: 3_600_000 };
    for case in ["good", "other root", "other key", "ended", "changed"] {
        let (own, mut victim) = (identity(40, hour), Peer::new(1));
        let renewed = identity(40, Validity::Unlimited)
            .certificate()
            .signed()
            .clone();
        let shown = match case {
            "good" => renewed.clone(),
            "other root" => {
                let issuer =
                    Issuer::new(AppId::new("demo").unwrap(), DeviceKey::from_seed([98; 32]));
                let request = CertificateRequest::development(own.key().public(), "pi");
                issuer.issue(request, [3; 16], 0).unwrap().into()
            }
            "other key" => identity(41, Validity::Unlimited)
                .certificate()
                .signed()
                .clone(),
            "ended" => {
                let short = identity(40, Validity::Life { life_ms: 5 });
                sleep(Duration::from_millis(10)).await;
                short.certificate().signed().clone()
            }
            _ => {
                let mut bytes = renewed.first().as_bytes().to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                SignedCertificate::from_bytes(&bytes).unwrap().into()
            }
        };
        let registry = Arc::clone(victim.membership.admitted());
        let first = Arc::new(own.certificate().clone());
        registry.admit(own.peer_id(), first).unwrap();
        let address = victim.start(ANY, &[]).await;
        shows(&victim, &address, &own, shown).await;
        let held = || registry.get(&own.peer_id()).unwrap().signed().clone();
        if case == "good" {
            wait_for("renewed", LIMIT, || held() == renewed).await;
            sleep(Duration::from_millis(700)).await;
            assert!(is_connected(&victim, &own));
        } else {
            wait_for(case, LIMIT, || !is_connected(&victim, &own)).await;
            assert_eq!(&held(), own.certificate().signed(), "{case}");
        }
        victim.stop().await;
    }
}

/// A renewed identity is shown to whoever is connected, at once and to those whose stream opens later, and the connection
/// outlives the first certificate on both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_is_shown_to_neighbours() {
    let start = Instant::now();
    let short = Validity::Life { life_ms: 3_000 };
    let mut peers = [Peer::new(1), Peer::new(2)];
    let [first, lasting] = [identity(1, short), identity(2, Validity::Unlimited)];
    peers[0].membership = membership(first.clone());
    let registries = [0, 1].map(|index: usize| Arc::clone(peers[index].membership.admitted()));
    for (registry, other) in registries.iter().zip([&lasting, &first]) {
        let certificate = Arc::new(other.certificate().clone());
        registry.admit(other.peer_id(), certificate).unwrap();
    }
    let a = peers[0].start(ANY, &[]).await;
    peers[1].start(ANY, &[a]).await;
    wait_for("sync", LIMIT, || {
        let neighbours = peers[1].handle().peers();
        neighbours.iter().any(|peer| peer.sync.is_some())
    })
    .await;
    let renewed = identity(1, Validity::Unlimited)
        .certificate()
        .signed()
        .clone();
    peers[0].membership.renew(&renewed).unwrap();
    peers[0].handle().identity_changed();
    let shown = || registries[1].get(&first.peer_id()).unwrap().signed() == &renewed;
    wait_for("shown", Duration::from_millis(2_000), shown).await;
    let since = |peer: &Peer| peer.handle().peers()[0].connected_since;
    let before = since(&peers[1]);
    tokio::time::sleep_until(start + Duration::from_millis(4_000)).await;
    assert_eq!(since(&peers[1]), before, "it is the same connection");
    for peer in &mut peers {
        peer.stop().await;
    }
}

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
