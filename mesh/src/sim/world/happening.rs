//! What happens at a time.

use bytes::Bytes;

use super::{Loss, World, ends, key};
use crate::{
    limits::REQUESTS_QUEUED_MAX,
    proto::{Answer, Event, FloodId, Request, RequestId, Timer, execute},
    replica::{CollectionName, Commit, DocumentKey, IngestOutcome},
    sim::broken::Broken,
};

pub(super) enum Happening {
    /// A frame of a connection has arrived.
    Deliver {
        from: usize,
        to: usize,
        connection: u64,
    },
    Gossip {
        from: usize,
        to: usize,
        collection: CollectionName,
        payload: Bytes,
    },
    Execute {
        node: usize,
        life: u64,
        id: RequestId,
        request: Request,
    },
    Committed {
        node: usize,
        life: u64,
        commit: Commit,
    },
    Timer {
        node: usize,
        life: u64,
        timer: Timer,
    },
    Cut {
        a: usize,
        b: usize,
    },
    Join {
        a: usize,
        b: usize,
    },
    Block {
        from: usize,
        to: usize,
        until: u64,
    },
    /// A direction has been silent for so long that its end gives the connection up.
    Silent {
        from: usize,
        to: usize,
        connection: u64,
    },
    Crash {
        node: usize,
        loss: Loss,
    },
    Restart {
        node: usize,
    },
    Checkpoint {
        node: usize,
    },
    Stall {
        node: usize,
        until: u64,
    },
    Write {
        node: usize,
        documents: Vec<(DocumentKey, Bytes)>,
    },
    /// The oldest unsynced write of a peer is on its disk.
    Synced {
        node: usize,
        life: u64,
    },
}

