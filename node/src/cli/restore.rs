//! `sedge restore`: a backup becomes the store of this device.

use super::args::RestoreArguments;
use super::backup::{bar, show};
use super::{CliError, Done, output};
use sedge::StateFolder;
use sedge::backup::restore;
use serde_json::json;

pub(super) fn run(
    state: &StateFolder,
    arguments: &RestoreArguments,
    json: bool,
) -> Result<Done, CliError> {
    let bar = bar();
    let told = &mut |progress| show(&bar, progress);
    let restored = restore(state, &arguments.path, arguments.force, told);
    bar.finish_and_clear();
    let restored = restored?;
    let manifest = &restored.manifest;
    if json {
        output::json(&json!({
            "state": state.path(),
            "takenMs": manifest.taken_ms,
            "collections": manifest.collections.len(),
            "documents": manifest.documents(),
            "setAside": restored.set_aside,
        }))?;
        return Ok(Done::Wholly);
    }
    output::line(&format!(
        "{} of {} are restored, as {:?} had them; join the mesh with: {}",
        output::count(manifest.documents(), "document"),
        output::count(manifest.collections.len() as u64, "collection"),
        manifest.name,
        output::run_command(state),
    ))?;
    if let Some(aside) = restored.set_aside {
        output::line(&format!(
            "What was here before is in {}; remove that when it is no longer needed",
            output::shell_quoted(&aside.to_string_lossy())
        ))?;
    }
    Ok(Done::Wholly)
}
