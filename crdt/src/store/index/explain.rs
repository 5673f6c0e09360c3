//! EXPLAIN: how a statement finds its documents, as a row.

use super::entries::Costs;
use super::find::{Plan, find};
use super::statements::{count, row};
use crate::query::plan::Wanted;
use crate::query::{Explain, Select, Statement};
use crate::store::deadline::Deadline;
use crate::store::error::StoreError;
use crate::store::source::Source;
use crate::value::Value;
use std::time::Instant;

/// Finds, and with ANALYZE runs, what would be run; writes nothing.
pub(in crate::store) fn explain(
    source: &impl Source,
    explain: &Explain,
    deadline: &Deadline,
) -> Result<Value, StoreError> {
    let statement = &*explain.statement;
    let (filter, wanted) = match statement {
        Statement::Select(select) => (select.filter(), select.wanted()),
        Statement::Update(update) => (update.filter(), Wanted::first(update.limit()?)),
        Statement::Delete(delete) | Statement::Evict(delete) => {
            (delete.filter(), Wanted::first(delete.limit()?))
        }
        // The grammar refuses the others.
        _ => return Err(StoreError::ReadOnly),
    };
    let (collection, costs) = (statement.collection(), Costs::default());
    let plan = match statement {
        Statement::Select(select) if select.as_of().is_some() => past(source, select)?,
        _ => find(source, collection, filter, &wanted, deadline, &costs)?.plan,
    };
    let Statement::Select(select) = statement else {
        return Ok(plan.row(false));
    };
    let mut shown = plan.row(select.is_sorted());
    if let (Value::Map(shown), true) = (&mut shown, explain.analyze) {
        let (costs, begun) = (Costs::default(), Instant::now());
        let page =
            source.select_counting(select, deadline, &costs, |select, documents, work| {
                select.page(documents, work)
            })?;
        let taken = begun.elapsed().as_secs_f64() * 1e3;
        if select.as_of().is_none() {
            shown.insert("entries_read".into(), count(costs.entries.get()));
            shown.insert("documents_read".into(), count(costs.documents.get()));
        }
        if let Some(documents) = costs.given_up_after.get() {
            let said = format!(
                "too few of the first {documents} documents by the index match: all were read instead"
            );
            shown.insert("given_up".into(), said.into());
        }
        shown.insert("rows".into(), count(page.rows.len() as u64));
        let microseconds = (taken * 1e3).round();
        shown.insert("milliseconds".into(), Value::Float(microseconds / 1e3));
    }
    Ok(shown)
}

fn past(source: &impl Source, select: &Select) -> Result<Plan, StoreError> {
    source.number(select.collection())?;
    Ok(match select.filter().document_id() {
        Some(_) => Plan::Document,
        None => Plan::Scan {
            documents: source.catalog().documents(select.collection()),
            reason: "indexes hold the present, and AS OF asks for the past".to_owned(),
        },
    })
}

impl Plan {
    fn row(&self, is_sorted: bool) -> Value {
        let order = match is_sorted {
            true if self.sorts() => "index",
            true => "sort",
            false => "id",
        };
        match self {
            Plan::Document => row([("plan", "document".into()), ("estimated_rows", count(1))]),
            Plan::Scan { documents, reason } => row([
                ("plan", "scan".into()),
                ("reason", reason.as_str().into()),
                ("order", order.into()),
                ("estimated_rows", count(*documents)),
            ]),
            Plan::Index {
                definition,
                candidate,
                entries,
                documents,
            } => {
                let range = match candidate.text.as_str() {
                    "" => "everything",
                    text => text,
                };
                row([
                    ("plan", "index".into()),
                    ("index", definition.name.as_str().into()),
                    ("fields", definition.fields_shown()),
                    ("range", range.into()),
                    ("order", order.into()),
                    ("filtered", candidate.is_filtered.into()),
                    ("estimated_rows", count(entries.unwrap_or(*documents))),
                ])
            }
        }
    }
}
