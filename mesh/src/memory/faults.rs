//! What simulations and tests do to the reference replica: it loses something, goes back to an earlier state, tells what has
//! arrived.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    MemoryReplica,
    document::Document,
    proof::{self, CertificateName},
};
use crate::replica::{ChangeHash, Cursor, DocumentKey, FeedId, Interest};

/// What a replica held at some time.
pub struct Checkpoint {
    last: u64,
    documents: BTreeMap<DocumentKey, Document>,
    feed: BTreeMap<u64, DocumentKey>,
    cursors: BTreeMap<(FeedId, Interest), Cursor>,
    certificates: BTreeMap<CertificateName, Bytes>,
}

impl MemoryReplica {
    /// Loses all cursors, as a store that keeps them lazily may at a crash.
    pub fn forget_cursors(&self) {
        self.state().cursors.clear();
    }

    /// Loses the certificates of others.
    pub fn forget_certificates(&self) {
        let mut state = self.state();
        let author = state.author;
        state.certificates.retain(|name, _| *name == author);
    }

    /// Accepts no certificate of the author whose feed this is, as a store that trusts other issuers.
    pub fn distrust(&self, feed: FeedId) {
        let name = proof::certificate(feed).name;
        let mut state = self.state();
        state.certificates.remove(&name);
        state.distrusted.insert(name);
    }

    /// What it holds now.
    pub fn checkpoint(&self) -> Checkpoint {
        let state = self.state();
        Checkpoint {
            last: state.last,
            documents: state.documents.clone(),
            feed: state.feed.clone(),
            cursors: state.cursors.clone(),
            certificates: state.certificates.clone(),
        }
    }

    /// Goes back to what it held, as a store does that lost its last writes in a crash or comes from a backup. Its feed is
    /// a new one, since numbers of the old one may be known elsewhere, and so is the author of what is written from now on.
    pub fn roll_back(&self, checkpoint: Checkpoint, feed: FeedId) {
        let own = proof::certificate(feed);
        let mut state = self.state();
        state.id = feed;
        state.last = checkpoint.last;
        state.documents = checkpoint.documents;
        state.feed = checkpoint.feed;
        state.cursors = checkpoint.cursors;
        state.certificates = checkpoint.certificates;
        state.author = own.name;
        state.certificates.insert(own.name, own.bytes);
    }

    /// Keeps from now on which changes come to be here, for [`MemoryReplica::take_arrivals`].
    pub fn keep_arrivals(&self) {
        self.state().arrivals.get_or_insert_default();
    }

    /// The changes that have come to be here since the last call, each once, in order.
    pub fn take_arrivals(&self) -> Vec<(DocumentKey, ChangeHash)> {
        let mut state = self.state();
        state
            .arrivals
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Applies changes also where those that they build on are missing, to show that the tests notice.
    #[cfg(test)]
    pub(crate) fn take_in_without_dependencies(&self) {
        self.state().takes_in_without_dependencies = true;
    }
}
