//! The behaviour in a swarm, with peers put before it as if mDNS had found them.

use futures::StreamExt;
use libp2p::{Swarm, swarm, swarm::SwarmEvent};
use sedge_identity::{Admitted, Clock, LocalIdentity, Membership};

use super::*;
use crate::{
    device::{ISSUED_MS, device},
    limits::DISCOVERY_BACKOFF_MIN_MS,
    stack::transport,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node of `app` that does nothing but discovery.
fn node(app: &str, seed: u8) -> Swarm<Behaviour> {
    let identity = device(app, 1, seed);
    let peer = identity.peer_id();
    let clock = Clock::new(|| ISSUED_MS, 0);
    let membership = Membership::new(LocalIdentity::clone(&identity), Admitted::new(8), clock);
    let transport = transport(membership).unwrap();
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(PATIENCE);
    Swarm::new(transport, Behaviour::new(peer, false), peer, config)
}

/// Lets `a` find `b`, and runs both until `a` has dialled: whether it was connected.
async fn meet(a: &mut Swarm<Behaviour>, b: &mut Swarm<Behaviour>) -> bool {
    b.listen_on("/memory/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = b.select_next_some().await {
            break address;
        }
    };
    let (now_ms, peer) = (a.behaviour().now_ms(), *b.local_peer_id());
    a.behaviour_mut()
        .candidates
        .discovered(peer, address, now_ms);
    let run = async {
        loop {
            tokio::select! {
                event = a.select_next_some() => match event {
                    SwarmEvent::ConnectionEstablished { .. } => return true,
                    SwarmEvent::OutgoingConnectionError { .. } => return false,
                    _ => {}
                },
                _ = b.select_next_some() => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, run).await.unwrap()
}

/// Goal: a peer of the same app that was found is connected, and then left alone.
#[tokio::test]
async fn members_are_dialled() {
    let (mut a, mut b) = (node("demo", 2), node("demo", 3));
    assert!(meet(&mut a, &mut b).await);
    assert_eq!(a.behaviour().candidates.wake_ms(), None);
}

/// Goal: a peer of another app that was found is dialled once, and then only after a pause.
#[tokio::test]
async fn strangers_are_not_dialled_in_a_loop() {
    let (mut a, mut b) = (node("demo", 2), node("fleet", 3));
    let before_ms = a.behaviour().now_ms();
    assert!(!meet(&mut a, &mut b).await);
    let wake_ms = a.behaviour().candidates.wake_ms().unwrap();
    assert!(
        wake_ms >= before_ms + DISCOVERY_BACKOFF_MIN_MS,
        "{before_ms} {wake_ms}"
    );
}
