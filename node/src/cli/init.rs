//! `sedge init`: makes a device, and shows the line that makes the next one.

use super::args::InitArguments;
use super::cert::files;
use super::limits::SECRET_BYTES_MAX;
use super::{CliError, Done, output};
use sedge::{Settings, SharedSecret, StateFolder};
use serde_json::json;
use std::io::{self, Read};
use std::path::Path;

pub(super) fn run(
    state: &StateFolder,
    arguments: InitArguments,
    json: bool,
) -> Result<Done, CliError> {
    if !arguments.root.is_empty() {
        return certified(state, arguments, json);
    }
    let app = arguments.app;
    let secret = match &arguments.secret_file {
        Some(path) => Some(SharedSecret::parse(read_secret(path)?.trim())?),
        None => None,
    };
    let name = arguments.name.unwrap_or_else(host_name);
    let secret = state.init(&Settings::of(app.as_str(), &name), secret.as_ref())?;
    let folder = state.path().display().to_string();
    let join = format!(
        "printf %s {} | sedge init --app {app} --secret-file -",
        output::shell_quoted(secret.expose())
    );
    if json {
        output::json(&json!({ "app": app.as_str(), "name": name, "state": folder, "join": join }))?;
        return Ok(Done::Wholly);
    }
    let run = output::run_command(state);
    output::line(&format!(
        "This device is now {name:?}, a peer of the app {app}; its state is in {folder}\n\n\
         Join the mesh with:\n  {run}\n\n\
         The next device joins with this line. It holds the app's secret: whoever has it has full rights.\n  {join}"
    ))?;
    Ok(Done::Wholly)
}

/// Makes a device that an issuer is to certify, and shows the lines that do it.
fn certified(state: &StateFolder, arguments: InitArguments, json: bool) -> Result<Done, CliError> {
    let app = arguments.app;
    let mut roots = Vec::new();
    for file in &arguments.root {
        roots.extend(files::certificates(file)?);
    }
    let name = arguments.name.unwrap_or_else(host_name);
    let key = state.init_certified(&Settings::of(app.as_str(), &name), &roots)?;
    let folder = state.path().display().to_string();
    if json {
        output::json(
            &json!({ "app": app.as_str(), "name": name, "state": folder, "key": key.to_string() }),
        )?;
        return Ok(Done::Wholly);
    }
    let quoted = output::shell_quoted(&name);
    output::line(&format!(
        "This device is now {name:?}, of the app {app}; its state is in {folder}\n\n\
         Have its key certified where the issuer's is:\n  \
         sedge cert issue --subject {key} --name {quoted} --output device.crt\n\n\
         Then bring the certificate here, install it and join the mesh with:\n  \
         sedge cert install device.crt --state {}\n  {}",
        output::shell_quoted(&folder),
        output::run_command(state)
    ))?;
    Ok(Done::Wholly)
}

fn read_secret(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().take(SECRET_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(CliError::file(path))?;
    Ok(text)
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "device".to_owned(),
        name => name.to_owned(),
    }
}
