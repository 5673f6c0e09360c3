//! The keys of index entries: bytes that sort as ORDER BY sorts the values they stand for.
//!
//! Each field of an index gives, one after the other,
//!
//! | value | bytes |
//! |---|---|
//! | MISSING, null, false, true | the tag alone |
//! | number | tag; the greatest float that is not above it, 8 bytes; how far it is above that float, 2 bytes |
//! | timestamp | tag; milliseconds, 8 bytes with the sign bit inverted |
//! | string, bytes | tag; UTF-8 or the bytes, with `00` written `00 ff`; `00 00` |
//! | attachment | tag; id, 32 bytes; length, 8 bytes; for each entry of its metadata `02`, name and text as strings without tag; `01` |
//! | list | tag; the items; `01` |
//! | map | tag; for each member `02`, its name as a string without tag, its value; `01` |
//!
//! A counter is written as the int that it is, a text as the string. A float's 8 bytes are big-endian, all bits inverted when it is negative, else the sign bit alone. All bytes of a
//! DESC field are inverted. No value's bytes begin another value's, so fields follow each other without a separator.
//! Of a field no more than [`INDEX_FIELD_BYTES_MAX`] are kept: values that differ only behind them share their key,
//! which never changes the order of two keys, only makes some equal.

use super::IndexField;
use crate::limits::INDEX_FIELD_BYTES_MAX;
use crate::value::{DecodeError, Encoded, Value, without_sign_of_zero};

const LIST_END: u8 = 0x01;
const MAP_END: u8 = 0x01;
const MEMBER: u8 = 0x02;

const MISSING: u8 = 0x10;
const NULL: u8 = 0x20;
const FALSE: u8 = 0x30;
const TRUE: u8 = 0x31;
const NUMBER: u8 = 0x40;
const TIMESTAMP: u8 = 0x50;
const STRING: u8 = 0x60;
const BYTES: u8 = 0x70;
const ATTACHMENT: u8 = 0x80;
const LIST: u8 = 0x90;
const MAP: u8 = 0xa0;

/// Above every key, as its first byte: tags and inverted tags are below.
pub(super) const ABOVE_ALL: u8 = 0xff;

/// The bytes of one or more fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexKey {
    pub(crate) bytes: Vec<u8>,
    /// Whether a field's value was longer than is kept, so that the order of such keys says less than that of values.
    pub(crate) is_truncated: bool,
}

impl IndexKey {
    /// The key of one ascending field.
    pub(super) fn of(value: Option<&Value>) -> Self {
        let mut key = Self::default();
        key.push(value, false);
        key
    }

    /// The key of a document.
    pub(crate) fn of_document(fields: &[IndexField], document: &Value) -> Self {
        let mut key = Self::default();
        for field in fields {
            let mut names = field.path.iter();
            let value = names.try_fold(document, |value, name| value.get(name));
            key.push(value, field.descending);
        }
        key
    }

    /// The key of a document in binary form, of which only the fields are decoded.
    pub(crate) fn of_encoded(
        fields: &[IndexField],
        document: Encoded<'_>,
    ) -> Result<Self, DecodeError> {
        let mut key = Self::default();
        for field in fields {
            let mut at = Some(document);
            for name in &field.path {
                at = match at {
                    Some(value) => value.member(name)?,
                    None => break,
                };
            }
            let value = at.map(Encoded::value).transpose()?;
            key.push(value.as_ref(), field.descending);
        }
        Ok(key)
    }

    fn push(&mut self, value: Option<&Value>, descending: bool) {
        let start = self.bytes.len();
        let full = start + INDEX_FIELD_BYTES_MAX;
        match value {
            Some(value) => write(value, &mut self.bytes, full),
            None => self.bytes.push(MISSING),
        }
        if self.bytes.len() > full {
            self.bytes.truncate(full);
            self.is_truncated = true;
        }
        if descending {
            invert(&mut self.bytes[start..]);
        }
    }
}

/// Reverses the order of complete keys.
pub(super) fn invert(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
}

/// The first bytes above all that begin with these. Keys begin with a tag, so there are some.
pub(super) fn successor(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.pop_if(|last| *last == u8::MAX).is_some() {}
    if let Some(last) = bytes.last_mut() {
        *last += 1;
    }
    bytes
}

