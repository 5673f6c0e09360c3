//! A network in memory: cores on links with latency, lossy gossip, disconnects and crashes. One seeded
//! generator decides everything, so a seed repeats a run exactly.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::fixtures::{Random, index, peer};
use crate::{
    memory::MemoryReplica,
    proto::{
        CloseCode, Core, CoreConfig, Effect, Event, FloodId, Message, Millis, Note, Request,
        RequestId, Timer, Verdict, decode_frame, encode_frame, execute,
    },
    replica::{CollectionName, Commit, DocumentKey, FeedId, Interest, Replica},
};

pub struct Node {
    pub replica: Arc<MemoryReplica>,
    pub core: Core,
    interest: Interest,
    compare_from: u64,
    commits: Arc<Mutex<VecDeque<Commit>>>,
    topics: BTreeSet<CollectionName>,
    seen: BTreeSet<FloodId>,
    /// Flooded messages that wait to be judged, as gossip keeps them.
    held: BTreeMap<FloodId, (CollectionName, Bytes)>,
    worker_free: u64,
    /// Tells what belongs to this run of the node from what an earlier one left behind.
    life: u64,
    up: bool,
}

enum Happening {
    Deliver {
        from: usize,
        to: usize,
        link: u64,
        frame: Bytes,
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
    Crash {
        node: usize,
        forget: bool,
    },
    Restart {
        node: usize,
    },
    Write {
        node: usize,
        documents: Vec<(DocumentKey, Bytes)>,
    },
}

pub struct Net {
    pub nodes: Vec<Node>,
    pub random: Random,
    pub now: u64,
    pub gossip_loss_percent: u64,
    pub closes: Vec<CloseCode>,
    pub notes: Vec<Note>,
    /// Messages on sync streams, by sender and receiver.
    pub sent: Vec<(usize, usize, Message)>,
    pub keep_sent: bool,
    pub gossip_messages: usize,
    offers_off: bool,
    /// Links by both ends (lower first): the number of the open stream, if any, and the time of the last
    /// delivery in each direction.
    links: BTreeMap<(usize, usize), (Option<u64>, [u64; 2])>,
    next_link: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    next_happening: u64,
}

impl Net {
    pub fn new(seed: u64, interests: Vec<Interest>) -> Self {
        let nodes = interests.into_iter().enumerate().map(|(index, interest)| {
            let replica = Arc::new(MemoryReplica::new(FeedId(
                [u8::try_from(index).unwrap() + 1; 16],
            )));
            let commits = Arc::new(Mutex::new(VecDeque::new()));
            let sink = commits.clone();
            replica.observe(move |commit| sink.lock().unwrap().push_back(commit));
            let compare_from = [1, 8, 64, 1_000][seed as usize % 4];
            let (core, topics) = new_core(&replica, &interest, compare_from);
            let (seen, held) = Default::default();
            Node {
                replica,
                core,
                interest,
                compare_from,
                commits,
                topics,
                seen,
                held,
                worker_free: 0,
                life: 0,
                up: true,
            }
        });
        Self {
            nodes: nodes.collect(),
            random: Random::new(seed),
            now: 0,
            gossip_loss_percent: 0,
            closes: Vec::new(),
            notes: Vec::new(),
            sent: Vec::new(),
            keep_sent: false,
            gossip_messages: 0,
            offers_off: false,
            links: BTreeMap::new(),
            next_link: 0,
            queue: BTreeMap::new(),
            next_happening: 0,
        }
    }

    pub fn everything(seed: u64, nodes: usize) -> Self {
        Self::new(seed, vec![Interest::Everything; nodes])
    }

    /// From how many entries on all peers have stores compared.
    pub fn compare_from(&mut self, entries: u64) {
        for node in &mut self.nodes {
            node.compare_from = entries;
            (node.core, node.topics) = new_core(&node.replica, &node.interest, entries);
        }
    }

    pub fn line(&mut self) {
        for a in 1..self.nodes.len() {
            self.join(0, a - 1, a);
        }
    }

    pub fn switch_offers_off(&mut self) {
        self.offers_off = true;
        self.nodes
            .iter_mut()
            .for_each(|node| node.core.switch_offers_off());
    }

    pub fn join(&mut self, at: u64, a: usize, b: usize) {
        self.links.insert((a.min(b), a.max(b)), (None, [0; 2]));
        self.schedule(at, Happening::Join { a, b });
    }

    /// Connects a known link again at a time.
    pub fn queue_join(&mut self, at: u64, a: usize, b: usize) {
        self.schedule(at, Happening::Join { a, b });
    }

