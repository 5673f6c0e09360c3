//! Why a connection was not admitted.

use std::io;

use sedge_identity::{CertificateError, Full, KeyError, RefusalCode};

use crate::limits::ADMISSION_MESSAGE_BYTES_MAX;

/// Why a connection was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// This device refuses the peer's certificate.
    #[error("this device refuses the peer: {0}")]
    Certificate(#[from] CertificateError),
    /// This device's own certificate has ended, so nobody would admit it.
    #[error("this device's own certificate has ended: renew it")]
    OwnCertificate,
    /// The peer's certificate, or one of its issuers', does not let it read everything.
    #[error(
        "this device refuses the peer: its certificate lets it read a part only, and this version holds nobody to a part"
    )]
    LimitedReading,
    /// This device has as many peers as it takes.
    #[error("this device refuses the peer: {0}")]
    Full(#[from] Full),
    /// The peer refuses this device.
    #[error("the peer refused this device {0}")]
    RefusedByPeer(RefusalCode),
    /// The peer begins in a version that this device does not speak.
    #[error(
        "the peer speaks version {theirs} of the admission exchange, this device version {ours}: update the older of the two"
    )]
    UnsupportedVersion {
        /// The peer's version.
        theirs: u32,
        /// This device's version.
        ours: u32,
    },
    /// The peer says something else than the exchange has in this place.
    #[error("the peer sent something else where {expected} was expected: is it a Sedge peer?")]
    Unexpected {
        /// What was expected.
        expected: &'static str,
    },
    /// The peer announces a message beyond the limit, or this device was about to send one.
    #[error(
        "a message of {bytes} bytes is more than the {ADMISSION_MESSAGE_BYTES_MAX} that admission allows: is it a Sedge peer?"
    )]
    MessageTooLarge {
        /// Size of the message, in bytes.
        bytes: usize,
    },
    /// The peer's key is of a kind that certificates are not issued for.
    #[error("this device refuses the peer: {0}")]
    Key(#[from] KeyError),
    /// The peer did not finish in time.
    #[error("the peer did not finish the admission exchange within {timeout_ms} ms")]
    Timeout {
        /// Time that it had, in ms.
        timeout_ms: u64,
    },
    /// The connection failed or ended in mid-exchange.
    #[error("the connection ended during the admission exchange ({0}): see the peer's log")]
    Connection(#[from] io::Error),
}
