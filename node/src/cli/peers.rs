//! `sedge peers`: the daemon's neighbours.

use super::{CliError, Done, output};
use indicatif::HumanBytes;
use sedge::StateFolder;
use sedge::api::{Client, ClientError};

pub(super) async fn run(state: &StateFolder, json: bool) -> Result<Done, CliError> {
    state.settings()?; // a folder that is none of ours is told as such
    let peers = match Client::new(&state.socket_path()?).peers().await {
        Err(ClientError::Connect { .. }) => {
            let rest = output::not_running(state);
            return Err(CliError::Failed(format!("the daemon is {rest}")));
        }
        answer => answer?,
    };
    if json {
        output::json(&peers)?;
        return Ok(Done::Wholly);
    }
    if peers.is_empty() {
        output::line(
            "no neighbours yet; name one with: sedge run --peer ADDR\n\
             Why one that is named does not appear is in the log of sedge run: see there whether it is out of reach, or \
             refused because of its app or secret",
        )?;
        return Ok(Done::Wholly);
    }
    let header = [
        "name",
        "peer",
        "direction",
        "address",
        "sync",
        "sent",
        "received",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(peers.into_iter().map(|peer| {
        let sync = if peer.syncing { "open" } else { "opening" };
        vec![
            peer.name.unwrap_or_default(),
            peer.peer,
            peer.direction,
            peer.address,
            sync.to_owned(),
            HumanBytes(peer.sent_bytes).to_string(),
            HumanBytes(peer.received_bytes).to_string(),
        ]
    }));
    output::line(&output::table(&rows))?;
    Ok(Done::Wholly)
}
