//! `sedge status`: what the device is and holds.

use super::access::Access;
use super::{CliError, Done, output};
use sedge::StateFolder;
use sedge::api::wire::StatusResponse;

pub(super) async fn run(state: &StateFolder, json: bool) -> Result<Done, CliError> {
    let status = Access::open(state).await?.status().await?;
    if json {
        output::json(&status)?;
    } else {
        output::line(&text(state, &status))?;
    }
    Ok(Done::Wholly)
}

fn text(state: &StateFolder, status: &StatusResponse) -> String {
    let mut rows = vec![
        vec!["app".to_owned(), status.app.clone()],
        vec!["name".to_owned(), status.name.clone()],
        vec!["peer".to_owned(), status.peer.clone()],
    ];
    let daemon = match status.running {
        true => format!(
            "running, {}",
            output::count(status.peers as u64, "neighbour")
        ),
        false => output::not_running(state),
    };
    rows.push(vec!["daemon".to_owned(), daemon]);
    if let Some(behind_ms) = status.clock_behind_ms {
        let seconds = behind_ms / 1000;
        let told = format!(
            "{seconds} s behind what it was; the log and docs/certificates.md say what to do"
        );
        rows.push(vec!["clock".to_owned(), told]);
    }
    for address in &status.listen {
        rows.push(vec!["listening".to_owned(), address.clone()]);
    }
    let mut text = output::table(&rows);
    if status.collections.is_empty() {
        return text + "\n\nno documents yet";
    }
    let header = ["collection", "documents", "digest"]
        .map(str::to_owned)
        .to_vec();
    let collections = status.collections.iter().map(|collection| {
        vec![
            collection.name.clone(),
            collection.documents.to_string(),
            collection.digest.clone(),
        ]
    });
    let rows: Vec<_> = [header].into_iter().chain(collections).collect();
    text.push_str("\n\n");
    text + &output::table(&rows)
}
