//! What a core wants, carried out.

use super::{World, happening::Happening, index};
use crate::proto::{Effect, Event, Verdict};

impl World {
    /// Hands an event to a core and carries out what it wants.
    pub(super) fn feed(&mut self, node: usize, event: Event) {
        let now = self.nodes[node].clock(self.now);
        for effect in self.nodes[node].core.handle(event, now) {
            self.carry_out(node, effect);
        }
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Send(to, message) => self.send(node, index(&to), message),
            Effect::Close(to, code) => {
                self.note(node, "close", code.to_string().as_bytes());
                self.closes.push(code);
                self.reconnect(node, index(&to));
            }
            Effect::Closed(..) | Effect::Renewed(..) => {}
            Effect::Ask(id, request) => self.ask(node, id, request),
            Effect::Publish(collection, payload) => self.publish(node, &collection, &payload),
            Effect::Subscribe(collection) => self.subscribe(node, collection),
            Effect::Judge {
                source,
                id,
                verdict,
            } => {
                let held = self.gossip.release(node, &id);
                if let (Verdict::Accept, Some((collection, payload))) = (verdict, held) {
                    self.spread(node, Some(index(&source)), &collection, &payload);
                }
            }
            Effect::SetTimer(timer, at) => {
                let (life, skew_ms) = (self.nodes[node].life, self.nodes[node].skew_ms);
                let at = at.0.saturating_sub(skew_ms);
                self.schedule(at, Happening::Timer { node, life, timer });
            }
            Effect::Note(note) => self.notes.push(note),
        }
    }
}
