//! Two ends of one stream of bytes, each dialled or taken in as a test wants it.

use std::{
    pin::{Pin, pin},
    sync::Mutex,
    task::{Context, Poll},
};

use futures::{
    AsyncReadExt, AsyncWriteExt, StreamExt,
    future::{BoxFuture, FutureExt, Ready, poll_fn, ready},
};
use libp2p::{
    Multiaddr,
    core::{
        Endpoint, StreamMuxer,
        muxing::StreamMuxerExt,
        transport::{
            DialOpts, ListenerId, PortUse, TransportError as Refused, TransportEvent,
            memory::Channel,
        },
    },
};

use sedge_identity::{Admitted, Clock, LocalIdentity};

use super::*;
use crate::admission::{Exchange, Role};
use crate::device::{ISSUED_MS, device};

type Bytes = Channel<Vec<u8>>;

/// Time for the exchange.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A transport that dials one stream, which is there already.
struct Given(Mutex<Option<Bytes>>);

impl Transport for Given {
    type Output = Bytes;
    type Error = std::io::Error;
    type ListenerUpgrade = Ready<Result<Bytes, Self::Error>>;
    type Dial = Ready<Result<Bytes, Self::Error>>;

    fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), Refused<Self::Error>> {
        Err(Refused::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, _: Multiaddr, _: DialOpts) -> Result<Self::Dial, Refused<Self::Error>> {
        let given = self.0.lock().unwrap().take();
        Ok(ready(given.ok_or_else(|| std::io::Error::other("dialled"))))
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Poll::Pending
    }
}

/// Both ends of one stream.
async fn both_ends() -> [Bytes; 2] {
    let (mut listening, mut dialling) = (
        MemoryTransport::default().boxed(),
        MemoryTransport::default(),
    );
    let any = "/memory/0".parse().unwrap();
    listening.listen_on(ListenerId::next(), any).unwrap();
    let Some(TransportEvent::NewAddress { listen_addr, .. }) = listening.next().await else {
        panic!("no address")
    };
    let options = options(Endpoint::Dialer);
    let dialled = dialling.dial(listen_addr, options).unwrap();
    let taken = async {
        loop {
            if let Some(TransportEvent::Incoming { upgrade, .. }) = listening.next().await {
                return upgrade.await.unwrap();
            }
        }
    };
    let (dialled, taken) = futures::join!(dialled, taken);
    [dialled.unwrap(), taken]
}

fn options(role: Endpoint) -> DialOpts {
    DialOpts {
        role,
        port_use: PortUse::Reuse,
    }
}

type Admission = Result<(PeerId, StreamMuxerBox), std::io::Error>;

/// A device that dials the given stream in a role.
fn dialling(
    identity: &Arc<LocalIdentity>,
    stream: Bytes,
    role: Endpoint,
) -> (Arc<Admitted>, BoxFuture<'static, Admission>) {
    let clock = Clock::new(|| ISSUED_MS, 0);
    let membership = Membership::new(LocalIdentity::clone(identity), Admitted::new(4), clock);
    let admitted = Arc::clone(membership.admitted());
    let gatekeeper = Arc::new(Gatekeeper::new(membership, TIMEOUT));
    let given = Given(Mutex::new(Some(stream)));
    let mut transport = secured(given, &identity.key().libp2p_keypair())
        .unwrap()
        .and_then(move |(peer, connection), endpoint| gatekeeper.admit(peer, connection, endpoint))
        .boxed();
    let address = "/memory/1".parse().unwrap();
    let dial = transport.dial(address, options(role)).unwrap();
    (admitted, dial.boxed())
}

