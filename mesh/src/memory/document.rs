//! Documents as grow-only sets of opaque changes, and their changes as bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::proof::CertificateName;
use crate::replica::ChangeHash;

/// A document.
#[derive(Clone, Default)]
pub(super) struct Document {
    /// All changes, ancestors first.
    pub changes: Vec<Change>,
    /// Where each change stands.
    pub positions: BTreeMap<ChangeHash, usize>,
    pub heads: BTreeSet<ChangeHash>,
    /// Where it stands in the feed.
    pub sequence: u64,
}

/// A change: what it builds on, the name of its author's certificate, and content that nobody looks at. Its hash is
/// BLAKE3 of its bytes.
#[derive(Clone)]
pub(super) struct Change {
    pub hash: ChangeHash,
    pub deps: Vec<ChangeHash>,
    pub author: CertificateName,
    pub bytes: Bytes,
}

impl Document {
    /// Adds changes that are not here yet and returns their bytes; `None`, and adds nothing, when one of
    /// them builds on a change that is neither here nor before it.
    pub fn ingest(&mut self, changes: Vec<Change>) -> Option<Bytes> {
        let mut staged = BTreeSet::new();
        for change in &changes {
            if !change
                .deps
                .iter()
                .all(|dep| self.positions.contains_key(dep) || staged.contains(dep))
            {
                return None;
            }
            staged.insert(change.hash);
        }
        Some(self.ingest_unchecked(changes))
    }

    /// Adds changes that are not here yet, whatever they build on, and returns their bytes.
    pub fn ingest_unchecked(&mut self, changes: Vec<Change>) -> Bytes {
        let mut new = BytesMut::new();
        for change in changes {
            if !self.positions.contains_key(&change.hash) {
                new.put_slice(&change.bytes);
                self.add(change);
            }
        }
        new.freeze()
    }

    pub fn add(&mut self, change: Change) {
        for dep in &change.deps {
            self.heads.remove(dep);
        }
        self.heads.insert(change.hash);
        self.positions.insert(change.hash, self.changes.len());
        self.changes.push(change);
    }

    /// The changes that are not in the ancestry of `have`, ancestors first.
    pub fn changes_beyond<'a>(&'a self, have: &[ChangeHash]) -> impl Iterator<Item = &'a Change> {
        let mut covered = BTreeSet::new();
        let mut open: Vec<ChangeHash> = have.to_vec();
        while let Some(hash) = open.pop() {
            let change = self
                .positions
                .get(&hash)
                .and_then(|position| self.changes.get(*position));
            if let Some(change) = change
                && covered.insert(hash)
            {
                open.extend(&change.deps);
            }
        }
        self.changes
            .iter()
            .filter(move |change| !covered.contains(&change.hash))
    }
}

impl Change {
    pub fn new(deps: Vec<ChangeHash>, author: CertificateName, content: &[u8]) -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_u32(u32::try_from(deps.len()).unwrap_or(u32::MAX));
        deps.iter().for_each(|dep| bytes.put_slice(&dep.0));
        bytes.put_slice(&author);
        bytes.put_u32(u32::try_from(content.len()).unwrap_or(u32::MAX));
        bytes.put_slice(content);
        let bytes = bytes.freeze();
        Self {
            hash: ChangeHash(*blake3::hash(&bytes).as_bytes()),
            deps,
            author,
            bytes,
        }
    }

    /// Takes one change off the front.
    fn take(bytes: &mut Bytes) -> Option<Self> {
        let whole = bytes.clone();
        let count = bytes.try_get_u32().ok()?;
        let mut deps = Vec::new();
        for _ in 0..count {
            let mut hash = [0; 32];
            bytes.try_copy_to_slice(&mut hash).ok()?;
            deps.push(ChangeHash(hash));
        }
        let mut author = CertificateName::default();
        bytes.try_copy_to_slice(&mut author).ok()?;
        let content_bytes = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
        if bytes.len() < content_bytes {
            return None;
        }
        bytes.advance(content_bytes);
        let own = whole.slice(..whole.len() - bytes.len());
        Some(Self {
            hash: ChangeHash(*blake3::hash(&own).as_bytes()),
            deps,
            author,
            bytes: own,
        })
    }
}

/// The changes of a payload, at least one; `None` when it is malformed.
pub(super) fn decode_changes(mut payload: Bytes) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !payload.is_empty() {
        changes.push(Change::take(&mut payload)?);
    }
    (!changes.is_empty()).then_some(changes)
}
