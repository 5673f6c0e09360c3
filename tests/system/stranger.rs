//! A peer that speaks Noise, Yamux and the admission exchange, and shows whatever it likes as its certificate.

use futures::future::poll_fn;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt};
use libp2p::core::transport::{DialOpts, PortUse, Transport};
use libp2p::core::{Endpoint, upgrade};
use libp2p::{Multiaddr, noise, tcp, yamux};
use sedge_identity::{CertificateChain, DeviceKey};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The longest that an answer is waited for: far beyond what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a stranger shows.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// An envelope, and those of its issuers.
    Chain(Vec<u8>, Vec<Vec<u8>>),
    /// Nothing but the name of a chain, as if the device knew it from the stranger.
    Named(Vec<u8>),
}

impl From<Vec<u8>> for Shown {
    fn from(first: Vec<u8>) -> Self {
        Self::Chain(first, Vec::new())
    }
}

/// The name of a chain, as the exchange has it.
pub(crate) fn name_of(chain: &CertificateChain) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("sedge certificate chain 1");
    for certificate in chain.iter() {
        hasher.update(certificate.name().as_bytes());
    }
    hasher.finalize().as_bytes().to_vec()
}

/// Dials a device, is shown its certificate, shows this one, and gives all that comes back. A stream that the device opens
/// fails the test.
pub(crate) fn answer_to(address: &str, key: &DeviceKey, shown: &Shown) -> Vec<u8> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let answer = tokio::time::timeout(PATIENCE, converse(address, key, shown)).await;
        answer.expect("an answer in time").expect("a connection")
    })
}

async fn converse(address: &str, key: &DeviceKey, shown: &Shown) -> io::Result<Vec<u8>> {
    let mut muxer = dial(address, key).await?;
    let mut stream = poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = muxer.poll_unpin(cx) {
            return Poll::Ready(Err(error));
        }
        muxer.poll_outbound_unpin(cx)
    })
    .await?;
    let mut work = pin!(async {
        stream.write_all(&open_message(shown)).await?;
        stream.flush().await?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).await?;
        let mut theirs = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut theirs).await?;
        stream.write_all(&second_message(shown)).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    });
    poll_fn(|cx| {
        let connection = muxer.poll_unpin(cx);
        if let Poll::Ready(ended) = work.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        let opened = muxer.poll_inbound_unpin(cx);
        assert!(
            !matches!(opened, Poll::Ready(Ok(_))),
            "a stream is opened to a stranger"
        );
        match connection {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    })
    .await
}

async fn dial(address: &str, key: &DeviceKey) -> io::Result<StreamMuxerBox> {
    let address = address.split("/p2p/").next().expect("an address");
    let address: Multiaddr = address.parse().expect("an address");
    let noise = noise::Config::new(&key.libp2p_keypair()).expect("Noise");
    let mut transport = tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(upgrade::Version::V1)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .map(|(_, muxer), _| StreamMuxerBox::new(muxer));
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dialling = transport.dial(address, options).map_err(io::Error::other)?;
    dialling.await.map_err(io::Error::other)
}

/// The dialer's first message, with its length.
fn open_message(shown: &Shown) -> Vec<u8> {
    let name = match shown {
        Shown::Chain(..) => vec![0; 32],
        Shown::Named(name) => name.clone(),
    };
    with_length(&field(1, &[vec![8, 1], field(2, &name)].concat()))
}

/// The message that shows a certificate, or that ends the exchange as if that were not asked for; with its length.
fn second_message(shown: &Shown) -> Vec<u8> {
    match shown {
        Shown::Chain(first, issuers) => {
            let mut certificate = field(1, first);
            for issuer in issuers {
                certificate.extend(field(2, issuer));
            }
            with_length(&field(2, &certificate))
        }
        Shown::Named(_) => with_length(&field(3, &[])),
    }
}

fn with_length(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a message within limits");
    [&length.to_be_bytes()[..], message].concat()
}

/// A field of bytes as protobuf writes it.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut rest = bytes.len();
    while rest > 0x7f {
        field.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    field.push(rest as u8);
    field.extend(bytes);
    field
}
