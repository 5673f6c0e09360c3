//! The bytes of a certificate's payload, and the limits on what is in them.

use std::collections::BTreeMap;

use prost::Message;

use super::{Certificate, CertificateKind, Extension, Serial};
use crate::{
    app::AppId,
    key::{KeyId, PublicKey},
    limits::{
        CLAIMS_MAX, EXTENSIONS_MAX, NAME_BYTES_MAX, RIGHTS_COLLECTION_BYTES_MAX,
        RIGHTS_COLLECTIONS_MAX, RIGHTS_QUERIES_MAX,
    },
    permissions::{Permissions, Rights},
    refusal::CertificateError,
    wire,
};

/// Keeps the signature of a certificate from being used for anything else.
pub(crate) const DOMAIN: &str = "sedge-certificate";

/// What a certificate's envelope says it holds.
pub(crate) const PAYLOAD_TYPE: &str = "/sedge/certificate";

/// The version of the payload that is written and understood.
const VERSION: u32 = 1;

/// The critical extensions that are understood: none yet.
const CRITICAL_UNDERSTOOD: [&str; 0] = [];

/// Why a payload is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unacceptable {
    /// Written by another version.
    Version(u32),
    /// Asks for something that is not understood.
    Critical(String),
    /// A field is missing, malformed or beyond its limit.
    Field(&'static str),
}

impl From<Unacceptable> for CertificateError {
    fn from(reason: Unacceptable) -> Self {
        match reason {
            Unacceptable::Version(version) => Self::UnsupportedVersion { version },
            Unacceptable::Critical(name) => Self::UnknownCritical { name },
            Unacceptable::Field(field) => Self::Damaged(field),
        }
    }
}

/// Writes the payload.
pub(crate) fn encode(certificate: &Certificate) -> Result<Vec<u8>, &'static str> {
    check_limits(certificate)?;
    let message = wire::Certificate {
        version: VERSION,
        serial: certificate.serial.0.to_vec(),
        app: certificate.app.as_str().to_owned(),
        subject: certificate.subject.as_bytes().to_vec(),
        name: certificate.name.clone(),
        user_id: certificate.user_id.clone().unwrap_or_default(),
        kind: match certificate.kind {
            CertificateKind::Issuer => wire::Kind::Issuer,
            CertificateKind::Device => wire::Kind::Device,
            CertificateKind::Service => wire::Kind::Service,
        }
        .into(),
        not_before_ms: certificate.not_before_ms,
        not_after_ms: certificate.not_after_ms,
        issuer: certificate.issuer.as_bytes().to_vec(),
        read: Some(encode_rights(&certificate.permissions.read)),
        write: Some(encode_rights(&certificate.permissions.write)),
        claims: certificate
            .claims
            .iter()
            .map(|(name, value)| wire::Claim {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        critical: certificate.critical.iter().map(encode_extension).collect(),
        extra: certificate.extra.iter().map(encode_extension).collect(),
    };
    Ok(message.encode_to_vec())
}

/// Reads a payload.
pub(crate) fn decode(payload: &[u8]) -> Result<Certificate, Unacceptable> {
    let message =
        wire::Certificate::decode(payload).map_err(|_| Unacceptable::Field("the payload"))?;
    if message.version != VERSION {
        return Err(Unacceptable::Version(message.version));
    }
    let certificate = decode_fields(message).map_err(Unacceptable::Field)?;
    check_limits(&certificate).map_err(Unacceptable::Field)?;
    let unknown = |extension: &&Extension| !CRITICAL_UNDERSTOOD.contains(&extension.name.as_str());
    match certificate.critical.iter().find(unknown) {
        Some(extension) => Err(Unacceptable::Critical(extension.name.clone())),
        None => Ok(certificate),
    }
}

fn decode_fields(message: wire::Certificate) -> Result<Certificate, &'static str> {
    let kind = match message.kind() {
        wire::Kind::Issuer => CertificateKind::Issuer,
        wire::Kind::Device => CertificateKind::Device,
        wire::Kind::Service => CertificateKind::Service,
        wire::Kind::Unspecified => return Err("kind"),
    };
    let subject = message.subject.try_into().map_err(|_| "subject")?;
    let claims_count = message.claims.len();
    let claims: BTreeMap<_, _> = message
        .claims
        .into_iter()
        .map(|claim| (claim.name, claim.value))
        .collect();
    if claims.len() != claims_count {
        return Err("claims");
    }
    Ok(Certificate {
        serial: Serial(message.serial.try_into().map_err(|_| "serial")?),
        app: AppId::new(&message.app).map_err(|_| "app")?,
        subject: PublicKey::from_bytes(subject).map_err(|_| "subject")?,
        name: message.name,
        user_id: Some(message.user_id).filter(|user| !user.is_empty()),
        kind,
        not_before_ms: message.not_before_ms,
        not_after_ms: message.not_after_ms,
        issuer: KeyId::from_bytes(message.issuer.try_into().map_err(|_| "issuer")?),
        permissions: Permissions {
            read: decode_rights(message.read.unwrap_or_default())?,
            write: decode_rights(message.write.unwrap_or_default())?,
        },
        claims,
        critical: message.critical.into_iter().map(decode_extension).collect(),
        extra: message.extra.into_iter().map(decode_extension).collect(),
    })
}

