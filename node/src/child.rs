//! Daemons that this program starts for itself: the peers of the demo, the device that a benchmark measures.

use crate::cli::CliError;
use sedge::StateFolder;
use std::process::{Command, Stdio};

/// `sedge run` of this very program on loopback, without discovery. It ends when its standard input closes, so that none
/// outlives the one that started it, and knows nothing of the settings of the user's own device.
pub(crate) fn daemon(state: &StateFolder) -> Result<Command, CliError> {
    let mut command = Command::new(std::env::current_exe().map_err(CliError::Runtime)?);
    command
        .arg("--state")
        .arg(state.path())
        .args(["run", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .args(["--no-discovery", "--until-stdin-ends"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("SEDGE_") && text != "SEDGE_LOG" {
            command.env_remove(&variable);
        }
    }
    Ok(command)
}