    pub fn cut(&mut self, at: u64, a: usize, b: usize) {
        self.schedule(at, Happening::Cut { a, b });
    }

    pub fn crash(&mut self, at: u64, node: usize, forget: bool, back_at: u64) {
        self.schedule(at, Happening::Crash { node, forget });
        self.schedule(back_at, Happening::Restart { node });
    }

    pub fn write(&mut self, at: u64, node: usize, documents: Vec<(DocumentKey, Bytes)>) {
        self.schedule(at, Happening::Write { node, documents });
    }

    pub fn links(&self) -> Vec<(usize, usize)> {
        self.links.keys().copied().collect()
    }

    pub fn converged(&self) -> bool {
        let first = self.nodes[0].replica.contents();
        self.nodes
            .iter()
            .all(|node| node.replica.contents() == first)
    }

    /// Where every session stands.
    pub fn describe(&self) -> String {
        let mut lines = Vec::new();
        for ((a, b), link) in &self.links {
            let open = link.0.is_some();
            let (left, right) = (&self.nodes[*a], &self.nodes[*b]);
            lines.push(format!(
                "{a}-{b} open {open}: {:?} / {:?}",
                left.core.status(&peer(*b)),
                right.core.status(&peer(*a))
            ));
        }
        lines.join("\n")
    }

    /// Runs until a time.
    pub fn run_until(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.happen(happening);
        }
        self.now = end;
    }

    /// Runs until a node holds so many documents, within a minute.
    pub fn run_until_holds(&mut self, node: usize, documents: usize) {
        let end = self.now + 60_000;
        while self.nodes[node].replica.contents().len() < documents {
            assert!(self.now < end, "{}", self.describe());
            self.run_until(self.now + 1);
        }
    }