/// Where the keys of this value's type begin, and what is above them; `None` for null, which compares with nothing.
pub(super) fn type_bounds(value: &Value) -> Option<(u8, u8)> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => (FALSE, TRUE + 1),
        Value::Int(_) | Value::Float(_) | Value::Counter(_) => (NUMBER, NUMBER + 1),
        Value::Timestamp(_) => (TIMESTAMP, TIMESTAMP + 1),
        Value::String(_) | Value::Text(_) => (STRING, STRING + 1),
        Value::Bytes(_) => (BYTES, BYTES + 1),
        Value::Attachment(_) => (ATTACHMENT, ATTACHMENT + 1),
        Value::List(_) => (LIST, LIST + 1),
        Value::Map(_) => (MAP, MAP + 1),
    })
}

/// What the keys of all strings begin with that begin with `text`, and whether that is all of it.
pub(super) fn string_prefix(text: &str) -> (Vec<u8>, bool) {
    let mut bytes = vec![STRING];
    escape(text.as_bytes(), &mut bytes, INDEX_FIELD_BYTES_MAX);
    let is_whole = bytes.len() <= INDEX_FIELD_BYTES_MAX;
    bytes.truncate(INDEX_FIELD_BYTES_MAX);
    (bytes, is_whole)
}

/// Writes a value's bytes, and not many more than up to `full`.
fn write(value: &Value, out: &mut Vec<u8>, full: usize) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Int(number) | Value::Counter(number) => {
            let below = float_below(*number);
            let above = i128::from(*number) - below as i128;
            write_number(below, above as u16, out);
        }
        Value::Float(number) => write_number(*number, 0, out),
        Value::Timestamp(ms) => {
            out.push(TIMESTAMP);
            out.extend((ms ^ i64::MIN).to_be_bytes());
        }
        Value::String(text) | Value::Text(text) => {
            out.push(STRING);
            write_bytes(text.as_bytes(), out, full);
        }
        Value::Bytes(bytes) => {
            out.push(BYTES);
            write_bytes(bytes, out, full);
        }
        Value::Attachment(attachment) => {
            out.push(ATTACHMENT);
            out.extend(attachment.id);
            out.extend(attachment.len.to_be_bytes());
            for (name, text) in &attachment.metadata {
                out.push(MEMBER);
                write_bytes(name.as_bytes(), out, full);
                write_bytes(text.as_bytes(), out, full);
            }
            out.push(MAP_END);
        }
        Value::List(items) => {
            out.push(LIST);
            for item in items {
                if out.len() > full {
                    return;
                }
                write(item, out, full);
            }
            out.push(LIST_END);
        }
        Value::Map(members) => {
            out.push(MAP);
            for (name, member) in members {
                if out.len() > full {
                    return;
                }
                out.push(MEMBER);
                write_bytes(name.as_bytes(), out, full);
                write(member, out, full);
            }
            out.push(MAP_END);
        }
    }
}

/// The greatest float that is not above an integer; at most 1,023 below it.
fn float_below(number: i64) -> f64 {
    let near = number as f64;
    match near as i128 > i128::from(number) {
        true => near.next_down(),
        false => near,
    }
}

fn write_number(float: f64, above: u16, out: &mut Vec<u8>) {
    const SIGN: u64 = 1 << 63;
    let bits = without_sign_of_zero(float).to_bits();
    let sorted = match bits & SIGN {
        0 => bits ^ SIGN,
        _ => !bits,
    };
    out.push(NUMBER);
    out.extend(sorted.to_be_bytes());
    out.extend(above.to_be_bytes());
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>, full: usize) {
    escape(bytes, out, full);
    out.extend([0, 0]);
}

