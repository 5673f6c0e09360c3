//! `sedge query`: one statement.

use super::access::Access;
use super::args::QueryArguments;
use super::{CliError, Done, output};
use sedge::api::wire::ExecuteRequest;
use sedge::{Params, StateFolder, parse_json};

pub(super) async fn run(
    state: &StateFolder,
    arguments: QueryArguments,
    json: bool,
) -> Result<Done, CliError> {
    let request = ExecuteRequest {
        args: params(&arguments.arguments)?,
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
    if answer.query_type == "select" {
        for row in &answer.items {
            output::line(&row.to_string())?;
        }
    } else {
        let changed = output::count(answer.mutated_document_ids.len() as u64, "document");
        output::line(&format!("{changed} changed"))?;
    }
    Ok(Done::Wholly)
}

fn params(arguments: &[String]) -> Result<Params, CliError> {
    let parse = |argument: &String| {
        let failed = |reason: String| CliError::Argument {
            argument: argument.clone(),
            reason,
        };
        let (name, text) = argument
            .split_once('=')
            .ok_or_else(|| failed("there is no = in it".to_owned()))?;
        let value = parse_json(text).map_err(|error| failed(format!("not JSON: {error}")))?;
        Ok((name.trim_start_matches(':').to_owned(), value))
    };
    arguments.iter().map(parse).collect()
}
