//! The typed form: how JSON text and statements write what JSON has no type for.
//!
//! A map with exactly one member of a name below is no map but a value of that type: `{"$counter": 5}`. A map that only looks
//! like one is written `{"$map": {"$counter": 5}}`. Every other map is a plain one, whatever its names begin with.

use super::{Attachment, Value};
use crate::time::leap_second;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sedge_identity::hex;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const ATTACHMENT: &str = "$attachment";
const BYTES: &str = "$bytes";
const COUNTER: &str = "$counter";
const TEXT: &str = "$text";
const TIMESTAMP: &str = "$timestamp";

/// The names that stand for types.
pub(crate) const TYPES: [&str; 5] = [ATTACHMENT, BYTES, COUNTER, TEXT, TIMESTAMP];

/// The name that stands before a plain map which looks like a typed value.
pub(crate) const MAP: &str = "$map";

const NANOSECONDS_IN_MS: i128 = 1_000_000;

/// Whether a map looks like a typed value.
pub(super) fn is_marked<T>(members: &BTreeMap<String, T>) -> bool {
    let mut names = members.keys();
    match (names.next(), names.next()) {
        (Some(name), None) => is_mark(name),
        _ => false,
    }
}

pub(super) fn is_mark(name: &str) -> bool {
    name == MAP || TYPES.contains(&name)
}

/// What a map with these members stands for: itself, or the value that it is the typed form of.
///
/// # Errors
/// The one member is named like a type and holds something else; the text says what.
pub(crate) fn typed(mut members: BTreeMap<String, Value>) -> Result<Value, String> {
    if !is_marked(&members) {
        return Ok(Value::Map(members));
    }
    match members.pop_first() {
        Some((mark, value)) => marked(&mark, value),
        None => Ok(Value::Map(members)),
    }
}

fn marked(mark: &str, value: Value) -> Result<Value, String> {
    Ok(match (mark, value) {
        (MAP, Value::Map(members)) => Value::Map(members),
        (COUNTER, Value::Int(number) | Value::Counter(number)) => Value::Counter(number),
        (TEXT, Value::String(text) | Value::Text(text)) => Value::Text(text),
        (BYTES, Value::String(text)) => {
            Value::Bytes(STANDARD.decode(&text).map_err(|error| {
                format!("$bytes is no base64 (RFC 4648, with padding): {error}")
            })?)
        }
        (BYTES, Value::Bytes(bytes)) => Value::Bytes(bytes),
        (TIMESTAMP, Value::Timestamp(ms) | Value::Int(ms)) => Value::Timestamp(ms),
        (TIMESTAMP, Value::String(text)) => Value::Timestamp(instant(&text)?),
        (ATTACHMENT, Value::Map(parts)) => attachment(parts)?.into(),
        (_, value) => {
            let wanted = match mark {
                MAP => "a map",
                COUNTER => "a whole number",
                TEXT => "a string",
                BYTES => "a string in base64",
                TIMESTAMP => "a time as in 2026-11-23T12:00:00Z, or whole milliseconds since 1970",
                _ => "a map with id, len and metadata",
            };
            return Err(format!(
                "{mark} takes {wanted}, and this is of type {}; a plain map with this one member is written \
                 {{\"$map\": {{\"{mark}\": …}}}}",
                value.type_name()
            ));
        }
    })
}

/// Milliseconds since 1970 of a time as RFC 3339 writes it.
fn instant(text: &str) -> Result<i64, String> {
    if let Some(reason) = leap_second(text) {
        return Err(reason);
    }
    let parsed = OffsetDateTime::parse(text, &Rfc3339);
    let time = parsed.map_err(|error| {
        format!(
            "$timestamp takes a time as in 2026-11-23T12:00:00Z (RFC 3339), not {text:?}: {error}"
        )
    })?;
    let nanoseconds = time.unix_timestamp_nanos();
    if nanoseconds % NANOSECONDS_IN_MS != 0 {
        return Err(format!(
            "the $timestamp {text:?} has more digits than milliseconds; leave them out"
        ));
    }
    i64::try_from(nanoseconds / NANOSECONDS_IN_MS).map_err(|error| error.to_string())
}

/// A time as RFC 3339 writes it, in UTC; `None` before the year 0 and after 9999.
fn instant_text(ms: i64) -> Option<String> {
    let nanoseconds = i128::from(ms) * NANOSECONDS_IN_MS;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
    (0..=9999).contains(&time.year()).then(|| {
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    })
}

