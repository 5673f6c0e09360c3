//! What admission adds to a connection: Noise and Yamux over TCP with it and without it, in turn.

use super::super::figure::{BenchError, Bound, Figure, Measured, Workplace, median};
use futures::future::poll_fn;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt};
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, PortUse, Transport, TransportEvent};
use libp2p::core::{Endpoint, upgrade};
use libp2p::{Multiaddr, PeerId, noise, tcp, yamux};
use sedge_identity::{
    Admitted, AppId, CertificateChain, CertificateKind, CertificateRequest, Clock, DeviceKey,
    Issuer, LocalIdentity, Membership, Trust, Validity,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(super) const CPU: Figure = Figure {
    name: "identity.admission_cpu_ms",
    unit: "ms",
    bound: Bound::AtMost(1.0),
    take: cpu_ms,
};

pub(super) const ROUND_TRIPS: Figure = Figure {
    name: "identity.admission_round_trips",
    unit: "trips",
    bound: Bound::AtMost(1.0),
    take: round_trips,
};

/// Connections of each kind whose CPU time is taken.
const CONNECTIONS: usize = 200;

/// Connections of each kind over the slow link, and its delay in each direction: far above what a computer needs for an
/// admission.
const SLOW_CONNECTIONS: usize = 7;
const DELAY: Duration = Duration::from_millis(50);

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// How a connection is made.
#[derive(Clone, Copy)]
enum Kind {
    /// Without admission.
    Plain,
    /// Between devices that have never met.
    Strangers,
    /// Between devices that have.
    Known,
}

/// CPU time of both ends together, from dialling to the first byte that the listener's application sends: what admission
/// adds, in the median. On one thread, whose CPU time is the kernel's figure.
fn cpu_ms(_: &Workplace) -> Result<Measured, BenchError> {
    in_runtime(async {
        let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..CONNECTIONS {
            for (kind, taken) in [Kind::Plain, Kind::Strangers, Kind::Known]
                .into_iter()
                .zip(&mut rounds)
            {
                let mut ends = Ends::new(kind).await?;
                let before_ms = thread_cpu_ms()?;
                ends.connect(None).await?;
                taken.push(thread_cpu_ms()? - before_ms);
            }
        }
        let [plain, strangers, known] = rounds;
        let added = strangers
            .iter()
            .zip(&plain)
            .map(|(with, without)| with - without);
        Ok(Measured {
            value: median(added.collect()),
            medians: Vec::new(),
        }
        .with("with_ms", strangers)
        .with("without_ms", plain)
        .with("known_ms", known))
    })
}

/// How many round trips a dialer waits longer for a connection that it can use: the time that admission adds over a slow
/// link, in round trips of the link, to a tenth.
fn round_trips(_: &Workplace) -> Result<Measured, BenchError> {
    in_runtime(async {
        let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..SLOW_CONNECTIONS {
            for (kind, taken) in [Kind::Plain, Kind::Strangers, Kind::Known]
                .into_iter()
                .zip(&mut rounds)
            {
                let mut ends = Ends::new(kind).await?;
                let slow = slow_link(ends.address).await?;
                taken.push(ends.connect(Some(slow)).await?.as_secs_f64() * 1000.0);
            }
        }
        let [plain, strangers, known] = rounds;
        let trip_ms = 2.0 * DELAY.as_secs_f64() * 1000.0;
        let added = strangers
            .iter()
            .zip(&plain)
            .map(|(with, without)| (with - without) / trip_ms);
        Ok(Measured {
            value: (median(added.collect()) * 10.0).round() / 10.0,
            medians: Vec::new(),
        }
        .with("with_ms", strangers)
        .with("without_ms", plain)
        .with("known_ms", known)
        .with("link_round_trip_ms", vec![trip_ms]))
    })
}

fn in_runtime<T>(work: impl Future<Output = Result<T, BenchError>>) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

fn unavailable(error: impl std::fmt::Display) -> BenchError {
    BenchError::Unavailable(error.to_string())
}

/// Two devices, one of which listens.
struct Ends {
    dialer: Connections,
    listener: Connections,
    address: SocketAddr,
}

impl Ends {
    async fn new(kind: Kind) -> Result<Self, BenchError> {
        let mut ends = Self {
            dialer: transport(kind, 2)?,
            listener: transport(kind, 3)?,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let any = multiaddr(ends.address);
        ends.listener
            .listen_on(ListenerId::next(), any)
            .map_err(unavailable)?;
        while ends.address.port() == 0 {
            if let Some(TransportEvent::NewAddress { listen_addr, .. }) = ends.listener.next().await
            {
                ends.address = socket(&listen_addr).ok_or_else(|| unavailable("no port"))?;
            }
        }
        if let Kind::Known = kind {
            ends.connect(None).await?;
        }
        Ok(ends)
    }

    /// Connects, by another address if one is given, and lets the listener send a byte: how long the dialer waited for a
    /// connection that it could use.
    async fn connect(&mut self, by: Option<SocketAddr>) -> Result<Duration, BenchError> {
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let begin = Instant::now();
        let address = multiaddr(by.unwrap_or(self.address));
        let dialling = self.dialer.dial(address, options).map_err(unavailable)?;
        let dialled = async {
            let (_, muxer) = dialling.await.map_err(unavailable)?;
            let waited = begin.elapsed();
            take_byte(muxer).await?;
            Ok::<_, BenchError>(waited)
        };
        let listened = async {
            loop {
                if let Some(TransportEvent::Incoming { upgrade, .. }) = self.listener.next().await {
                    let (_, muxer) = upgrade.await.map_err(unavailable)?;
                    return send_byte(muxer).await;
                }
            }
        };
        let (waited, ()) = futures::try_join!(dialled, listened)?;
        Ok(waited)
    }
}

fn multiaddr(address: SocketAddr) -> Multiaddr {
    let host = Multiaddr::from(address.ip());
    host.with(libp2p::multiaddr::Protocol::Tcp(address.port()))
}

fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let port = address.iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    })?;
    Some(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// What a device with this key dials and listens with.
fn transport(kind: Kind, seed: u8) -> Result<Connections, BenchError> {
    let key = DeviceKey::from_seed([seed; 32]);
    if let Kind::Plain = kind {
        let noise = noise::Config::new(&key.libp2p_keypair()).map_err(unavailable)?;
        return Ok(
            tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
                .upgrade(upgrade::Version::V1Lazy)
                .authenticate(noise)
                .multiplex(yamux::Config::default())
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed(),
        );
    }
    sedge_transports::transport(membership(key)?).map_err(unavailable)
}

/// A device under an issuer below a root.
fn membership(key: DeviceKey) -> Result<Membership, BenchError> {
    let app = AppId::new("shop").map_err(unavailable)?;
    let [root, site] =
        [1, 9].map(|seed| Issuer::new(app.clone(), DeviceKey::from_seed([seed; 32])));
    let request = |subject, kind| CertificateRequest {
        kind,
        validity: Validity::Life {
            life_ms: 86_400_000,
        },
        ..CertificateRequest::development(subject, "till-2 in the hall")
    };
    let now_ms = sedge::now_ms();
    let issue = |issuer: &Issuer, subject, kind| {
        let signed = issuer.issue(request(subject, kind), [0xff; 16], now_ms);
        signed.map_err(unavailable)
    };
    let above = issue(&root, site.public(), CertificateKind::Issuer)?;
    let own = issue(&site, key.public(), CertificateKind::Device)?;
    let chain = CertificateChain::new(own, &[above]).map_err(unavailable)?;
    let trust = Trust::new(app, &[root.public()]).map_err(unavailable)?;
    let identity = LocalIdentity::new(key, &chain, trust, now_ms).map_err(unavailable)?;
    let clock = Clock::new(sedge::now_ms, 0);
    Ok(Membership::new(identity, Admitted::new(8), clock))
}

/// Opens a stream and sends a byte on it.
async fn send_byte(mut muxer: StreamMuxerBox) -> Result<(), BenchError> {
    let mut stream = poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = muxer.poll_unpin(cx) {
            return Poll::Ready(Err(error));
        }
        muxer.poll_outbound_unpin(cx)
    })
    .await?;
    driven(&mut muxer, async {
        stream.write_all(&[1]).await?;
        stream.close().await?;
        // Until the other side has read it and hangs up.
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await
}

/// Takes in a stream and the byte on it.
async fn take_byte(mut muxer: StreamMuxerBox) -> Result<(), BenchError> {
    let mut stream = poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = muxer.poll_unpin(cx) {
            return Poll::Ready(Err(error));
        }
        muxer.poll_inbound_unpin(cx)
    })
    .await?;
    driven(&mut muxer, async {
        stream.read_exact(&mut [0]).await?;
        stream.close().await
    })
    .await?;
    muxer.close().await?;
    Ok(())
}

