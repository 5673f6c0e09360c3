//! An issuer's key as its file has it: encrypted with a passphrase.
//!
//! The passphrase becomes a key by Argon2id; the seed of the issuer's key is encrypted with XChaCha20-Poly1305. All
//! parameters follow from the version, so a file from elsewhere can't demand memory or weaken anything.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use crate::{
    key::DeviceKey,
    limits::{
        PASSPHRASE_BYTES_MAX, PASSPHRASE_BYTES_MIN, PASSPHRASE_LANES, PASSPHRASE_MEMORY_KIB,
        PASSPHRASE_PASSES,
    },
};

/// Keeps the encryption from being taken for another one's.
const DOMAIN: &[u8] = b"sedge issuer key";

/// The version of the form that is written and understood, its first byte.
const VERSION: u8 = 1;

/// Bytes of the salt, of the nonce, and of the encrypted seed with its tag: version 1 is these three after its byte.
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const SEALED_BYTES: usize = 32 + 16;

/// What protects an issuer's key. `Debug` does not show it; memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

/// An issuer's key, encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedIssuerKey {
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    sealed: [u8; SEALED_BYTES],
}

/// Why a key can't be encrypted or decrypted. Never contains the passphrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerKeyError {
    /// Too short.
    #[error(
        "the passphrase has {bytes} bytes, at least {PASSPHRASE_BYTES_MIN} are needed: whoever finds the file can guess it"
    )]
    TooShort {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// Too long.
    #[error(
        "the passphrase has {bytes} bytes, at most {PASSPHRASE_BYTES_MAX} are allowed: is this the right file?"
    )]
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// Written by another version.
    #[error("the issuer's key is of version {0}, this program understands {VERSION}: update it")]
    UnsupportedVersion(u8),
    /// The bytes are no encrypted key.
    #[error("the issuer's key is truncated or damaged")]
    Damaged,
    /// The passphrase is another, or the bytes were changed.
    #[error(
        "the passphrase does not open the issuer's key: it is another one, or the file was changed"
    )]
    Passphrase,
    /// The memory for the derivation is not there.
    #[error(
        "no key could be derived from the passphrase ({0}): {PASSPHRASE_MEMORY_KIB} KiB of memory must be free"
    )]
    Derivation(String),
}

impl Passphrase {
    /// Takes a passphrase, without the line break at its end. A `String` that is handed over is wiped from memory.
    ///
    /// # Errors
    /// [`IssuerKeyError`] when it is shorter than [`PASSPHRASE_BYTES_MIN`] or longer than [`PASSPHRASE_BYTES_MAX`].
    pub fn new(text: impl Into<String>) -> Result<Self, IssuerKeyError> {
        let text = Zeroizing::new(text.into());
        let text = text.trim_end_matches(['\r', '\n']);
        let bytes = text.len();
        if bytes < PASSPHRASE_BYTES_MIN {
            return Err(IssuerKeyError::TooShort { bytes });
        }
        if bytes > PASSPHRASE_BYTES_MAX {
            return Err(IssuerKeyError::TooLong { bytes });
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    fn derive(&self, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, argon2::Error> {
        let params = Params::new(
            PASSPHRASE_MEMORY_KIB,
            PASSPHRASE_PASSES,
            PASSPHRASE_LANES,
            Some(32),
        )?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
            self.0.as_bytes(),
            salt,
            &mut key[..],
        )?;
        Ok(key)
    }

    fn cipher(&self, salt: &[u8]) -> Result<XChaCha20Poly1305, IssuerKeyError> {
        let key = self
            .derive(salt)
            .map_err(|error| IssuerKeyError::Derivation(error.to_string()))?;
        Ok(XChaCha20Poly1305::new(Key::from_slice(&key[..])))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(hidden)")
    }
}

impl EncryptedIssuerKey {
    /// Encrypts `key`. `random` is to be fresh: its first 16 bytes become the salt, the others the nonce.
    ///
    /// # Errors
    /// [`IssuerKeyError::Derivation`] when the memory for it is not there.
    pub fn encrypt(
        key: &DeviceKey,
        passphrase: &Passphrase,
        random: [u8; 40],
    ) -> Result<Self, IssuerKeyError> {
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
        salt.copy_from_slice(&random[..SALT_BYTES]);
        nonce.copy_from_slice(&random[SALT_BYTES..]);
        let seed = key.seed();
        let payload = Payload {
            msg: &seed[..],
            aad: &associated(),
        };
        let sealed = passphrase
            .cipher(&salt)?
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| IssuerKeyError::Damaged)?;
        let sealed = sealed.try_into().map_err(|_| IssuerKeyError::Damaged)?;
        Ok(Self {
            salt,
            nonce,
            sealed,
        })
    }

    /// Gives the key back.
    ///
    /// # Errors
    /// [`IssuerKeyError::Passphrase`] when the passphrase is another or a byte was changed, which can't be told apart;
    /// [`IssuerKeyError::Derivation`].
    pub fn decrypt(&self, passphrase: &Passphrase) -> Result<DeviceKey, IssuerKeyError> {
        let payload = Payload {
            msg: &self.sealed,
            aad: &associated(),
        };
        let opened = passphrase
            .cipher(&self.salt)?
            .decrypt(XNonce::from_slice(&self.nonce), payload)
            .map_err(|_| IssuerKeyError::Passphrase)?;
        let opened = Zeroizing::new(opened);
        let mut seed = Zeroizing::new([0; 32]);
        let bytes = opened.get(..32).ok_or(IssuerKeyError::Damaged)?;
        seed.copy_from_slice(bytes);
        Ok(DeviceKey::from_seed(*seed))
    }

    /// The bytes that a file holds.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION][..], &self.salt, &self.nonce, &self.sealed].concat()
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`IssuerKeyError::UnsupportedVersion`], [`IssuerKeyError::Damaged`] for another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IssuerKeyError> {
        let (version, rest) = bytes.split_first().ok_or(IssuerKeyError::Damaged)?;
        if *version != VERSION {
            return Err(IssuerKeyError::UnsupportedVersion(*version));
        }
        let parts = rest
            .split_first_chunk()
            .and_then(|(salt, rest)| Some((salt, rest.split_first_chunk()?)));
        let Some((salt, (nonce, sealed))) = parts else {
            return Err(IssuerKeyError::Damaged);
        };
        Ok(Self {
            salt: *salt,
            nonce: *nonce,
            sealed: sealed.try_into().map_err(|_| IssuerKeyError::Damaged)?,
        })
    }
}