fn attachment(mut parts: BTreeMap<String, Value>) -> Result<Attachment, String> {
    let id = match parts.remove("id") {
        Some(Value::String(text)) => hash(&text),
        _ => None,
    };
    let id = id.ok_or("the id of an $attachment is its BLAKE3 hash, 64 hexadecimal digits")?;
    let len = match parts.remove("len") {
        Some(Value::Int(len)) => u64::try_from(len).ok(),
        _ => None,
    };
    let len = len.ok_or("the len of an $attachment is its number of bytes")?;
    let metadata = match parts.remove("metadata") {
        None => Some(BTreeMap::new()),
        Some(Value::Map(members)) => members
            .into_iter()
            .map(|(key, value)| match value {
                Value::String(text) => Some((key, text)),
                _ => None,
            })
            .collect(),
        Some(_) => None,
    };
    let metadata = metadata.ok_or("the metadata of an $attachment is a map of strings")?;
    match parts.first_key_value() {
        None => Ok(Attachment { id, len, metadata }),
        Some((name, _)) => Err(format!(
            "an $attachment has id, len and metadata, and no {name:?}"
        )),
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut id = [0; 32];
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != id.len() {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let [high, low] = pair;
        *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some(id)
}

/// Gives typed values their types, in a value as JSON alone reads it.
///
/// # Errors
/// A typed form is wrong: says where and what.
pub(super) fn give_types(value: Value) -> Result<Value, String> {
    convert(value).map_err(|wrong| match wrong.path.is_empty() {
        true => wrong.reason,
        false => {
            let path: Vec<String> = wrong.path.into_iter().rev().collect();
            format!("at {}: {}", path.join("."), wrong.reason)
        }
    })
}

/// What is wrong, and where: innermost step first.
struct Wrong {
    path: Vec<String>,
    reason: String,
}

fn convert(value: Value) -> Result<Value, Wrong> {
    match value {
        Value::List(items) => {
            let items = items.into_iter().enumerate();
            let items = items.map(|(index, item)| within(convert(item), || index.to_string()));
            items.collect::<Result<_, _>>().map(Value::List)
        }
        Value::Map(mut members) => {
            if is_marked(&members)
                && let Some(Value::Map(escaped)) = members.get_mut(MAP)
            {
                let escaped = std::mem::take(escaped);
                return within(convert_members(escaped), || MAP.to_owned()).map(Value::Map);
            }
            typed(convert_members(members)?).map_err(|reason| Wrong {
                path: Vec::new(),
                reason,
            })
        }
        scalar => Ok(scalar),
    }
}

fn convert_members(members: BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, Wrong> {
    let has_typed = |value: &Value| matches!(value, Value::Map(_) | Value::List(_));
    if !members.values().any(has_typed) {
        return Ok(members);
    }
    let members = members.into_iter().map(|(key, value)| {
        let converted = within(convert(value), || key.clone())?;
        Ok((key, converted))
    });
    members.collect()
}

fn within<T>(result: Result<T, Wrong>, step: impl FnOnce() -> String) -> Result<T, Wrong> {
    result.map_err(|mut wrong| {
        wrong.path.push(step());
        wrong
    })
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(super::without_sign_of_zero(*number)),
            Value::String(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items),
            Value::Map(members) => plain_map(members, serializer),
            Value::Bytes(bytes) => mark(BYTES, &STANDARD.encode(bytes), serializer),
            Value::Timestamp(ms) => match instant_text(*ms) {
                Some(text) => mark(TIMESTAMP, &text, serializer),
                None => mark(TIMESTAMP, ms, serializer),
            },
            Value::Counter(number) => mark(COUNTER, number, serializer),
            Value::Text(text) => mark(TEXT, text, serializer),
            Value::Attachment(attachment) => mark(ATTACHMENT, &**attachment, serializer),
        }
    }
}

impl Serialize for Attachment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_map(Some(3))?;
        parts.serialize_entry("id", &hex(&self.id).to_string())?;
        parts.serialize_entry("len", &self.len)?;
        parts.serialize_entry("metadata", &PlainMap(&self.metadata))?;
        parts.end()
    }
}

struct PlainMap<'a, T>(&'a BTreeMap<String, T>);

impl<T: Serialize> Serialize for PlainMap<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        plain_map(self.0, serializer)
    }
}

fn plain_map<T: Serialize, S: Serializer>(
    members: &BTreeMap<String, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match is_marked(members) {
        true => mark(MAP, members, serializer),
        false => serializer.collect_map(members),
    }
}

fn mark<T: Serialize + ?Sized, S: Serializer>(
    name: &str,
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, value)?;
    map.end()
}

#[cfg(test)]
mod tests {
    use super::super::parse_json;
    use super::*;

