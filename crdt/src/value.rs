//! The visible value of a document: what queries read, what JSON shows and what digests cover.
//!
//! A value is produced from an Automerge document (`document`) or from JSON text, and is stored in the
//! compact binary form of [`encode`](Value::encode). That form is canonical: equal values have equal bytes.

mod binary;
mod conflicts;
mod json;
mod typed;

use std::collections::BTreeMap;

pub use binary::DecodeError;
pub(crate) use binary::{Encoded, Plain};
pub(crate) use conflicts::{Conflict, values_at};
pub use json::{JsonError, parse_json};
pub(crate) use typed::{MAP, TYPES, typed};

/// How deep maps and lists may nest, in levels of JSON: a value that JSON has no type for takes a level too, as it is
/// written as a map. Bounds the recursion of everything that walks a value. serde_json reads 127 levels; the difference is
/// for what an answer wraps around a document.
pub const DEPTH_MAX: usize = 120;

/// Levels of JSON that an attachment takes at most.
pub(crate) const ATTACHMENT_LEVELS: usize = 4;

/// A JSON-like value. Integers are 64-bit and distinct from floats; floats are always finite, and 0.0 has no sign wherever
/// it is written: `-0.0` equals it, so it must have the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON `null`.
    Null,
    /// JSON `true` or `false`.
    Bool(bool),
    /// A number without fraction or exponent, within 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string that merges as a whole.
    String(String),
    /// A nested object, ordered by key.
    Map(BTreeMap<String, Value>),
    /// An array.
    List(Vec<Value>),
    /// Bytes that merge as a whole.
    Bytes(Vec<u8>),
    /// An instant, in milliseconds since 1970.
    Timestamp(i64),
    /// A number that concurrent increments add up in. Where it is compared or computed with it is an integer.
    Counter(i64),
    /// A string whose concurrent edits merge. Where it is compared or computed with it is a string.
    Text(String),
    /// A blob's token.
    Attachment(Box<Attachment>),
}

/// What a document holds of a blob that is kept beside it; merges as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// The BLAKE3 hash of the content.
    pub id: [u8; 32],
    /// Bytes of the content, at most `i64::MAX`.
    pub len: u64,
    /// What the application says about it.
    pub metadata: BTreeMap<String, String>,
}

impl Value {
    /// The member `key` if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(map) => map.get(key),
            _ => None,
        }
    }

    /// The text if this is a string or a text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The members if this is a map.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Whether no more than `levels` of lists and maps nest in its JSON form.
    pub(crate) fn fits(&self, levels: usize) -> bool {
        let Some(below) = levels.checked_sub(self.own_levels()) else {
            return false;
        };
        match self {
            Value::List(items) => items.iter().all(|item| item.fits(below)),
            Value::Map(map) => map.values().all(|member| member.fits(below)),
            _ => true,
        }
    }

    /// Levels of JSON that it takes itself, without its members or items.
    fn own_levels(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => 0,
            Value::Map(map) if typed::is_marked(map) => 2,
            Value::List(_)
            | Value::Map(_)
            | Value::Bytes(_)
            | Value::Timestamp(_)
            | Value::Counter(_)
            | Value::Text(_) => 1,
            Value::Attachment(_) => ATTACHMENT_LEVELS,
        }
    }

    /// Takes out what lies deeper than `levels`: `false` when nothing of it remains.
    pub(crate) fn cut(&mut self, levels: usize) -> bool {
        while !self.fits(levels) {
            let Some(below) = levels.checked_sub(self.own_levels()) else {
                return false;
            };
            match self {
                Value::List(items) => items.retain_mut(|item| item.cut(below)),
                // One member less may make of it a map that takes a level more.
                Value::Map(map) => map.retain(|_, member| member.cut(below)),
                _ => return false,
            }
        }
        true
    }

    /// The value with integers in the place of counters and strings in the place of texts: what answers show.
    pub(crate) fn plain(mut self) -> Self {
        self.make_plain();
        self
    }

    fn make_plain(&mut self) {
        match self {
            Value::Counter(number) => *self = Value::Int(*number),
            Value::Text(text) => *self = Value::String(std::mem::take(text)),
            Value::List(items) => items.iter_mut().for_each(Value::make_plain),
            Value::Map(map) => map.values_mut().for_each(Value::make_plain),
            _ => {}
        }
    }

    /// About how much memory the value takes, in bytes: itself, and what it points to.
    pub(crate) fn held_bytes(&self) -> usize {
        let below = match self {
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
            Value::Timestamp(_) | Value::Counter(_) => 0,
            Value::String(text) | Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Attachment(attachment) => attachment.held_bytes(),
            Value::List(items) => items.iter().map(Value::held_bytes).sum(),
            Value::Map(members) => members
                .iter()
                .map(|(key, member)| size_of::<String>() + key.len() + member.held_bytes())
                .sum(),
        };
        size_of::<Value>() + below
    }

    /// The type's name as error messages and documentation spell it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::String(_) => "string",
            Value::Map(_) => "map",
            Value::List(_) => "list",
            Value::Bytes(_) => "bytes",
            Value::Timestamp(_) => "timestamp",
            Value::Counter(_) => "counter",
            Value::Text(_) => "text",
            Value::Attachment(_) => "attachment",
        }
    }
}

