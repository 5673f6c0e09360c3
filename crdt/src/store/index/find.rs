//! How a statement finds its documents: by id, by an index, or by reading the collection.
//!
//! An index costs a read for each document it leads to, where a scan reads one after the other. So it is used if it leads to
//! a small part of the collection, which its entries tell; or if it gives the order that is wanted, and few are.

use super::definition::{Definition, Index, State};
use super::entries::{Costs, Entries, add};
use super::reading::{Keys, Reading, Way};
use crate::id::DocumentId;
use crate::limits::{INDEX_IDS_BYTES_MAX, INDEX_RANGES_MAX};
use crate::query::Filter;
use crate::query::plan::{Candidate, PlannedIndex, Walk, Wanted, candidates};
use crate::store::deadline::Deadline;
use crate::store::error::StoreError;
use crate::store::schema::DocumentKey;
use crate::store::source::{Found, Source};
use crate::value::Value;
use std::cmp::Reverse;
use std::sync::Arc;

/// Reading a document that an entry leads to costs as much as scanning so many, if they are read ascending by id.
const READ_OVER_SCAN: u64 = 4;
/// The same if they are read in the order of the index, in which neighbours lie apart.
const WALK_OVER_SCAN: u64 = 25;
/// An index that leads to no more documents than this is always used.
const FEW: u64 = 64;
/// Entries of each index that are counted where several could be used.
const COUNTED_MAX: u64 = 1_000;
/// A condition that no index stands for is taken to keep one document of so many.
const KEPT_OF: u64 = 10;
/// Entries between two looks at the clock.
const CHECK_INTERVAL: usize = 1_024;

/// The documents that a filter keeps, ascending by id unless the plan says otherwise. A few may be among them that it
/// does not keep.
pub(in crate::store) struct Planned<'a> {
    pub(super) plan: Plan,
    pub(in crate::store) documents: Found<'a>,
}

impl Planned<'_> {
    /// Whether the documents come in the order of the statement's ORDER BY.
    pub(in crate::store) fn sorts(&self) -> bool {
        self.plan.sorts()
    }
}

/// How they are found.
pub(super) enum Plan {
    Document,
    Scan {
        documents: u64,
        reason: String,
    },
    Index {
        definition: Arc<Definition>,
        candidate: Candidate,
        /// Entries it leads to, if they were counted.
        entries: Option<u64>,
        documents: u64,
    },
}

impl Plan {
    pub(super) fn sorts(&self) -> bool {
        matches!(self, Plan::Index { candidate, .. } if candidate.sorts)
    }
}

/// What finding works with.
struct Search<'a, S> {
    source: &'a S,
    collection: &'a str,
    number: u32,
    filter: &'a Filter,
    deadline: &'a Deadline,
    costs: &'a Costs,
}

/// Finds the documents that a filter keeps.
pub(in crate::store) fn find<'a>(
    source: &'a impl Source,
    collection: &'a str,
    filter: &'a Filter,
    wanted: &Wanted,
    deadline: &'a Deadline,
    costs: &'a Costs,
) -> Result<Planned<'a>, StoreError> {
    let search = Search {
        source,
        collection,
        number: source.number(collection)?,
        filter,
        deadline,
        costs,
    };
    if let Some(id) = filter.document_id() {
        return search.document(id);
    }
    let all = source.catalog().indexes.of(search.number);
    let ready: Vec<&Index> = all.filter(|index| index.state == State::Ready).collect();
    if ready.is_empty() {
        return search.scan("the collection has no index that is ready");
    }
    if source.stages_any(search.number) {
        return search.scan("the transaction has changed the collection");
    }
    let planned: Vec<_> = ready.iter().map(|index| index.planned()).collect();
    search.by_index(&ready, candidates(filter, wanted, &planned), wanted)
}

impl Index {
    fn planned(&self) -> PlannedIndex<'_> {
        PlannedIndex {
            fields: &self.definition.fields,
            is_ordered: self.truncated == 0,
        }
    }
}

