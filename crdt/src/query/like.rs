//! LIKE: `%` stands for any run of characters, `_` for one. Letters match only themselves, in their own case.

use super::error::{Position, QueryError};
use super::limits::LIKE_PATTERN_BYTES_MAX;
use super::work::Work;

#[derive(Clone, Copy)]
enum Part {
    Run,
    One,
    Exactly(char),
}

/// What all texts begin with that a pattern matches.
pub(super) struct Prefix {
    pub(super) text: String,
    pub(super) rest: Rest,
}

/// What a pattern asks for behind its prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// The end.
    Nothing,
    /// Whatever follows.
    Anything,
    /// Something else.
    More,
}

/// A pattern's prefix; `None` for a pattern that is an error.
pub(super) fn prefix(pattern: &str, escape: Option<char>) -> Option<Prefix> {
    let parts = compile(pattern, escape, Position::START).ok()?;
    let mut text = String::new();
    for (place, part) in parts.iter().enumerate() {
        let rest = match part {
            Part::Exactly(character) => {
                text.push(*character);
                continue;
            }
            Part::Run if place + 1 == parts.len() => Rest::Anything,
            Part::Run | Part::One => Rest::More,
        };
        return Some(Prefix { text, rest });
    }
    Some(Prefix {
        text,
        rest: Rest::Nothing,
    })
}

/// Whether `text` matches `pattern`.
///
/// # Errors
/// A pattern that is too long, or where `escape` stands before something that needs none; or the work has to end.
pub(super) fn matches(
    text: &str,
    pattern: &str,
    escape: Option<char>,
    at: Position,
    work: &Work<'_>,
) -> Result<bool, QueryError> {
    let parts = compile(pattern, escape, at)?;
    let mut rest = text.chars();
    let mut next = 0;
    // Where to resume if what follows the latest `%` does not fit: that part, and the text it has not swallowed yet.
    let mut resume: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        work.step(at)?;
        let before = rest.clone();
        let fits = match (parts.get(next), rest.next()) {
            (Some(Part::Run), _) => {
                rest = before;
                resume = Some((next, rest.clone()));
                true
            }
            (None, None) => return Ok(true),
            (Some(Part::One), Some(_)) => true,
            (Some(Part::Exactly(wanted)), Some(found)) => *wanted == found,
            (Some(_), None) => return Ok(false),
            (None, Some(_)) => false,
        };
        if fits {
            next += 1;
            continue;
        }
        let Some((run, mut swallowed)) = resume.take() else {
            return Ok(false);
        };
        if swallowed.next().is_none() {
            return Ok(false);
        }
        next = run + 1;
        rest = swallowed.clone();
        resume = Some((run, swallowed));
    }
}

fn compile(pattern: &str, escape: Option<char>, at: Position) -> Result<Vec<Part>, QueryError> {
    if pattern.len() > LIKE_PATTERN_BYTES_MAX {
        return Err(at.error(format!(
            "the LIKE pattern has {} bytes, the limit is {LIKE_PATTERN_BYTES_MAX}",
            pattern.len()
        )));
    }
    let mut parts = Vec::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        parts.push(if Some(character) == escape {
            match characters.next() {
                Some(literal) if "%_".contains(literal) || Some(literal) == escape => {
                    Part::Exactly(literal)
                }
                _ => {
                    return Err(at.error(format!(
                        "in a LIKE pattern the escape character {character} must stand before %, _ or itself"
                    )));
                }
            }
        } else {
            match character {
                '%' => Part::Run,
                '_' => Part::One,
                literal => Part::Exactly(literal),
            }
        });
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn like(text: &str, pattern: &str) -> bool {
        matches(text, pattern, Some('!'), Position::START, &Work::default()).unwrap()
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("abc", "abc", true),
            ("abc", "ab", false),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "_b_", true),
            ("abc", "____", false),
            ("aXbXc", "a%X_", true),
            ("aab", "a%ab", true),
            ("ABC", "abc", false),
            ("grün", "gr_n", true),
            ("5%", "5!%", true),
            ("5x", "5!%", false),
            ("a!", "a!!", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} LIKE {pattern}");
        }
        for pattern in ["a!", "!a"] {
            let work = Work::default();
            assert!(matches("a", pattern, Some('!'), Position::START, &work).is_err());
        }
    }

    struct Patient(std::cell::Cell<u32>);

    impl super::super::Patience for Patient {
        fn lasts(&self) -> bool {
            self.0.set(self.0.get() - 1);
            self.0.get() > 0
        }
    }

    /// Goal: a pattern that takes billions of steps ends with the patience, not with the text.
    #[test]
    fn a_hard_pattern_is_stopped() {
        let (text, pattern) = ("a".repeat(1 << 20), format!("%{}b", "a".repeat(4_000)));
        let patient = Patient(3.into());
        let work = Work::within(&patient);
        let stopped = matches(&text, &pattern, None, Position::START, &work);
        assert!(stopped.unwrap_err().message.contains("stopped"));
        assert_eq!(patient.0.get(), 0);
    }

    /// The textbook definition, exponential but plain.
    fn oracle(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skip| oracle(&text[skip..], rest)),
            Some((wanted, rest)) => text.split_first().is_some_and(|(found, text)| {
                (*wanted == '_' || wanted == found) && oracle(text, rest)
            }),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(text in "[ab]{0,8}", pattern in "[ab%_]{0,6}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(like(&text, &pattern), oracle(&characters(&text), &characters(&pattern)));
        }
    }
}
