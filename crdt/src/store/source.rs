//! Where statements find documents: a view, or a transaction with what it has staged.

use super::catalog::Catalog;
use super::deadline::Deadline;
use super::error::StoreError;
use super::history::select_as_of;
use super::index::{Costs, find};
use super::reads::Reads;
use super::schema::DocumentKey;
use crate::id::DocumentId;
use crate::query::plan::Wanted;
use crate::query::{Filter, QueryError, Select, Work};
use crate::value::Value;
use automerge::ActorId;

/// Documents with their ids, ascending by id unless an index gives them in another order that is wanted.
pub(super) type Found<'a> = Box<dyn Iterator<Item = Result<(DocumentId, Value), StoreError>> + 'a>;

/// The documents that a SELECT walks.
type Documents<'a> = &'a mut dyn Iterator<Item = Value>;

pub(super) trait Source {
    fn catalog(&self) -> &Catalog;

    /// What is stored, without what is only staged.
    fn reads(&self) -> Reads<'_>;

    /// Who writes here.
    fn actor(&self) -> &ActorId;

    /// The visible value of a document.
    fn value(&self, key: &DocumentKey) -> Result<Option<Value>, StoreError>;

    /// Whether there are documents of a collection that are staged, so that what is stored is not all.
    fn stages_any(&self, collection: u32) -> bool;

    /// The documents of a collection that a transaction has staged.
    fn staged(&self, collection: u32) -> Vec<DocumentId>;

    /// The documents of a collection that a filter selects, while the call may go on, all of them read for it.
    fn scan<'a>(
        &'a self,
        collection: u32,
        filter: &'a Filter,
        deadline: &'a Deadline,
        costs: &'a Costs,
    ) -> Result<Found<'a>, StoreError>;

    /// The number of a collection that is there.
    fn number(&self, collection: &str) -> Result<u32, StoreError> {
        let number = self.catalog().number(collection);
        number.ok_or_else(|| self.catalog().unknown(collection))
    }

    /// What `answer` makes of the documents that the statement may mean. It may be called twice; what it made the first
    /// time is dropped then.
    fn select<T>(
        &self,
        select: &Select,
        deadline: &Deadline,
        answer: impl Fn(&Select, Documents<'_>, &Work<'_>) -> Result<T, QueryError>,
    ) -> Result<T, StoreError>
    where
        Self: Sized,
    {
        self.select_counting(select, deadline, &Costs::default(), answer)
    }

    /// The same, with what it costs, unless it is about the past.
    fn select_counting<T>(
        &self,
        select: &Select,
        deadline: &Deadline,
        costs: &Costs,
        answer: impl Fn(&Select, Documents<'_>, &Work<'_>) -> Result<T, QueryError>,
    ) -> Result<T, StoreError>
    where
        Self: Sized,
    {
        let answer = |select: &Select, documents: Documents<'_>| {
            deadline.evaluate(|work| answer(select, documents, work))
        };
        if let Some(past) = select.as_of() {
            return select_as_of(self, select, past, deadline, |documents| {
                answer(select, documents)
            });
        }
        let (collection, filter, wanted) = (select.collection(), select.filter(), select.wanted());
        self.find(
            collection,
            filter,
            &wanted,
            deadline,
            costs,
            |found, sorts| {
                let documents = found.map(|document| document.map(|(_, value)| value));
                until_failed(documents, |documents| match sorts {
                    true => answer(&select.without_order(), documents),
                    false => answer(select, documents),
                })
            },
        )
    }

    /// The ids of the documents that a write's filter selects, the first of them if there is a limit.
    fn matching(
        &self,
        collection: &str,
        filter: &Filter,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Vec<DocumentId>, StoreError>
    where
        Self: Sized,
    {
        let (wanted, costs) = (Wanted::first(limit), Costs::default());
        self.find(collection, filter, &wanted, deadline, &costs, |found, _| {
            let ids = found.map(|document| document.map(|(id, _)| id));
            ids.take(limit).collect()
        })
    }

    /// What `take` makes of the documents that a filter keeps, given whether they come in the order that is wanted. Where
    /// an index is given up on the way, it is called once more, with all of them.
    fn find<T>(
        &self,
        collection: &str,
        filter: &Filter,
        wanted: &Wanted,
        deadline: &Deadline,
        costs: &Costs,
        take: impl Fn(Found<'_>, bool) -> Result<T, StoreError>,
    ) -> Result<T, StoreError>
    where
        Self: Sized,
    {
        let planned = find(self, collection, filter, wanted, deadline, costs)?;
        let sorts = planned.sorts();
        let taken = take(planned.documents, sorts);
        if !costs.has_given_up() {
            return taken;
        }
        drop(taken); // before as much again is held
        take(
            self.scan(self.number(collection)?, filter, deadline, costs)?,
            false,
        )
    }
}

/// What `answer` makes of the documents; the first error in their place, if it meets one.
pub(super) fn until_failed<T>(
    documents: impl Iterator<Item = Result<Value, StoreError>>,
    answer: impl FnOnce(Documents<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut failed = None;
    let mut documents =
        documents.map_while(|document| document.map_err(|error| failed = Some(error)).ok());
    let answer = answer(&mut documents);
    drop(documents);
    match failed {
        Some(error) => Err(error),
        None => answer,
    }
}