/// What is authenticated beside the ciphertext. The salt is through the key, the nonce by the cipher.
fn associated() -> Vec<u8> {
    [DOMAIN, &[VERSION]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).unwrap()
    }

    fn encrypted() -> EncryptedIssuerKey {
        let random = std::array::from_fn(|index| index as u8);
        let key = DeviceKey::from_seed([7; 32]);
        EncryptedIssuerKey::encrypt(&key, &passphrase("eight or more"), random).unwrap()
    }

    /// Goal: the form is fixed, because files of keys outlive versions, and the right passphrase opens it.
    #[test]
    fn the_form_is_pinned() {
        let bytes = encrypted().to_bytes();
        assert_eq!(
            hex(&bytes).to_string(),
            "01000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252627ddda048466a4142db32cde915675c11c7855e122d4736858db4b37a55716d8468dbe34b32cc54699b1ab4c7e28b8e61c"
        );
        let read = EncryptedIssuerKey::from_bytes(&bytes).unwrap();
        let key = read.decrypt(&passphrase("eight or more\n")).unwrap();
        assert_eq!(*key.seed(), [7; 32]);
    }

    /// Goal: another passphrase and a change anywhere open nothing; another length or version is refused as such.
    #[test]
    fn nothing_else_opens_it() {
        let good = encrypted();
        let refused = Err(IssuerKeyError::Passphrase);
        let opened = |key: &EncryptedIssuerKey, text| key.decrypt(&passphrase(text)).map(drop);
        assert_eq!(opened(&good, "eight or more!"), refused);
        let bytes = good.to_bytes();
        // One place in each part: a derivation is slow on purpose.
        for index in [1, 17, 41, bytes.len() - 1] {
            let mut bytes = bytes.clone();
            bytes[index] ^= 1;
            let changed = EncryptedIssuerKey::from_bytes(&bytes).unwrap();
            assert_eq!(opened(&changed, "eight or more"), refused, "byte {index}");
        }
        for length in 0..bytes.len() {
            let cut = EncryptedIssuerKey::from_bytes(&bytes[..length]);
            assert_eq!(cut, Err(IssuerKeyError::Damaged), "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(
            EncryptedIssuerKey::from_bytes(&longer),
            Err(IssuerKeyError::Damaged)
        );
        assert_eq!(
            EncryptedIssuerKey::from_bytes(&[2, 0]),
            Err(IssuerKeyError::UnsupportedVersion(2))
        );
    }

    /// Goal: a passphrase has a least and a greatest length, and is never shown.
    #[test]
    fn passphrases_are_bounded() {
        assert_eq!(
            Passphrase::new("seven77\n"),
            Err(IssuerKeyError::TooShort { bytes: 7 })
        );
        let long = "x".repeat(PASSPHRASE_BYTES_MAX + 1);
        assert!(matches!(
            Passphrase::new(long),
            Err(IssuerKeyError::TooLong { .. })
        ));
        let shown = format!("{:?}", passphrase("eight or more"));
        assert_eq!(shown, "Passphrase(hidden)");
    }
}
