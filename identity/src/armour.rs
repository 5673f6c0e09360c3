//! Text armour (RFC 7468, strict form) for what is kept in files: certificates and an issuer's key.
//!
//! A file may hold several blocks, and text between them. A block that is not whole is an error, never left out.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    limits::{ARMOUR_BLOCKS_MAX, ARMOUR_LINE_CHARS},
    refusal::CertificateError,
};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArmourLabel {
    /// The envelope of a certificate.
    Certificate,
    /// An issuer's key, encrypted.
    IssuerKey,
}

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmourError {
    /// No block at all.
    #[error("there is no \"-----BEGIN {0}-----\" in it: is this the right file?")]
    Empty(&'static str),
    /// A block of another kind.
    #[error("line {line} begins something else than a {expected}: is this the right file?")]
    OtherLabel {
        /// Where, from 1.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// A block without its end, or with something else than base64 in it.
    #[error("the block that begins in line {line} is cut short or damaged")]
    Damaged {
        /// Where, from 1.
        line: usize,
    },
    /// More blocks than a file may have.
    #[error("there are more than {ARMOUR_BLOCKS_MAX} blocks in it")]
    TooMany,
    /// What is in the blocks is no certificate, or no chain.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl ArmourLabel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "SEDGE CERTIFICATE",
            Self::IssuerKey => "SEDGE ENCRYPTED ISSUER KEY",
        }
    }
}

/// Writes one block, with a line break at its end.
#[must_use]
pub fn armour(label: ArmourLabel, bytes: &[u8]) -> String {
    let label = label.as_str();
    let mut text = format!("{BEGIN}{label}{DASHES}\n");
    let encoded = STANDARD.encode(bytes);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(ARMOUR_LINE_CHARS));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("{END}{label}{DASHES}\n"));
    text
}

/// Reads the blocks of a text, of which there is at least one.
///
/// # Errors
/// [`ArmourError`]: there is none, one of another kind, one that is not whole, or more than [`ARMOUR_BLOCKS_MAX`].
pub fn unarmour(label: ArmourLabel, text: &str) -> Result<Vec<Vec<u8>>, ArmourError> {
    let expected = label.as_str();
    let (begin, end) = (
        format!("{BEGIN}{expected}{DASHES}"),
        format!("{END}{expected}{DASHES}"),
    );
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim_end).zip(1..);
    while let Some((found, line)) = lines.next() {
        if !found.starts_with(DASHES) {
            continue;
        }
        if found != begin {
            return Err(ArmourError::OtherLabel { line, expected });
        }
        if blocks.len() == ARMOUR_BLOCKS_MAX {
            return Err(ArmourError::TooMany);
        }
        let damaged = || ArmourError::Damaged { line };
        let mut encoded = String::new();
        loop {
            let (found, _) = lines.next().ok_or_else(damaged)?;
            if found == end {
                break;
            }
            encoded.push_str(found);
        }
        blocks.push(STANDARD.decode(encoded).map_err(|_| damaged())?);
    }
    if blocks.is_empty() {
        return Err(ArmourError::Empty(expected));
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LABEL: ArmourLabel = ArmourLabel::Certificate;

    /// Goal: the form is fixed, and text around blocks does no harm.
    #[test]
    fn the_form_is_pinned() {
        let text = armour(LABEL, &[0xfb; 50]);
        let expected = "-----BEGIN SEDGE CERTIFICATE-----\n\
             +/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7\n\
             +/s=\n-----END SEDGE CERTIFICATE-----\n";
        assert_eq!(text, expected);
        let file = format!(
            "The till\r\n{}\nand another\n{text}",
            text.replace('\n', "\r\n")
        );
        assert_eq!(unarmour(LABEL, &file), Ok(vec![vec![0xfb; 50]; 2]));
    }

    /// Goal: what is cut short, damaged, of another kind or too much is refused as such.
    #[test]
    fn damage_is_refused() {
        let text = armour(LABEL, &[7; 100]);
        let two = format!("{text}{text}");
        for length in text.len()..two.len() - 1 {
            let cut = &two[..length];
            // Up to the second block's first dashes only one block is there, and it is whole.
            let rest = length - text.len();
            assert_eq!(unarmour(LABEL, cut).is_ok(), rest < DASHES.len(), "{cut}");
        }
        assert_eq!(
            unarmour(LABEL, &text.replacen("Bw", "!!", 1)),
            Err(ArmourError::Damaged { line: 1 })
        );
        let key = armour(ArmourLabel::IssuerKey, &[7]);
        let error = unarmour(LABEL, &format!("{text}{key}"));
        assert!(matches!(
            error,
            Err(ArmourError::OtherLabel { line: 6, .. })
        ));
        assert!(matches!(
            unarmour(LABEL, "nothing"),
            Err(ArmourError::Empty(_))
        ));
        let many = text.repeat(ARMOUR_BLOCKS_MAX + 1);
        assert_eq!(unarmour(LABEL, &many), Err(ArmourError::TooMany));
    }

    proptest! {
        /// Goal: what is written is read again, and noise never panics.
        #[test]
        fn blocks_round_trip(blocks in prop::collection::vec(any::<Vec<u8>>(), 1..4), noise: String) {
            let text: String = blocks.iter().map(|block| armour(LABEL, block)).collect();
            prop_assert_eq!(unarmour(LABEL, &text), Ok(blocks));
            drop(unarmour(LABEL, &noise));
        }
    }
}
