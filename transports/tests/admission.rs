//! Whole swarms over real sockets: members of one app reach each other, and nobody else reaches the application.
#![cfg(feature = "libp2p")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    Log, Node, PATIENCE, device, lasting, later, plain_swarm, plain_transport, run_both, today,
    under, wide,
};
use futures::{AsyncWriteExt, StreamExt, future::poll_fn};
use libp2p::{
    core::{
        Endpoint,
        muxing::StreamMuxerExt,
        transport::{DialOpts, PortUse, Transport},
    },
    identity::Keypair,
    ping,
    swarm::{SwarmEvent, dummy},
};
use sedge_identity::{LocalIdentity, Policy};
use sedge_transports::{AdmissionLimits, PENDING_PER_ADDRESS_MAX};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::Instant,
};

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";

fn socket_of(address: &libp2p::Multiaddr) -> String {
    let parts: Vec<_> = address.to_string().split('/').map(str::to_owned).collect();
    format!("{}:{}", parts[2], parts[4])
}

/// Goal: members of one app with one issuer are connected, over every transport, and the registry follows.
#[tokio::test]
async fn members_reach_each_other() {
    for listen in [LOOPBACK, "/memory/0"] {
        let log = Log::new();
        let (a_device, b_device) = (device("demo", 1, 2), device("demo", 1, 3));
        let (mut a, mut b) = (
            Node::new(&a_device, today, wide()),
            Node::new(&b_device, today, wide()),
        );
        let address = a.listen(listen).await;
        b.swarm.dial(address).unwrap();
        run_both(&mut a, &mut b, |a, b| a.seen.pings > 1 && b.seen.pings > 1).await;
        let known = a.admitted.get(&b_device.peer_id()).unwrap();
        assert_eq!(known.signed(), b_device.certificate().signed());
        assert!(b.admitted.get(&a_device.peer_id()).is_some());
        b.swarm.disconnect_peer_id(a_device.peer_id()).unwrap();
        run_both(&mut a, &mut b, |a, b| {
            a.admitted.is_empty() && b.admitted.is_empty()
        })
        .await;
        assert_eq!(log.lines(), Vec::<String>::new());
    }
}

/// Goal: a name in an address is looked up.
#[tokio::test]
async fn names_are_looked_up() {
    let (mut a, mut b) = (
        Node::new(&device("demo", 1, 2), today, wide()),
        Node::new(&device("demo", 1, 3), today, wide()),
    );
    let address = a
        .listen(LOOPBACK)
        .await
        .to_string()
        .replace("/ip4/127.0.0.1", "/dns4/localhost");
    b.swarm
        .dial(address.parse::<libp2p::Multiaddr>().unwrap())
        .unwrap();
    run_both(&mut a, &mut b, |a, b| a.seen.pings > 0 && b.seen.pings > 0).await;
}

/// Lets `dialer` call on `listener`, expects that neither application sees anything, and returns the two lines of the log.
async fn refused(
    listener: (Arc<LocalIdentity>, fn() -> u64),
    dialer: (Arc<LocalIdentity>, fn() -> u64),
) -> Vec<String> {
    let log = Log::new();
    let mut a = Node::new(&listener.0, listener.1, wide());
    let mut b = Node::new(&dialer.0, dialer.1, wide());
    let address = a.listen(LOOPBACK).await;
    b.swarm.dial(address).unwrap();
    run_both(&mut a, &mut b, |a, b| {
        a.seen.failures.len() + b.seen.failures.len() == 2
    })
    .await;
    a.assert_untouched();
    // A dialer that finds nothing wrong goes on until it hears of it, but nobody answers it.
    assert_eq!(
        (b.seen.established, b.seen.pings),
        (b.seen.closed, 0),
        "{:?}",
        b.seen
    );
    assert!(b.admitted.is_empty());
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "one line on each side: {lines:#?}");
    for peer in [listener.0.peer_id(), dialer.0.peer_id()] {
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.contains(&format!("peer={peer}")))
                .count(),
            1
        );
    }
    assert!(
        lines
            .iter()
            .all(|line| line.contains("address=/ip4/127.0.0.1/tcp/")),
        "{lines:#?}"
    );
    lines
}

