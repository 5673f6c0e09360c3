//! CREATE INDEX, DROP INDEX and SHOW.

use super::definition::{Index, State};
use crate::query::{CreateIndex, DropIndex, Schema, Statement, path_text};
use crate::store::Store;
use crate::store::catalog::Catalog;
use crate::store::database::Batch;
use crate::store::deadline::Deadline;
use crate::store::error::StoreError;
use crate::store::execute::Outcome;
use crate::store::source::Source;
use crate::value::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks whether an index is ready.
const WAIT_PAUSE: Duration = Duration::from_millis(5);

/// The rows that tell of a change, and a warning.
type Told = (Vec<Value>, Option<String>);

impl Store {
    /// Waits until an index is built.
    ///
    /// # Errors
    /// There is no such index, or it takes longer than the call may.
    pub fn wait_for_index(
        &self,
        collection: &str,
        name: &str,
        deadline: &Deadline,
    ) -> Result<(), StoreError> {
        loop {
            let view = self.view();
            let number = view.number(collection)?;
            match view.catalog().indexes.named(number, name) {
                Some(index) if index.state == State::Ready => return Ok(()),
                Some(_) => {}
                None => return Err(unknown(view.catalog(), number, collection, name)),
            }
            deadline.check()?;
            std::thread::sleep(WAIT_PAUSE.min(deadline.remaining()));
        }
    }

    /// Carries out CREATE INDEX or DROP INDEX; `None` for any other statement.
    pub(in crate::store) fn alter(
        &self,
        statement: &Statement,
        deadline: &Deadline,
    ) -> Result<Option<Outcome>, StoreError> {
        let altered = match statement {
            Statement::Schema(Schema::CreateIndex(create)) => self.create_index(create, deadline),
            Statement::Schema(Schema::DropIndex(drop)) => self.drop_index(drop, deadline),
            _ => return Ok(None),
        };
        self.1.indexes.wake(&self.0); // also if it is only not known to be durable
        let (items, warning) = altered?;
        Ok(Some(Outcome {
            transaction_id: self.transaction_id(),
            kind: statement.kind(),
            items,
            mutated: Vec::new(),
            warnings: warning.into_iter().collect(),
        }))
    }

    fn create_index(&self, create: &CreateIndex, deadline: &Deadline) -> Result<Told, StoreError> {
        let transaction = self.0.transaction_within(deadline)?;
        let change = |catalog: &mut Catalog, batch: &mut Batch<'_>| {
            let is_new = catalog.number(&create.collection).is_none();
            let number = catalog.number_or_new(&create.collection)?;
            if let Some(index) = catalog.indexes.named(number, &create.name) {
                return kept(index, create);
            }
            catalog.indexes.add(number, create, batch)?;
            catalog.store(&create.collection, batch);
            let made = || {
                format!(
                    "collection {} was not there and is empty",
                    create.collection
                )
            };
            Ok(is_new.then(made))
        };
        let warning = transaction.alter(change, |_| true)?;
        let items = shown(
            self.view().catalog(),
            &create.collection,
            Some(&create.name),
        )?;
        Ok((items, warning))
    }

    fn drop_index(&self, drop: &DropIndex, deadline: &Deadline) -> Result<Told, StoreError> {
        let transaction = self.0.transaction_within(deadline)?;
        let change = |catalog: &mut Catalog, batch: &mut Batch<'_>| {
            let Some(number) = catalog.number(&drop.collection) else {
                return match drop.if_exists {
                    true => Ok(false),
                    false => Err(catalog.unknown(&drop.collection)),
                };
            };
            let dropped = catalog.indexes.mark_dropped(number, &drop.name, batch);
            match dropped || drop.if_exists {
                true => Ok(dropped),
                false => Err(unknown(catalog, number, &drop.collection, &drop.name)),
            }
        };
        let items = match transaction.alter(change, |_| true)? {
            true => vec![row([("dropped", drop.name.as_str().into())])],
            false => Vec::new(),
        };
        Ok((items, None))
    }
}

/// The rows of SHOW.
pub(in crate::store) fn show(
    source: &impl Source,
    schema: &Schema,
) -> Result<Vec<Value>, StoreError> {
    let catalog = source.catalog();
    match schema {
        Schema::ShowIndexes(Some(collection)) => shown(catalog, collection, None),
        Schema::ShowIndexes(None) => {
            let collections = catalog.status().into_iter();
            let each = collections.map(|status| shown(catalog, &status.name, None));
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Schema::ShowCollections => {
            let collections = catalog.status().into_iter().map(|status| {
                row([
                    ("collection", (&*status.name).into()),
                    ("documents", count(status.documents)),
                ])
            });
            Ok(collections.collect())
        }
        Schema::CreateIndex(_) | Schema::DropIndex(_) => Err(StoreError::ReadOnly),
    }
}

/// The indexes of a collection, or the named one, as rows.
fn shown(
    catalog: &Catalog,
    collection: &str,
    name: Option<&str>,
) -> Result<Vec<Value>, StoreError> {
    let number = catalog.number(collection);
    let number = number.ok_or_else(|| catalog.unknown(collection))?;
    let documents = catalog.documents(collection);
    let indexes = catalog.indexes.of(number);
    let mut named: Vec<&Index> = indexes
        .filter(|index| name.is_none_or(|name| index.definition.name == name))
        .collect();
    named.sort_by(|left, right| left.definition.name.cmp(&right.definition.name));
    let rows = named
        .into_iter()
        .map(|index| index.row(collection, documents));
    Ok(rows.collect())
}

impl Index {
    fn row(&self, collection: &str, documents: u64) -> Value {
        let (state, entries) = match self.state {
            State::Ready => ("ready", documents),
            State::Building { .. } | State::Dropped => ("building", self.documents),
        };
        row([
            ("index", self.definition.name.as_str().into()),
            ("collection", collection.into()),
            ("fields", self.definition.fields_shown()),
            ("state", state.into()),
            ("entries", count(entries)),
            ("documents", count(documents)),
        ])
    }
}

impl super::definition::Definition {
    /// The fields as CREATE INDEX has them.
    pub(super) fn fields_shown(&self) -> Value {
        let fields = self.fields.iter().map(|field| {
            let direction = if field.descending { " DESC" } else { "" };
            Value::String(format!("{}{direction}", path_text(&field.path)))
        });
        Value::List(fields.collect())
    }
}

/// What is said when the index is there already: nothing can be done about it, or nothing needs to.
fn kept(index: &Index, create: &CreateIndex) -> Result<Option<String>, StoreError> {
    if !create.if_not_exists {
        return Err(StoreError::IndexExists {
            name: create.name.clone(),
            collection: create.collection.clone(),
        });
    }
    let differs = || format!("index {} is there, with other fields", create.name);
    Ok((index.definition.fields != create.fields).then(differs))
}

fn unknown(catalog: &Catalog, number: u32, collection: &str, name: &str) -> StoreError {
    let known = catalog.indexes.of(number);
    StoreError::UnknownIndex {
        name: name.to_owned(),
        collection: collection.to_owned(),
        known: known.map(|index| index.definition.name.clone()).collect(),
    }
}

pub(super) fn row<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.map(|(name, value)| (name.to_owned(), value));
    Value::Map(BTreeMap::from(members))
}

pub(super) fn count(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
