//! Files of certificates and keys: read within bounds, written whole, never in the place of another unless told.

use super::args::OutputArguments;
use crate::cli::CliError;
use crate::cli::limits::CERTIFICATE_FILE_BYTES_MAX;
use sedge_identity::{
    ArmourError, ArmourLabel, CertificateChain, EncryptedIssuerKey, SignedCertificate, armour,
    unarmour,
};
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Its owner alone: it holds a key.
    Owner,
    /// Whoever the umask lets.
    Anybody,
}

pub(super) fn chain(path: &Path) -> Result<CertificateChain, CliError> {
    CertificateChain::from_text(&text(path)?).map_err(wrong(path))
}

pub(in crate::cli) fn certificates(path: &Path) -> Result<Vec<SignedCertificate>, CliError> {
    SignedCertificate::all_from_text(&text(path)?).map_err(wrong(path))
}

pub(super) fn issuer_key(path: &Path) -> Result<EncryptedIssuerKey, CliError> {
    let blocks = unarmour(ArmourLabel::IssuerKey, &text(path)?).map_err(wrong(path))?;
    let [block] = blocks.as_slice() else {
        return Err(CliError::Failed(format!(
            "{}: there is more than one key in it",
            path.display()
        )));
    };
    EncryptedIssuerKey::from_bytes(block)
        .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
}

pub(super) fn key_text(key: &EncryptedIssuerKey) -> String {
    armour(ArmourLabel::IssuerKey, &key.to_bytes())
}

/// The text of a file, cut behind the largest that is of any use.
pub(super) fn text(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let file = File::open(path).map_err(CliError::file(path))?;
    let mut bounded = file.take(CERTIFICATE_FILE_BYTES_MAX);
    bounded
        .read_to_string(&mut text)
        .map_err(CliError::file(path))?;
    Ok(text)
}

fn wrong(path: &Path) -> impl FnOnce(ArmourError) -> CliError {
    let path = path.display().to_string();
    move |error| CliError::Failed(format!("{path}: {error}"))
}

impl OutputArguments {
    /// Refuses to write where something is, before any work is done.
    pub(super) fn check_free(&self) -> Result<(), CliError> {
        check_free(&self.file, self.force)
    }

    /// Writes certificates, for anybody to read.
    pub(super) fn write(&self, chain: &CertificateChain) -> Result<(), CliError> {
        write(&self.file, &chain.to_text(), Readers::Anybody, self.force)
    }
}

/// Refuses to write where something is, before any work is done.
pub(super) fn check_free(path: &Path, force: bool) -> Result<(), CliError> {
    if force || std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    Err(occupied(path))
}

fn occupied(path: &Path) -> CliError {
    CliError::Failed(format!(
        "{} is there already; choose another file, or replace it with --force",
        path.display()
    ))
}

/// Writes a file, whole or not at all.
pub(super) fn write(
    path: &Path,
    text: &str,
    readers: Readers,
    force: bool,
) -> Result<(), CliError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Anybody => 0o666, // the umask is taken off
    };
    let draft = tempfile::Builder::new()
        .prefix(".sedge-cert-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder);
    let mut draft = draft.map_err(CliError::file(path))?;
    draft
        .write_all(text.as_bytes())
        .and_then(|()| draft.as_file().sync_all())
        .map_err(CliError::file(path))?;
    let placed = match force {
        true => draft.persist(path),
        false => draft.persist_noclobber(path),
    };
    placed.map(drop).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => occupied(path),
        _ => CliError::file(path)(error.error),
    })
}