/// Lets both ends finish; whichever is done is driven on, as a swarm does.
async fn met(mut ends: [BoxFuture<'static, Admission>; 2]) -> [(PeerId, StreamMuxerBox); 2] {
    let mut done: [Option<(PeerId, StreamMuxerBox)>; 2] = [None, None];
    poll_fn(|cx| {
        for (end, done) in ends.iter_mut().zip(&mut done) {
            match done {
                None => match end.as_mut().poll(cx) {
                    Poll::Ready(ended) => *done = Some(ended.unwrap()),
                    Poll::Pending => {}
                },
                Some((_, muxer)) => assert!(!matches!(muxer.poll_unpin(cx), Poll::Ready(Err(_)))),
            }
        }
        match done.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await;
    done.map(Option::unwrap)
}

/// Polls both connections until one of them fails, or a while has passed: the error of each.
async fn ends(connections: [StreamMuxerBox; 2]) -> [Option<String>; 2] {
    let mut connections = connections.map(Some);
    let mut errors = [None, None];
    let both = poll_fn(|cx| {
        for (connection, error) in connections.iter_mut().zip(&mut errors) {
            if let Some(muxer) = connection
                && let Poll::Ready(Err(found)) = Pin::new(muxer).poll(cx)
            {
                *error = Some(found.to_string());
                *connection = None;
            }
        }
        match connections.iter().all(Option::is_none) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    });
    tokio::time::timeout(Duration::from_millis(300), both)
        .await
        .ok();
    errors
}

/// Goal: where both ends have dialled, as after hole punching, the one that is told to be the listener acts as one: they
/// admit each other, whoever of them it is, and the connection carries a stream that the other opens.
#[tokio::test]
async fn ends_that_both_dialled_admit_each_other() {
    for overridden in [0, 1] {
        let devices = [device("demo", 1, 2), device("demo", 1, 3)];
        let mut streams = both_ends().await.into_iter();
        let mut next = |index: usize| {
            let role = match index == overridden {
                true => Endpoint::Listener,
                false => Endpoint::Dialer,
            };
            dialling(&devices[index], streams.next().unwrap(), role)
        };
        let ((a_admitted, a), (b_admitted, b)) = (next(0), next(1));
        let [(b_id, a), (a_id, b)] = met([a, b]).await;
        assert_eq!(
            [a_id, b_id],
            [0, 1].map(|index: usize| devices[index].peer_id())
        );
        assert!(a_admitted.get(&b_id).is_some() && b_admitted.get(&a_id).is_some());

        let mut muxers = [a, b];
        let mut opened = [false, false];
        let both = poll_fn(|cx| {
            for (index, muxer) in muxers.iter_mut().enumerate() {
                assert!(muxer.poll_unpin(cx).map(|it| it.is_ok()) != Poll::Ready(false));
                opened[index] |= muxer.poll_outbound_unpin(cx).is_ready();
            }
            match opened == [true, true] {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        tokio::time::timeout(Duration::from_secs(5), both)
            .await
            .unwrap();
        assert_eq!(ends(muxers).await, [None, None]);
    }
}

/// Goal: two ends in the same role do not admit each other, and neither has waited for ever.
#[tokio::test]
async fn ends_in_one_role_do_not_meet() {
    let devices = [device("demo", 1, 2), device("demo", 1, 3)];
    let [a, b] = both_ends().await;
    let (a_admitted, a) = dialling(&devices[0], a, Endpoint::Dialer);
    let (b_admitted, b) = dialling(&devices[1], b, Endpoint::Dialer);
    let both = tokio::time::timeout(Duration::from_secs(30), async { futures::join!(a, b) });
    let (a, b) = both.await.unwrap();
    assert!(a.is_err() && b.is_err());
    assert!(a_admitted.is_empty() && b_admitted.is_empty());
}

/// Goal: a dialer that went on is cut off when the listener refuses it, with what the listener said, and has no place any
/// more.
#[tokio::test]
async fn a_refusal_ends_a_connection_that_went_on() {
    // The dialer trusts the listener's issuer; the listener trusts another one as well, and not the dialer's.
    let (dialer, listener) = one_sided();
    let [a, b] = both_ends().await;
    let (a_admitted, a) = dialling(&dialer, a, Endpoint::Dialer);
    let (b_admitted, b) = dialling(&listener, b, Endpoint::Listener);
    let went_on = async {
        let (_, mut muxer) = a.await.unwrap();
        assert!(a_admitted.get(&listener.peer_id()).is_some());
        let error = poll_fn(|cx| match Pin::new(&mut muxer).poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        });
        error.await.to_string()
    };
    let (told, refused) = futures::join!(went_on, b);
    assert!(told.contains("does not trust our issuer"), "{told}");
    let refused = refused.unwrap_err().to_string();
    assert!(a_admitted.is_empty() && b_admitted.is_empty(), "{refused}");
}

/// A dialer that trusts a listener, which does not trust it.
fn one_sided() -> (Arc<LocalIdentity>, Arc<LocalIdentity>) {
    use sedge_identity::{AppId, CertificateRequest, DeviceKey, Issuer, Trust};
    let app = AppId::new("demo").unwrap();
    let issuers = [1, 2].map(|seed| Issuer::new(app.clone(), DeviceKey::from_seed([seed; 32])));
    let roots = issuers.each_ref().map(Issuer::public);
    let local = |seed: u8, issuer: &Issuer, roots: &[_]| {
        let key = DeviceKey::from_seed([seed; 32]);
        let request = CertificateRequest::development(key.public(), "pi");
        let signed = issuer.issue(request, [seed; 16], ISSUED_MS).unwrap();
        let trust = Trust::new(app.clone(), roots).unwrap();
        Arc::new(LocalIdentity::new(key, &signed.into(), trust, ISSUED_MS).unwrap())
    };
    (
        local(10, &issuers[0], &roots),
        local(11, &issuers[1], &roots[1..]),
    )
}

/// Says the first `messages` messages of the exchange, all but the last byte of the one after them, and then nothing for
/// ever, while it drives the connection.
async fn speak_slowly(
    own: &Arc<LocalIdentity>,
    peer: &LocalIdentity,
    stream: Bytes,
    role: Role,
    messages: usize,
) {
    let endpoint = match role {
        Role::Dialer => Endpoint::Dialer,
        Role::Listener => Endpoint::Listener,
    };
    let mut transport =
        secured(Given(Mutex::new(Some(stream))), &own.key().libp2p_keypair()).unwrap();
    let dial = transport
        .dial("/memory/1".parse().unwrap(), options(endpoint))
        .unwrap();
    let (_, Unadmitted { mut muxer, .. }) = dial.await.unwrap();
    let mut stream = poll_fn(|cx| {
        assert!(!matches!(muxer.poll_unpin(cx), Poll::Ready(Err(_))));
        match role {
            Role::Dialer => muxer.poll_outbound_unpin(cx),
            Role::Listener => muxer.poll_inbound_unpin(cx),
        }
    })
    .await
    .unwrap();
    let talk = async {
        let (admitted, key) = (Arc::new(Admitted::new(1)), peer.key().public());
        let mut exchange = Exchange::new(role, Arc::clone(own), admitted, Arc::default(), key);
        let (mut step, mut said) = (exchange.start(ISSUED_MS), 0);
        loop {
            if let Some(bytes) = step.send {
                let all_but_one = &bytes[..bytes.len() - 1];
                stream
                    .write_all(if said < messages { &bytes } else { all_but_one })
                    .await?;
                stream.flush().await?;
                if said == messages {
                    break;
                }
                said += 1;
            }
            let mut length = [0; 2];
            stream.read_exact(&mut length).await?;
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut message).await?;
            step = exchange.handle(&message, ISSUED_MS);
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    let mut talk = pin!(talk);
    poll_fn(|cx| {
        let ended = talk.as_mut().poll(cx).is_ready();
        match muxer.poll_unpin(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            _ if ended => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
}

/// Goal: whoever stops in the middle of any message, in either role, is cut off when its time is over, also by a dialer that
/// went on, and has no place.
#[tokio::test]
async fn whoever_is_slow_is_cut_off() {
    let [honest, slow] = [2, 3].map(|seed| device("demo", 1, seed));
    for (role, messages) in [
        (Role::Dialer, 0),
        (Role::Dialer, 1),
        (Role::Listener, 0),
        (Role::Listener, 1),
    ] {
        let [a, b] = both_ends().await;
        let endpoint = match role {
            Role::Dialer => Endpoint::Listener,
            Role::Listener => Endpoint::Dialer,
        };
        let (admitted, admission) = dialling(&honest, a, endpoint);
        let slowly = speak_slowly(&slow, &honest, b, role, messages);
        let honestly = async {
            match admission.await {
                Err(error) => error.to_string(),
                Ok((_, mut muxer)) => {
                    assert_eq!(
                        (role, messages),
                        (Role::Listener, 1),
                        "only a dialer goes on"
                    );
                    poll_fn(|cx| match muxer.poll_unpin(cx) {
                        Poll::Ready(Err(error)) => Poll::Ready(error.to_string()),
                        _ => Poll::Pending,
                    })
                    .await
                }
            }
        };
        let both = async { futures::join!(slowly, honestly) };
        let ((), error) = tokio::time::timeout(Duration::from_secs(30), both)
            .await
            .unwrap();
        assert!(
            error.contains("did not finish"),
            "{role:?} {messages}: {error}"
        );
        assert!(admitted.is_empty());
    }
}
