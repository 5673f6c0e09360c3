//! The secret that the devices of a development identity share.
//!
//! Whoever knows it can issue itself every right of the app, so it is never logged and is wiped from memory.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::limits::{SECRET_BYTES_MAX, SECRET_BYTES_MIN};

/// Crockford's base 32: no letter that reads like a digit. 32 symbols, 5 bits each.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Symbols of a generated secret: 20 random bytes at 5 bits each.
const GENERATED_SYMBOLS: usize = 32;

/// Symbols between two dashes of a generated secret, so that it can be read out.
const GROUP_SYMBOLS: usize = 4;

/// A shared secret. `Debug` does not show it; memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret(Zeroizing<String>);

/// Why a text is no usable secret. Never contains the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The text is too short.
    #[error(
        "the secret has {bytes} bytes, at least {SECRET_BYTES_MIN} are needed: it can be guessed offline, let one be generated"
    )]
    TooShort {
        /// Length of the text without the white space around it, in bytes.
        bytes: usize,
    },
    /// The text is too long.
    #[error(
        "the secret has {bytes} bytes, at most {SECRET_BYTES_MAX} are allowed: is this the right file?"
    )]
    TooLong {
        /// Length of the text without the white space around it, in bytes.
        bytes: usize,
    },
    /// The text holds a control character, such as a line break.
    #[error("the secret contains a control character: it must be one line of text")]
    Control,
    /// The text is a generated secret of which something is missing, or too much.
    #[error(
        "the secret has the form of a generated one, which has {GENERATED_SYMBOLS} symbols, but has {symbols}: copy it again, \
         whole; one of your own must not have that form"
    )]
    Broken {
        /// How many symbols there are between the dashes.
        symbols: usize,
    },
}

impl SharedSecret {
    /// Makes a readable secret of 160 bits: eight groups of four symbols with dashes between them.
    #[must_use]
    pub fn generate(mut random: [u8; 20]) -> Self {
        let mut symbols = Zeroizing::new(String::with_capacity(GENERATED_SYMBOLS));
        for chunk in random.chunks_exact(5) {
            let bits = chunk
                .iter()
                .fold(0u64, |bits, byte| (bits << 8) | u64::from(*byte));
            for place in (0..8).rev() {
                let symbol = ALPHABET.get((bits >> (place * 5)) as usize & 31);
                symbols.extend(symbol.copied().map(char::from));
            }
        }
        random.zeroize();
        Self(grouped(&symbols))
    }

    /// Reads a secret. White space around it is dropped, and a generated one is recognised whatever its case and
    /// dashes; any other text counts as it stands.
    ///
    /// # Errors
    /// [`SecretError`] when the text is shorter than [`SECRET_BYTES_MIN`], longer than [`SECRET_BYTES_MAX`], or more
    /// than one line.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.len() < SECRET_BYTES_MIN {
            return Err(SecretError::TooShort { bytes: text.len() });
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(SecretError::TooLong { bytes: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(SecretError::Control);
        }
        if let Some(symbols) = broken(text) {
            return Err(SecretError::Broken { symbols });
        }
        Ok(Self(
            as_generated(text).unwrap_or_else(|| Zeroizing::new(text.to_owned())),
        ))
    }

    /// The secret itself, to write it to its file or to show it to the person who asked for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(hidden)")
    }
}

/// The canonical form of a generated secret, or none if the text is not one.
fn as_generated(text: &str) -> Option<Zeroizing<String>> {
    let symbols: Zeroizing<String> = Zeroizing::new(
        text.chars()
            .filter(|c| *c != '-')
            .map(|c| c.to_ascii_lowercase())
            .collect(),
    );
    let generated = symbols.len() == GENERATED_SYMBOLS
        && symbols.bytes().all(|symbol| ALPHABET.contains(&symbol));
    generated.then(|| grouped(&symbols))
}

