//! `sedge query`: one statement.

use super::access::Access;
use super::args::QueryArguments;
use super::{CliError, Done, output};
use sedge::StateFolder;
use sedge::api::wire::ExecuteRequest;
use std::collections::BTreeMap;

pub(super) async fn run(
    state: &StateFolder,
    arguments: QueryArguments,
    json: bool,
) -> Result<Done, CliError> {
    let mut args = BTreeMap::new();
    for (name, value) in arguments.arguments {
        if args.contains_key(&name) {
            let reason = format!("--arg {name} is given twice; give each parameter one value");
            return Err(CliError::Usage(reason));
        }
        args.insert(name, value);
    }
    let request = ExecuteRequest {
        args,
        statement: arguments.statement,
    };
    let answer = Access::open(state).await?.execute(request).await?;
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
    let reads = ["select", "history"].contains(&answer.query_type.as_str());
    if !reads && answer.items.is_empty() {
        let changed = output::count(answer.mutated_document_ids.len() as u64, "document");
        output::line(&format!("{changed} changed"))?;
    }
    Ok(Done::Wholly)
}