fn escape(bytes: &[u8], out: &mut Vec<u8>, full: usize) {
    for byte in bytes {
        if out.len() > full {
            return;
        }
        out.push(*byte);
        if *byte == 0 {
            out.push(u8::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::compare::total_with_missing;
    use crate::value::{arbitrary, parse_json};
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn key(value: Option<&Value>, descending: bool) -> Vec<u8> {
        let mut key = IndexKey::default();
        key.push(value, descending);
        key.bytes
    }

    /// Goal: the form of keys is pinned; a change of it is a change of the store's format.
    #[test]
    fn exact_bytes_are_pinned() {
        let value = parse_json(r#"[null,true,-3,1.5,"a\u0000",{"b":[]}]"#).unwrap();
        assert_eq!(
            sedge_identity::hex(&key(Some(&value), false)).to_string(),
            concat!(
                "90",
                "20",
                "31",
                "403ff7ffffffffffff0000",
                "40bff80000000000000000",
                "606100ff0000",
                "a0026200009001",
                "01",
                "01"
            )
        );
        assert_eq!(key(None, true), [!MISSING]);
    }

    /// Goal: integers that no float can represent keep their place among floats and each other.
    #[test]
    fn large_integers_are_exact() {
        let two53 = 1_i64 << 53;
        let ints = [
            i64::MIN,
            i64::MIN + 1,
            -two53 - 1,
            -two53,
            -1,
            0,
            1,
            two53,
            two53 + 1,
            two53 + 2,
        ];
        let ints = ints
            .into_iter()
            .chain([i64::MAX - 1024, i64::MAX - 1, i64::MAX]);
        let floats = [
            f64::MIN,
            -9.3e18,
            -0.0,
            5e-324,
            0.5,
            1.0,
            two53 as f64,
            9.3e18,
            f64::MAX,
        ];
        let values: Vec<Value> = ints
            .map(Value::Int)
            .chain(floats.map(Value::Float))
            .collect();
        for left in &values {
            for right in &values {
                let order = total_with_missing(Some(left), Some(right));
                assert_eq!(
                    key(Some(left), false).cmp(&key(Some(right), false)),
                    order,
                    "{left} {right}"
                );
            }
        }
    }

    fn datum() -> impl Strategy<Value = Option<Value>> {
        prop_oneof![
            1 => Just(None),
            8 => arbitrary::value().prop_map(Some),
            3 => (-4_i64..4).prop_map(|number| Some(Value::Int(number))),
            2 => (-4_i64..4).prop_map(|number| Some(Value::Float(number as f64 / 2.0))),
            3 => "[\u{0}\u{1}ab\u{ff}]{0,3}".prop_map(|text| Some(Value::String(text))),
        ]
    }

    proptest! {
        /// Goal: the order of keys is the order of values, both ways round, and that of several fields that of the
        /// first that differs.
        #[test]
        fn keys_sort_as_values_do(a in datum(), b in datum(), c in datum(), d in datum(), descending: bool) {
            let order = total_with_missing(a.as_ref(), b.as_ref());
            let order = if descending { order.reverse() } else { order };
            let (left, right) = (key(a.as_ref(), descending), key(b.as_ref(), descending));
            let whole = left.len().max(right.len()) < INDEX_FIELD_BYTES_MAX;
            if whole {
                prop_assert_eq!(left.cmp(&right), order);
                let then = total_with_missing(c.as_ref(), d.as_ref());
                let (left, right) = ([left, key(c.as_ref(), false)].concat(), [right, key(d.as_ref(), false)].concat());
                prop_assert_eq!(left.cmp(&right), order.then(then));
            }
        }

        /// Goal: a long value's key is cut to its bound and still never on the wrong side of another.
        #[test]
        fn long_keys_never_sort_wrong(tail in prop::collection::vec(datum(), 0..3), more in datum(), a in datum(), b in datum()) {
            let long = |last: &Option<Value>| {
                let mut items = vec![Value::String("\u{0}x".repeat(INDEX_FIELD_BYTES_MAX / 4))];
                items.extend(tail.iter().chain([&more, last]).flatten().cloned());
                Value::List(items)
            };
            let (a, b) = (long(&a), long(&b));
            let (left, right) = (key(Some(&a), false), key(Some(&b), false));
            prop_assert!(left.len() <= INDEX_FIELD_BYTES_MAX);
            let order = total_with_missing(Some(&a), Some(&b));
            prop_assert!(left == right || left.cmp(&right) == order);
            let short = Value::String("x".into());
            prop_assert_eq!(key(Some(&short), false).cmp(&left), Ordering::Less);
        }

        /// Goal: a document read in place has the key of the same document decoded.
        #[test]
        fn documents_in_place_have_the_same_key(document in arbitrary::document(), names in prop::collection::vec("[a-z]{1,2}", 1..4)) {
            let mut names = names;
            names.extend(document.as_map().into_iter().flat_map(|map| map.keys().cloned()));
            let fields: Vec<_> = names
                .iter()
                .flat_map(|name| [vec![name.clone()], vec![name.clone(), "a".into()]])
                .map(|path| IndexField { path, descending: false })
                .collect();
            let bytes = document.encode();
            let read = IndexKey::of_encoded(&fields, Encoded::new(&bytes)).unwrap();
            prop_assert_eq!(read, IndexKey::of_document(&fields, &document));
        }

        /// Goal: nothing lies between a key's extensions and its successor.
        #[test]
        fn successors_are_the_next(value in datum(), behind in prop::collection::vec(any::<u8>(), 0..4)) {
            let key = key(value.as_ref(), false);
            let above = successor(key.clone());
            let extended = [key.clone(), behind].concat();
            prop_assert!(key <= extended && extended < above);
            prop_assert!(above.len() <= key.len());
        }
    }
}
