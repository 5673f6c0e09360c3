//! Seals what this device has written, off the path of its writers: only what is sealed leaves it.
//!
//! A thread walks the feed behind what is sealed, up to the newest published commit, which is durable. Of each document
//! with own changes there it takes the newest one, since a seal covers what its actor made before. What it signs it stores
//! as a writer among others. That needs no sync of its own: should it be lost, the changes are sealed again.

use super::super::commit::Origin;
use super::super::error::StoreError;
use super::super::incarnation::Incarnation;
use super::super::reconcile::Changed;
use super::super::schema::{
    FEED, META, META_INCARNATIONS, META_SEALED, META_SET_ASIDE, PROOFS, STATES,
};
use super::super::source::Source;
use super::super::view::View;
use super::super::{Inner, Store};
use super::authority::Own;
use super::kept::{KeptSeal, StagedSeals};
use crate::document::Aside;
use crate::limits::{SEAL_DOCUMENTS_MAX, SEAL_PAUSE_MS, SEAL_SCAN_MAX};
use crate::record::{DocumentKey, OwnChange, SET_ASIDE};
use crate::seal::{Proof, Proofs, leaf};
use parking_lot::Mutex;
use sedge_identity::{ActorName, SEAL_CHANGES_MAX, Seal, SealTerms};
use std::any::Any;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// After a failure, as of a full disk, or while the certificate does not count.
const PAUSE_FAILED: Duration = Duration::from_secs(5);

/// The thread that seals. Dropped, it waits for the end of the current round.
#[derive(Default)]
pub(in crate::store) struct Sealer {
    thread: Mutex<Option<(JoinHandle<()>, Arc<Inner>)>>,
}

/// A document with own changes that are not sealed.
struct Unsealed {
    key: DocumentKey,
    collection: Arc<str>,
    changes: Vec<OwnChange>,
    /// Nothing was ever proven of it.
    is_first: bool,
}

/// What a walk through the feed has found.
struct Found {
    documents: Vec<Unsealed>,
    /// Those that this device's certificate does not let it write.
    set_aside: Vec<DocumentKey>,
    up_to: u64,
    /// The newest transaction that it has seen.
    seen_to: u64,
}

/// A seal with the changes that are its leaves.
struct Made<'a> {
    seal: KeptSeal,
    actor: ActorName,
    changes: Vec<(&'a Unsealed, &'a OwnChange)>,
}

impl Sealer {
    pub(in crate::store) fn start(&self, store: &Arc<Inner>) {
        let mut thread = self.thread.lock();
        if thread.is_some() {
            return;
        }
        let inner = Arc::clone(store);
        let named = std::thread::Builder::new().name("sedge-seal".to_owned());
        match named.spawn(move || inner.seal_until_stopped()) {
            Ok(started) => *thread = Some((started, Arc::clone(store))),
            Err(error) => {
                tracing::error!(%error, "nothing is sealed, so nothing leaves: no thread can be started");
            }
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        if let Some((thread, store)) = self.thread.lock().take() {
            store.release.stop();
            if thread.join().is_err() {
                tracing::error!("the thread that seals has panicked");
            }
        }
    }
}

impl Store {
    /// Seals what this device has written so far, and returns when that may leave it.
    ///
    /// # Errors
    /// The device is not certified, its certificate does not count now, or the database fails.
    pub fn seal(&self) -> Result<(), StoreError> {
        while self.0.has_unsealed() {
            self.0.seal_some()?;
        }
        Ok(())
    }
}

impl Inner {
    fn seal_until_stopped(&self) {
        while self.release.wait_for_work() {
            let pause = self.attempt(|| self.seal_some());
            self.release.rest(pause);
        }
    }

    /// A round of sealing, which may fail or panic: then that is told, and tried again. How long to rest after it.
    fn attempt(&self, round: impl FnOnce() -> Result<(), StoreError>) -> Duration {
        let reason = match catch_unwind(AssertUnwindSafe(round)) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(format!("a defect of Sedge: {}", panic_text(&*panic))),
        };
        let pause = match reason {
            None => Duration::from_millis(SEAL_PAUSE_MS),
            Some(_) => PAUSE_FAILED,
        };
        let told = reason.clone().unwrap_or_default();
        if self.release.set_failure(reason) && !told.is_empty() {
            tracing::warn!(reason = %told, "changes of this device stay here for now: they are not sealed");
        }
        pause
    }

