//! JSON text in and out of values, in the typed form (`typed`). Reading is stricter than JSON itself: a duplicate key or a number that would
//! lose digits is an error, never silently repaired.

use super::typed::give_types;
use super::{DEPTH_MAX, Value, without_sign_of_zero};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, btree_map::Entry};
use std::fmt;

/// Digits behind the first byte from which on an integer may not fit.
const INTEGER_DIGITS_FIT: usize = 18;

/// Why a text is not an acceptable JSON value; the message names the place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Parses one JSON value.
///
/// # Errors
/// Malformed JSON, duplicate keys, integers beyond 64 bits, a wrong typed form, nesting deeper than [`DEPTH_MAX`].
pub fn parse_json(text: &str) -> Result<Value, JsonError> {
    let Parsed(value) = serde_json::from_str(text)?;
    check_integers(text)?;
    let value = give_types(value).map_err(|reason| JsonError(serde_json::Error::custom(reason)))?;
    if !value.fits(DEPTH_MAX) {
        return Err(JsonError(serde_json::Error::custom(format!(
            "the value nests deeper than {DEPTH_MAX} levels"
        ))));
    }
    Ok(value)
}

/// Refuses integers that don't fit, which serde_json makes floats of, in a text that is JSON.
fn check_integers(text: &str) -> Result<(), JsonError> {
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let length = match first {
            b'"' => string_bytes(behind),
            b'-' | b'0'..=b'9' => number_bytes(behind),
            _ => 0,
        };
        let (token, behind) = behind.split_at(length);
        let is_integer = !token.iter().any(|byte| b".eE".contains(byte));
        // Shorter ones fit: the largest has 19 digits.
        if *first != b'"' && is_integer && token.len() >= INTEGER_DIGITS_FIT {
            let number = text.get(text.len() - rest.len()..text.len() - behind.len());
            let number = number.unwrap_or_default();
            let fits = number.parse::<i64>();
            fits.map_err(|_| too_large::<serde_json::Error>(number))?;
        }
        rest = behind;
    }
    Ok(())
}

/// The bytes of a string behind its opening quote, the closing one included.
fn string_bytes(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}

/// The bytes of a number behind its first.
fn number_bytes(text: &[u8]) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b".eE+-".contains(byte);
    let end = text.iter().position(|byte| !is_part(byte));
    end.unwrap_or(text.len())
}

fn too_large<E: Error>(number: impl fmt::Display) -> E {
    E::custom(format!(
        "the integer {number} does not fit 64 bits with a sign; write it as a string, or as a float like 1e20"
    ))
}

/// The value as compact JSON text, keys in ascending order.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// From JSON by serde_json alone, as strictly as [`parse_json`] reads.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        parse_json(text.get()).map_err(D::Error::custom)
    }
}

/// A value whose integers and depth are still to be checked, and whose types are still to be given.
struct Parsed(Value);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        let fits = i64::try_from(number).map(Value::Int);
        fits.map_err(|_| too_large(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        if number.is_finite() {
            Ok(Value::Float(without_sign_of_zero(number)))
        } else {
            Err(E::custom("the number is not finite"))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Parsed(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = access.next_key::<String>()? {
            match map.entry(key) {
                Entry::Vacant(slot) => slot.insert(access.next_value::<Parsed>()?.0),
                Entry::Occupied(slot) => {
                    return Err(A::Error::custom(format!("duplicate key {:?}", slot.key())));
                }
            };
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_be_lost_silently_is_refused() {
        for (text, reason) in [
            (r#"{"a":1,"a":2}"#, "duplicate key \"a\""),
            ("18446744073709551615", "18446744073709551615 does not fit"),
            ("9223372036854775808", "9223372036854775808 does not fit"),
            ("-9223372036854775809", "-9223372036854775809 does not fit"),
            (
                r#"{"a":["\\",{"b\"1":99999999999999999999}]}"#,
                "99999999999999999999 does not fit",
            ),
            ("{\"a\":", "EOF"),
            ("1e999", "number out of range"),
        ] {
            let error = parse_json(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        // serde_json itself stops at 128 levels, so the parser's stack is bounded too.
        for levels in [DEPTH_MAX + 1, 200] {
            assert!(parse_json(&nested(levels)).is_err());
        }
    }

    /// Goal: only integers are refused for their size, not floats or text, and also within another type.
    #[test]
    fn integers_alone_have_to_fit() {
        for (text, value) in [
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("1e20", Value::Float(1e20)),
            ("99999999999999999999.0", Value::Float(1e20)),
            (
                r#""\"99999999999999999999""#,
                "\"99999999999999999999".into(),
            ),
        ] {
            assert_eq!(parse_json(text).unwrap(), value);
            let list = serde_json::from_str::<Vec<Value>>(&format!("[{text}]"));
            assert_eq!(list.unwrap(), [value]);
        }
        let list = serde_json::from_str::<Vec<Value>>("[1, 99999999999999999999]");
        let error = list.unwrap_err().to_string();
        assert!(
            error.contains("99999999999999999999 does not fit"),
            "{error}"
        );
    }

    fn nested(levels: usize) -> String {
        format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
    }

    /// Goal: whatever is accepted can be read again by any reader on serde_json, within the envelope of an answer.
    #[test]
    fn the_deepest_value_is_read_back_in_an_envelope() {
        let deepest = parse_json(&nested(DEPTH_MAX)).unwrap();
        let answer = format!(r#"{{"a":{{"b":[{{"items":[{deepest}]}}]}}}}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&answer).is_ok());
        assert_eq!(Value::decode(&deepest.encode()), Ok(deepest));
    }

    #[test]
    fn zero_has_no_sign() {
        let sign = |value| matches!(value, Value::Float(zero) if zero.is_sign_negative());
        assert!(!sign(parse_json("-0.0").unwrap()));
        assert_eq!(Value::Float(-0.0).to_string(), "0.0");
    }

    proptest! {
        /// Goal: a float keeps all its bits through JSON text, which serde_json promises with `float_roundtrip` only.
        #[test]
        fn floats_round_trip_bit_by_bit(number in arbitrary::float()) {
            let Value::Float(again) = parse_json(&Value::Float(number).to_string()).unwrap() else {
                panic!("{number} is no float any more");
            };
            prop_assert_eq!(again.to_bits(), without_sign_of_zero(number).to_bits());
        }

        #[test]
        fn json_round_trips(value in arbitrary::value()) {
            prop_assert_eq!(parse_json(&value.to_string()).unwrap(), value);
        }
    }
}
