//! `sedge watch`: a live query, as a listing that follows the result or as NDJSON.

mod listing;

use super::args::WatchArguments;
use super::{CliError, Done, output, query, signals};
use listing::Listing;
use sedge::api::wire::ObserveEvent;
use sedge::api::{Client, ClientError, Observed};
use sedge::{Params, StateFolder};
use std::io::{self, IsTerminal};
use std::pin::pin;

pub(super) async fn run(
    state: &StateFolder,
    arguments: WatchArguments,
    json: bool,
) -> Result<Done, CliError> {
    state.settings()?; // a folder that is none of ours is told as such
    let params = query::parameters(arguments.arguments)?;
    let mut interrupted = pin!(signals::interrupted()?);
    let mut shown = match json || !io::stdout().is_terminal() {
        true => None,
        false => Some(Listing::new(&arguments.statement)),
    };
    let watched = async {
        let mut observed = observe(state, &arguments.statement, &params).await?;
        loop {
            match observed.next().await {
                Some(Ok(event)) => show(event, shown.as_mut())?,
                // The query failed on a document, and goes on with the next change.
                Some(Err(ClientError::Refused(reason))) => {
                    output::error(&CliError::Failed(reason), json);
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Err(ended(state)),
            }
        }
    };
    tokio::select! {
        () = &mut interrupted => Ok(Done::Wholly),
        ended = watched => ended,
    }
}

async fn observe(
    state: &StateFolder,
    statement: &str,
    params: &Params,
) -> Result<Observed, CliError> {
    let client = Client::new(&state.socket_path()?);
    match client.observe_with(statement, params).await {
        Err(ClientError::Connect { .. }) => Err(CliError::Failed(format!(
            "the daemon is {}; a result that nobody can change is shown by sedge query",
            output::not_running(state)
        ))),
        observed => Ok(observed?),
    }
}

fn show(event: ObserveEvent, listing: Option<&mut Listing>) -> Result<(), CliError> {
    match listing {
        None => output::json(&event),
        Some(listing) => listing.show(event.into()),
    }
}

/// What to say when the answers of a daemon end that were to go on.
pub(super) fn ended(state: &StateFolder) -> CliError {
    let run = output::run_command(state);
    CliError::Failed(format!("the daemon has ended; start it again with: {run}"))
}