fn assert_says(lines: &[String], parts: [&str; 2]) {
    for part in parts {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part:?} is not in {lines:#?}"
        );
    }
}

/// Goal: another app is refused; the one who finds out names both, the other is told to check its app id.
#[tokio::test]
async fn another_app_is_refused() {
    let lines = refused(
        (device("demo", 1, 2), today),
        (device("fleet", 7, 3), today),
    )
    .await;
    assert_says(
        &lines,
        [
            "is for app 'demo', this device belongs to app 'fleet'",
            "it belongs to another app",
        ],
    );
}

/// Goal: another secret, hence another issuer, is refused, and both logs hint at it.
#[tokio::test]
async fn another_secret_is_refused() {
    let lines = refused((device("demo", 1, 2), today), (device("demo", 9, 3), today)).await;
    assert_says(&lines, ["another secret?", "different app or secret?"]);
}

/// Goal: a peer that is refused again and again for the same reason has one line in the log.
#[tokio::test]
async fn a_loop_of_refusals_is_one_line() {
    let log = Log::new();
    let (a_device, b_device) = (device("demo", 1, 2), device("demo", 9, 3));
    let mut a = Node::new(&a_device, today, wide());
    let mut b = Node::new(&b_device, today, wide());
    let address = a.listen(LOOPBACK).await;
    for dials in 1..=5 {
        b.swarm.dial(address.clone()).unwrap();
        run_both(&mut a, &mut b, |a, b| {
            a.seen.failures.len() == dials && b.seen.failures.len() == dials
        })
        .await;
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "one line on each side: {lines:#?}");
}

/// Goal: expiry is found by whichever side's clock is past it, the dialer's or the listener's.
#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ended = || (device("demo", 1, 2), today as fn() -> u64);
    let judge = || (lasting("demo", 1, 3), later as fn() -> u64);
    for (listener, dialer) in [(ended(), judge()), (judge(), ended())] {
        let lines = refused(listener, dialer).await;
        assert_says(
            &lines,
            ["the certificate expired", "has expired by its clock"],
        );
    }
}

/// Goal: who is revoked, by key or by the certificate's serial, is refused whoever dials, each log says so in one line, and a
/// device that the policy does not name is admitted.
#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let (judge, revoked) = (device("demo", 1, 2), device("demo", 1, 3));
    let by_key = Policy {
        revoked_devices: [revoked.key().public()].into(),
        ..Policy::default()
    };
    let by_serial = Policy {
        revoked_serials: [revoked.certificate().serial].into(),
        ..Policy::default()
    };
    for (policy, what) in [
        (by_key, "key is revoked"),
        (by_serial, "certificate is revoked"),
    ] {
        let judge = under(&judge, policy);
        let told = [what, "our certificate is revoked"];
        let [judge, revoked] = [&judge, &revoked].map(|it| (Arc::clone(it), today as fn() -> u64));
        assert_says(&refused(judge.clone(), revoked.clone()).await, told);
        assert_says(&refused(revoked, judge.clone()).await, told);
        let (mut a, mut b) = (
            Node::new(&judge.0, today, wide()),
            Node::new(&device("demo", 1, 4), today, wide()),
        );
        let address = a.listen(LOOPBACK).await;
        b.swarm.dial(address).unwrap();
        run_both(&mut a, &mut b, |a, b| a.seen.pings > 0 && b.seen.pings > 0).await;
    }
}

/// Goal: bytes of any kind on the socket lead to nothing but the end of the connection.
#[tokio::test]
async fn garbage_is_cut_off() {
    let mut node = Node::new(&device("demo", 1, 2), today, wide());
    let socket = socket_of(&node.listen(LOOPBACK).await);
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: sedge\r\n\r\n"[..],
        &[0xff; 4096],
        &[0; 4096],
    ] {
        let failures = node.seen.failures.len();
        let mut stream = TcpStream::connect(&socket).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        node.run_until(|node| node.seen.failures.len() > failures)
            .await;
    }
    node.assert_untouched();
}

