//! Why a certificate or a peer is refused: in full for our own log, as a bare code for the other side.

use std::fmt;

use crate::{
    app::AppId,
    certificate::Serial,
    envelope::EnvelopeError,
    key::{KeyId, PublicKey},
    limits::{CERTIFICATE_BYTES_MAX, CHAIN_CERTIFICATES_MAX},
};

/// Why a certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// More bytes than a certificate and those of its issuers may have.
    #[error(
        "the certificate, with those of its issuers, has {bytes} bytes, at most {CERTIFICATE_BYTES_MAX} are allowed"
    )]
    TooLarge {
        /// Size found, in bytes.
        bytes: usize,
    },
    /// More issuers than a chain may have.
    #[error(
        "the chain has {certificates} certificates, at most {CHAIN_CERTIFICATES_MAX} are allowed"
    )]
    TooLong {
        /// How many were found, or one more than are counted.
        certificates: usize,
    },
    /// A certificate of the chain is not the one of the issuer that signed the certificate before it.
    #[error(
        "the chain is broken: certificate {place} after the device's is not of the issuer that signed the one before it"
    )]
    BrokenChain {
        /// Its place after the first one, from 1.
        place: usize,
    },
    /// Something is wrong with the certificate of an issuer.
    #[error("in certificate {place} of its issuers: {source}")]
    Issuer {
        /// Its place after the first one, from 1; the root's comes last.
        place: usize,
        /// What is wrong.
        source: Box<CertificateError>,
    },
    /// A certificate claims more than the one above it has.
    #[error(
        "the certificate claims to {direction} {}, which its issuer may not give",
        collection.as_ref().map_or("everything".to_owned(), |name| format!("the collection {name:?}"))
    )]
    BeyondIssuer {
        /// `read` or `write`.
        direction: &'static str,
        /// Which collection; none for everything.
        collection: Option<String>,
    },
    /// The bytes are no certificate.
    #[error("the certificate is truncated or damaged ({0})")]
    Damaged(&'static str),
    /// The envelope holds something else.
    #[error("the signed envelope holds {found:?}, not a certificate")]
    PayloadType {
        /// What the envelope says it holds, shortened.
        found: String,
    },
    /// The signature does not belong to the bytes.
    #[error("the certificate's signature does not hold: it was changed or forged")]
    Signature,
    /// The certificate was written by another version of Sedge.
    #[error(
        "the certificate has format version {version}, this device understands 1: update the older of the two"
    )]
    UnsupportedVersion {
        /// The version found.
        version: u32,
    },
    /// The certificate demands something that this version does not know.
    #[error(
        "the certificate demands the extension {name:?}, which this device does not know: update it"
    )]
    UnknownCritical {
        /// The extension's name.
        name: String,
    },
    /// The certificate counts in another app.
    #[error("the certificate is for app '{theirs}', this device belongs to app '{ours}'")]
    OtherApp {
        /// The app in the certificate.
        theirs: AppId,
        /// The app of this device.
        ours: AppId,
    },
    /// No trusted issuer signed it.
    #[error(
        "the certificate is signed by an issuer this device does not trust ({issuer}): another secret? a root that is missing here?"
    )]
    UnknownRoot {
        /// The signer, by its short name.
        issuer: KeyId,
    },
    /// The certificate belongs to an issuer, not to a device or service.
    #[error("the certificate is an issuer's: only devices and services are admitted")]
    IssuerKind,
    /// The certificate is about another key than the one that the connection proved.
    #[error(
        "the certificate is about another key ({subject}) than the one presenting it ({presented}): a copied certificate?"
    )]
    OtherKey {
        /// The key in the certificate.
        subject: PublicKey,
        /// The key that the other side proved to hold.
        presented: PublicKey,
    },
    /// The certificate, or every certificate of its key, was taken back.
    #[error("the {what} is revoked (certificate {serial}, key {subject})")]
    Revoked {
        /// `key` or `certificate`: what the policy names.
        what: &'static str,
        /// The certificate's number.
        serial: Serial,
        /// The key that it is about.
        subject: PublicKey,
    },
    /// The certificate was not valid when something was sealed.
    #[error(
        "the certificate was not valid when this was sealed: {}",
        Distance { from_ms: *not_before_ms, to_ms: *not_after_ms, time_ms: *time_ms }
    )]
    NotValidThen {
        /// Begin of validity, in ms since the Unix epoch.
        not_before_ms: u64,
        /// End of validity, in ms since the Unix epoch.
        not_after_ms: u64,
        /// The seal's time, in ms since the Unix epoch.
        time_ms: u64,
    },
    /// The certificate is not valid any more.
    #[error(
        "the certificate expired {} ago by this device's clock: renew it, or correct the clock",
        Span(now_ms.saturating_sub(*not_after_ms))
    )]
    Expired {
        /// End of validity, in ms since the Unix epoch.
        not_after_ms: u64,
        /// This device's time, in ms since the Unix epoch.
        now_ms: u64,
    },
    /// The certificate is not valid yet.
    #[error(
        "the certificate becomes valid in {} by this device's clock: correct the clock of one of the two",
        Span(not_before_ms.saturating_sub(*now_ms))
    )]
    NotYetValid {
        /// Begin of validity, in ms since the Unix epoch.
        not_before_ms: u64,
        /// This device's time, in ms since the Unix epoch.
        now_ms: u64,
    },
}

