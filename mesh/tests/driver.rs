//! Goal: real swarms over TCP (Noise, Yamux, no admission) do what the cores do in virtual time, and what
//! only a driver can get wrong is right: listening, redialling, shutdown, peers that break the protocol.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "driver/blobs.rs"]
mod blobs;
#[path = "driver/certificates.rs"]
mod certificates;
#[path = "driver/panics.rs"]
mod panics;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

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
    Admitted, AppId, CertificateRequest, Clock, DeviceKey, Issuer, LocalIdentity, Membership,
    Trust, Validity,
};
use sedge_mesh::{
    Blobs, CollectionName, Direction, DocumentKey, FeedId, FeedPosition, Interest, MemoryBlobs,
    MemoryReplica, Mesh, MeshConfig, MeshError, MeshHandle, Replica, Sequence,
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
    let chain = issuer
        .issue(request, [number; 16], now_ms())
        .unwrap()
        .into();
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
    blobs: Arc<dyn Blobs>,
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
            blobs: Arc::new(MemoryBlobs::default()),
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
            self.blobs.clone(),
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
