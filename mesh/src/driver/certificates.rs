//! Certificates end while connections live: each connection ends with the certificate that its peer was admitted by, and all
//! of them with this device's own.

use std::time::Duration;

use libp2p::{PeerId, swarm::NetworkBehaviour};
use tokio::time::Instant;

use super::{names::short, run::Driver};
use crate::limits::CERTIFICATES_LOOK_MS;

/// When certificates are looked at, and what was told of the own one.
#[derive(Debug, Default)]
pub(super) struct Watch {
    due: Option<Instant>,
    own_has_ended: bool,
}

impl Watch {
    /// When to look next.
    pub fn next(&self) -> Option<Instant> {
        self.due
    }

    /// Something may end after `rest_ms`, or is to be looked at again because the clock may be corrected before then.
    fn look_within(&mut self, rest_ms: u64, now: Instant) {
        // A moment more than the rest: at its last millisecond a certificate is still valid.
        let pause_ms = rest_ms.saturating_add(1).min(CERTIFICATES_LOOK_MS);
        let at = now + Duration::from_millis(pause_ms);
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

impl<B> Driver<B>
where
    B: NetworkBehaviour + Send + 'static,
    B::ToSwarm: std::fmt::Debug + Send + 'static,
{
    /// A peer is connected: its certificate is watched.
    pub fn watch_certificate(&mut self, peer: &PeerId, now: Instant) {
        if let Some(rest_ms) = self.rest_ms(peer) {
            let rest_ms = rest_ms.min(self.own_rest_ms());
            self.certificates.look_within(rest_ms.unwrap_or(0), now);
        }
    }

    /// How long this device's own certificate is still valid, in ms; `None` if it is not any more.
    fn own_rest_ms(&self) -> Option<u64> {
        let end_ms = self.membership.identity().certificate().ends_ms();
        end_ms.checked_sub(self.membership.clock().now_ms())
    }

    /// Ends what has no certificate any more, if it is time to look.
    pub fn on_certificates_deadline(&mut self, now: Instant) {
        if self.certificates.due.is_some_and(|due| due <= now) {
            self.look_at_certificates(now);
        }
    }

    /// Ends what has no certificate any more, and plans the next look.
    pub fn look_at_certificates(&mut self, now: Instant) {
        self.certificates.due = None;
        let own_rest_ms = self.own_rest_ms();
        if own_rest_ms.is_none() && !self.certificates.own_has_ended {
            tracing::error!(
                "this device's certificate has ended: its connections are closed, and no peer admits it until it is renewed"
            );
        }
        self.certificates.own_has_ended = own_rest_ms.is_none();
        if let Some(rest_ms) = own_rest_ms {
            self.certificates.look_within(rest_ms, now);
        }
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            match self.rest_ms(&peer) {
                None => {}
                Some(None) => {
                    tracing::warn!(peer = %short(&peer), "the peer's certificate has ended: its connection is closed");
                    self.disconnect(peer);
                }
                Some(Some(_)) if own_rest_ms.is_none() => self.disconnect(peer),
                Some(Some(rest_ms)) => self.certificates.look_within(rest_ms, now),
            }
        }
    }

    /// How long the certificate of a connected peer is still valid, in ms: `Some(None)` if it is not any more, `None` where
    /// the transport admits without certificates.
    fn rest_ms(&self, peer: &PeerId) -> Option<Option<u64>> {
        let certificate = self.membership.admitted().get(peer)?;
        let now_ms = self.membership.clock().now_ms();
        Some(certificate.ends_ms().checked_sub(now_ms))
    }

    fn disconnect(&mut self, peer: PeerId) {
        if self.swarm.disconnect_peer_id(peer).is_err() {
            tracing::trace!(peer = %short(&peer), "the peer is gone already");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the earliest end is looked for, no look is farther away than the clock may be wrong, and none is in the past.
    #[test]
    fn the_earliest_end_is_looked_for() {
        let now = Instant::now();
        let mut watch = Watch::default();
        assert_eq!(watch.next(), None);
        watch.look_within(u64::MAX, now);
        assert_eq!(
            watch.next(),
            Some(now + Duration::from_millis(CERTIFICATES_LOOK_MS))
        );
        watch.look_within(500, now);
        watch.look_within(900, now);
        assert_eq!(watch.next(), Some(now + Duration::from_millis(501)));
    }
}