/// Why a peer was refused, as the refused side is told. The numbers are part of the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RefusalCode {
    /// A code that this version does not know.
    Other = 0,
    /// The certificate could not be read.
    Damaged = 1,
    /// A version of the protocol or of the certificate that the other side does not speak.
    UnsupportedVersion = 2,
    /// The other side belongs to another app.
    OtherApp = 3,
    /// The other side does not trust the issuer.
    UnknownRoot = 4,
    /// The signature does not hold.
    Signature = 5,
    /// The certificate is about another key, or of a kind that is not admitted.
    OtherKey = 6,
    /// The certificate has expired by the other side's clock.
    Expired = 7,
    /// The certificate is not valid yet by the other side's clock.
    NotYetValid = 8,
    /// A critical extension that the other side does not know.
    UnknownCritical = 9,
    /// The other side has as many peers as it takes.
    Full = 10,
    /// The certificates between ours and the root do not fit together.
    BrokenChain = 11,
    /// The certificate claims more than its issuer may give.
    BeyondIssuer = 12,
    /// The certificate, or its key, was taken back.
    Revoked = 13,
    /// The certificate, or one of its issuers', lets the device read a part only.
    LimitedReading = 14,
}

impl CertificateError {
    /// The same about a certificate above the first one.
    pub(crate) fn of_issuer(self, place: usize) -> Self {
        Self::Issuer {
            place,
            source: Box::new(self),
        }
    }

    /// What the refused side is told.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::TooLarge { .. } | Self::Damaged(_) | Self::PayloadType { .. } => {
                RefusalCode::Damaged
            }
            Self::TooLong { .. } | Self::BrokenChain { .. } => RefusalCode::BrokenChain,
            Self::Issuer { source, .. } => source.code(),
            Self::BeyondIssuer { .. } => RefusalCode::BeyondIssuer,
            Self::Signature => RefusalCode::Signature,
            Self::UnsupportedVersion { .. } => RefusalCode::UnsupportedVersion,
            Self::UnknownCritical { .. } => RefusalCode::UnknownCritical,
            Self::OtherApp { .. } => RefusalCode::OtherApp,
            Self::UnknownRoot { .. } => RefusalCode::UnknownRoot,
            Self::IssuerKind | Self::OtherKey { .. } => RefusalCode::OtherKey,
            Self::Expired { .. } => RefusalCode::Expired,
            Self::NotYetValid { .. } => RefusalCode::NotYetValid,
            Self::Revoked { .. } => RefusalCode::Revoked,
            Self::NotValidThen {
                not_after_ms,
                time_ms,
                ..
            } if time_ms > not_after_ms => RefusalCode::Expired,
            Self::NotValidThen { .. } => RefusalCode::NotYetValid,
        }
    }
}

impl From<EnvelopeError> for CertificateError {
    fn from(error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::TooLarge { bytes, .. } => Self::TooLarge { bytes },
            EnvelopeError::Damaged => Self::Damaged("the envelope"),
            EnvelopeError::Key => Self::Damaged("the signer's key"),
            EnvelopeError::PayloadType { found, .. } => Self::PayloadType { found },
            EnvelopeError::Signature => Self::Signature,
        }
    }
}

