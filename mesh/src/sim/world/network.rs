//! Connections and their frames, and gossip between those connected.

use bytes::Bytes;

use super::{World, ends, happening::Happening, key};
use crate::{
    limits::FRAME_BYTES_MAX,
    proto::{Event, FloodId, Message, decode_frame, encode_frame},
    replica::CollectionName,
    sim::{broken::Broken, gossip::DEGREE_HIGH},
};

/// How long a silent direction is taken for a slow one: the driver's pings come every 15 s and wait for 20 s.
pub(super) const SILENCE_MS: u64 = 35_000;

/// After which time a connection is tried again.
pub(super) const AGAIN_MS: u64 = 500;

impl World {
    /// Opens a connection, unless there is one, or an end is down, or a direction is blocked.
    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let (now, up) = (self.now, self.nodes[a].up && self.nodes[b].up);
        let Some(link) = self.links.get_mut(&ends(a, b)) else {
            return;
        };
        if link.open.is_some() || !up {
            return;
        }
        let blocked_until = link.ways.iter().map(|way| way.blocked_until).max();
        if let Some(until) = blocked_until.filter(|until| *until > now) {
            return self.schedule(until, Happening::Join { a, b });
        }
        link.open = Some(self.next_connection);
        self.next_connection += 1;
        self.ledger.counts.sessions += 2;
        self.trace.add(now, "connect", [a, b], &[]);
        for (node, other) in [(a, b), (b, a)] {
            self.feed(node, Event::Connected(key(other)));
            self.graft(node);
        }
    }

    /// Ends a connection, which both ends notice.
    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        let Some(link) = self.links.get_mut(&ends(a, b)) else {
            return;
        };
        link.ways.iter_mut().for_each(|way| way.clear());
        if link.open.take().is_some() {
            self.trace.add(self.now, "disconnect", [a, b], &[]);
            for (node, other) in [(a, b), (b, a)] {
                self.feed(node, Event::Disconnected(key(other)));
                self.graft(node);
            }
        }
    }

    /// Ends a connection and tries it again soon.
    pub(super) fn reconnect(&mut self, a: usize, b: usize) {
        self.disconnect(a, b);
        self.schedule(self.now + AGAIN_MS, Happening::Join { a, b });
    }

    /// Gives a connection up when it is still blocked.
    pub(super) fn give_up(&mut self, from: usize, to: usize, connection: u64) {
        let Some(link) = self.links.get(&ends(from, to)) else {
            return;
        };
        let is_blocked = link.ways[usize::from(from > to)].blocked_until > self.now;
        if link.open == Some(connection) && is_blocked {
            self.reconnect(from, to);
        }
    }

    /// Looks after the meshes of a peer's topics.
    fn graft(&mut self, node: usize) {
        let neighbours = self.neighbours(node);
        for topic in self.gossip.topics(node) {
            self.gossip
                .graft(node, &topic, &neighbours, &mut self.random);
        }
    }

    pub(super) fn subscribe(&mut self, node: usize, topic: CollectionName) {
        let neighbours = self.neighbours(node);
        self.gossip.subscribe(node, topic.clone());
        self.gossip
            .graft(node, &topic, &neighbours, &mut self.random);
    }

    /// Puts a message on the stream to a peer.
    pub(super) fn send(&mut self, from: usize, to: usize, message: Message) {
        let Some(link) = self.links.get_mut(&ends(from, to)) else {
            return;
        };
        let Some(connection) = link.open else { return };
        let frame = encode_frame(&message);
        let bytes = frame.len();
        if bytes > FRAME_BYTES_MAX + 4 {
            self.broken = Some(Broken::Frame { from, bytes });
        }
        if self.keep_sent {
            self.sent.push((from, to, message));
        }
        let way = &mut link.ways[usize::from(from > to)];
        let arrives_at = way.send(frame, self.now, &self.link, &mut self.random);
        let (frames, waiting_bytes) = way.waiting();
        let counts = &mut self.ledger.counts;
        counts.sync_messages += 1;
        counts.sync_bytes += bytes as u64;
        counts.frames_waiting_max = counts.frames_waiting_max.max(frames as u64);
        counts.bytes_waiting_max = counts.bytes_waiting_max.max(waiting_bytes as u64);
        match arrives_at {
            Some(at) => {
                let happening = Happening::Deliver {
                    from,
                    to,
                    connection,
                };
                self.schedule(at, happening);
            }
            None => self.broken = Some(Broken::Unread { from, to }),
        }
    }

    /// Takes in the next frame, once the peer reads.
    pub(super) fn deliver(&mut self, from: usize, to: usize, connection: u64) {
        let Some(link) = self.links.get_mut(&ends(from, to)) else {
            return;
        };
        if link.open != Some(connection) {
            return;
        }
        let reader = &mut self.nodes[to];
        if reader.reads_at > self.now {
            let happening = Happening::Deliver {
                from,
                to,
                connection,
            };
            let at = reader.reads_at;
            return self.schedule(at, happening);
        }
        reader.reads_at = self.now + reader.read_ms;
        let Some(frame) = link.ways[usize::from(from > to)].receive() else {
            return;
        };
        let mut body = frame.slice(4..);
        let is_corrupted = self.link.corrupt(&mut body, &mut self.random);
        self.trace.add(self.now, "frame", [from, to], &body);
        match decode_frame(body) {
            // Noise notices, whatever the frame would mean.
            Ok(_) if is_corrupted => self.reconnect(from, to),
            Ok(message) => self.feed(to, Event::Received(key(from), message)),
            Err(error) => self.feed(to, Event::Undecodable(key(from), error.code())),
        }
    }

    /// A peer publishes a message of its own.
    pub(super) fn publish(&mut self, from: usize, topic: &CollectionName, payload: &Bytes) {
        if self.gossip.publish(from, FloodId::of(payload)) {
            self.ledger.counts.gossip_published += 1;
            if self.spread(from, None, topic, payload) == 0 {
                self.feed(from, Event::NotFlooded);
            }
        }
    }

    /// Sends a gossip message on; to how many.
    pub(super) fn spread(
        &mut self,
        from: usize,
        except: Option<usize>,
        topic: &CollectionName,
        payload: &Bytes,
    ) -> usize {
        let neighbours = self.neighbours(from);
        let targets = self
            .gossip
            .targets(from, topic, &neighbours, &mut self.random);
        let targets: Vec<_> = targets
            .into_iter()
            .filter(|to| Some(*to) != except)
            .collect();
        self.count_copies(payload, targets.len());
        for to in &targets {
            let Some(link) = self.links.get_mut(&ends(from, *to)) else {
                continue;
            };
            let way = &mut link.ways[usize::from(from > *to)];
            let arrivals = way.gossip(payload.len(), self.now, &self.link, &mut self.random);
            for at in arrivals {
                let (collection, payload) = (topic.clone(), payload.clone());
                let happening = Happening::Gossip {
                    from,
                    to: *to,
                    collection,
                    payload,
                };
                self.schedule(at, happening);
            }
        }
        targets.len()
    }

    /// Counts what is sent of a message. A process forwards it at most once, to [`DEGREE_HIGH`] neighbours: with more copies
    /// gossip goes round in circles.
    fn count_copies(&mut self, payload: &Bytes, count: usize) {
        let counts = &mut self.ledger.counts;
        counts.gossip_messages += count as u64;
        counts.gossip_bytes += (count * payload.len()) as u64;
        let copies = self.ledger.copies.entry(FloodId::of(payload)).or_default();
        *copies += count as u64;
        let processes = self.nodes.len() as u64 + counts.restarts;
        let copies_max = processes * DEGREE_HIGH as u64;
        if *copies > copies_max {
            self.broken = Some(Broken::FloodStorm {
                copies: *copies,
                copies_max,
            });
        }
    }
}
