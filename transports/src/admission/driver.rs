//! Runs the admission exchange over a multiplexed connection, and says in the log why a peer did not get through.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    AsyncReadExt, AsyncWriteExt, FutureExt,
    future::{BoxFuture, poll_fn},
};
use libp2p::{
    Multiaddr, PeerId,
    core::{
        ConnectedPoint, Endpoint, StreamMuxer,
        muxing::{StreamMuxerBox, StreamMuxerEvent, StreamMuxerExt, SubstreamBox},
    },
};
use sedge_identity::{Clock, Membership, PublicKey};
use tokio::time::Instant;

use super::{
    Admission, AdmissionError, Exchange, KnownChains, MESSAGE_LENGTH_BYTES, Role, Step, log::Log,
    message_bytes, quota::Quota,
};
use crate::limits::REFUSAL_LINGER_MS;

/// What every admission of this device has in common.
pub(crate) struct Gatekeeper {
    membership: Membership,
    known: Arc<KnownChains>,
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
    pub(crate) fn new(membership: Membership, timeout: Duration) -> Self {
        Self {
            membership,
            known: Arc::default(),
            timeout,
            refusals: Log::new(),
        }
    }

    /// Lets the connection through to the swarm: a listener's if both sides admit each other, a dialer's if this side does,
    /// while the other's word may be still to come. If that is no, the connection ends with it.
    pub(crate) async fn admit(
        self: Arc<Self>,
        peer: PeerId,
        connection: Unadmitted,
        endpoint: ConnectedPoint,
    ) -> Result<(PeerId, StreamMuxerBox), AdmissionError> {
        let Unadmitted { mut muxer, quota } = connection;
        let deadline = Instant::now() + self.timeout;
        let talk = tokio::time::timeout_at(deadline, self.talk(peer, &mut muxer, &endpoint));
        let ended = talk.await.unwrap_or_else(|_| Err(self.too_late().into()));
        let address = endpoint.get_remote_address().clone();
        match ended {
            Ok((admission, conversation)) => {
                let issuers_time_ms = admission.certificate().begins_ms();
                self.membership.clock().raise(issuers_time_ms);
                if let Some(quota) = quota {
                    quota.lift();
                }
                let verdict =
                    conversation.map(|it| self.verdict(peer, address, it, deadline).boxed());
                Ok((
                    peer,
                    StreamMuxerBox::new(AdmittedMuxer {
                        muxer,
                        verdict,
                        _admission: admission,
                    }),
                ))
            }
            Err(Failure { error, stream }) => {
                self.log(peer, &address, &error);
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
    ) -> Result<(Admission, Option<Conversation>), Failure> {
        let key = PublicKey::from_peer_id(&peer).map_err(AdmissionError::from)?;
        let role = role(endpoint);
        let stream = first_substream(muxer, role)
            .await
            .map_err(AdmissionError::from)?;
        let exchange = Exchange::new(
            role,
            self.membership.identity(),
            Arc::clone(self.membership.admitted()),
            Arc::clone(&self.known),
            key,
        );
        let mut conversation = Conversation { stream, exchange };
        let ended = drive(muxer, conversation.until_admitted(self.membership.clock())).await;
        match ended {
            Ok((admission, Progress::Over)) => Ok((admission, None)),
            Ok((admission, Progress::GoesOn)) => Ok((admission, Some(conversation))),
            Err(error) => Err(Failure {
                error,
                stream: Some(conversation.stream),
            }),
        }
    }

    /// What becomes of a dialer's exchange beside the use of its connection.
    async fn verdict(
        self: Arc<Self>,
        peer: PeerId,
        address: Multiaddr,
        mut conversation: Conversation,
        deadline: Instant,
    ) -> Result<(), AdmissionError> {
        let rest = tokio::time::timeout_at(deadline, conversation.rest(self.membership.clock()));
        let ended = rest.await.unwrap_or_else(|_| Err(self.too_late()));
        if let Err(error) = &ended {
            self.log(peer, &address, error);
        }
        ended
    }

    fn too_late(&self) -> AdmissionError {
        AdmissionError::Timeout {
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn log(&self, peer: PeerId, address: &Multiaddr, error: &AdmissionError) {
        if let AdmissionError::OwnCertificate = error {
            // The mesh has told so once; every dial that fails for it would tell nothing new.
            tracing::debug!(%peer, %address, "no admission: {error}");
            return;
        }
        if let Some(left_out) = self.refusals.admit((peer, error.to_string())) {
            tracing::warn!(%peer, %address, left_out, "peer not admitted: {error}");
        }
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

/// An exchange and the substream that carries it.
struct Conversation {
    stream: SubstreamBox,
    exchange: Exchange,
}

/// Whether an exchange has ended with the admission.
enum Progress {
    GoesOn,
    Over,
}

impl Conversation {
    /// Sends and receives messages until this side has admitted the peer.
    async fn until_admitted(
        &mut self,
        clock: &Clock,
    ) -> Result<(Admission, Progress), AdmissionError> {
        let mut step = self.exchange.start(clock.now_ms());
        // At most as many rounds as the exchange has messages: after each, it expects the next or ends.
        loop {
            let ended = self.carry_out(&mut step).await?;
            match (step.admission, ended) {
                (Some(admission), progress) => return Ok((admission, progress)),
                (None, _) => step = self.next(clock).await?,
            }
        }
    }

    /// Receives what is still to come after the admission.
    async fn rest(&mut self, clock: &Clock) -> Result<(), AdmissionError> {
        loop {
            let mut step = self.next(clock).await?;
            if let Progress::Over = self.carry_out(&mut step).await? {
                return Ok(());
            }
        }
    }

    async fn carry_out(&mut self, step: &mut Step) -> Result<Progress, AdmissionError> {
        if let Some(bytes) = step.send.take() {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await?;
        }
        match step.end.take() {
            None => Ok(Progress::GoesOn),
            Some(end) => {
                let closed = self.stream.close().await;
                end?;
                closed?;
                Ok(Progress::Over)
            }
        }
    }

    async fn next(&mut self, clock: &Clock) -> Result<Step, AdmissionError> {
        let mut length = [0; MESSAGE_LENGTH_BYTES];
        self.stream.read_exact(&mut length).await?;
        let mut message = vec![0; message_bytes(length)?];
        self.stream.read_exact(&mut message).await?;
        Ok(self.exchange.handle(&message, clock.now_ms()))
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

/// A connection that holds its peer's place among the admitted for as long as it lives, and lives no longer than the peer
/// allows.
struct AdmittedMuxer {
    muxer: StreamMuxerBox,
    /// The peer's word on our certificate, while it is still to come.
    verdict: Option<BoxFuture<'static, Result<(), AdmissionError>>>,
    _admission: Admission,
}

impl AdmittedMuxer {
    /// Fails once the peer has said no.
    fn poll_verdict(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(verdict) = &mut self.verdict else {
            return Ok(());
        };
        match verdict.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(ended) => {
                self.verdict = None;
                ended.map_err(io::Error::other)
            }
        }
    }

    /// What the muxer says, unless the peer has said no: that is in the substream already when it hangs up.
    fn or_verdict<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match self.poll_verdict(cx) {
            Ok(()) => polled,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl StreamMuxer for AdmittedMuxer {
    type Substream = SubstreamBox;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let polled = self.muxer.poll_inbound_unpin(cx);
        self.or_verdict(polled, cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let polled = self.muxer.poll_outbound_unpin(cx);
        self.or_verdict(polled, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.muxer.poll_close_unpin(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        let polled = self.muxer.poll_unpin(cx);
        self.or_verdict(polled, cx)
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