    /// Seals what some of the feed behind the sealed part leads to.
    fn seal_some(&self) -> Result<(), StoreError> {
        let mut last_ms = self.sealing.lock(); // one round at a time
        let own = self.authority.own()?;
        let found = self.unsealed(&own, self.release.sealed_to())?;
        let time_ms = u64::try_from(self.now_ms()).unwrap_or(0).max(*last_ms + 1);
        if !found.documents.is_empty() {
            own.certified.author.was_valid_at(time_ms)?;
        }
        let made = self.sign(&own, &found.documents, time_ms)?;
        self.keep_seals(&found, &made, time_ms)?;
        *last_ms = time_ms;
        self.tell_set_aside(&found.set_aside);
        self.release.sealed(found.up_to);
        Ok(())
    }

    fn tell_set_aside(&self, keys: &[DocumentKey]) {
        let Some(first) = keys.first() else {
            return;
        };
        let collection = self.view().catalog().name(first.collection);
        tracing::warn!(
            documents = keys.len(),
            collection = %collection.unwrap_or_default(),
            first_id = %first.id,
            "this device's certificate does not let it write documents that it had written: others would not accept the changes, \
             so they stay here"
        );
    }

    fn unsealed(&self, own: &Own, sealed_to: u64) -> Result<Found, StoreError> {
        let view = self.view();
        let mut found = Found {
            documents: Vec::new(),
            set_aside: Vec::new(),
            up_to: sealed_to,
            seen_to: view.transaction_id(),
        };
        let start = sealed_to.saturating_add(1).to_be_bytes();
        let mut entries = view.reads().entries_from(FEED, &start)?;
        for _ in 0..SEAL_SCAN_MAX {
            if found.documents.len() >= SEAL_DOCUMENTS_MAX {
                return Ok(found);
            }
            let Some(entry) = entries.next() else {
                found.up_to = sealed_to.max(view.transaction_id());
                return Ok(found);
            };
            let (sequence, key) = entry?;
            found.add(&view, own, sealed_to, &key)?;
            if let Ok(sequence) = <[u8; 8]>::try_from(&*sequence) {
                found.up_to = u64::from_be_bytes(sequence);
            }
        }
        Ok(found)
    }

