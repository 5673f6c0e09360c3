//! A peer that is admitted by a good certificate and shows whatever it likes as its renewed one.

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{Config, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, Swarm};
use sedge_identity::{Admitted, CertificateChain, Clock, LocalIdentity, Membership};
use sedge_mesh::{FeedId, FeedPosition, Hello, Interest, Message, Sequence, encode_frame};
use std::collections::BTreeSet;
use std::time::Duration;

/// The longest that anything is waited for: far beyond what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
const SYNC: StreamProtocol = StreamProtocol::new("/sedge/sync/1");

/// Connects to a daemon as this device, which it must admit, shows another certificate on the sync stream, and returns when
/// the daemon has closed the connection.
pub(crate) fn shows_until_cut(address: &str, own: LocalIdentity, shown: CertificateChain) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let cut = tokio::time::timeout(PATIENCE, show(address, own, shown));
        cut.await.expect("the connection is closed in time");
    });
}

async fn show(address: &str, own: LocalIdentity, shown: CertificateChain) {
    let address: Multiaddr = address.parse().expect("an address");
    let daemon = match address.iter().last() {
        Some(Protocol::P2p(peer)) => peer,
        other => panic!("an address with a peer id ends otherwise: {other:?}"),
    };
    let local = own.peer_id();
    let behaviour = libp2p_stream::Behaviour::new();
    let mut control = behaviour.new_control();
    let mut incoming = control.accept(SYNC).expect("nobody else takes them");
    let membership = Membership::new(own, Admitted::new(8), Clock::new(sedge::now_ms, 0));
    let transport = sedge_transports::transport(membership).expect("a transport");
    let config = Config::with_tokio_executor().with_idle_connection_timeout(PATIENCE);
    let mut swarm = Swarm::new(transport, behaviour, local, config);
    swarm.dial(address).expect("a dial");
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => break,
            SwarmEvent::OutgoingConnectionError { error, .. } => panic!("not admitted: {error:?}"),
            _ => {}
        }
    }
    let closed = tokio::spawn(async move {
        while !matches!(
            swarm.select_next_some().await,
            SwarmEvent::ConnectionClosed { .. }
        ) {}
    });
    // As the protocol has it, the lower peer id opens the stream.
    let mut stream = match local.to_bytes() < daemon.to_bytes() {
        true => control.open_stream(daemon, SYNC).await.expect("a stream"),
        false => incoming.next().await.expect("a stream").1,
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
        stream
            .write_all(&encode_frame(&message))
            .await
            .expect("it is taken");
    }
    stream.flush().await.expect("it is taken");
    // What the daemon says is not asked for, but that it can be said is.
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.ok();
    closed.await.expect("the connection's end");
}
