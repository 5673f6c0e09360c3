//! `sedge query`: one statement.

use super::access::Access;
use super::args::QueryArguments;
use super::{CliError, Done, output};
use indicatif::{ProgressBar, ProgressStyle};
use sedge::api::wire::ExecuteRequest;
use sedge::{Params, StateFolder, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks how far an index is.
const INDEX_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(
    state: &StateFolder,
    arguments: QueryArguments,
    json: bool,
) -> Result<Done, CliError> {
    let request = ExecuteRequest {
        args: parameters(arguments.arguments)?,
        statement: arguments.statement,
    };
    let access = Access::open(state).await?;
    let mut answer = access.execute(request).await?;
    if answer.query_type == "createIndex" {
        answer.items = wait_for_index(&access, answer.items).await?;
    }
    if json {
        output::json(&answer)?;
        return Ok(Done::Wholly);
    }
    answer
        .warnings
        .iter()
        .for_each(|warning| output::note(warning));
    for row in &answer.items {
        output::line(&row.to_string())?;
    }
    // Rows that RETURNING gives say what has changed.
    let writes =
        ["insert", "update", "delete", "evict", "revert"].contains(&answer.query_type.as_str());
    if writes && answer.items.is_empty() {
        let changed = output::count(answer.mutated_document_ids.len() as u64, "document");
        output::line(&format!("{changed} changed"))?;
    }
    Ok(Done::Wholly)
}

/// The values of a statement's parameters, each given once.
pub(super) fn parameters(arguments: Vec<(String, Value)>) -> Result<Params, CliError> {
    let mut args = Params::new();
    for (name, value) in arguments {
        if args.contains_key(&name) {
            let reason = format!("--arg {name} is given twice; give each parameter one value");
            return Err(CliError::Usage(reason));
        }
        args.insert(name, value);
    }
    Ok(args)
}

/// Waits until a new index is ready, and shows on a terminal how far it is. Without a daemon it would not be built any
/// further once this process has ended.
async fn wait_for_index(access: &Access, mut index: Vec<Value>) -> Result<Vec<Value>, CliError> {
    let told = |index: &[Value], name: &str| index.first().and_then(|row| row.get(name)).cloned();
    let progress = ProgressBar::no_length().with_style(style());
    let (name, collection) = (told(&index, "index"), told(&index, "collection"));
    while let Some(Value::String(state)) = told(&index, "state")
        && state != "ready"
        && let Some(collection) = collection.as_ref().and_then(Value::as_str)
    {
        if let (Some(Value::Int(entries)), Some(Value::Int(documents))) =
            (told(&index, "entries"), told(&index, "documents"))
        {
            progress.set_length(documents.cast_unsigned());
            progress.set_position(entries.cast_unsigned());
        }
        tokio::time::sleep(INDEX_PAUSE).await;
        let quoted = collection.replace('"', "\"\"");
        let request = ExecuteRequest {
            args: BTreeMap::new(),
            statement: format!("SHOW INDEXES FROM \"{quoted}\""),
        };
        index = access.execute(request).await?.items;
        index.retain(|row| row.get("index") == name.as_ref());
    }
    progress.finish_and_clear();
    Ok(index)
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} documents {eta}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
