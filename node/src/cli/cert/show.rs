//! `sedge cert show`: every field of every certificate of a file, for people and for programs.

use super::files;
use crate::cli::output::one_line;
use crate::cli::{CliError, Done, output};
use sedge_crdt::permissions_to_json;
use sedge_identity::{Certificate, Extension, NO_END_MS, SignedCertificate, hex};
use serde_json::{Map, Value, json};
use std::path::Path;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(super) fn run(file: &Path, json: bool) -> Result<Done, CliError> {
    let certificates = files::certificates(file)?;
    if json {
        let shown = certificates.iter().map(to_json);
        let shown = shown.collect::<Result<Vec<_>, _>>()?;
        output::json(&json!({ "certificates": shown }))?;
        return Ok(Done::Wholly);
    }
    for (index, signed) in certificates.iter().enumerate() {
        if index > 0 {
            output::line("")?;
        }
        output::line(&to_text(signed)?)?;
    }
    Ok(Done::Wholly)
}

fn opened(signed: &SignedCertificate) -> Result<Certificate, CliError> {
    let (found, _) = signed
        .open()
        .map_err(|error| CliError::Failed(error.to_string()))?;
    Ok(found)
}

/// Every field, as JSON.
pub(super) fn to_json(signed: &SignedCertificate) -> Result<Value, CliError> {
    let found = opened(signed)?;
    let end = match found.not_after_ms {
        NO_END_MS => Value::Null,
        not_after_ms => date(not_after_ms).into(),
    };
    Ok(json!({
        "certificate": signed.name().to_string(),
        "bytes": signed.as_bytes().len(),
        "serial": found.serial.to_string(),
        "app": found.app.as_str(),
        "kind": found.kind.to_string(),
        "name": found.name,
        "userId": found.user_id,
        "subject": found.subject.to_string(),
        "peer": found.subject.peer_id().to_string(),
        "issuer": found.issuer.to_string(),
        "isRoot": found.subject.id() == found.issuer,
        "notBefore": date(found.not_before_ms),
        "notAfter": end,
        "permissions": permissions_to_json(&found.permissions),
        "claims": found.claims,
        "critical": extensions_json(&found.critical),
        "extra": extensions_json(&found.extra),
    }))
}

fn extensions_json(extensions: &[Extension]) -> Value {
    let shown = extensions.iter().map(
        |extension| json!({ "name": extension.name, "value": hex(&extension.value).to_string() }),
    );
    shown.collect()
}

/// Every field, a line each.
fn to_text(signed: &SignedCertificate) -> Result<String, CliError> {
    let shown = to_json(signed)?;
    let fields = shown.as_object().map(Map::iter).into_iter().flatten();
    let rows: Vec<Vec<String>> = fields
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| vec![name.clone(), plain(value)])
        .collect();
    Ok(output::table(&rows))
}

/// A value as people read it; what is in it may have come from anybody.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => one_line(text),
        value => value.to_string(),
    }
}

/// A time as a date, such as `2026-11-23T12:00:00Z`; the number itself where it is none.
pub(super) fn date(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{ms} ms"))
}
