//! The transports, stacked: each kind brings its own security and multiplexing, then all pass through one admission.

use std::{sync::Arc, time::Duration};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, MemoryTransport, Transport},
        upgrade,
    },
    dns,
    identity::Keypair,
    noise, tcp, yamux,
};
use sedge_identity::Membership;

use crate::{
    admission::{
        driver::{Gatekeeper, Unadmitted},
        gate::Gate,
        pending::Pending,
        prompt::Prompt,
        quota::{Counted, CountedMuxer},
    },
    limits::{
        ADMISSION_TIMEOUT_MS, FIRST_BYTE_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS, PENDING_MAX,
        PENDING_PER_ADDRESS_MAX, YAMUX_STREAMS_MAX,
    },
};

/// Why the transports could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Noise does not take the device's key.
    #[error("the device's key can't be used for the Noise handshake: {0}")]
    Noise(#[from] noise::Error),
}

/// The bounds on admission. The default is what [`transport`] uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Time for the admission exchange.
    pub admission_timeout: Duration,
    /// Time to the first byte of an incoming connection.
    pub first_byte_timeout: Duration,
    /// Time from the beginning of a connection to the end of its admission.
    pub handshake_timeout: Duration,
    /// Incoming connections not yet admitted, in all.
    pub pending_max: usize,
    /// Incoming connections not yet admitted from one IPv4 address or IPv6 /64 network.
    pub pending_per_address_max: usize,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            admission_timeout: Duration::from_millis(ADMISSION_TIMEOUT_MS),
            first_byte_timeout: Duration::from_millis(FIRST_BYTE_TIMEOUT_MS),
            handshake_timeout: Duration::from_millis(HANDSHAKE_TIMEOUT_MS),
            pending_max: PENDING_MAX,
            pending_per_address_max: PENDING_PER_ADDRESS_MAX,
        }
    }
}

/// The one transport of a node: every connection that it yields is to a peer that showed a certificate which this device
/// trusts, and that accepted ours; of a peer that was dialled the latter may be still to come, and the connection ends if it
/// does not. The registry of `membership` holds the peer's certificate for as long as one of its connections lives.
///
/// Must be used within a tokio runtime.
///
/// # Errors
/// [`TransportError`] when a part can't be set up.
pub fn transport(
    membership: Membership,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, TransportError> {
    transport_with(membership, AdmissionLimits::default())
}

/// [`transport`] with other bounds on admission.
///
/// # Errors
/// [`TransportError`] when a part can't be set up.
pub fn transport_with(
    membership: Membership,
    limits: AdmissionLimits,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, TransportError> {
    let key = membership.identity().key().libp2p_keypair();
    let every_kind = every_kind(&key, limits.first_byte_timeout)?;
    let gatekeeper = Arc::new(Gatekeeper::new(membership, limits.admission_timeout));
    let certified = every_kind
        .and_then(move |(peer, connection), endpoint| gatekeeper.admit(peer, connection, endpoint))
        .boxed();
    let pending = Pending::new(limits.pending_max, limits.pending_per_address_max);
    Ok(Gate::new(certified, pending, limits.handshake_timeout).boxed())
}

/// Every kind of connection that a node can make, with names in addresses looked up.
fn every_kind(
    key: &Keypair,
    first_byte_timeout: Duration,
) -> Result<Boxed<(PeerId, Unadmitted)>, TransportError> {
    match dns::tokio::Transport::system(direct(key, first_byte_timeout)?) {
        Ok(named) => Ok(named.boxed()),
        Err(error) => {
            tracing::warn!("names in addresses can't be looked up, IP addresses work: {error}");
            direct(key, first_byte_timeout)
        }
    }
}

/// Every kind of connection, secured and multiplexed. Another kind is added here and nowhere else, with the silence that
/// its links may have at the beginning.
fn direct(
    key: &Keypair,
    first_byte_timeout: Duration,
) -> Result<Boxed<(PeerId, Unadmitted)>, TransportError> {
    let memory = secured(MemoryTransport::default(), key)?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let tcp = tcp.map(move |stream, endpoint| {
        let silence_max = endpoint.is_listener().then_some(first_byte_timeout);
        Prompt::new(stream, silence_max)
    });
    let tcp = secured(tcp, key)?;
    Ok(memory
        .or_transport(tcp)
        .map(|either, _| either.into_inner())
        .boxed())
}

/// Noise and Yamux over a transport of plain byte streams.
fn secured<T>(transport: T, key: &Keypair) -> Result<Boxed<(PeerId, Unadmitted)>, TransportError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(YAMUX_STREAMS_MAX);
    Ok(transport
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(Counted(yamux))
        .map(|(peer, counted): (PeerId, CountedMuxer<_>), _| {
            let (muxer, quota) = counted.into_parts();
            (
                peer,
                Unadmitted {
                    muxer: StreamMuxerBox::new(muxer),
                    quota: Some(quota),
                },
            )
        })
        .boxed())
}

#[cfg(test)]
mod tests;