    /// Signs the changes, in batches of one collection and incarnation.
    fn sign<'a>(
        &self,
        own: &Own,
        documents: &'a [Unsealed],
        time_ms: u64,
    ) -> Result<Vec<Made<'a>>, StoreError> {
        let mut batches: BTreeMap<(u32, u32), Vec<(&Unsealed, &OwnChange)>> = BTreeMap::new();
        for document in documents {
            for change in &document.changes {
                let batch = (document.key.collection, change.incarnation);
                batches.entry(batch).or_default().push((document, change));
            }
        }
        let mut made = Vec::new();
        for ((collection, incarnation), changes) in batches {
            let incarnation = self.incarnation_name(incarnation)?;
            for changes in changes.chunks(SEAL_CHANGES_MAX) {
                let Some((first, _)) = changes.first() else {
                    continue;
                };
                let leaves = changes
                    .iter()
                    .map(|(document, change)| leaf(&document.key.id, &change.hash));
                let leaves: Vec<_> = leaves.collect();
                let terms = SealTerms {
                    app: &self.app,
                    collection: &first.collection,
                    certificate: own.name,
                    incarnation,
                    time_ms,
                };
                let seal = Seal::sign(own.identity.key(), terms, &leaves)?;
                made.push(Made {
                    seal: KeptSeal::new(collection, seal, leaves),
                    actor: ActorName::of(&self.device, incarnation),
                    changes: changes.to_vec(),
                });
            }
        }
        Ok(made)
    }

    fn incarnation_name(&self, number: u32) -> Result<sedge_identity::Incarnation, StoreError> {
        let key = [META_INCARNATIONS, &number.to_le_bytes()].concat();
        Incarnation::read_name(&self.database.meta(&key)?)
    }

    /// Puts the seals and the proofs of documents by them into the database.
    fn keep_seals(&self, found: &Found, made: &[Made<'_>], time_ms: u64) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let reads = self.database.newest();
        let mut batch = self.database.batch();
        let mut seals = StagedSeals::default();
        let mut proofs: BTreeMap<Vec<u8>, Proofs> = BTreeMap::new();
        // What came of a document meanwhile has brought proofs of its own; what was written here has not.
        let is_as_seen = writer.arrived <= found.seen_to;
        for Made {
            seal,
            actor,
            changes,
        } in made
        {
            let name = seal.seal.name();
            for (index, (document, change)) in (0..).zip(changes) {
                let is_new = document.is_first && is_as_seen;
                let beside = match proofs.entry(document.key.bytes()) {
                    Entry::Occupied(there) => there.into_mut(),
                    Entry::Vacant(space) if is_new => space.insert(Proofs::default()),
                    Entry::Vacant(space) => {
                        let there = reads.proofs(space.key())?;
                        space.insert(there)
                    }
                };
                beside.make_room(change.bytes as usize);
                let place = (name, index);
                let of = (*actor, change.seq, &change.hash);
                let proof = Proof::new(of, place, change.bytes as usize, Vec::new());
                // Of an actor that has made two changes with one number all proofs are kept.
                let aside = match is_new {
                    true => Aside::default(),
                    false => reads.aside(&document.key)?,
                };
                let is_one_chain = !aside.has_of(&actor.0);
                seals.add(beside, proof, seal.given(), is_one_chain, reads)?;
            }
        }
        seals.write(&mut batch);
        for (key, proofs) in proofs {
            batch.put(PROOFS, &key, proofs.encode());
        }
        for key in &found.set_aside {
            let bytes = key.bytes();
            if let Some(mut state) = reads.state(key)? {
                state.own_sequence = SET_ASIDE;
                batch.put(STATES, &bytes, state.bytes());
                batch.put(META, &[META_SET_ASIDE, &bytes].concat(), []);
            }
        }
        // As `Release::sealed`: what others' commits have brought since needs no more.
        let sealed_to = match found.up_to >= writer.own_to {
            true => writer.sequence,
            false => found.up_to.max(writer.sealed_to),
        };
        let mut sums = Changed::new(&self.app);
        for Unsealed {
            key, collection, ..
        } in &found.documents
        {
            // Written again meanwhile, it has the same sealed heads as before.
            if let Some(state) = reads.state(key)? {
                let heads = [writer.sealed_to, sealed_to].map(|to| state.sealed_heads(to));
                sums.document(collection, key, heads, &mut batch);
            }
        }
        sums.write(&mut batch);
        batch.put(META, META_SEALED, sealed_bytes(sealed_to, time_ms));
        batch.write_unsynced()?;
        self.sums.add(&sums);
        writer.sealed_to = sealed_to;
        self.serve(writer);
        self.group.hand_over();
        Ok(())
    }

    pub(in crate::store) fn set_aside(&self) -> Result<Vec<DocumentKey>, StoreError> {
        let entries = self.database.newest().entries_from(META, META_SET_ASIDE)?;
        let mut keys = Vec::new();
        for entry in entries {
            let (key, _) = entry?;
            let Some(key) = key.strip_prefix(META_SET_ASIDE) else {
                break;
            };
            keys.extend(DocumentKey::stored(key));
        }
        Ok(keys)
    }

    /// Under a new certificate: what was set aside is to be sealed after all, where that lets it.
    pub(in crate::store) fn retry_set_aside(&self, own: &Own) -> Result<(), StoreError> {
        let mut keys = self.set_aside()?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut transaction = self.transaction();
        keys.retain(|key| {
            let name = transaction.catalog.name(key.collection);
            name.is_some_and(|name| own.certified.access.may_write(&name, &key.id).is_ok())
        });
        for key in &keys {
            transaction.touch(key.clone())?;
        }
        transaction.commit(Origin::Local).map(drop)
    }
}

impl Found {
    fn add(
        &mut self,
        view: &View,
        own: &Own,
        sealed_to: u64,
        key: &[u8],
    ) -> Result<(), StoreError> {
        let Some(key) = DocumentKey::stored(key) else {
            return Ok(());
        };
        let state = match view.reads().state(&key) {
            // Nothing of it can leave. The damage is told when its changes are asked for.
            Err(StoreError::Damaged { .. }) => return Ok(()),
            state => state?.unwrap_or_default(),
        };
        let collection = view.catalog().name(key.collection);
        let Some(collection) = collection.filter(|_| state.is_unsealed(sealed_to)) else {
            return Ok(());
        };
        if state.own_sequence == SET_ASIDE {
            return Ok(());
        }
        if own
            .certified
            .access
            .may_write(&collection, &key.id)
            .is_err()
        {
            self.set_aside.push(key);
            return Ok(());
        }
        let is_first = state.own_seq == 1 && state.known.is_empty() && state.earlier.is_empty();
        let mut changes = state.earlier.clone();
        changes.extend(state.unsealed_head());
        self.documents.push(Unsealed {
            key,
            collection,
            changes,
            is_first,
        });
        Ok(())
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

/// The record of how far the feed is sealed.
pub(in crate::store) fn sealed_bytes(sealed_to: u64, time_ms: u64) -> Vec<u8> {
    [sealed_to.to_le_bytes(), time_ms.to_le_bytes()].concat()
}

/// `None` when the bytes are no such record.
pub(in crate::store) fn read_sealed(bytes: &[u8]) -> Option<(u64, u64)> {
    let [sealed_to, time_ms] = bytes.as_chunks::<8>().0 else {
        return None;
    };
    Some((u64::from_le_bytes(*sealed_to), u64::from_le_bytes(*time_ms)))
}

#[cfg(test)]
mod tests;
