//! Runs the admission exchange over a multiplexed connection, and says in the log why a peer did not get through.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncReadExt, AsyncWriteExt, future::poll_fn};
use libp2p::{
    PeerId,
    core::{
        ConnectedPoint, Endpoint, StreamMuxer,
        muxing::{StreamMuxerBox, StreamMuxerEvent, StreamMuxerExt, SubstreamBox},
    },
};
use sedge_identity::{Admitted, LocalIdentity, PublicKey};

use super::{
    Admission, AdmissionError, Exchange, MESSAGE_LENGTH_BYTES, Role, log::Log, message_bytes,
    quota::Quota,
};
use crate::limits::REFUSAL_LINGER_MS;

/// What every admission of this device has in common.
pub(crate) struct Gatekeeper {
    identity: Arc<LocalIdentity>,
    admitted: Arc<Admitted>,
    /// The time in ms since the Unix epoch.
    clock: fn() -> u64,
    timeout: Duration,
    /// By peer and reason.
    refusals: Log<(PeerId, String)>,
}

/// A secured and multiplexed connection to a peer that has not shown its certificate yet.
pub(crate) struct Unadmitted {
    pub(crate) muxer: StreamMuxerBox,
    /// To be lifted at admission. None where the transport has bounds of its own.
    pub(crate) quota: Option<Quota>,
}

impl Gatekeeper {
    pub(crate) fn new(
        identity: Arc<LocalIdentity>,
        admitted: Arc<Admitted>,
        clock: fn() -> u64,
        timeout: Duration,
    ) -> Self {
        Self {
            identity,
            admitted,
            clock,
            timeout,
            refusals: Log::new(),
        }
    }

    /// Lets the connection through to the swarm if both sides admit each other.
    pub(crate) async fn admit(
        self: Arc<Self>,
        peer: PeerId,
        connection: Unadmitted,
        endpoint: ConnectedPoint,
    ) -> Result<(PeerId, StreamMuxerBox), AdmissionError> {
        let Unadmitted { mut muxer, quota } = connection;
        let limited = tokio::time::timeout(self.timeout, self.talk(peer, &mut muxer, &endpoint));
        let ended = limited.await.unwrap_or_else(|_| {
            let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
            Err(Failure {
                error: AdmissionError::Timeout { timeout_ms },
                stream: None,
            })
        });
        match ended {
            Ok(admission) => {
                if let Some(quota) = quota {
                    quota.lift();
                }
                Ok((
                    peer,
                    StreamMuxerBox::new(AdmittedMuxer {
                        muxer,
                        _admission: admission,
                    }),
                ))
            }
            Err(Failure { error, stream }) => {
                let address = endpoint.get_remote_address();
                if let Some(left_out) = self.refusals.admit((peer, error.to_string())) {
                    tracing::warn!(%peer, %address, left_out, "peer not admitted: {error}");
                }
                part(muxer, stream).await;
                Err(error)
            }
        }
    }

    async fn talk(
        &self,
        peer: PeerId,
        muxer: &mut StreamMuxerBox,
        endpoint: &ConnectedPoint,
    ) -> Result<Admission, Failure> {
        let key = PublicKey::from_peer_id(&peer).map_err(AdmissionError::from)?;
        let role = role(endpoint);
        let mut stream = first_substream(muxer, role)
            .await
            .map_err(AdmissionError::from)?;
        let mut exchange = Exchange::new(
            role,
            Arc::clone(&self.identity),
            Arc::clone(&self.admitted),
            key,
        );
        let ended = drive(muxer, converse(&mut stream, &mut exchange, self.clock)).await;
        ended.map_err(|error| Failure {
            error,
            stream: Some(stream),
        })
    }
}

/// Why there was no admission, and the substream on which the peer may still be reading why.
struct Failure {
    error: AdmissionError,
    stream: Option<SubstreamBox>,
}

impl From<AdmissionError> for Failure {
    fn from(error: AdmissionError) -> Self {
        Self {
            error,
            stream: None,
        }
    }
}