impl<'a, S: Source> Search<'a, S> {
    fn document(self, id: &Value) -> Result<Planned<'a>, StoreError> {
        let collection = self.number;
        let found = match DocumentId::new(id) {
            Ok(id) => {
                let key = DocumentKey { collection, id };
                let value = self.source.value(&key)?;
                add(&self.costs.documents, usize::from(value.is_some()));
                value.map(|value| Ok((key.id, value)))
            }
            Err(_) => None, // what can't be an id is no document's
        };
        Ok(Planned {
            plan: Plan::Document,
            documents: Box::new(found.into_iter()),
        })
    }

    fn scan(self, reason: impl Into<String>) -> Result<Planned<'a>, StoreError> {
        let (filter, deadline) = (self.filter, self.deadline);
        let documents = self
            .source
            .scan(self.number, filter, deadline, self.costs)?;
        Ok(Planned {
            plan: Plan::Scan {
                documents: self.source.catalog().documents(self.collection),
                reason: reason.into(),
            },
            documents,
        })
    }

    fn by_index(
        self,
        ready: &[&Index],
        (candidates, useless): (Vec<Candidate>, Vec<Candidate>),
        wanted: &Wanted,
    ) -> Result<Planned<'a>, StoreError> {
        let documents = self.source.catalog().documents(self.collection);
        let most = (documents / READ_OVER_SCAN).max(FEW);
        let best = self.best(ready, candidates, |choice| choice.cost(documents, wanted))?;
        let Some((cost, mut choice)) = best else {
            let cut = useless.iter().find(|candidate| candidate.is_cut);
            let cut = cut.and_then(|candidate| ready.get(candidate.index));
            return match cut {
                Some(index) => self.scan(format!(
                    "index {} would have to be read in more than {INDEX_RANGES_MAX} ranges",
                    index.definition.name
                )),
                None => self.scan("no index has the fields of WHERE, or of ORDER BY alone, first"),
            };
        };
        if choice.candidate.walk != Walk::Unordered && cost > most {
            if choice.candidate.fields_bound == 0 {
                return self.scan("too many documents would be read by the index, one by one");
            }
            (choice.candidate.walk, choice.candidate.sorts) = (Walk::Unordered, false);
        }
        let Some(keys) = self.keys(&mut choice, most)? else {
            return self.scan(choice.too_much());
        };
        let way = Way {
            reads: self.source.reads(),
            is_sorted: choice.candidate.walk == Walk::Unordered,
            filter: choice.candidate.is_filtered.then_some(self.filter),
            most: match choice.candidate.sorts {
                true => most_in_order(documents, wanted),
                false => most,
            },
            deadline: self.deadline,
            costs: self.costs,
        };
        Ok(Planned {
            documents: Box::new(Reading::new(keys, way)),
            plan: Plan::Index {
                definition: choice.definition,
                candidate: choice.candidate,
                entries: choice.entries,
                documents,
            },
        })
    }

    /// The cheapest candidate and its cost; of equals one that spares sorting, then the one that more of the filter
    /// bounds. `None` if there is none.
    fn best(
        &self,
        ready: &[&Index],
        candidates: Vec<Candidate>,
        cost: impl Fn(&Choice) -> u64,
    ) -> Result<Option<(u64, Choice)>, StoreError> {
        let only = candidates.len() == 1;
        let mut choices = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            choices.extend(self.judge(ready, candidate, only)?);
        }
        let costed = choices.into_iter().map(|choice| (cost(&choice), choice));
        Ok(costed.min_by_key(|(cost, choice)| {
            let candidate = &choice.candidate;
            (*cost, !candidate.sorts, Reverse(candidate.fields_bound))
        }))
    }

    /// The keys of the documents to read, in the order in which they are to be read; `None` if they are too many.
    fn keys(&self, choice: &mut Choice, most: u64) -> Result<Option<Keys<'a>>, StoreError> {
        let number = choice.definition.number;
        let (ranges, walk) = (&choice.candidate.ranges, choice.candidate.walk);
        let mut entries = Entries::new(self.source.reads(), number, ranges, walk, self.costs)?;
        if walk != Walk::Unordered {
            let collection = self.number.to_be_bytes();
            let keys =
                std::iter::from_fn(move || entries.next_id(|id| [&collection[..], id].concat()));
            return Ok(Some(Box::new(keys)));
        }
        let Some(mut keys) = self.gather(entries, most)? else {
            return Ok(None);
        };
        keys.sort(); // faster than an unstable sort: entries of equal fields are sorted already
        choice.entries = Some(keys.len() as u64);
        Ok(Some(Box::new(keys.into_iter().map(Ok))))
    }

    /// A candidate with how many entries it has, where that has to be known.
    fn judge(
        &self,
        ready: &[&Index],
        candidate: Candidate,
        only: bool,
    ) -> Result<Option<Choice>, StoreError> {
        let Some(index) = ready.get(candidate.index) else {
            return Ok(None);
        };
        let definition = Arc::clone(&index.definition);
        let entries = match only && candidate.walk == Walk::Unordered {
            true => None, // they are read at once
            false => self.count(definition.number, &candidate)?,
        };
        Ok(Some(Choice {
            definition,
            candidate,
            entries,
        }))
    }

    /// How many entries a candidate has; `None` if they are many.
    fn count(&self, index: u32, candidate: &Candidate) -> Result<Option<u64>, StoreError> {
        let ranges = &candidate.ranges;
        let mut entries = Entries::new(
            self.source.reads(),
            index,
            ranges,
            Walk::Unordered,
            self.costs,
        )?;
        for counted in 0..COUNTED_MAX {
            match entries.next_id(|_| ()) {
                Some(entry) => entry?,
                None => return Ok(Some(counted)),
            }
        }
        Ok(None)
    }

    /// The keys of the documents that entries lead to; `None` if they are too many.
    fn gather(
        &self,
        mut entries: Entries<'a>,
        most: u64,
    ) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let collection = self.number.to_be_bytes();
        let (mut keys, mut bytes) = (Vec::new(), 0);
        while let Some(key) = entries.next_id(|id| [&collection[..], id].concat()) {
            let key = key?;
            bytes += size_of::<Vec<u8>>() + key.len();
            if keys.len() as u64 >= most || bytes > INDEX_IDS_BYTES_MAX {
                return Ok(None);
            }
            if keys.len().is_multiple_of(CHECK_INTERVAL) {
                self.deadline.check()?;
            }
            keys.push(key);
        }
        Ok(Some(keys))
    }
}

