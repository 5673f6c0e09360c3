//! What the driver does with certificates that end or are renewed while connections live.

use super::*;
use sedge_identity::{CertificateChain, Policy, SignedCertificate};
use sedge_mesh::{Hello, Message, encode_frame};

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

/// Goal: a peer that was admitted by a trust that was replaced before its connection stood is judged by the present one.
#[tokio::test(flavor = "multi_thread")]
async fn whom_a_replaced_trust_admitted_is_judged_again() {
    let (mut victim, mut guest) = (Peer::new(1), Peer::new(2));
    let own = victim.membership.identity();
    let revoking = Policy {
        revoked_devices: [DeviceKey::from_seed([2; 32]).public()].into(),
        ..Policy::default()
    };
    for (policy, is_kept) in [(Policy::default(), true), (revoking, false)] {
        let trust = own.trust().clone().with_policy(policy);
        let chain = own.certificate().signed();
        let own = LocalIdentity::new(own.key().clone(), chain, trust, now_ms()).unwrap();
        // The new trust is in force before the connection stands; what was admitted meanwhile was by the old one.
        victim.membership.replace(own);
        let shown = guest.membership.identity().certificate().clone();
        let admitted = victim.membership.admitted();
        let id = guest.key.public().to_peer_id();
        admitted.admit(id, Arc::new(shown)).unwrap();
        let at = victim.start("/ip4/127.0.0.1/tcp/0", &[]).await;
        guest.start("/ip4/127.0.0.1/tcp/0", &[at]).await;
        sleep(Duration::from_millis(500)).await;
        let identity = guest.membership.identity();
        let mut connected = 0;
        for _ in 0..20 {
            connected += usize::from(is_connected(&victim, &identity));
            sleep(Duration::from_millis(25)).await;
        }
        // It dials again, and is let go at once.
        assert_eq!(connected > 15, is_kept, "{connected} of 20");
        guest.stop().await;
        victim.stop().await;
        victim.membership.admitted().release(&id);
    }
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

/// Who this device is, under a policy.
fn under(own: &LocalIdentity, policy: Policy) -> LocalIdentity {
    let (key, chain) = (own.key().clone(), own.certificate().signed().clone());
    let trust = own.trust().clone().with_policy(policy);
    LocalIdentity::new(key, &chain, trust, now_ms()).unwrap()
}

/// Under another policy the connected peers are judged again: one that it revokes is cut off, by its key or its certificate's
/// serial, and one that it does not name stays on the connection that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_changes_cuts_off_whom_it_revokes() {
    let mut peers = [Peer::new(1), Peer::new(2)];
    let others = [1, 2].map(|number| identity(number, Validity::Unlimited));
    let theirs = Arc::new(others[1].certificate().clone());
    let registry = peers[0].membership.admitted();
    registry.admit(others[1].peer_id(), theirs.clone()).unwrap();
    let a = peers[0].start(ANY, &[]).await;
    peers[1].start(ANY, &[a]).await;
    wait_for("connected", LIMIT, || is_connected(&peers[0], &others[1])).await;
    let since = |peer: &Peer| Some(peer.handle().peers().first()?.connected_since);
    let change = |policy| {
        peers[0].membership.replace(under(&others[0], policy));
        peers[0].handle().identity_changed();
    };
    let before = since(&peers[0]);
    assert!(before.is_some());
    let stranger = DeviceKey::from_seed([3; 32]).public();
    change(Policy {
        revoked_devices: [stranger].into(),
        ..Policy::default()
    });
    sleep(Duration::from_millis(300)).await;
    assert_eq!(since(&peers[0]), before, "it stays connected");

    let by_key = Policy {
        revoked_devices: [theirs.subject].into(),
        ..Policy::default()
    };
    let by_serial = Policy {
        revoked_serials: [theirs.serial].into(),
        ..Policy::default()
    };
    for policy in [by_key, by_serial] {
        // Nothing here refuses a revoked peer that dials again: that is admission's part.
        let mut before = None;
        wait_for("connected", LIMIT, || {
            before = since(&peers[0]);
            before.is_some()
        })
        .await;
        change(policy);
        wait_for("cut off", LIMIT, || since(&peers[0]) != before).await;
    }
    for peer in &mut peers {
        peer.stop().await;
    }
}