impl RefusalCode {
    /// Every code that this version knows.
    pub const ALL: [Self; 15] = [
        Self::Other,
        Self::Damaged,
        Self::UnsupportedVersion,
        Self::OtherApp,
        Self::UnknownRoot,
        Self::Signature,
        Self::OtherKey,
        Self::Expired,
        Self::NotYetValid,
        Self::UnknownCritical,
        Self::Full,
        Self::BrokenChain,
        Self::BeyondIssuer,
        Self::Revoked,
        Self::LimitedReading,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> u32 {
        u32::from(self as u8)
    }

    /// The code of a number on the wire; [`RefusalCode::Other`] for a number that this version does not know.
    #[must_use]
    pub fn from_wire(number: u32) -> Self {
        Self::ALL
            .into_iter()
            .find(|code| code.to_wire() == number)
            .unwrap_or(Self::Other)
    }
}

impl fmt::Display for RefusalCode {
    /// What the code means for the refused side, and what to check there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Other => "for a reason that this version does not know: see the peer's log",
            Self::Damaged => {
                "because it could not read our certificate: is one of the two outdated?"
            }
            Self::UnsupportedVersion => "because its version differs: update the older of the two",
            Self::OtherApp => "because it belongs to another app: check the app id of both",
            Self::UnknownRoot => "because it does not trust our issuer: different app or secret? another root?",
            Self::Signature => "because our certificate's signature does not hold: replace it",
            Self::OtherKey => "because our certificate is not for this device's key: replace it",
            Self::Expired => {
                "because our certificate has expired by its clock: renew it, or check both clocks"
            }
            Self::NotYetValid => {
                "because our certificate is not valid yet by its clock: check both clocks"
            }
            Self::UnknownCritical => {
                "because our certificate demands an extension it does not know: update the peer"
            }
            Self::Full => "because it has as many peers as it takes: try another peer",
            Self::BrokenChain => {
                "because the certificates between ours and its root do not fit together: bundle them again"
            }
            Self::BeyondIssuer => {
                "because our certificate claims more than its issuer may give: have another issued"
            }
            Self::Revoked => {
                "because our certificate is revoked: ask whoever issues certificates for the app"
            }
            Self::LimitedReading => {
                "because our certificate lets us read a part only, and its version admits nobody to a part: have another issued"
            }
        })
    }
}

/// A duration in ms as people say it, in its largest whole unit.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        match seconds {
            0 => write!(f, "{} ms", self.0),
            1..=119 => write!(f, "{seconds} s"),
            120..=7_199 => write!(f, "{} min", seconds / 60),
            7_200..=172_799 => write!(f, "{} h", seconds / 3_600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}

/// How far a moment lies outside a validity.
struct Distance {
    from_ms: u64,
    to_ms: u64,
    time_ms: u64,
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.time_ms > self.to_ms {
            let late = Span(self.time_ms - self.to_ms);
            write!(f, "it had expired {late} before")
        } else {
            let early = Span(self.from_ms.saturating_sub(self.time_ms));
            write!(f, "it became valid {early} later")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the numbers on the wire never change, and an unknown one is understood as such.
    #[test]
    fn codes_are_pinned() {
        for (number, code) in RefusalCode::ALL.into_iter().enumerate() {
            assert_eq!(code.to_wire() as usize, number);
            assert_eq!(RefusalCode::from_wire(number as u32), code);
        }
        assert_eq!(RefusalCode::from_wire(15), RefusalCode::Other);
        assert_eq!(RefusalCode::from_wire(u32::MAX), RefusalCode::Other);
    }

    /// Goal: the two messages that people meet most say what to do.
    #[test]
    fn messages_say_what_to_do() {
        let expired = CertificateError::Expired {
            not_after_ms: 1_000,
            now_ms: 1_000 + 3 * 86_400_000,
        };
        assert_eq!(
            expired.to_string(),
            "the certificate expired 3 days ago by this device's clock: renew it, or correct the clock"
        );
        let app = |name: &str| AppId::new(name).unwrap();
        let other = CertificateError::OtherApp {
            theirs: app("fleet"),
            ours: app("demo"),
        };
        assert_eq!(
            other.to_string(),
            "the certificate is for app 'fleet', this device belongs to app 'demo'"
        );
    }
}
