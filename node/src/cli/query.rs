//! `sedge query`: one statement.

use super::access::Access;
use super::args::QueryArguments;
use super::{CliError, Done, output};
use sedge::api::wire::ExecuteRequest;
use sedge::{Params, StateFolder, Value};

pub(super) async fn run(
    state: &StateFolder,
    arguments: QueryArguments,
    json: bool,
) -> Result<Done, CliError> {
    let request = ExecuteRequest {
        args: parameters(arguments.arguments)?,
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
