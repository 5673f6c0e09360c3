//! `sedge status`: what the device is and holds.

use super::access::Access;
use super::{CliError, Done, output};
use sedge::StateFolder;
use sedge::api::wire::StatusResponse;

/// Documents set aside that are shown by name; `--json` has more.
const SET_ASIDE_SHOWN_MAX: usize = 3;

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
    rows.extend(troubles(status));
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

/// What keeps documents from going where they should, one row each.
fn troubles(status: &StatusResponse) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut tell = |what: &str, text: String| rows.push(vec![what.to_owned(), text]);
    if let Some(withheld) = &status.withheld {
        let documents = match withheld.is_more_unsealed {
            true => format!("{} documents or more", withheld.unsealed),
            false => output::count(withheld.unsealed, "document"),
        };
        match &withheld.reason {
            Some(reason) => tell(
                "unsealed",
                format!("changes of {documents} stay here: {reason}"),
            ),
            None if withheld.unsealed == 0 && !withheld.is_more_unsealed => {}
            None if status.running => tell("unsealed", format!("changes of {documents}")),
            None => {
                tell(
                    "unsealed",
                    format!("changes of {documents}, which go out when the daemon runs"),
                );
            }
        }
        if withheld.set_aside > 0 {
            let documents = output::count(withheld.set_aside, "document");
            let first = withheld
                .set_aside_first
                .iter()
                .map(|it| format!("{} {}", it.collection, it.id));
            let first: Vec<_> = first.take(SET_ASIDE_SHOWN_MAX).collect();
            let more = if withheld.set_aside > first.len() as u64 {
                ", …"
            } else {
                ""
            };
            let told = format!(
                "changes of {documents} stay here, as the certificate does not let this device write them: {}{more}; \
                 `sedge cert install` takes another certificate",
                first.join(", ")
            );
            tell("set aside", told);
        }
    }
    for device in &status.copied_devices {
        let peer = device.peer.as_deref().unwrap_or("unknown");
        let told = format!(
            "two stores write as the device {} ({peer}): stop one of them, and enrol it anew with a key of its own",
            device.name
        );
        tell("copied", told);
    }
    rows
}