impl Attachment {
    fn held_bytes(&self) -> usize {
        let metadata = self.metadata.iter();
        let metadata = metadata.map(|(key, text)| 2 * size_of::<String>() + key.len() + text.len());
        size_of::<Self>() + metadata.sum::<usize>()
    }
}

/// The number itself, but 0.0 for -0.0.
pub(crate) fn without_sign_of_zero(number: f64) -> f64 {
    number + 0.0
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<Attachment> for Value {
    fn from(attachment: Attachment) -> Self {
        Value::Attachment(Box::new(attachment))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

/// Generators shared by the property tests of this crate.
#[cfg(test)]
pub(crate) mod arbitrary {
    use super::{Attachment, Value};
    use proptest::prelude::*;

    /// Any finite float, both zeros and those below the normal range among them.
    pub(crate) fn float() -> impl Strategy<Value = f64> {
        let finite = any::<u64>().prop_map(f64::from_bits);
        prop_oneof![
            8 => finite.prop_filter("finite", |number| number.is_finite()),
            1 => Just(-0.0),
        ]
    }

    /// Names of members, some of them such as the typed form uses.
    fn name() -> impl Strategy<Value = String> {
        let marks = crate::value::TYPES.into_iter().chain([crate::value::MAP]);
        let marks: Vec<String> = marks.map(str::to_owned).collect();
        prop_oneof![12 => "[a-z]{1,6}", 1 => prop::sample::select(marks)]
    }

    /// Any token of an attachment.
    fn attachment() -> impl Strategy<Value = Attachment> {
        let metadata = prop::collection::btree_map(name(), ".{0,6}", 0..3);
        (any::<[u8; 32]>(), 0..=i64::MAX.unsigned_abs(), metadata)
            .prop_map(|(id, len, metadata)| Attachment { id, len, metadata })
    }

    /// Any value up to four levels deep.
    pub(crate) fn value() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            float().prop_map(Value::Float),
            ".{0,12}".prop_map(Value::String),
        ];
        let typed = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Bytes),
            any::<i64>().prop_map(Value::Timestamp),
            (0..4_102_444_800_000i64).prop_map(Value::Timestamp),
            (-1000i64..1000).prop_map(Value::Counter),
            ".{0,12}".prop_map(Value::Text),
            attachment().prop_map(Value::from),
        ];
        let leaf = prop_oneof![2 => plain, 1 => typed];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map(name(), inner, 0..6).prop_map(Value::Map),
            ]
        })
    }

    /// A map with an `_id` among other fields, as a document is.
    pub(crate) fn document() -> impl Strategy<Value = Value> {
        (
            "[a-z0-9]{1,8}",
            prop::collection::btree_map(name(), value(), 0..6),
        )
            .prop_map(|(id, mut fields)| {
                fields.insert("_id".into(), Value::String(id));
                Value::Map(fields)
            })
    }
}
