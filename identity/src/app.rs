//! The application id. Peers of different apps never exchange anything.

use std::{fmt, str::FromStr, sync::Arc};

use crate::limits::APP_ID_BYTES_MAX;

/// The id of an app: 1 to [`APP_ID_BYTES_MAX`] bytes of `a-z 0-9 . _ -`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(Arc<str>);

/// Why a text is no app id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppIdError {
    /// The text is empty.
    #[error("the app id is empty: choose a name of a-z, 0-9, '.', '_' and '-'")]
    Empty,
    /// The text is too long.
    #[error("the app id has {bytes} bytes, at most {APP_ID_BYTES_MAX} are allowed")]
    TooLong {
        /// Length of the text, in bytes.
        bytes: usize,
    },
    /// The text holds a character outside the allowed ones.
    #[error(
        "the app id contains {character:?} (character {position}): only a-z, 0-9, '.', '_' and '-' are allowed"
    )]
    Character {
        /// The first character that is not allowed.
        character: char,
        /// Its place, counted from 1.
        position: usize,
    },
}

impl AppId {
    /// Checks `text` and makes it an app id.
    ///
    /// # Errors
    /// [`AppIdError`] names what is wrong with the text.
    pub fn new(text: &str) -> Result<Self, AppIdError> {
        if text.is_empty() {
            return Err(AppIdError::Empty);
        }
        if text.len() > APP_ID_BYTES_MAX {
            return Err(AppIdError::TooLong { bytes: text.len() });
        }
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        if let Some((index, character)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
            return Err(AppIdError::Character {
                character,
                position: index + 1,
            });
        }
        Ok(Self(Arc::from(text)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppId {
    type Err = AppIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl AsRef<str> for AppId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppId({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: good names pass, and each bad one is refused with its own reason.
    #[test]
    fn names_are_checked() {
        for good in ["a", "demo", "my-app_2.1", &"x".repeat(APP_ID_BYTES_MAX)] {
            assert_eq!(AppId::new(good).unwrap().as_str(), good);
        }
        assert_eq!(AppId::new(""), Err(AppIdError::Empty));
        assert_eq!(
            AppId::new(&"x".repeat(APP_ID_BYTES_MAX + 1)),
            Err(AppIdError::TooLong {
                bytes: APP_ID_BYTES_MAX + 1
            })
        );
        for (bad, character, position) in [
            ("Demo", 'D', 1),
            ("a b", ' ', 2),
            ("caf\u{e9}", '\u{e9}', 4),
            ("a/b", '/', 2),
        ] {
            assert_eq!(
                AppId::new(bad),
                Err(AppIdError::Character {
                    character,
                    position
                })
            );
        }
    }
}
