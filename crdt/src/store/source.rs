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

    /// What `answer` makes of the documents that the statement may mean.
    fn select<T>(
        &self,
        select: &Select,
        deadline: &Deadline,
        answer: impl FnOnce(&Select, Documents<'_>, &Work<'_>) -> Result<T, QueryError>,
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
        answer: impl FnOnce(&Select, Documents<'_>, &Work<'_>) -> Result<T, QueryError>,
    ) -> Result<T, StoreError>
    where
        Self: Sized,
    {
        if let Some(past) = select.as_of() {
            return select_as_of(self, select, past, deadline, |documents| {
                deadline.evaluate(|work| answer(select, documents, work))
            });
        }
        let (collection, filter, wanted) = (select.collection(), select.filter(), select.wanted());
        let planned = find(self, collection, filter, &wanted, deadline, costs)?;
        let select = match planned.sorts() {
            true => &select.without_order(),
            false => select,
        };
        let mut failed = None;
        let mut documents = planned.documents.map_while(|document| match document {
            Ok((_, value)) => Some(value),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        let answer = deadline.evaluate(|work| answer(select, &mut documents, work));
        drop(documents);
        match failed {
            Some(error) => Err(error),
            None => answer,
        }
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
        let planned = find(self, collection, filter, &wanted, deadline, &costs)?;
        let ids = planned.documents.map(|document| document.map(|(id, _)| id));
        ids.take(limit).collect()
    }
}