    /// Goal: the typed form is pinned: it is in exports that outlive a version.
    #[test]
    fn the_typed_form_is_pinned() {
        let id = "00".repeat(31) + "0f";
        for (text, value) in [
            (r#"{"$counter":-5}"#.to_owned(), Value::Counter(-5)),
            (r#"{"$text":"grün"}"#.to_owned(), Value::Text("grün".into())),
            (
                r#"{"$bytes":"AP8="}"#.to_owned(),
                Value::Bytes(vec![0, 255]),
            ),
            (
                r#"{"$timestamp":"2026-11-23T12:00:00.007Z"}"#.to_owned(),
                Value::Timestamp(1_795_435_200_007),
            ),
            (
                r#"{"$timestamp":"0000-01-01T00:00:00.000Z"}"#.to_owned(),
                Value::Timestamp(-62_167_219_200_000),
            ),
            (
                r#"{"$timestamp":9223372036854775807}"#.to_owned(),
                Value::Timestamp(i64::MAX),
            ),
            (
                format!(
                    r#"{{"$attachment":{{"id":"{id}","len":3,"metadata":{{"$map":{{"$text":"x"}}}}}}}}"#
                ),
                Value::from(Attachment {
                    id: std::array::from_fn(|index| if index == 31 { 15 } else { 0 }),
                    len: 3,
                    metadata: [("$text".to_owned(), "x".to_owned())].into(),
                }),
            ),
            (
                r#"{"$map":{"$map":{"$map":{"$text":{"$counter":1}}}}}"#.to_owned(),
                Value::Map(
                    [(
                        "$map".to_owned(),
                        Value::Map([("$text".to_owned(), Value::Counter(1))].into()),
                    )]
                    .into(),
                ),
            ),
        ] {
            assert_eq!(value.to_string(), text);
            assert_eq!(parse_json(&text).unwrap(), value, "{text}");
        }
    }

    /// Goal: a time in another offset is the same instant; unknown names and maps of two members are plain.
    #[test]
    fn what_else_is_read() {
        for (text, same) in [
            (
                r#"{"$timestamp":"2026-11-23T13:00:00+01:00"}"#,
                r#"{"$timestamp":"2026-11-23T12:00:00.000Z"}"#,
            ),
            (
                r#"{"$timestamp":0}"#,
                r#"{"$timestamp":"1970-01-01T00:00:00.000Z"}"#,
            ),
            (r#"{"$set":5}"#, r#"{"$set":5}"#),
            (r#"{"$counter":1,"a":2}"#, r#"{"$counter":1,"a":2}"#),
            (r#"{"$map":{"a":2}}"#, r#"{"a":2}"#),
        ] {
            assert_eq!(parse_json(text).unwrap().to_string(), same);
        }
    }

    /// Goal: a wrong typed form is refused with its place and what it takes.
    #[test]
    fn wrong_forms_say_what_and_where() {
        for (text, reason) in [
            (
                r#"{"a":[1,{"$bytes":5}]}"#,
                "at a.1: $bytes takes a string in base64, and this is of type int",
            ),
            (r#"{"$bytes":"AP8"}"#, "$bytes is no base64"),
            (
                r#"{"$counter":1.5}"#,
                "$counter takes a whole number, and this is of type float",
            ),
            (r#"{"$text":null}"#, "$text takes a string"),
            (
                r#"{"t":{"$timestamp":"yesterday"}}"#,
                "at t: $timestamp takes a time as in",
            ),
            (
                r#"{"$timestamp":"2026-11-23T12:00:00.0001Z"}"#,
                "more digits than milliseconds",
            ),
            (
                r#"{"$timestamp":"2016-12-31T23:59:60Z"}"#,
                "\"2016-12-31T23:59:60Z\" names a leap second, which is not counted; write its minute's second 59, or the \
                 next minute",
            ),
            (
                r#"{"t":{"$timestamp":"2026-06-15T12:00:60.5+02:00"}}"#,
                "names a leap second",
            ),
            (r#"{"$map":[1]}"#, "$map takes a map"),
            (r#"{"$attachment":{"id":"00"}}"#, "64 hexadecimal digits"),
        ] {
            let error = parse_json(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let id = "0".repeat(64);
        for (rest, reason) in [
            (r#""len":-1"#, "number of bytes"),
            (r#""len":1,"metadata":{"a":1}"#, "map of strings"),
            (r#""len":1,"name":"a""#, "no \"name\""),
        ] {
            let text = format!(r#"{{"$attachment":{{"id":"{id}",{rest}}}}}"#);
            let error = parse_json(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
