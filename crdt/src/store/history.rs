//! Statements about the past. A document that has not changed since is read as it is now, one that came later is passed
//! over, both by the times in its state; only the others are built anew from their history.

use super::clock::now_ms;
use super::database::{damaged, decode};
use super::deadline::Deadline;
use super::error::StoreError;
use super::execute::Changed;
use super::reads::Reads;
use super::schema::{DocumentKey, DocumentState, STATES, VALUES};
use super::source::{Source, until_failed};
use super::transaction::Transaction;
use crate::document::{DEVICE_ACTOR_BYTES, Document, History, Moment};
use crate::id::DocumentId;
use crate::query::{self, Filter, Page, PastPoint, Point, Select};
use crate::value::{Encoded, Value};
use automerge::{ActorId, Change, ChangeHash};
use std::collections::{BTreeMap, HashMap};

/// What a statement asks of the past.
pub(super) struct Past<'a> {
    said: &'a PastPoint,
    filter: &'a Filter,
    moment: Moment,
    deadline: &'a Deadline,
}

/// How a document's value at a time is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It is what it is now.
    Now,
    /// There was none.
    Never,
    /// From its history.
    Rebuilt,
}

impl<'a> Past<'a> {
    pub(super) fn new(
        said: &'a PastPoint,
        filter: &'a Filter,
        deadline: &'a Deadline,
    ) -> Result<Self, StoreError> {
        let moment = match said.point(filter)? {
            Point::Time(time_ms) => Moment::Time(time_ms),
            Point::Ago(ago_ms) => Moment::Time(now_ms().saturating_sub(ago_ms)),
            Point::Changes(hashes) => Moment::Changes(hashes.into_iter().map(ChangeHash).collect()),
        };
        Ok(Self {
            said,
            filter,
            moment,
            deadline,
        })
    }

    fn found(&self, state: &DocumentState) -> Found {
        match self.moment {
            Moment::Time(time_ms) if time_ms >= state.times.last_ms => Found::Now,
            Moment::Time(time_ms) if time_ms < state.times.first_ms => Found::Never,
            _ => Found::Rebuilt,
        }
    }

    /// The value at the moment of a loaded document.
    fn value(&self, id: &DocumentId, document: &Document) -> Result<Option<Value>, StoreError> {
        if let Moment::Changes(changes) = &self.moment
            && let Some(unknown) = document.lacks(changes)
        {
            let error = self
                .said
                .unknown_change(&id.to_string(), &unknown.to_string());
            return Err(error.into());
        }
        let value = document.value_at(id, &self.moment);
        value.map_err(|error| StoreError::damaged_document(id, &error))
    }

    fn selects(&self, value: &Value) -> Result<bool, StoreError> {
        self.deadline
            .evaluate(|work| self.filter.matches(value, work))
    }

    /// The documents of a collection that had a value at the moment, those of them that the filter selects or, if they
    /// were read as they are now, may select.
    fn scan<'s>(
        &'s self,
        reads: Reads<'s>,
        collection: u32,
    ) -> Result<impl Iterator<Item = Result<Value, StoreError>> + use<'s, 'a>, StoreError> {
        let mut rebuilt = 0;
        let documents = self.states(reads, collection)?.map(move |entry| {
            let (key, state) = entry?;
            self.deadline
                .check()
                .map_err(|error| self.late(error, rebuilt))?;
            let found = self.found(&state);
            rebuilt += usize::from(found == Found::Rebuilt);
            self.read(found, reads, &key)
        });
        Ok(documents.filter_map(Result::transpose))
    }

    /// A single document, as [`scan`](Self::scan) reads each.
    fn one(&self, reads: Reads<'_>, key: &DocumentKey) -> Result<Option<Value>, StoreError> {
        match reads.state(key)? {
            Some(state) => self.read(self.found(&state), reads, key),
            None => Ok(None),
        }
    }

    /// The value at the moment.
    fn read(
        &self,
        found: Found,
        reads: Reads<'_>,
        key: &DocumentKey,
    ) -> Result<Option<Value>, StoreError> {
        match found {
            Found::Never => Ok(None),
            Found::Now => self.current(reads, key),
            Found::Rebuilt => self.value(&key.id, &stored(reads, key)?),
        }
    }

    /// The states of a collection's documents, deleted ones too.
    fn states<'s>(
        &self,
        reads: Reads<'s>,
        collection: u32,
    ) -> Result<
        impl Iterator<Item = Result<(DocumentKey, DocumentState), StoreError>> + use<'s, 'a>,
        StoreError,
    > {
        let entries = reads.entries_under(STATES, collection.to_be_bytes())?;
        Ok(entries.map(|entry| {
            let (key, state) = entry?;
            let read = DocumentKey::read(&key).zip(DocumentState::read(&state));
            read.ok_or_else(|| damaged(&key))
        }))
    }

    fn current(&self, reads: Reads<'_>, key: &DocumentKey) -> Result<Option<Value>, StoreError> {
        let Some(bytes) = reads.get(VALUES, &key.bytes())? else {
            return Ok(None);
        };
        let selects = self.deadline.evaluate(|work| {
            let value = Encoded::new(&bytes);
            self.filter.matches_encoded(value, work)
        });
        match selects {
            Ok(false) => Ok(None),
            Ok(true) => decode(key, &bytes).map(Some),
            Err(error) => decode(key, &bytes).and(Err(error)),
        }
    }

    /// The ids of the documents that may have to change to be as they were.
    pub(super) fn to_revert(
        &self,
        source: &impl Source,
        collection: &str,
    ) -> Result<Vec<DocumentId>, StoreError> {
        let collection = source.number(collection)?;
        match self.filter.document_id() {
            Some(id) => Ok(DocumentId::new(id).into_iter().collect()),
            None => {
                let mut ids = self.changed(source.reads(), collection)?;
                // Each is tested again when its turn comes, so one that has not changed since does no harm.
                ids.extend(source.staged(collection));
                ids.sort_unstable();
                ids.dedup();
                Ok(ids)
            }
        }
    }

    fn changed(&self, reads: Reads<'_>, collection: u32) -> Result<Vec<DocumentId>, StoreError> {
        let mut ids = Vec::new();
        let mut rebuilt = 0;
        for entry in self.states(reads, collection)? {
            let (key, state) = entry?;
            let late = |error| self.late(error, rebuilt);
            self.deadline.check().map_err(late)?;
            if self.found(&state) != Found::Rebuilt {
                continue;
            }
            if !self.filter.is_everything() {
                rebuilt += 1;
                match self.value(&key.id, &stored(reads, &key)?)? {
                    Some(value) if self.selects(&value)? => {}
                    _ => continue,
                }
            }
            ids.push(key.id);
        }
        Ok(ids)
    }

    fn late(&self, error: StoreError, rebuilt: usize) -> StoreError {
        match error {
            StoreError::TimedOut { limit } => StoreError::PastTimedOut { limit, rebuilt },
            error => error,
        }
    }
}

