//! Between libp2p's names and the core's.

use libp2p::PeerId;

use crate::replica::PeerKey;

impl From<PeerId> for PeerKey {
    fn from(peer: PeerId) -> Self {
        Self::new(&peer.to_bytes())
    }
}

impl PeerKey {
    /// The libp2p peer id, when the key is one (in a mesh it always is).
    pub fn to_peer_id(&self) -> Option<PeerId> {
        PeerId::from_bytes(self.as_bytes()).ok()
    }
}

/// The end of a peer id, for logs: the beginning is the same for all.
pub(super) fn short(peer: &PeerId) -> String {
    let text = peer.to_base58();
    text.get(text.len().saturating_sub(8)..)
        .unwrap_or(&text)
        .to_owned()
}

/// An error with its causes, without repetitions.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
