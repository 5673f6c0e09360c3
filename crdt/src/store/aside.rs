//! What is set aside of documents in which changes of a copied device's stores meet, and whose device that is.

use super::Store;
use super::database::{Batch, damaged};
use super::entry::{Entry, Grown};
use super::error::StoreError;
use super::incarnation::Incarnation;
use super::reads::Reads;
use super::schema::{ASIDE, DocumentKey, META, META_FEED, META_FORKED, META_INCARNATIONS, PROOFS};
use super::source::Source;
use super::transaction::{ArrivingSeals, Transaction};
use crate::document::{Aside, Resolved};
use crate::random::random;
use automerge::Change;
use sedge_identity::{ActorName, Author, CertificateChain, PublicKey};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A device whose state folder was copied: two stores write as it, or have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its name by its certificate, for people.
    pub name: String,
    /// Its key; `None` of a device whose certificate is gone.
    pub device: Option<PublicKey>,
}

/// The devices by their actors.
pub(super) type Known = HashMap<[u8; 16], Copied>;

/// Whose changes a document has, found out once somebody asks.
pub(super) struct Devices<'a> {
    transaction: &'a Transaction<'a>,
    key: &'a DocumentKey,
    entry: &'a Entry,
    sealed: &'a ArrivingSeals<'a>,
    known: OnceCell<Known>,
    failed: RefCell<Option<StoreError>>,
}

/// What a transaction finds out about copied devices.
#[derive(Default)]
pub(super) struct Forks {
    /// By actor.
    copied: BTreeMap<[u8; 16], Copied>,
    /// This store's new feed, if it is one of the copies: neighbours may have read the other's under the old name.
    pub(super) feed: Option<[u8; 16]>,
}

impl<'a> Devices<'a> {
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        key: &'a DocumentKey,
        entry: &'a Entry,
        sealed: &'a ArrivingSeals<'a>,
    ) -> Self {
        Self {
            transaction,
            key,
            entry,
            sealed,
            known: OnceCell::new(),
            failed: RefCell::default(),
        }
    }

    /// The key of the device behind an actor; of one that nothing is known of what stands for it alone.
    pub(super) fn key_of(&self, actor: &[u8; 16]) -> [u8; 32] {
        let known = self.known.get_or_init(|| {
            self.find().unwrap_or_else(|error| {
                *self.failed.borrow_mut() = Some(error);
                Known::default()
            })
        });
        match known.get(actor).and_then(|copied| copied.device) {
            Some(device) => *device.as_bytes(),
            None => {
                let mut unknown = [0; 32];
                for (to, from) in unknown.iter_mut().zip(actor) {
                    *to = *from;
                }
                unknown
            }
        }
    }

    /// What was found out, if anybody has asked.
    pub(super) fn into_known(self) -> Result<Known, StoreError> {
        match self.failed.into_inner() {
            Some(error) => Err(error),
            None => Ok(self.known.into_inner().unwrap_or_default()),
        }
    }

    fn find(&self) -> Result<Known, StoreError> {
        let (store, reads) = (self.transaction.store(), self.transaction.reads());
        let mut known = Known::new();
        let stored;
        let proofs = match &self.entry.proofs {
            Some(proofs) => proofs,
            None => {
                stored = reads.proofs(&self.key.bytes())?;
                &stored
            }
        };
        for proof in proofs.iter().filter(|_| !self.entry.is_new()) {
            let seals = &self.transaction.seals;
            let name = seals.certificate_of(&proof.seal, reads)?;
            let name = name.ok_or_else(|| damaged(PROOFS.as_bytes()))?;
            if let Some(chain) = reads.certificate(&name)? {
                known.insert(proof.actor.0, Copied::of(&chain)?);
            }
        }
        for proven in self.sealed.grounds.proven {
            known.insert(proven.actor.0, Copied::by(&proven.certified.author));
        }
        let own = store.authority.own()?;
        let own = Copied::by(&own.certified.author);
        for entry in reads.entries_from(META, META_INCARNATIONS)? {
            let (key, incarnation) = entry?;
            if !key.starts_with(META_INCARNATIONS) {
                break;
            }
            let incarnation = Incarnation::read_name(&incarnation)?;
            let actor = ActorName::of(&store.device, incarnation);
            known.insert(actor.0, own.clone());
        }
        Ok(known)
    }
}

impl Copied {
    fn by(author: &Author) -> Self {
        Self {
            name: author.device_name().to_owned(),
            device: Some(author.subject()),
        }
    }

