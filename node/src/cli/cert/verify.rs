//! `sedge cert verify`: what a peer that trusts these roots would say to a certificate now.

use super::args::VerifyArguments;
use super::{files, show, tell_json};
use crate::cli::{CliError, Done, output};
use sedge_identity::Trust;

pub(super) fn run(arguments: &VerifyArguments, json: bool) -> Result<Done, CliError> {
    let chain = files::chain(&arguments.file)?;
    let mut roots = Vec::new();
    for file in &arguments.root {
        roots.extend(files::certificates(file)?);
    }
    let failed = |error: &dyn std::fmt::Display| {
        CliError::Failed(format!("{}: {error}", arguments.file.display()))
    };
    let (first, _) = chain.first().open().map_err(|error| failed(&error))?;
    // The app of the roots counts, as it does on a device: nothing else says to which app the certificate should belong.
    let root_app = match roots.first().map(|root| root.open()) {
        Some(Ok((root, _))) => root.app,
        _ => first.app.clone(),
    };
    let trust = Trust::certified(root_app, &roots).map_err(|error| failed(&error))?;
    let verified = trust
        .verify(&chain, first.subject, sedge::now_ms())
        .map_err(|error| failed(&error))?;
    if json {
        return tell_json(&chain);
    }
    let limits = match verified.reads_everything() {
        true => String::new(),
        false => "; it lets the device read a part only, and peers of this version don't admit it"
            .to_owned(),
    };
    let ends = verified.along_chain().map(|link| link.not_after_ms).min();
    let end = show::date(ends.unwrap_or(verified.not_after_ms));
    output::line(&format!(
        "{} is valid until {end} for the {} {:?} of app {}{limits}",
        arguments.file.display(),
        verified.kind,
        verified.name,
        verified.app
    ))?;
    Ok(Done::Wholly)
}
