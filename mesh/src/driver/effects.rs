//! Executes what the core wants.

use std::{fmt, time::Duration};

use bytes::Bytes;
use libp2p::{
    PeerId,
    gossipsub::{IdentTopic, MessageAcceptance, PublishError},
    swarm::NetworkBehaviour,
};
use tokio::time::Instant;

use super::{names::short, run::Driver};
use crate::{
    proto::{CloseCode, Effect, Event, Message, Note, Verdict, topic_name},
    replica::{CollectionName, PeerKey},
};

impl<B> Driver<B>
where
    B: NetworkBehaviour + Send + 'static,
    B::ToSwarm: std::fmt::Debug + Send + 'static,
{
    /// Executes an effect; returns what is to be told to the core at once.
    pub fn execute(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Send(peer, message) => return self.send(peer, message),
            Effect::Close(peer, code) => self.close(&peer, code),
            Effect::Closed(peer, code) => {
                if let Some(peer) = peer.to_peer_id() {
                    tracing::info!(peer = %short(&peer), reason = ?code, "the peer ended the sync session");
                    self.drop_stream(&peer);
                }
            }
            Effect::Ask(id, request) => {
                return self
                    .worker
                    .ask(id, request)
                    .map(|(id, answer)| Event::Answered(id, answer));
            }
            Effect::Renewed(peer, chain) => return self.on_renewed(peer, &chain),
            Effect::Publish(collection, payload) => return self.publish(&collection, payload),
            Effect::Subscribe(collection) => self.subscribe(collection),
            Effect::Judge {
                source,
                id,
                verdict,
            } => {
                let acceptance = match verdict {
                    Verdict::Accept => MessageAcceptance::Accept,
                    Verdict::Ignore => MessageAcceptance::Ignore,
                    Verdict::Reject => MessageAcceptance::Reject,
                };
                if let Some(source) = source.to_peer_id()
                    && !self.swarm.behaviour_mut().report(&source, id, acceptance)
                {
                    tracing::debug!("gossip has let go of a message before it was judged");
                }
            }
            Effect::SetTimer(timer, at) => {
                self.timers.insert((at, self.next_timer), timer);
                self.next_timer += 1;
            }
            Effect::Note(note) => self.log(note),
        }
        None
    }

    fn publish(&mut self, collection: &CollectionName, payload: Bytes) -> Option<Event> {
        let topic = IdentTopic::new(topic_name(&self.app, collection));
        match self.swarm.behaviour_mut().gossip.publish(topic, payload) {
            Ok(_) | Err(PublishError::Duplicate) => None,
            Err(error) => {
                self.floods_dropped += 1;
                let dropped = self.floods_dropped;
                tracing::debug!(%collection, %error, dropped, "not flooded; the offers bring it");
                Some(Event::NotFlooded)
            }
        }
    }

    pub fn send(&mut self, peer: PeerKey, message: Message) -> Option<Event> {
        let id = peer.to_peer_id()?;
        let (stream, _) = self.peers.get(&id)?.stream.as_ref()?;
        if stream.send(message) {
            return None;
        }
        tracing::debug!(peer = %short(&id), "the peer does not take its messages; the stream is given up");
        self.drop_stream(&id);
        Some(Event::Disconnected(peer))
    }

    fn close(&mut self, peer: &PeerKey, code: CloseCode) {
        let Some(peer) = peer.to_peer_id() else {
            return;
        };
        if let Some((stream, _)) = self
            .peers
            .get(&peer)
            .and_then(|neighbour| neighbour.stream.as_ref())
            && !stream.send(Message::Close(code))
        {
            tracing::debug!(peer = %short(&peer), "the stream is too full for a goodbye");
        }
        self.drop_stream(&peer);
        if code.is_violation() {
            self.keep_away(peer, code);
        } else {
            tracing::debug!(peer = %short(&peer), reason = %code, "sync session closed");
        }
    }

    /// A peer broke the protocol: its connections are cut, and new ones denied for a while.
    pub fn keep_away(&mut self, peer: PeerId, reason: impl fmt::Display) {
        let (pause, displaced) = self.backoffs.strike(peer, Instant::now());
        tracing::warn!(
            peer = %short(&peer),
            %reason,
            pause_ms = Duration::as_millis(&pause),
            "the peer is kept away for a while"
        );
        if let Some(neighbour) = self.peers.get_mut(&peer) {
            neighbour.open_at = None;
        }
        displaced.into_iter().for_each(|step| self.step(step));
    }

    fn subscribe(&mut self, collection: CollectionName) {
        let topic = IdentTopic::new(topic_name(&self.app, &collection));
        match self.swarm.behaviour_mut().gossip.subscribe(&topic) {
            Ok(_) => drop(self.topics.insert(topic.hash(), collection)),
            Err(error) => {
                tracing::warn!(%collection, %error, "no gossip topic; the offers bring its changes")
            }
        }
    }

    fn log(&mut self, note: Note) {
        match note {
            Note::Rejected {
                peer,
                document,
                reason,
            } => {
                let now_ms = self.now().0;
                if let Some(left_out) = self
                    .rejections
                    .admit((peer.clone(), reason.clone()), now_ms)
                {
                    tracing::warn!(?peer, collection = %document.collection, reason, left_out, "the store rejected changes of a peer");
                }
            }
            Note::StoreFailed { reason } => {
                tracing::error!(reason, "a request of the mesh failed in the store")
            }
            Note::TooManyCollections { collection } => {
                tracing::debug!(%collection, "too many collections to flood this one; the offers bring its changes");
            }
        }
    }
}