/// Goal: a socket on which nothing is ever said is closed by the time limit.
#[tokio::test]
async fn a_silent_socket_is_closed() {
    let limits = AdmissionLimits {
        handshake_timeout: Duration::from_millis(100),
        ..wide()
    };
    let mut node = Node::new(&device("demo", 1, 2), today, limits);
    let socket = socket_of(&node.listen(LOOPBACK).await);
    let _silent = TcpStream::connect(&socket).await.unwrap();
    node.run_until(|node| node.seen.failures.len() == 1).await;
    assert!(
        node.seen.failures[0].contains("not complete within 100 ms"),
        "{:?}",
        node.seen
    );
    node.assert_untouched();
}

/// Goal: an incoming connection that says nothing at all is closed much sooner than one in mid-handshake.
#[tokio::test]
async fn silence_is_not_waited_for() {
    let limits = AdmissionLimits {
        first_byte_timeout: Duration::from_millis(100),
        ..wide()
    };
    let mut node = Node::new(&device("demo", 1, 2), today, limits);
    let socket = socket_of(&node.listen(LOOPBACK).await);
    let _silent = TcpStream::connect(&socket).await.unwrap();
    let mut slow = TcpStream::connect(&socket).await.unwrap();
    slow.write_all(&[19]).await.unwrap();
    node.run_until(|node| node.seen.failures.len() == 1).await;
    assert!(
        node.seen.failures[0].contains("said nothing"),
        "{:?}",
        node.seen
    );
    let waited = tokio::time::timeout(Duration::from_millis(300), node.step()).await;
    assert!(
        waited.is_err(),
        "who has begun has more time: {:?}",
        node.seen
    );
    node.assert_untouched();
}

/// Goal: however many addresses hold all the silent connections that they may, a newcomer from another one is admitted
/// at once, whether all places are taken (2 and 4 addresses) or not.
#[tokio::test]
async fn a_newcomer_is_admitted_at_once() {
    for (addresses, pending_max) in [(2, 32), (4, 64), (4, 128)] {
        let limits = AdmissionLimits {
            pending_max,
            ..wide()
        };
        let (mut a, mut b) = (
            Node::new(&device("demo", 1, 2), today, limits),
            Node::new(&device("demo", 1, 3), today, wide()),
        );
        let address = a.listen(LOOPBACK).await;
        let server = socket_of(&address).parse().unwrap();
        let mut silent = Vec::new();
        for host in 2..2 + addresses {
            for _ in 0..PENDING_PER_ADDRESS_MAX {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(([127, 0, 0, host], 0).into()).unwrap();
                silent.push(socket.connect(server).await.unwrap());
            }
        }
        // One more is refused: only now does the node surely know of all of them.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        silent.push(socket.connect(server).await.unwrap());
        a.run_until(|a| !a.seen.failures.is_empty()).await;

        let start = Instant::now();
        b.swarm.dial(address).unwrap();
        run_both(&mut a, &mut b, |a, b| a.seen.pings > 0 && b.seen.pings > 0).await;
        let took = start.elapsed();
        println!(
            "{addresses} addresses hold {pending_max} places at most: admitted after {took:?}"
        );
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

/// Goal: other libp2p software gets through Noise and Yamux and no further, whether it keeps silent or talks at once.
#[tokio::test]
async fn other_software_is_not_admitted() {
    let limits = AdmissionLimits {
        admission_timeout: Duration::from_millis(300),
        ..wide()
    };
    let log = Log::new();
    let mut node = Node::new(&device("demo", 1, 2), today, limits);
    let address = node.listen(LOOPBACK).await;

    let mut silent = plain_swarm(dummy::Behaviour);
    silent.dial(address.clone()).unwrap();
    let background = tokio::spawn(async move { while silent.next().await.is_some() {} });
    node.run_until(|node| node.seen.failures.len() == 1).await;
    background.abort();

    let mut talking = plain_swarm(ping::Behaviour::default());
    talking.dial(address).unwrap();
    let background = tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(ping::Event { result: Ok(_), .. }) =
                talking.select_next_some().await
            {
                panic!("an answer without admission");
            }
        }
    });
    node.run_until(|node| node.seen.failures.len() == 2).await;
    assert!(!background.is_finished());
    background.abort();
    node.assert_untouched();
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_says(
        &lines,
        [
            "did not finish the admission exchange within 300 ms",
            "peer=12D3KooW",
        ],
    );
}

