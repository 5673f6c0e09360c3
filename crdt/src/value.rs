//! The visible value of a document: what queries read, what JSON shows and what digests cover.
//!
//! A value is produced from an Automerge document (`document`) or from JSON text, and is stored in the
//! compact binary form of [`encode`](Value::encode). That form is canonical: equal values have equal bytes.

mod binary;
mod json;

use std::collections::BTreeMap;

pub use binary::DecodeError;
pub(crate) use binary::Encoded;
pub use json::{JsonError, parse_json};

/// How deep maps and lists may nest, in levels. Bounds the recursion of everything that walks a value. serde_json reads 127
/// levels; the difference is for what an answer wraps around a document.
pub const DEPTH_MAX: usize = 120;

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
}

impl Value {
    /// The member `key` if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(map) => map.get(key),
            _ => None,
        }
    }

    /// The text if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
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

    /// Whether no more than `levels` of lists and maps nest in it.
    pub(crate) fn fits(&self, levels: usize) -> bool {
        match self {
            Value::List(items) => levels > 0 && items.iter().all(|item| item.fits(levels - 1)),
            Value::Map(map) => levels > 0 && map.values().all(|member| member.fits(levels - 1)),
            _ => true,
        }
    }

    /// About how much memory the value takes, in bytes: itself, and what it points to.
    pub(crate) fn held_bytes(&self) -> usize {
        let below = match self {
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
            Value::String(text) => text.len(),
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
        }
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

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

/// Generators shared by the property tests of this crate.
#[cfg(test)]
pub(crate) mod arbitrary {
    use super::Value;
    use proptest::prelude::*;

    /// Any finite float, both zeros and those below the normal range among them.
    pub(crate) fn float() -> impl Strategy<Value = f64> {
        let finite = any::<u64>().prop_map(f64::from_bits);
        prop_oneof![
            8 => finite.prop_filter("finite", |number| number.is_finite()),
            1 => Just(-0.0),
        ]
    }

    /// Any value up to four levels deep.
    pub(crate) fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            float().prop_map(Value::Float),
            ".{0,12}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map("[a-z]{1,6}", inner, 0..6).prop_map(Value::Map),
            ]
        })
    }

    /// A map with an `_id` among other fields, as a document is.
    pub(crate) fn document() -> impl Strategy<Value = Value> {
        (
            "[a-z0-9]{1,8}",
            prop::collection::btree_map("[a-z]{1,6}", value(), 0..6),
        )
            .prop_map(|(id, mut fields)| {
                fields.insert("_id".into(), Value::String(id));
                Value::Map(fields)
            })
    }
}
