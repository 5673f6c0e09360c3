//! Certificates end, and are renewed, while connections live: each connection ends with the certificate that its peer showed
//! last, and all of them with this device's own.

use std::{sync::Arc, time::Duration};

use libp2p::{PeerId, swarm::NetworkBehaviour};
use sedge_identity::{CertificateChain, LocalIdentity, admissible};
use tokio::time::Instant;

use super::{names::short, run::Driver};
use crate::{
    limits::{CERTIFICATES_LOOK_MS, RENEWAL_PAUSE_MS},
    proto::{CloseCode, Event, Message},
    replica::PeerKey,
};

/// When certificates are looked at, and what was told of the own one.
#[derive(Debug)]
pub(super) struct Watch {
    due: Option<Instant>,
    /// Who this device is as far as neighbours know.
    told: Arc<LocalIdentity>,
    /// Whether that is another than at the start, by whose certificate a neighbour may have admitted it.
    is_renewed: bool,
    /// When neighbours were told last, and when they are to be told next.
    told_at: Option<Instant>,
    tell_at: Option<Instant>,
    own_has_ended: bool,
}

impl Watch {
    pub fn new(own: Arc<LocalIdentity>) -> Self {
        Self {
            due: None,
            told: own,
            is_renewed: false,
            told_at: None,
            tell_at: None,
            own_has_ended: false,
        }
    }

    /// When there is something to do next.
    pub fn next(&self) -> Option<Instant> {
        [self.due, self.tell_at].into_iter().flatten().min()
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
    /// A peer is connected. It is judged once more: it was admitted by the trust with which that began, which may have been
    /// replaced meanwhile.
    pub fn judge_connected(&mut self, peer: &PeerId, now: Instant) {
        let own = self.membership.identity();
        self.judge(*peer, &own);
        self.watch_certificate(peer, now);
    }

    /// A peer is connected: its certificate is watched.
    fn watch_certificate(&mut self, peer: &PeerId, now: Instant) {
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
        if self.certificates.tell_at.is_some_and(|at| at <= now) {
            self.on_identity_changed(now);
        }
        if self.certificates.due.is_some_and(|due| due <= now) {
            self.look_at_certificates(now);
        }
    }

    /// The identity was replaced: neighbours are shown another certificate, though not too often, and judged again under
    /// another trust.
    pub fn on_identity_changed(&mut self, now: Instant) {
        let pause = Duration::from_millis(RENEWAL_PAUSE_MS);
        let earliest = self.certificates.told_at.map(|at| at + pause);
        if let Some(earliest) = earliest.filter(|earliest| *earliest > now) {
            self.certificates.tell_at = Some(earliest);
            return;
        }
        self.certificates.tell_at = None;
        let own = self.membership.identity();
        let before = std::mem::replace(&mut self.certificates.told, Arc::clone(&own));
        if own.certificate().signed() != before.certificate().signed() {
            self.certificates.told_at = Some(now);
            self.certificates.is_renewed = true;
            for peer in self.peers.keys().copied().collect::<Vec<_>>() {
                self.show_if_renewed(&peer);
            }
            self.statics.hurry(now);
        }
        if own.trust() != before.trust() {
            self.judge_again(&own);
        }
        self.look_at_certificates(now);
    }

    /// Disconnects those whom this device would not admit any more.
    fn judge_again(&mut self, own: &LocalIdentity) {
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.judge(peer, own);
        }
    }

    /// Disconnects a peer that this device would not admit any more.
    fn judge(&mut self, peer: PeerId, own: &LocalIdentity) {
        let Some(certificate) = self.membership.admitted().get(&peer) else {
            return;
        };
        let (subject, now_ms) = (certificate.subject, self.membership.clock().now_ms());
        if let Err(error) = admissible(own.trust(), certificate.signed(), subject, now_ms) {
            tracing::warn!(peer = %short(&peer), "the peer is not admitted any more, its connection is closed: {error}");
            self.disconnect(peer);
        }
    }

    /// Shows a neighbour this device's certificate if it is not the one of the start: whoever opens a stream may have
    /// admitted it by that one.
    pub fn show_if_renewed(&mut self, peer: &PeerId) {
        let has_stream = self.peers.get(peer).is_some_and(|it| it.stream.is_some());
        if !self.certificates.is_renewed || !has_stream {
            return;
        }
        let chain = self.certificates.told.certificate().signed().clone();
        if let Some(event) = self.send(PeerKey::from(*peer), Message::Renewed(chain)) {
            self.feed(event);
        }
    }

    /// Judges the certificate that a neighbour shows as admission does, and by the same key: its connection goes on with it,
    /// or ends.
    pub fn on_renewed(&mut self, key: PeerKey, chain: &CertificateChain) -> Option<Event> {
        let peer = key.to_peer_id()?;
        let held = self.membership.admitted().get(&peer)?;
        if held.signed() == chain {
            return None;
        }
        let (own, clock) = (self.membership.identity(), self.membership.clock());
        match admissible(own.trust(), chain, held.subject, clock.now_ms()) {
            Ok(certificate) => {
                clock.raise(certificate.begins_ms());
                tracing::debug!(peer = %short(&peer), "the peer's certificate was renewed");
                self.membership
                    .admitted()
                    .renew(&peer, Arc::new(certificate));
                self.watch_certificate(&peer, Instant::now());
                self.status_changed();
                None
            }
            Err(error) => {
                tracing::warn!(%peer, "the certificate that the peer shows on its connection is refused: {error}");
                Some(Event::Undecodable(key, CloseCode::BadCertificate))
            }
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
    use sedge_identity::{AppId, CertificateRequest, DeviceKey, Issuer, Trust};

    use super::*;

    fn identity() -> Arc<LocalIdentity> {
        let app = AppId::new("demo").unwrap();
        let key = DeviceKey::from_seed([1; 32]);
        let issuer = Issuer::new(app.clone(), key.clone());
        let request = CertificateRequest::development(key.public(), "pi");
        let chain = issuer.issue(request, [1; 16], 0).unwrap().into();
        let trust = Trust::new(app, &[issuer.public()]).unwrap();
        Arc::new(LocalIdentity::new(key, &chain, trust, 1).unwrap())
    }

    /// Goal: the earliest end is looked for, no look is farther away than the clock may be wrong, and none is in the past.
    #[test]
    fn the_earliest_end_is_looked_for() {
        let now = Instant::now();
        let mut watch = Watch::new(identity());
        assert_eq!(watch.next(), None);
        watch.look_within(u64::MAX, now);
        let longest = Duration::from_millis(CERTIFICATES_LOOK_MS);
        assert_eq!(watch.next(), Some(now + longest));
        watch.look_within(500, now);
        watch.look_within(900, now);
        assert_eq!(watch.next(), Some(now + Duration::from_millis(501)));
    }
}
