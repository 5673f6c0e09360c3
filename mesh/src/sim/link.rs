//! Links: how long a frame takes, what becomes of a gossip message. A sync stream is reliable and ordered, as TCP and QUIC
//! are, so there loss is delay; gossip is lost, duplicated and overtaken.

use std::collections::VecDeque;

use bytes::Bytes;

use super::random::Random;
use crate::limits::{MESSAGES_QUEUED_BYTES_MAX, MESSAGES_QUEUED_MAX};

/// How links carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Least and most time of a frame on its way, in milliseconds.
    pub latency_ms: (u64, u64),
    /// Most time that a gossip message takes beyond that, in milliseconds: so some overtake others.
    pub gossip_jitter_ms: u64,
    /// What a link carries in each direction, in bytes a second.
    pub bytes_per_second: u64,
    /// Of a hundred gossip messages so many are lost; of a hundred frames so many come a retransmission later.
    pub loss_percent: u64,
    /// Of a hundred gossip messages so many arrive twice.
    pub duplicated_percent: u64,
    /// Of a thousand frames and gossip messages so many have a bit flipped.
    pub corrupted_per_mille: u64,
}

impl Default for LinkConfig {
    /// A good LAN.
    fn default() -> Self {
        Self {
            latency_ms: (1, 20),
            gossip_jitter_ms: 40,
            bytes_per_second: u64::MAX,
            loss_percent: 0,
            duplicated_percent: 0,
            corrupted_per_mille: 0,
        }
    }
}

/// How much later a lost frame arrives: TCP's least retransmission timeout (RFC 6298 allows a second, Linux has 0.2 s).
const RETRANSMISSION_MS: u64 = 200;

impl LinkConfig {
    fn latency(&self, random: &mut Random) -> u64 {
        random.within(self.latency_ms.0, self.latency_ms.1)
    }

    fn transmission_ms(&self, bytes: usize) -> u64 {
        (bytes as u64).saturating_mul(1_000) / self.bytes_per_second.max(1)
    }

    /// Flips a bit now and then; whether it did.
    pub(super) fn corrupt(&self, bytes: &mut Bytes, random: &mut Random) -> bool {
        if bytes.is_empty() || random.below(1_000) >= self.corrupted_per_mille {
            return false;
        }
        let mut corrupted = bytes.to_vec();
        let place = random.index(corrupted.len());
        if let Some(byte) = corrupted.get_mut(place) {
            *byte ^= 1 << random.below(8);
        }
        *bytes = corrupted.into();
        true
    }
}

/// A link between two peers.
#[derive(Default)]
pub(super) struct Link {
    /// The number of the open connection.
    pub open: Option<u64>,
    /// From the lower peer to the higher, and back.
    pub ways: [Way; 2],
}

/// One direction of a link.
#[derive(Default)]
pub(super) struct Way {
    /// Frames on their way, first in, first out.
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// When the last byte of what was sent has left.
    sent_at: u64,
    arrives_at: u64,
    /// Nothing arrives before.
    pub blocked_until: u64,
}

impl Way {
    /// Sends a frame; when it arrives, or `None` when more waits than a driver keeps for a peer.
    pub fn send(
        &mut self,
        frame: Bytes,
        now: u64,
        config: &LinkConfig,
        random: &mut Random,
    ) -> Option<u64> {
        self.bytes += frame.len();
        if self.frames.len() >= MESSAGES_QUEUED_MAX || self.bytes > MESSAGES_QUEUED_BYTES_MAX {
            return None;
        }
        self.sent_at = self.sent_at.max(now) + config.transmission_ms(frame.len());
        let lost = match random.percent(config.loss_percent) {
            true => RETRANSMISSION_MS,
            false => 0,
        };
        let arrives_at = self.sent_at + config.latency(random) + lost;
        self.arrives_at = self.arrives_at.max(arrives_at).max(self.blocked_until);
        self.frames.push_back(frame);
        Some(self.arrives_at)
    }

    /// The next frame that arrives.
    pub fn receive(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    /// When a gossip message arrives: not at all, once, or twice.
    pub fn gossip(
        &mut self,
        bytes: usize,
        now: u64,
        config: &LinkConfig,
        random: &mut Random,
    ) -> Vec<u64> {
        if now < self.blocked_until || random.percent(config.loss_percent) {
            return Vec::new();
        }
        self.sent_at = self.sent_at.max(now) + config.transmission_ms(bytes);
        let copies = 1 + u64::from(random.percent(config.duplicated_percent));
        let arrivals = (0..copies).map(|_| {
            self.sent_at + config.latency(random) + random.within(0, config.gossip_jitter_ms)
        });
        arrivals.collect()
    }

    /// Frames and bytes on their way.
    pub fn waiting(&self) -> (usize, usize) {
        (self.frames.len(), self.bytes)
    }

    /// The connection is gone, and with it what was on its way.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }
}