/// Dialer is who dialled, unless both did (hole punching) and the endpoint was told to be the listener.
fn role(endpoint: &ConnectedPoint) -> Role {
    match endpoint {
        ConnectedPoint::Dialer {
            role_override: Endpoint::Dialer,
            ..
        } => Role::Dialer,
        ConnectedPoint::Dialer {
            role_override: Endpoint::Listener,
            ..
        }
        | ConnectedPoint::Listener { .. } => Role::Listener,
    }
}

async fn first_substream(muxer: &mut StreamMuxerBox, role: Role) -> io::Result<SubstreamBox> {
    poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = muxer.poll_unpin(cx) {
            return Poll::Ready(Err(error));
        }
        match role {
            Role::Dialer => muxer.poll_outbound_unpin(cx),
            Role::Listener => muxer.poll_inbound_unpin(cx),
        }
    })
    .await
}

/// Sends and receives messages until the exchange has ended.
async fn converse(
    stream: &mut SubstreamBox,
    exchange: &mut Exchange,
    clock: fn() -> u64,
) -> Result<Admission, AdmissionError> {
    let mut step = exchange.start();
    // At most as many rounds as the exchange has messages: after each, it expects the next or ends.
    loop {
        if let Some(bytes) = step.send {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
        }
        if let Some(end) = step.end {
            stream.close().await?;
            return end;
        }
        let mut length = [0; MESSAGE_LENGTH_BYTES];
        stream.read_exact(&mut length).await?;
        let mut message = vec![0; message_bytes(length)?];
        stream.read_exact(&mut message).await?;
        step = exchange.handle(&message, clock());
    }
}

/// Polls the connection while `work` waits for one of its substreams.
async fn drive<T>(
    muxer: &mut StreamMuxerBox,
    work: impl Future<Output = Result<T, AdmissionError>>,
) -> Result<T, AdmissionError> {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        let connection = muxer.poll_unpin(cx);
        // First the work: what the peer said before it hung up is in the substream already.
        match (work.as_mut().poll(cx), connection) {
            (Poll::Ready(ended), _) => Poll::Ready(ended),
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error.into())),
            (Poll::Pending, _) => Poll::Pending,
        }
    })
    .await
}

/// Gives the peer a moment to read a refusal, which cutting the connection could destroy, and closes.
async fn part(mut muxer: StreamMuxerBox, stream: Option<SubstreamBox>) {
    let farewell = async {
        if let Some(mut stream) = stream {
            let mut rest = [0; 64];
            let until_closed = async {
                while stream.read(&mut rest).await? > 0 {}
                Ok(())
            };
            drive(&mut muxer, until_closed).await?;
        }
        muxer.close().await.map_err(AdmissionError::from)
    };
    match tokio::time::timeout(Duration::from_millis(REFUSAL_LINGER_MS), farewell).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::trace!("closing a connection that was not admitted: {error}"),
        Err(_) => tracing::trace!("a peer that was not admitted did not hang up: cut"),
    }
}

/// A connection that holds its peer's place among the admitted for as long as it lives.
struct AdmittedMuxer {
    muxer: StreamMuxerBox,
    _admission: Admission,
}

impl StreamMuxer for AdmittedMuxer {
    type Substream = SubstreamBox;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.muxer.poll_inbound_unpin(cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.muxer.poll_outbound_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.muxer.poll_close_unpin(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.muxer.poll_unpin(cx)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::transport::PortUse;

    use super::*;

    /// Goal: after hole punching, where both dialled, the two ends still take different roles.
    #[test]
    fn the_role_override_counts() {
        let address: libp2p::Multiaddr = "/memory/1".parse().unwrap();
        let dialer = |role_override| ConnectedPoint::Dialer {
            address: address.clone(),
            role_override,
            port_use: PortUse::Reuse,
        };
        assert_eq!(role(&dialer(Endpoint::Dialer)), Role::Dialer);
        assert_eq!(role(&dialer(Endpoint::Listener)), Role::Listener);
        let (local_addr, send_back_addr) = (address.clone(), address.clone());
        assert_eq!(
            role(&ConnectedPoint::Listener {
                local_addr,
                send_back_addr
            }),
            Role::Listener
        );
    }
}