    fn schedule(&mut self, at: u64, happening: Happening) {
        self.queue
            .insert((at.max(self.now), self.next_happening), happening);
        self.next_happening += 1;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver {
                from,
                to,
                link,
                frame,
            } => {
                if self.links[&(from.min(to), from.max(to))].0 == Some(link) {
                    let message = decode_frame(frame.slice(4..)).unwrap();
                    self.feed(to, Event::Received(peer(from), message));
                }
            }
            Happening::Gossip {
                from,
                to,
                collection,
                payload,
            } => {
                let id = FloodId::of(&payload);
                if self.nodes[to].up
                    && self.nodes[to].topics.contains(&collection)
                    && self.nodes[to].seen.insert(id)
                {
                    self.nodes[to]
                        .held
                        .insert(id, (collection.clone(), payload.clone()));
                    self.feed(
                        to,
                        Event::Flooded {
                            source: peer(from),
                            id,
                            collection,
                            payload,
                        },
                    );
                }
            }
            Happening::Execute {
                node,
                life,
                id,
                request,
            } => {
                if self.nodes[node].life == life {
                    let answer = execute(&*self.nodes[node].replica, request);
                    self.drain_commits(node);
                    self.feed(node, Event::Answered(id, answer));
                }
            }
            Happening::Committed { node, life, commit } => {
                if self.nodes[node].life == life {
                    self.feed(node, Event::Committed(commit));
                }
            }
            Happening::Timer { node, life, timer } => {
                if self.nodes[node].life == life {
                    self.feed(node, Event::Timer(timer));
                }
            }
            Happening::Cut { a, b } => self.disconnect(a, b),
            Happening::Join { a, b } => self.connect(a, b),
            Happening::Crash { node, forget } => {
                for other in 0..self.nodes.len() {
                    self.disconnect(node, other);
                }
                self.nodes[node].up = false;
                self.nodes[node].life += 1;
                self.nodes[node].commits.lock().unwrap().clear();
                if forget {
                    self.nodes[node].replica.forget_cursors();
                }
            }
            Happening::Restart { node } => self.restart(node),
            Happening::Write { node, documents } => {
                self.nodes[node].replica.write(documents);
                self.drain_commits(node);
            }
        }
    }

    fn restart(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        if it.up {
            return;
        }
        (it.core, it.topics) = new_core(&it.replica, &it.interest, it.compare_from);
        if self.offers_off {
            it.core.switch_offers_off();
        }
        (it.seen, it.up) = (BTreeSet::new(), true);
        for (a, b) in self.links() {
            if a == node || b == node {
                self.connect(a, b);
            }
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let link = self.links.get_mut(&(a.min(b), a.max(b))).unwrap();
        if link.0.is_some() || !self.nodes[a].up || !self.nodes[b].up {
            return;
        }
        link.0 = Some(self.next_link);
        self.next_link += 1;
        self.feed(a, Event::Connected(peer(b)));
        self.feed(b, Event::Connected(peer(a)));
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        let Some(link) = self.links.get_mut(&(a.min(b), a.max(b))) else {
            return;
        };
        if link.0.take().is_some() {
            self.feed(a, Event::Disconnected(peer(b)));
            self.feed(b, Event::Disconnected(peer(a)));
        }
    }

    fn drain_commits(&mut self, node: usize) {
        let commits: Vec<_> = self.nodes[node].commits.lock().unwrap().drain(..).collect();
        if self.nodes[node].up {
            let life = self.nodes[node].life;
            for commit in commits {
                self.schedule(self.now + 1, Happening::Committed { node, life, commit });
            }
        }
    }

    fn feed(&mut self, node: usize, event: Event) {
        let effects = self.nodes[node].core.handle(event, Millis(self.now));
        for effect in effects {
            self.carry_out(node, effect);
        }
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        let life = self.nodes[node].life;
        match effect {
            Effect::Send(to, message) => self.send(node, index(&to), message),
            Effect::Close(to, code) => {
                self.closes.push(code);
                self.disconnect(node, index(&to));
                self.schedule(
                    self.now + 500,
                    Happening::Join {
                        a: node,
                        b: index(&to),
                    },
                );
            }
            Effect::Closed(..) | Effect::Renewed(..) => {}
            Effect::Ask(id, request) => {
                let done = self.nodes[node].worker_free.max(self.now) + self.random.below(4);
                self.nodes[node].worker_free = done;
                self.schedule(
                    done,
                    Happening::Execute {
                        node,
                        life,
                        id,
                        request,
                    },
                );
            }
            Effect::Publish(collection, payload) => {
                self.nodes[node].seen.insert(FloodId::of(&payload));
                self.spread(node, None, &collection, &payload);
            }
            Effect::Subscribe(collection) => {
                self.nodes[node].topics.insert(collection);
            }
            Effect::Judge {
                source,
                id,
                verdict,
            } => {
                let held = self.nodes[node].held.remove(&id);
                if let (Verdict::Accept, Some((collection, payload))) = (verdict, held) {
                    self.spread(node, Some(index(&source)), &collection, &payload);
                }
            }
            Effect::SetTimer(timer, at) => {
                self.schedule(at.0, Happening::Timer { node, life, timer })
            }
            Effect::Note(note) => self.notes.push(note),
        }
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let frame = encode_frame(&message);
        assert!(
            frame.len() <= crate::limits::FRAME_BYTES_MAX + 4,
            "an honest frame is within the limit"
        );
        if self.keep_sent {
            self.sent.push((from, to, message));
        }
        let latency = 1 + self.random.below(20);
        let (open, last) = self.links.get_mut(&(from.min(to), from.max(to))).unwrap();
        let Some(link) = *open else { return };
        let at = (self.now + latency).max(last[usize::from(from > to)]);
        last[usize::from(from > to)] = at;
        self.schedule(
            at,
            Happening::Deliver {
                from,
                to,
                link,
                frame,
            },
        );
    }

    fn spread(
        &mut self,
        from: usize,
        except: Option<usize>,
        collection: &CollectionName,
        payload: &Bytes,
    ) {
        for to in 0..self.nodes.len() {
            let connected = self
                .links
                .get(&(from.min(to), from.max(to)))
                .is_some_and(|link| link.0.is_some());
            if connected && Some(to) != except && !self.random.percent(self.gossip_loss_percent) {
                self.gossip_messages += 1;
                let at = self.now + 1 + self.random.below(60);
                let (collection, payload) = (collection.clone(), payload.clone());
                self.schedule(
                    at,
                    Happening::Gossip {
                        from,
                        to,
                        collection,
                        payload,
                    },
                );
            }
        }
    }
}

/// A core over a replica, and the topics it subscribes to first.
fn new_core(
    replica: &Arc<MemoryReplica>,
    interest: &Interest,
    compare_from: u64,
) -> (Core, BTreeSet<CollectionName>) {
    let feed = replica.feed().unwrap();
    let collections = replica.collections().unwrap();
    let mut config = CoreConfig::new(feed, collections, interest.clone(), [7; 32]);
    config.compare_from = compare_from;
    let (core, effects) = Core::new(config);
    let topics = effects.into_iter().map(|effect| match effect {
        Effect::Subscribe(collection) => collection,
        other => panic!("{other:?}"),
    });
    (core, topics.collect())
}
