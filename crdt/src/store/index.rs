//! Secondary indexes.
//!
//! An index has one entry for each visible document of its collection, with the key that `query::plan` describes.
//! What it is stands in the catalog (`definition`). Every commit changes the entries together with the documents
//! (`maintain`). A new index is filled in the background (`build`): while it is, commits keep up the part that is filled,
//! and nobody reads it. A statement that finds its documents by an index (`find`, over `entries`) reads definition,
//! entries and documents of one view, and tests every document all the same. A closed store's entries
//! are compared with its documents (`check`). A transaction that has staged documents of a
//! collection reads all of it.

mod build;
mod check;
mod definition;
mod entries;
mod explain;
mod find;
mod maintain;
mod reading;
mod statements;

pub(super) use build::Worker;
pub(super) use check::EntryCheck;
pub(super) use definition::Indexes;
pub(super) use entries::Costs;
pub(super) use explain::explain;
pub(super) use find::find;
pub(super) use statements::show;
