//! Times as people write them: RFC 3339 from and to milliseconds since 1970.

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

/// The moment that `2026-11-23T12:00:00Z` (with any offset) or `2026-11-23` (its beginning, UTC) means, in milliseconds
/// since 1970; smaller parts are cut off. `None` when the text is neither, or a leap second.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if leap_second(text).is_some() {
        return None;
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .or_else(|| Some(date(text)?.midnight().assume_utc()))?;
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// What is wrong with `2016-12-31T23:59:60Z`, whether there was such a second or not: the milliseconds since 1970 have no
/// place for it. `None` for any other text.
pub(crate) fn leap_second(text: &str) -> Option<String> {
    let (begin, rest) = text.split_at_checked(16)?;
    let before = format!("{begin}:59{}", rest.strip_prefix(":60")?);
    OffsetDateTime::parse(&before, &Rfc3339).ok()?;
    Some(format!(
        "{text:?} names a leap second, which is not counted; write its minute's second 59, or the next minute"
    ))
}

fn date(text: &str) -> Option<Date> {
    let digits = text.bytes().enumerate();
    let is_shaped = text.len() == 10
        && digits.into_iter().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !is_shaped {
        return None;
    }
    let month: u8 = text.get(5..7)?.parse().ok()?;
    Date::from_calendar_date(
        text.get(..4)?.parse().ok()?,
        month.try_into().ok()?,
        text.get(8..)?.parse().ok()?,
    )
    .ok()
}

/// A moment in UTC, `None` for one before the year 0 or after 9999, which RFC 3339 can't write.
pub(crate) fn text(ms: i64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    moment.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_with_offsets_and_dates_as_utc() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            parse("2026-11-23T13:00:00.5+01:00"),
            parse("2026-11-23T12:00:00.500Z")
        );
        assert_eq!(parse("2026-11-23"), parse("2026-11-23T00:00:00Z"));
        assert_eq!(parse("1969-12-31T23:59:59.9999Z"), Some(-1));
        for wrong in [
            "",
            "now",
            "2026-11-23T12:00:00",
            "2026-02-30",
            "2026-2-3",
            "+026-11-23",
            "26-11-23",
            "2026-11-é",
            "2026-11-23T25:00:00Z",
            "2016-12-31T23:59:60Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_leap_seconds_are_told_as_such() {
        for leap in ["2016-12-31T23:59:60Z", "2026-06-15T12:00:60.5+02:00"] {
            assert!(leap_second(leap).is_some(), "{leap}");
        }
        for other in [
            "2016-12-31T23:59:59Z",
            "2016-12-31T23:60:60Z",
            "sixteen letters.:60Z",
            "",
        ] {
            assert_eq!(leap_second(other), None, "{other}");
        }
    }

    #[test]
    fn what_no_calendar_holds_has_no_text() {
        assert_eq!(text(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        for ms in [i64::MIN, i64::MAX, 253_402_300_800_000] {
            assert_eq!(text(ms), None);
        }
    }

    proptest! {
        /// Goal: a time that can be written is read back as the same millisecond.
        #[test]
        fn times_round_trip(ms in any::<i64>(), near in -100_000_000_000_000i64..300_000_000_000_000) {
            for ms in [ms, near] {
                if let Some(text) = text(ms) {
                    prop_assert_eq!(parse(&text), Some(ms));
                }
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,30}") {
            parse(&text);
        }
    }
}
