//! The changes of a loaded document, which automerge makes anew from its operations whenever one is asked for.

use super::Node;
use automerge::{Automerge, Change, ChangeHash, ReadDoc};
use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

/// Changes that are asked for one by one. Making one looks through all operations of a document with that number or a
/// replacement of it, so beyond these all changes are made at once.
const SINGLY_MAX: usize = 4;

pub(super) struct History<'a> {
    automerge: &'a Automerge,
    singly: Cell<usize>,
    all: OnceCell<HashMap<ChangeHash, Change>>,
}

impl<'a> History<'a> {
    pub(super) fn new(automerge: &'a Automerge) -> Self {
        Self {
            automerge,
            singly: Cell::new(0),
            all: OnceCell::new(),
        }
    }

    /// The change of a node that was not given.
    pub(super) fn change<'n>(&'n self, node: &'n Node<'_>) -> Option<&'n Change> {
        if let Some(change) = node.made.get() {
            return Some(change);
        }
        if self.singly.get() < SINGLY_MAX {
            self.singly.set(self.singly.get() + 1);
            let change = self.automerge.get_change_by_hash(&node.hash)?;
            return Some(node.made.get_or_init(|| change));
        }
        self.all.get_or_init(|| self.all_changes()).get(&node.hash)
    }

    fn all_changes(&self) -> HashMap<ChangeHash, Change> {
        let changes = self.automerge.get_changes(&[]).into_iter();
        changes.map(|change| (change.hash(), change)).collect()
    }
}