/// How many documents are read in the order of an index at most: those that are wanted, and so many in vain as cost no
/// more than the scan that comes in its place then.
fn most_in_order(documents: u64, wanted: &Wanted) -> u64 {
    let in_vain = (documents / WALK_OVER_SCAN).max(FEW);
    in_vain.saturating_add(wanted.documents.map_or(0, |rows| rows as u64))
}

/// An index that could be used.
struct Choice {
    definition: Arc<Definition>,
    candidate: Candidate,
    /// Entries in the candidate's ranges, if that is known.
    entries: Option<u64>,
}

impl Choice {
    /// Why it is not used.
    fn too_much(&self) -> String {
        let name = &self.definition.name;
        let leads =
            format!("index {name} leads to more than a {READ_OVER_SCAN}th of the documents");
        match self.candidate.is_cut {
            true => format!(
                "{leads}; with its next field they would be more than {INDEX_RANGES_MAX} ranges"
            ),
            false => leads,
        }
    }

    /// About how many documents would be read.
    fn cost(&self, documents: u64, wanted: &Wanted) -> u64 {
        let candidate = &self.candidate;
        let entries = self.entries.unwrap_or_else(|| {
            let bound = u32::try_from(candidate.fields_bound).unwrap_or(u32::MAX);
            let kept = documents / KEPT_OF.saturating_pow(bound);
            kept.max(COUNTED_MAX)
        });
        let enough = match wanted.documents {
            Some(rows) if candidate.walk != Walk::Unordered => rows as u64,
            _ => return entries,
        };
        match candidate.is_filtered {
            true => entries.min(enough.saturating_mul(KEPT_OF)),
            false => entries.min(enough),
        }
    }
}