fn encode_rights(rights: &Rights) -> wire::Rights {
    match rights {
        Rights::Everything => wire::Rights {
            everything: true,
            collections: Vec::new(),
        },
        Rights::Collections(collections) => wire::Rights {
            everything: false,
            collections: collections
                .iter()
                .map(|(collection, queries)| wire::CollectionRights {
                    collection: collection.clone(),
                    queries: queries.clone(),
                })
                .collect(),
        },
    }
}

/// Missing rights read as no rights. Rights that say "everything" and name collections as well, or name a collection
/// twice, have two readings and are refused.
fn decode_rights(rights: wire::Rights) -> Result<Rights, &'static str> {
    if rights.everything {
        return if rights.collections.is_empty() {
            Ok(Rights::Everything)
        } else {
            Err("permissions")
        };
    }
    let count = rights.collections.len();
    let collections: BTreeMap<_, _> = rights
        .collections
        .into_iter()
        .map(|entry| (entry.collection, entry.queries))
        .collect();
    if collections.len() == count {
        Ok(Rights::Collections(collections))
    } else {
        Err("permissions")
    }
}

fn encode_extension(extension: &Extension) -> wire::Extension {
    wire::Extension {
        name: extension.name.clone(),
        value: extension.value.clone(),
    }
}

fn decode_extension(extension: wire::Extension) -> Extension {
    Extension {
        name: extension.name,
        value: extension.value,
    }
}

/// The limits that hold for certificates written here and read from others alike.
fn check_limits(certificate: &Certificate) -> Result<(), &'static str> {
    let user_bytes = certificate.user_id.as_ref().map_or(0, String::len);
    let named = |extension: &Extension| !extension.name.is_empty();
    let checks = [
        (certificate.name.len() <= NAME_BYTES_MAX, "name"),
        (user_bytes <= NAME_BYTES_MAX, "user_id"),
        (certificate.user_id.as_deref() != Some(""), "user_id"),
        (
            certificate.not_before_ms <= certificate.not_after_ms,
            "not_after",
        ),
        (within_limits(&certificate.permissions.read), "permissions"),
        (within_limits(&certificate.permissions.write), "permissions"),
        (certificate.claims.len() <= CLAIMS_MAX, "claims"),
        (!certificate.claims.contains_key(""), "claims"),
        (certificate.critical.len() <= EXTENSIONS_MAX, "critical"),
        (certificate.critical.iter().all(named), "critical"),
        (certificate.extra.len() <= EXTENSIONS_MAX, "extra"),
        (certificate.extra.iter().all(named), "extra"),
    ];
    checks
        .into_iter()
        .try_for_each(|(holds, field)| if holds { Ok(()) } else { Err(field) })
}

fn within_limits(rights: &Rights) -> bool {
    match rights {
        Rights::Everything => true,
        Rights::Collections(collections) => {
            collections.len() <= RIGHTS_COLLECTIONS_MAX
                && collections.iter().all(|(collection, queries)| {
                    (1..=RIGHTS_COLLECTION_BYTES_MAX).contains(&collection.len())
                        && queries.len() <= RIGHTS_QUERIES_MAX
                })
        }
    }
}
