//! `sedge feed`: what was accepted, change by change.

use super::access::Access;
use super::args::FeedArguments;
use super::watch::ended;
use super::{CliError, Done, output};
use sedge::StateFolder;
use sedge::api::wire::FeedQuery;
use std::io::{self, Write};

pub(super) async fn run(state: &StateFolder, arguments: FeedArguments) -> Result<Done, CliError> {
    let access = Access::open(state).await?;
    if arguments.follow && matches!(access, Access::Offline(_)) {
        let reason = format!(
            "--follow waits for what a running daemon accepts, and there is none; {}",
            output::not_running(state)
        );
        return Err(CliError::Failed(reason));
    }
    let query = FeedQuery {
        since: Some(arguments.since),
        collection: arguments.collection,
        follow: arguments.follow,
    };
    // Line by line, so that whoever reads a live feed has each at once.
    let line = |line: &[u8]| io::stdout().lock().write_all(line);
    access.feed(&query, line).await?;
    match query.follow {
        true => Err(ended(state)),
        false => Ok(Done::Wholly),
    }
}