/// Goal: a dialer is as careful: a node that answers like other libp2p software is not taken for a member.
#[tokio::test]
async fn a_listener_must_be_admitted_too() {
    let limits = AdmissionLimits {
        admission_timeout: Duration::from_millis(300),
        ..wide()
    };
    let mut plain = plain_swarm(ping::Behaviour::default());
    plain.listen_on(LOOPBACK.parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = plain.select_next_some().await {
            break address;
        }
    };
    let background = tokio::spawn(async move { while plain.next().await.is_some() {} });
    let mut node = Node::new(&device("demo", 1, 2), today, limits);
    node.swarm.dial(address).unwrap();
    node.run_until(|node| node.seen.failures.len() == 1).await;
    background.abort();
    node.assert_untouched();
}

/// Goal: a stranger that gets through Noise and Yamux can't make the node hold its data: it is held up by the quota, and cut
/// off by the time limit.
#[tokio::test]
async fn a_flood_before_admission_is_cut_off() {
    let limits = AdmissionLimits {
        admission_timeout: Duration::from_millis(300),
        ..wide()
    };
    let mut node = Node::new(&device("demo", 1, 2), today, limits);
    let address = node.listen(LOOPBACK).await;
    let flood = tokio::spawn(async move {
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let mut transport = plain_transport(&Keypair::generate_ed25519());
        let (_, mut muxer) = transport.dial(address, options).unwrap().await.unwrap();
        let mut first = poll_fn(|cx| muxer.poll_outbound_unpin(cx)).await.unwrap();
        let mut second = poll_fn(|cx| muxer.poll_outbound_unpin(cx)).await.unwrap();
        let mut flood = std::pin::pin!(async {
            // Half a length, so that the exchange waits for the rest while the other stream fills. Without a quota
            // 256 KiB of it would be taken without anybody reading them.
            first.write_all(&[0]).await.unwrap();
            while second.write_all(&[0; 8192]).await.is_ok() {}
        });
        poll_fn(|cx| match muxer.poll_unpin(cx) {
            std::task::Poll::Ready(Err(_)) => std::task::Poll::Ready(()),
            _ => flood.as_mut().poll(cx),
        })
        .await;
    });
    node.run_until(|node| node.seen.failures.len() == 1).await;
    tokio::time::timeout(PATIENCE, flood)
        .await
        .unwrap()
        .unwrap();
    node.assert_untouched();
}

/// Goal: strangers that wait for admission can fill their own places only, and places come back.
#[tokio::test]
async fn pending_places_are_limited() {
    let limits = AdmissionLimits {
        pending_per_address_max: 2,
        ..wide()
    };
    let log = Log::new();
    let (mut a, mut b) = (
        Node::new(&device("demo", 1, 2), today, limits),
        Node::new(&device("demo", 1, 3), today, wide()),
    );
    let address = a.listen(LOOPBACK).await;
    let socket = socket_of(&address);
    let silent = [
        TcpStream::connect(&socket).await.unwrap(),
        TcpStream::connect(&socket).await.unwrap(),
    ];
    for failures in 1..=2 {
        let mut late = TcpStream::connect(&socket).await.unwrap();
        a.run_until(|a| a.seen.failures.len() == failures).await;
        assert!(
            matches!(late.read(&mut [0]).await, Ok(0) | Err(_)),
            "cut off at once"
        );
    }
    assert!(
        a.seen
            .failures
            .iter()
            .all(|error| error.contains("2 from this address")),
        "{:?}",
        a.seen
    );
    assert_eq!(
        log.lines().len(),
        1,
        "one line for the whole shortage: {:#?}",
        log.lines()
    );
    drop(silent);
    a.run_until(|a| a.seen.failures.len() == 4).await;
    a.assert_untouched();
    b.swarm.dial(address).unwrap();
    run_both(&mut a, &mut b, |a, b| a.seen.pings > 0 && b.seen.pings > 0).await;
}