    fn of(chain: &CertificateChain) -> Result<Self, StoreError> {
        let (certificate, _) = chain.first().open()?;
        Ok(Self {
            name: certificate.name,
            device: Some(certificate.subject),
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let device = self.device.map_or([0; 32], |device| *device.as_bytes());
        [&device[..], self.name.as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let (device, name) = bytes
            .split_first_chunk::<32>()
            .ok_or_else(|| damaged(META_FORKED))?;
        Ok(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            device: PublicKey::from_bytes(*device).ok(),
        })
    }

    fn peer(&self) -> String {
        let device = self.device.as_ref();
        device.map_or_else(|| "unknown".to_owned(), |it| it.peer_id().to_string())
    }
}

impl Transaction<'_> {
    /// What is set aside of a document.
    pub(super) fn aside(&self, key: &DocumentKey, entry: &Entry) -> Result<Arc<Aside>, StoreError> {
        match &entry.aside {
            Some(aside) => Ok(Arc::clone(aside)),
            None if entry.is_new() => Ok(Arc::default()),
            None => self.reads().aside(key).map(Arc::new),
        }
    }

    /// A document becomes what counts of it.
    pub(super) fn resolve(
        &mut self,
        key: DocumentKey,
        mut entry: Entry,
        grown: Grown,
        resolved: Resolved,
        devices: &Known,
    ) -> Result<(), StoreError> {
        for fork in &resolved.forks {
            self.note(&key, fork.actor, devices.get(&fork.actor))?;
        }
        // What this device writes next does not build on what is set aside, so it can't go on counting from there.
        if resolved.aside.has_of(self.writer().actor.to_bytes()) {
            self.renew()?;
        }
        let chunks = Vec::new();
        entry.grow(Grown { chunks, ..grown });
        entry.resolve(resolved);
        self.stage_entry(key, entry);
        Ok(())
    }

    /// Draws a new incarnation and a new feed if changes came that were made under this store's present name and not
    /// here: then another store has the same name, and neighbours may have read its feed for this one's.
    pub(super) fn renew_if_copied(
        &mut self,
        key: &DocumentKey,
        arrived: &[Change],
    ) -> Result<(), StoreError> {
        let own = &self.writer().actor;
        let mut arrived = arrived.iter().map(Change::actor_id);
        if !arrived.any(|actor| actor == own) {
            return Ok(());
        }
        if let Ok(actor) = <[u8; 16]>::try_from(own.to_bytes()) {
            let certified = &self.store().authority.own()?.certified;
            let device = Copied::by(&certified.author);
            self.note(key, actor, Some(&device))?;
        }
        if self.forks.feed.is_none() {
            self.forks.feed = Some(random()?);
        }
        self.renew()
    }

    fn renew(&mut self) -> Result<(), StoreError> {
        if self.renewed.is_none() {
            self.renewed = Some(self.writer().incarnation.next()?);
        }
        Ok(())
    }

    /// Warns of a device, once for each of its actors.
    fn note(
        &mut self,
        key: &DocumentKey,
        actor: [u8; 16],
        device: Option<&Copied>,
    ) -> Result<(), StoreError> {
        let name = [META_FORKED, &actor].concat();
        if self.forks.copied.contains_key(&actor) || self.reads().get(META, &name)?.is_some() {
            return Ok(());
        }
        let copied = device.cloned().unwrap_or_else(|| Copied {
            name: "unknown".to_owned(),
            device: None,
        });
        tracing::warn!(
            device = %copied.name,
            peer = %copied.peer(),
            id = %key.id,
            "two stores write as one device: its state folder was copied or set back, or it deceives. Where both wrote the same \
             document one variant counts, the other is kept aside. Stop one of the two, and enrol it anew with a key of its own; \
             to move a device, restore a backup"
        );
        self.forks.copied.insert(actor, copied);
        Ok(())
    }

    /// Notes in the batch what was found out about copied devices.
    pub(super) fn store_forks(&self, batch: &mut Batch<'_>) {
        for (actor, copied) in &self.forks.copied {
            batch.put(META, &[META_FORKED, actor].concat(), copied.bytes());
        }
        if let Some(feed) = self.forks.feed {
            batch.put(META, META_FEED, feed);
        }
    }
}

impl Reads<'_> {
    /// What is set aside of the document under a key.
    pub(super) fn aside(self, key: &DocumentKey) -> Result<Aside, StoreError> {
        match self.get(ASIDE, &key.bytes())? {
            Some(bytes) => {
                Aside::decode(&bytes).map_err(|error| StoreError::damaged_document(&key.id, &error))
            }
            None => Ok(Aside::default()),
        }
    }
}

impl Store {
    /// The devices as which two stores were found to write, by what came of their changes: one entry for each of their
    /// incarnations that did.
    ///
    /// # Errors
    /// The database fails.
    pub fn copied(&self) -> Result<Vec<Copied>, StoreError> {
        let entries = self.0.database.newest().entries_from(META, META_FORKED)?;
        let mut copied = Vec::new();
        for entry in entries {
            let (key, bytes) = entry?;
            if !key.starts_with(META_FORKED) {
                break;
            }
            copied.push(Copied::read(&bytes)?);
        }
        Ok(copied)
    }
}
