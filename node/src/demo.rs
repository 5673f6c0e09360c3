//! `sedge demo`: several peers on this machine, each a process with a store of its own, carry a real data set.
//!
//! The peers stand in a line: each dials the one before, so what the first imports reaches the last only through those
//! between. `peer` runs the processes, `flow` is what happens, `progress` shows it, `report` is what comes out.

mod edits;
mod flow;
mod peer;
mod progress;
mod report;

use crate::cli::signals::interrupted;
use crate::cli::{CliError, DemoArguments, Done, output};
use flow::Data;
use peer::DemoPeer;
use progress::Progress;
use report::Report;
use std::time::Duration;

/// The default data: US airports (United States government, public domain).
const AIRPORTS: &[u8] = include_bytes!("../../examples/data/airports.ndjson");

pub(crate) async fn run(
    arguments: DemoArguments,
    json: bool,
    state_by_flag: bool,
) -> Result<Done, CliError> {
    let mut report = Report::new(usize::from(arguments.peers));
    let ended = match state_by_flag {
        true => Err(CliError::Usage(
            "a demo makes temporary devices of its own; leave --state out".to_owned(),
        )),
        false => demonstrate(&arguments, json, &mut report).await,
    };
    if json {
        report.error = ended.as_ref().err().map(ToString::to_string);
        report.tell_once()?;
        ended.map_err(|error| CliError::Told(Box::new(error)))?;
    } else {
        ended?;
    }
    Ok(match report.rejected {
        0 => Done::Wholly,
        _ => Done::PartlyRejected,
    })
}

async fn demonstrate(
    arguments: &DemoArguments,
    json: bool,
    report: &mut Report,
) -> Result<(), CliError> {
    let data = Data::open(arguments)?;
    let interrupted = interrupted()?;
    let folder = tempfile::Builder::new()
        .prefix("sedge-demo-")
        .tempdir()
        .map_err(CliError::file(&std::env::temp_dir()))?;
    let mut peers = Vec::new();
    let stopped = tokio::select! {
        shown = show(arguments, json, data, folder.path(), &mut peers, report) => shown,
        () = interrupted => match report.converged {
            true => Ok(()),
            false => Err(CliError::Failed("interrupted".to_owned())),
        },
    };
    peer::stop_all(peers).await;
    stopped
}

async fn show(
    arguments: &DemoArguments,
    json: bool,
    data: Data,
    folder: &std::path::Path,
    peers: &mut Vec<DemoPeer>,
    report: &mut Report,
) -> Result<(), CliError> {
    let progress = Progress::new(json);
    progress.step(&format!(
        "starting {} peers in a line: {}",
        arguments.peers,
        peer::names(arguments.peers).join(" – ")
    ));
    let collection = data.collection.clone();
    let limit = Duration::from_secs(arguments.timeout);
    let flowing = async {
        peer::start_line(folder, arguments.peers, peers).await?;
        flow::run(data, peers, &progress, report).await
    };
    let flowed = tokio::time::timeout(limit, flowing).await;
    progress.clear();
    report.finish(peers, &collection).await;
    flowed.unwrap_or_else(|_| {
        Err(CliError::Failed(format!(
            "the peers did not hold the same within {}; raise --timeout",
            output::count(arguments.timeout, "second")
        )))
    })?;
    if !report.converged {
        let reason = "a peer no longer holds what the others hold, or no longer answers; try again";
        return Err(CliError::Failed(reason.to_owned()));
    }
    if json {
        if !arguments.once {
            report.tell_once()?;
        }
    } else {
        output::line(&report.to_text(&collection))?;
    }
    if !arguments.once {
        invite(json, peers, &collection)?;
        std::future::pending::<()>().await;
    }
    Ok(())
}

fn invite(json: bool, peers: &[DemoPeer], collection: &str) -> Result<(), CliError> {
    if json {
        return Ok(());
    }
    let program = peer::program()?;
    output::line("\nAsk any of the peers from another terminal:")?;
    for peer in peers {
        output::line(&format!(
            "  {} --state {} query 'SELECT * FROM {} LIMIT 5'",
            program.display(),
            peer.state().display(),
            flow::quoted(collection)
        ))?;
    }
    output::line("\nCtrl-C stops all of them.")
}