/// Loads a document's record.
fn stored(reads: Reads<'_>, key: &DocumentKey) -> Result<Document, StoreError> {
    let record = reads.record(key)?.unwrap_or_default();
    let document = Document::load(&record);
    document.map_err(|error| StoreError::damaged_document(&key.id, &error))
}

/// What `answer` makes of the documents as they were when the statement says, in the place of
/// [`Source::select`]. What a transaction has staged is not past.
pub(super) fn select_as_of<T>(
    source: &impl Source,
    select: &Select,
    said: &PastPoint,
    deadline: &Deadline,
    answer: impl FnOnce(&mut dyn Iterator<Item = Value>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let past = Past::new(said, select.filter(), deadline)?;
    let collection = source.number(select.collection())?;
    let reads = source.reads();
    if let Some(id) = select.filter().document_id() {
        let found = match DocumentId::new(id) {
            Ok(id) => past.one(reads, &DocumentKey { collection, id })?,
            Err(_) => None, // what can't be an id is no document's
        };
        return answer(&mut found.into_iter());
    }
    until_failed(past.scan(reads, collection)?, answer)
}

/// The rows of a HISTORY statement.
pub(super) fn changes_of(
    source: &impl Source,
    history: &query::History,
    deadline: &Deadline,
) -> Result<Page, StoreError> {
    let key = DocumentKey {
        collection: source.number(history.collection())?,
        id: DocumentId::new(&history.document_id()?)?,
    };
    let document = stored(source.reads(), &key)?;
    let failed = |error| StoreError::damaged_document(&key.id, &error);
    let changes = History::of(&document, &key.id).map_err(failed)?;
    // The newest, because what is sealed since a commit became visible is not in its view.
    let authors = authors(source.reads().newest_of(), &key)?;
    history.page(changes.len(), |number| {
        deadline.check()?;
        let author = |actor: &ActorId| authors.get(actor.to_bytes()).cloned();
        changes.row(number, source.actor(), author).map_err(failed)
    })
}

/// By actor, whose seals prove the changes of a document. Own changes that are not sealed yet have none.
fn authors(reads: Reads<'_>, key: &DocumentKey) -> Result<HashMap<[u8; 16], Value>, StoreError> {
    let mut authors = HashMap::new();
    for proof in reads.proofs(&key.bytes())?.iter() {
        let Some(kept) = reads.seal(&proof.seal)? else {
            continue;
        };
        let Some(chain) = reads.certificate(&kept.seal.certificate())? else {
            continue;
        };
        let (certificate, _) = chain.first().open()?;
        let peer = certificate.subject.peer_id().to_string();
        let mut author = BTreeMap::from([
            ("name".to_owned(), Value::String(certificate.name)),
            ("peer".to_owned(), Value::String(peer)),
        ]);
        if let Some(user) = certificate.user_id {
            author.insert("userId".to_owned(), Value::String(user));
        }
        authors.insert(proof.actor.0, Value::Map(author));
    }
    Ok(authors)
}

impl Transaction<'_> {
    /// Gives a document the value back that it had, if it had one that the statement means.
    pub(super) fn revert(
        &mut self,
        collection: &str,
        id: DocumentId,
        past: &Past<'_>,
    ) -> Result<Option<Changed>, StoreError> {
        let Some(value) = self.past_value(collection, &id, past)? else {
            return Ok(None);
        };
        let written = self.put(collection, &id, value.visible())?;
        Ok(written.then_some(Changed { id, deleted: None }))
    }

    /// The value to which a document is to be reverted, if it is.
    fn past_value(
        &mut self,
        collection: &str,
        id: &DocumentId,
        past: &Past<'_>,
    ) -> Result<Option<Value>, StoreError> {
        let Some((document, state)) = self.stored_document(collection, id)? else {
            return Ok(None);
        };
        if past.found(&state) != Found::Rebuilt {
            return Ok(None);
        }
        Ok(match past.value(id, &document)? {
            Some(value) if past.selects(&value)? => Some(value),
            _ => None,
        })
    }
}

/// The times of those changes that have an author.
pub(super) fn authored_times(changes: &[Change]) -> impl Iterator<Item = i64> {
    let authored = changes
        .iter()
        .filter(|change| change.actor_id().to_bytes().len() == DEVICE_ACTOR_BYTES);
    authored.map(Change::timestamp)
}
