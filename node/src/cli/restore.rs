//! `sedge restore`: a backup becomes the store of this device.

use super::args::RestoreArguments;
use super::backup::{and_attachments, bar, show};
use super::{CliError, Done, output};
use sedge::StateFolder;
use sedge::backup::{RestoredAttachments, restore};
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
    let (manifest, attachments) = (&restored.manifest, &restored.attachments);
    if json {
        output::json(&json!({
            "state": state.path(),
            "takenMs": manifest.taken_ms,
            "collections": manifest.collections.len(),
            "documents": manifest.documents(),
            "setAside": restored.set_aside,
            "attachments": attachments.restored,
            "attachmentsLost": attachments.lost.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "attachmentsWanted": attachments.wanted,
            "unsealed": restored.unsealed,
        }))?;
        return Ok(Done::Wholly);
    }
    output::line(&format!(
        "{} of {}{} are restored, as {:?} had them; join the mesh with: {}",
        output::count(manifest.documents(), "document"),
        output::count(manifest.collections.len() as u64, "collection"),
        and_attachments(attachments.restored),
        manifest.name,
        output::run_command(state),
    ))?;
    tell_missing(attachments)?;
    if restored.unsealed > 0 {
        output::line(&format!(
            "Changes of {} can't leave this device: {:?} had not sealed them. Let that device synchronise, or restore the backup \
             there; or write these documents anew here, under other ids",
            output::count(restored.unsealed, "document"),
            manifest.name
        ))?;
    }
    if let Some(aside) = restored.set_aside {
        output::line(&format!(
            "What was here before is in {}; remove that when it is no longer needed",
            output::shell_quoted(&aside.to_string_lossy())
        ))?;
    }
    Ok(Done::Wholly)
}

/// Says which attachments did not come back.
fn tell_missing(attachments: &RestoredAttachments) -> Result<(), CliError> {
    for id in &attachments.lost {
        output::line(&format!(
            "Attachment {id} is missing in the backup or damaged there; add the same file again, or take it from another backup"
        ))?;
    }
    if attachments.wanted > 0 {
        output::line(&format!(
            "Documents name {} whose bytes are not on this device",
            output::count(attachments.wanted, "attachment")
        ))?;
    }
    Ok(())
}
