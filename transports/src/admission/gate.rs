//! The outermost layer of the transports: it bounds how many connections are on their way to admission, and for how
//! long.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{Abortable, Aborted, BoxFuture},
};
use libp2p::{
    Multiaddr,
    core::transport::{Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent},
};

use super::{
    log::Log,
    pending::{Pending, network},
};

/// A transport whose connections must be complete within a time, and whose incoming ones need a place.
pub(crate) struct Gate<O> {
    inner: Boxed<O>,
    pending: Pending,
    timeout: Duration,
    /// By address.
    drops: Log<Option<IpAddr>>,
}

type Upgrade<O> = BoxFuture<'static, io::Result<O>>;

impl<O: Send + 'static> Gate<O> {
    pub(crate) fn new(inner: Boxed<O>, pending: Pending, timeout: Duration) -> Self {
        Self {
            inner,
            pending,
            timeout,
            drops: Log::new(),
        }
    }

    /// Gives an incoming connection a place until it is admitted or has failed, or drops it at once.
    fn usher(&self, upgrade: Upgrade<O>, address: &Multiaddr) -> Upgrade<O> {
        match self.pending.enter(address) {
            Ok((place, cut)) => {
                let upgrade = Abortable::new(limited(upgrade, self.timeout), cut);
                let address = address.clone();
                async move {
                    let ended = upgrade.await.unwrap_or_else(|Aborted| {
                        Err(io::Error::other("it gave way to a newcomer's"))
                    });
                    drop(place);
                    if let Err(error) = &ended {
                        tracing::debug!(%address, "incoming connection failed: {error}");
                    }
                    ended
                }
                .boxed()
            }
            Err(error) => {
                if let Some(left_out) = self.drops.admit(network(address)) {
                    tracing::warn!(%address, left_out, "incoming connections are dropped: {error}");
                }
                async move { Err(io::Error::other(error)) }.boxed()
            }
        }
    }
}

fn limited<O: Send + 'static>(upgrade: Upgrade<O>, timeout: Duration) -> Upgrade<O> {
    async move {
        tokio::time::timeout(timeout, upgrade)
            .await
            .unwrap_or_else(|_| {
                let text = format!(
                    "the connection was not complete within {} ms",
                    timeout.as_millis()
                );
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            })
    }
    .boxed()
}

impl<O: Send + 'static> Transport for Gate<O> {
    type Output = O;
    type Error = io::Error;
    type ListenerUpgrade = Upgrade<O>;
    type Dial = Upgrade<O>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        Ok(limited(self.inner.dial(address, options)?, self.timeout))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let event = std::task::ready!(Pin::new(&mut self.inner).poll(cx));
        Poll::Ready(match event {
            TransportEvent::Incoming {
                listener_id,
                upgrade,
                local_addr,
                send_back_addr,
            } => {
                let upgrade = self.usher(upgrade, &send_back_addr);
                TransportEvent::Incoming {
                    listener_id,
                    upgrade,
                    local_addr,
                    send_back_addr,
                }
            }
            other => other,
        })
    }
}