/// How many symbols a text has that is a part of a generated secret, or more than one: groups between dashes, the whole ones
/// among them of four symbols. It has a digit, else it might be a few words.
fn broken(text: &str) -> Option<usize> {
    let groups: Vec<&str> = text.split('-').collect();
    let [first, whole @ .., last] = groups.as_slice() else {
        return None;
    };
    let symbols = groups.iter().map(|group| group.len()).sum();
    let is_symbol = |symbol: u8| ALPHABET.contains(&symbol.to_ascii_lowercase());
    let has_form = whole.len() >= 2
        && whole.iter().all(|group| group.len() == GROUP_SYMBOLS)
        && [first, last]
            .iter()
            .all(|group| group.len() <= GROUP_SYMBOLS)
        && groups.iter().all(|group| group.bytes().all(is_symbol))
        && text.bytes().any(|symbol| symbol.is_ascii_digit());
    (has_form && symbols != GENERATED_SYMBOLS).then_some(symbols)
}

fn grouped(symbols: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(symbols.len() * 5 / 4));
    for (index, symbol) in symbols.chars().enumerate() {
        if index > 0 && index % GROUP_SYMBOLS == 0 {
            text.push('-');
        }
        text.push(symbol);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Goal: the form of a generated secret is fixed, because people and files keep it.
    #[test]
    fn generated_form_is_pinned() {
        let bytes: [u8; 20] = std::array::from_fn(|index| index as u8 * 7);
        let secret = SharedSecret::generate(bytes);
        assert_eq!(secret.expose(), "003g-w58w-4cn3-2e1z-8s6n-8pv2-d5r7-ezm5");
        assert_eq!(format!("{secret:?}"), "SharedSecret(hidden)");
    }

    /// Goal: what can't be a secret is refused, and the reason never repeats the text.
    #[test]
    fn bad_secrets_are_refused() {
        assert_eq!(
            SharedSecret::parse(" hunter2 "),
            Err(SecretError::TooShort { bytes: 7 })
        );
        let long = "x".repeat(SECRET_BYTES_MAX + 1);
        assert_eq!(
            SharedSecret::parse(&long),
            Err(SecretError::TooLong { bytes: 257 })
        );
        assert_eq!(
            SharedSecret::parse("one line of text\nand another"),
            Err(SecretError::Control)
        );
    }

    /// Goal: a generated secret that was cut anywhere is refused, as is one that was pasted twice; words with dashes are not.
    #[test]
    fn parts_of_a_generated_secret_are_refused() {
        let whole = "003g-w58w-4cn3-2e1z-8s6n-8pv2-d5r7-ezm5";
        for end in SECRET_BYTES_MIN..whole.len() {
            let parsed = SharedSecret::parse(&whole[..end]);
            assert!(matches!(parsed, Err(SecretError::Broken { .. })), "{end}");
            let parsed = SharedSecret::parse(&whole[whole.len() - end..]);
            assert!(matches!(parsed, Err(SecretError::Broken { .. })), "{end}");
        }
        let twice = format!("{whole}-{whole}");
        assert_eq!(
            SharedSecret::parse(&twice),
            Err(SecretError::Broken { symbols: 64 })
        );
        for own in [
            "path-tree-warm-deer-yard",
            "quite another secret",
            "7-eleven-on-the-corner",
        ] {
            assert!(SharedSecret::parse(own).is_ok(), "{own}");
        }
    }

    proptest! {
        /// Goal: a generated secret survives being typed in upper case, without dashes, with white space.
        #[test]
        fn generated_round_trips(random: [u8; 20]) {
            let secret = SharedSecret::generate(random);
            let typed = format!(" {}\n", secret.expose().to_uppercase().replace('-', ""));
            prop_assert_eq!(&SharedSecret::parse(&typed).unwrap(), &secret);
            prop_assert_eq!(&SharedSecret::parse(secret.expose()).unwrap(), &secret);
        }
    }
}
