//! `sedge cert`: certificates as files. An issuer's key signs them, anybody shows and checks them, a device installs its own.

mod args;
mod bundle;
pub(super) mod files;
mod issue;
mod passphrase;
mod rights;
mod show;
mod signer;
mod verify;

pub(super) use args::CertCommand;

use super::{CliError, Done, output};
use sedge::{CertificateChain, StateFolder};
use serde_json::json;
use std::path::Path;

pub(super) fn run(
    state: impl FnOnce() -> Result<StateFolder, CliError>,
    command: CertCommand,
    json: bool,
) -> Result<Done, CliError> {
    match command {
        CertCommand::Issuer(arguments) => issue::issuer(arguments, json),
        CertCommand::Issue(arguments) => issue::issue(arguments, json),
        CertCommand::Renew(arguments) => issue::renew(arguments, json),
        CertCommand::Show(arguments) => show::run(&arguments.file, json),
        CertCommand::Verify(arguments) => verify::run(&arguments, json),
        CertCommand::Bundle(arguments) => bundle::run(&arguments, json),
        CertCommand::Install(arguments) => install(&state()?, &arguments.file, json),
    }
}

/// Makes a certificate the one by which this device is admitted.
fn install(state: &StateFolder, file: &Path, json: bool) -> Result<Done, CliError> {
    let chain = files::chain(file)?;
    state.install_certificate(&chain)?;
    if json {
        return tell_json(&chain);
    }
    output::line(&format!(
        "Installed. A running daemon takes it up within seconds; else start one with: {}",
        output::run_command(state)
    ))?;
    Ok(Done::Wholly)
}

/// Tells of a chain that was written to a file.
fn told(
    chain: &CertificateChain,
    written: &Path,
    next: &str,
    json: bool,
) -> Result<Done, CliError> {
    if json {
        return tell_json(chain);
    }
    output::line(&format!("Wrote {}\n{next}", written.display()))?;
    Ok(Done::Wholly)
}

fn tell_json(chain: &CertificateChain) -> Result<Done, CliError> {
    let certificates = chain.iter().map(show::to_json);
    let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
    output::json(&json!({ "certificates": certificates }))?;
    Ok(Done::Wholly)
}