impl World {
    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver {
                from,
                to,
                connection,
            } => self.deliver(from, to, connection),
            Happening::Gossip {
                from,
                to,
                collection,
                payload,
            } => self.hear(from, to, collection, payload),
            Happening::Execute {
                node,
                life,
                id,
                request,
            } if self.nodes[node].life == life => self.execute(node, id, request),
            Happening::Committed { node, life, commit } if self.nodes[node].life == life => {
                self.note(node, "commit", &commit.last_sequence.0.to_le_bytes());
                self.feed(node, Event::Committed(commit));
            }
            Happening::Timer { node, life, timer } if self.nodes[node].life == life => {
                self.feed(node, Event::Timer(timer));
            }
            Happening::Synced { node, life } if self.nodes[node].life == life => self.sync(node),
            Happening::Execute { .. }
            | Happening::Committed { .. }
            | Happening::Timer { .. }
            | Happening::Synced { .. } => {} // of an earlier life
            Happening::Cut { a, b } => {
                self.trace.add(self.now, "cut", [a, b], &[]);
                self.disconnect(a, b);
            }
            Happening::Join { a, b } => self.connect(a, b),
            Happening::Block { from, to, until } => self.block_now(from, to, until),
            Happening::Silent {
                from,
                to,
                connection,
            } => self.give_up(from, to, connection),
            Happening::Crash { node, loss } => self.crash_now(node, loss),
            Happening::Restart { node } => self.restart(node),
            Happening::Checkpoint { node } => {
                self.note(node, "checkpoint", &[]);
                self.nodes[node].checkpoint = Some(self.nodes[node].replica.checkpoint());
            }
            Happening::Stall { node, until } => {
                self.note(node, "stall", &until.to_le_bytes());
                let reads_at = &mut self.nodes[node].reads_at;
                *reads_at = until.max(*reads_at);
            }
            Happening::Write { node, documents } => self.write_now(node, documents),
        }
    }

    /// Adds something that happened at one peer to the trace.
    pub(super) fn note(&mut self, node: usize, what: &str, bytes: &[u8]) {
        self.trace.add(self.now, what, [node, node], bytes);
    }

    /// Takes up a write, which is synced at once or later. A peer that is down writes nothing.
    fn write_now(&mut self, node: usize, documents: Vec<(DocumentKey, Bytes)>) {
        self.note(node, "write", &(documents.len() as u64).to_le_bytes());
        if self.sync_ms == 0 {
            self.nodes[node].replica.write(documents);
            self.drain_commits(node);
        } else if self.nodes[node].up {
            self.nodes[node].unsynced.push_back(documents);
            let (life, at) = (self.nodes[node].life, self.now + self.sync_ms);
            self.schedule(at, Happening::Synced { node, life });
        }
    }

    fn sync(&mut self, node: usize) {
        if let Some(documents) = self.nodes[node].unsynced.pop_front() {
            self.note(node, "synced", &[]);
            self.nodes[node].replica.write(documents);
            self.drain_commits(node);
        }
    }

    fn execute(&mut self, node: usize, id: RequestId, request: Request) {
        self.note(node, name(&request), &id.0.to_le_bytes());
        self.nodes[node].requests -= 1;
        let answer = execute(&*self.nodes[node].replica, request);
        if let Answer::Ingested(outcomes) = &answer {
            let applied = outcomes.iter().filter(|it| **it == IngestOutcome::Applied);
            self.ledger.counts.deltas_applied += applied.count() as u64;
            self.ledger.counts.deltas_received += outcomes.len() as u64;
        }
        self.drain_commits(node);
        self.feed(node, Event::Answered(id, answer));
    }

    /// Queues a request behind those that the peer's store has.
    pub(super) fn ask(&mut self, node: usize, id: RequestId, request: Request) {
        let done =
            self.nodes[node].store_free_at.max(self.now) + self.random.within(0, self.store_ms);
        let it = &mut self.nodes[node];
        it.store_free_at = done;
        it.requests += 1;
        let (waiting, life) = (it.requests, it.life);
        let most = &mut self.ledger.counts.requests_waiting_max;
        *most = waiting.max(*most);
        if waiting > REQUESTS_QUEUED_MAX as u64 {
            self.broken = Some(Broken::Requests { node, waiting });
        }
        let happening = Happening::Execute {
            node,
            life,
            id,
            request,
        };
        self.schedule(done, happening);
    }

    /// A gossip message has arrived.
    fn hear(&mut self, from: usize, to: usize, collection: CollectionName, mut payload: Bytes) {
        if !self.nodes[to].up {
            return;
        }
        if self.nodes[to].reads_at > self.now {
            let happening = Happening::Gossip {
                from,
                to,
                collection,
                payload,
            };
            return self.schedule(self.nodes[to].reads_at, happening);
        }
        self.link.corrupt(&mut payload, &mut self.random);
        let id = FloodId::of(&payload);
        self.trace.add(self.now, "flood", [from, to], &id.0);
        if !self.gossip.hear(to, id, &collection, &payload) {
            self.ledger.counts.deltas_received += 1;
            return;
        }
        let waiting = self.gossip.held(to) as u64;
        let most = &mut self.ledger.counts.floods_waiting_max;
        *most = waiting.max(*most);
        let source = key(from);
        let event = Event::Flooded {
            source,
            id,
            collection,
            payload,
        };
        self.feed(to, event);
    }

    /// Tells the core what its store has committed, a moment later, and the ledger what has arrived.
    pub(super) fn drain_commits(&mut self, node: usize) {
        for (document, change) in self.nodes[node].replica.take_arrivals() {
            self.ledger.arrived(node, document, change, self.now);
        }
        let life = self.nodes[node].life;
        for commit in self.nodes[node].take_commits() {
            if self.nodes[node].up {
                self.schedule(self.now + 1, Happening::Committed { node, life, commit });
            }
        }
    }

    fn crash_now(&mut self, node: usize, loss: Loss) {
        self.note(node, "crash", &[loss as u8]);
        for other in 0..self.nodes.len() {
            self.disconnect(node, other);
        }
        self.nodes[node].end();
        let unsynced = std::mem::take(&mut self.nodes[node].unsynced);
        if matches!(loss, Loss::Nothing | Loss::Cursors) {
            // It has reached the disk, though nobody has been told.
            let replica = &self.nodes[node].replica;
            unsynced.into_iter().for_each(|it| replica.write(it));
            self.drain_commits(node);
        }
        match (loss, self.nodes[node].checkpoint.take()) {
            (Loss::SinceCheckpoint, Some(checkpoint)) => self.roll_back(node, checkpoint),
            (Loss::Nothing, _) => {}
            _ => self.nodes[node].replica.forget_cursors(),
        }
    }

    fn roll_back(&mut self, node: usize, checkpoint: crate::memory::Checkpoint) {
        let feed = self.nodes[node].next_feed(node);
        let replica = &self.nodes[node].replica;
        replica.roll_back(checkpoint, feed);
        self.ledger.forget(node, self.now);
        for (document, changes) in replica.contents() {
            for change in changes {
                self.ledger.keep(node, document.clone(), change);
            }
        }
    }

    pub(super) fn restart(&mut self, node: usize) {
        if self.nodes[node].up {
            return;
        }
        self.note(node, "restart", &[]);
        self.nodes[node].up = true;
        self.ledger.counts.restarts += 1;
        self.begin(node);
        for (a, b) in self.links() {
            if a == node || b == node {
                self.connect(a, b);
            }
        }
    }

    /// Gives a peer a new core.
    pub(super) fn begin(&mut self, node: usize) {
        let topics = self.nodes[node].begin();
        #[cfg(test)]
        if self.offers_off {
            self.nodes[node].core.switch_offers_off();
        }
        self.gossip.restart(node, topics);
    }

    fn block_now(&mut self, from: usize, to: usize, until: u64) {
        self.trace
            .add(self.now, "block", [from, to], &until.to_le_bytes());
        if let Some(link) = self.links.get_mut(&ends(from, to)) {
            let way = &mut link.ways[usize::from(from > to)];
            way.blocked_until = until.max(way.blocked_until);
            if let Some(connection) = link.open {
                let at = self.now + super::network::SILENCE_MS;
                let happening = Happening::Silent {
                    from,
                    to,
                    connection,
                };
                self.schedule(at, happening);
            }
        }
    }
}

/// What the trace calls a request.
fn name(request: &Request) -> &'static str {
    match request {
        Request::Cursor(..) => "store: cursor",
        Request::Page(..) => "store: page",
        Request::Missing(_) => "store: missing",
        Request::Changes(_) => "store: changes",
        Request::Ingest(..) => "store: ingest",
        Request::StoreCursor(..) => "store: keep cursor",
        Request::Roots(..) => "store: roots",
        Request::CompareRoots(..) => "store: compare roots",
        Request::Describe(..) => "store: describe",
        Request::Compare(..) => "store: compare",
        Request::Locate(..) => "store: locate",
    }
}