/// Polls the connection while `work` waits for one of its streams.
async fn driven(
    muxer: &mut StreamMuxerBox,
    work: impl Future<Output = std::io::Result<()>>,
) -> Result<(), BenchError> {
    let mut work = pin!(work);
    let ended = poll_fn(|cx| {
        let connection = muxer.poll_unpin(cx);
        match (work.as_mut().poll(cx), connection) {
            (Poll::Ready(ended), _) => Poll::Ready(ended),
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (Poll::Pending, _) => Poll::Pending,
        }
    });
    Ok(ended.await?)
}

/// CPU time of this thread, in ms.
fn thread_cpu_ms() -> Result<f64, BenchError> {
    // The kernel brings the figure up to date when the thread rests.
    std::thread::sleep(Duration::from_micros(50));
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: Option<f64> = text.split(' ').next().and_then(|first| first.parse().ok());
    let nanoseconds = nanoseconds.ok_or_else(|| unavailable("the kernel counts no CPU time"))?;
    Ok(nanoseconds / 1e6)
}

/// An address that leads to `target` over a link with [`DELAY`], for one connection.
async fn slow_link(target: SocketAddr) -> Result<SocketAddr, BenchError> {
    let near = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = near.local_addr()?;
    tokio::spawn(async move {
        let (near, _) = near.accept().await?;
        let far = TcpStream::connect(target).await?;
        for stream in [&near, &far] {
            stream.set_nodelay(true)?;
        }
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let (there, back) = (delayed(near_in, far_out), delayed(far_in, near_out));
        futures::try_join!(there, back).map(drop)
    });
    Ok(address)
}

/// Carries bytes that arrive at any time [`DELAY`] later.
async fn delayed(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
) -> std::io::Result<()> {
    let mut under_way: VecDeque<(tokio::time::Instant, Vec<u8>)> = VecDeque::new();
    let (mut buffer, mut open) = ([0; 16 * 1024], true);
    while open || !under_way.is_empty() {
        let next = under_way.front().map(|(at, _)| *at);
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = from.read(&mut buffer), if open => {
                let bytes = read?;
                open = bytes > 0;
                under_way.push_back((tokio::time::Instant::now() + DELAY, buffer[..bytes].to_vec()));
            }
            () = due => if let Some((_, bytes)) = under_way.pop_front() {
                to.write_all(&bytes).await?;
            }
        }
    }
    to.shutdown().await
}
