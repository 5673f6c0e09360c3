//! Where a reader of the feed stands, also as text.

use sedge_identity::{hex, parse_hex};
use std::fmt;
use std::str::FromStr;

/// How far a reader has taken in a feed. As text: the feed's id in hexadecimal, a hyphen, the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the feed. After a restore, or an unclean end of a store whose writes were not synced, it is another one,
    /// because sequences may stand for other changes.
    pub feed: [u8; 16],
    /// All up to this sequence is taken in.
    pub sequence: u64,
}

/// Where reading the feed begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With what comes after this sequence of whatever feed the store has; 0 means all that there ever was.
    Sequence(u64),
    /// With what comes after this, if it is still the same feed.
    Checkpoint(Checkpoint),
    /// With the oldest that is kept, whatever came before it.
    Oldest,
    /// With what will be accepted from now on.
    Now,
}

/// A text says nowhere to begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no place in the feed; give a checkpoint as the feed tells it, a sequence like 42, oldest, or now"
)]
pub struct CheckpointError(String);

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", hex(&self.feed), self.sequence)
    }
}

impl FromStr for Since {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let since = match text.split_once('-') {
            None if text == "oldest" => Some(Self::Oldest),
            None if text == "now" => Some(Self::Now),
            None => number(text).map(Self::Sequence),
            Some((feed, sequence)) => parse_hex(feed)
                .zip(number(sequence))
                .map(|(feed, sequence)| Self::Checkpoint(Checkpoint { feed, sequence })),
        };
        since.ok_or_else(|| CheckpointError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Goal: a checkpoint is read as it was told, and a part of its feed's name is none.
        #[test]
        fn checkpoints_round_trip(feed in any::<[u8; 16]>(), sequence in any::<u64>()) {
            let checkpoint = Checkpoint { feed, sequence };
            let text = checkpoint.to_string();
            prop_assert_eq!(text.parse(), Ok(Since::Checkpoint(checkpoint)));
            prop_assert_eq!(sequence.to_string().parse(), Ok(Since::Sequence(sequence)));
            for start in 1..33 {
                prop_assert!(text[start..].parse::<Since>().is_err(), "{}", &text[start..]);
            }
        }

        /// Goal: any text is read or refused.
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            if let Err(error) = text.parse::<Since>() {
                prop_assert!(error.to_string().contains("checkpoint"));
            }
        }
    }

    #[test]
    fn words_and_wrong_ones() {
        assert_eq!("now".parse(), Ok(Since::Now));
        assert_eq!("oldest".parse(), Ok(Since::Oldest));
        for text in ["", "Now", "-1", "+1", "1.5", "18446744073709551616", "ab-1"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
