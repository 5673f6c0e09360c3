//! The compact binary form of a value, as the store keeps it and digests hash it.
//!
//! One tag byte, then: int as zigzag LEB128, float as 8 bytes little-endian (zero without a sign), string as LEB128 length and UTF-8,
//! list and map as LEB128 count and members, map keys as strings in ascending byte order; bytes and text as a string is, timestamp
//! and counter as an int is, an attachment as its 32 bytes of hash, LEB128 length, and its metadata as a map of strings.

use super::{ATTACHMENT_LEVELS, Attachment, DEPTH_MAX, Value, typed, without_sign_of_zero};
use std::cmp::Ordering;
use std::collections::BTreeMap;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const STRING: u8 = 5;
const LIST: u8 = 6;
const MAP: u8 = 7;
const BYTES: u8 = 8;
const TIMESTAMP: u8 = 9;
const COUNTER: u8 = 10;
const TEXT: u8 = 11;
const ATTACHMENT: u8 = 12;

/// Why bytes are not a value in binary form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of a value.
    #[error("the value is truncated")]
    Truncated,
    /// Bytes remain after the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// No value begins with this tag byte.
    #[error("unknown value tag {0}")]
    Tag(u8),
    /// A LEB128 number is longer than 64 bits or not in its shortest form, or a float is -0.0.
    #[error("a number is not canonical")]
    Number,
    /// A float is infinite or not a number.
    #[error("a float is not finite")]
    NotFinite,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// Map keys are not in strictly ascending order.
    #[error("map keys are out of order")]
    KeyOrder,
    /// Maps and lists nest deeper than [`DEPTH_MAX`].
    #[error("the value nests deeper than {DEPTH_MAX} levels")]
    Depth,
}

impl Value {
    /// The canonical binary form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        write(self, &mut out);
        out
    }

    /// Reads the form that [`encode`](Self::encode) writes; anything else is an error.
    pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
        let mut reader = Reader { rest: bytes };
        let value = reader.value(0)?;
        match reader.rest.len() {
            0 => Ok(value),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

/// A value in binary form that is read where it lies: only what is asked for is decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded<'a>(&'a [u8]);

impl<'a> Encoded<'a> {
    /// The value that begins with these bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The member `key` if this is a map that has it.
    pub(crate) fn member(self, key: &str) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader { rest: self.0 };
        if reader.byte()? != MAP {
            return Ok(None);
        }
        for _ in 0..reader.count()? {
            match order(reader.text()?, key.as_bytes()) {
                Ordering::Less => reader.skip(0)?,
                Ordering::Equal => return Ok(Some(Self(reader.rest))),
                Ordering::Greater => break, // keys ascend
            }
        }
        Ok(None)
    }

    /// The item at `index` if this is a list that has it.
    pub(crate) fn item(self, index: usize) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader { rest: self.0 };
        if reader.byte()? != LIST || index >= reader.count()? {
            return Ok(None);
        }
        for _ in 0..index {
            reader.skip(0)?;
        }
        Ok(Some(Self(reader.rest)))
    }

    /// The value where it lies, if it is a string or an int.
    pub(crate) fn plain(self) -> Result<Option<Plain<'a>>, DecodeError> {
        let mut reader = Reader { rest: self.0 };
        Ok(match reader.byte()? {
            STRING => Some(Plain::Text(reader.text()?)),
            INT => Some(Plain::Int(reader.integer()?)),
            _ => None,
        })
    }

    /// The value itself; what follows it is left alone.
    pub(crate) fn value(self) -> Result<Value, DecodeError> {
        Reader { rest: self.0 }.value(0)
    }
}

/// A value that is compared without being decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain<'a> {
    /// The bytes of a string, which are in the order of its characters.
    Text(&'a [u8]),
    Int(i64),
}

/// The order of two names. Most differ in their first byte already.
fn order(left: &[u8], right: &[u8]) -> Ordering {
    match (left.first(), right.first()) {
        (Some(a), Some(b)) if a != b => a.cmp(b),
        _ => left.cmp(right),
    }
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Int(number) => write_integer(INT, *number, out),
        Value::Timestamp(ms) => write_integer(TIMESTAMP, *ms, out),
        Value::Counter(number) => write_integer(COUNTER, *number, out),
        Value::Float(number) => {
            out.push(FLOAT);
            out.extend_from_slice(&without_sign_of_zero(*number).to_le_bytes());
        }
        Value::String(text) => {
            out.push(STRING);
            write_bytes(text.as_bytes(), out);
        }
        Value::Text(text) => {
            out.push(TEXT);
            write_bytes(text.as_bytes(), out);
        }
        Value::Bytes(bytes) => {
            out.push(BYTES);
            write_bytes(bytes, out);
        }
        Value::Attachment(attachment) => {
            out.push(ATTACHMENT);
            out.extend_from_slice(&attachment.id);
            write_varint(attachment.len, out);
            write_varint(attachment.metadata.len() as u64, out);
            for (key, text) in &attachment.metadata {
                write_bytes(key.as_bytes(), out);
                write_bytes(text.as_bytes(), out);
            }
        }
        Value::List(items) => {
            out.push(LIST);
            write_varint(items.len() as u64, out);
            items.iter().for_each(|item| write(item, out));
        }
        Value::Map(map) => {
            out.push(MAP);
            write_varint(map.len() as u64, out);
            for (key, item) in map {
                write_bytes(key.as_bytes(), out);
                write(item, out);
            }
        }
    }
}

fn write_integer(tag: u8, number: i64, out: &mut Vec<u8>) {
    out.push(tag);
    write_varint(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        if depth > DEPTH_MAX {
            return Err(DecodeError::Depth);
        }
        Ok(match self.byte()? {
            NULL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            INT => Value::Int(self.integer()?),
            FLOAT => Value::Float(self.float()?),
            STRING => Value::String(self.string()?),
            LIST => {
                let count = self.count()?;
                let mut items = Vec::with_capacity(count.min(1024));
                for _ in 0..count {
                    items.push(self.value(depth + 1)?);
                }
                Value::List(items)
            }
            MAP => Value::Map(self.map(depth)?),
            // What JSON has no type for takes levels of its own there.
            BYTES | TIMESTAMP | COUNTER | TEXT if depth == DEPTH_MAX => {
                return Err(DecodeError::Depth);
            }
            ATTACHMENT if depth + ATTACHMENT_LEVELS > DEPTH_MAX => return Err(DecodeError::Depth),
            BYTES => Value::Bytes(self.text()?.to_vec()),
            TIMESTAMP => Value::Timestamp(self.integer()?),
            COUNTER => Value::Counter(self.integer()?),
            TEXT => Value::Text(self.string()?),
            ATTACHMENT => self.attachment()?.into(),
            tag => return Err(DecodeError::Tag(tag)),
        })
    }

    fn map(&mut self, depth: usize) -> Result<BTreeMap<String, Value>, DecodeError> {
        let count = self.count()?;
        self.members(count, |reader, key| {
            let is_marked = count == 1 && typed::is_mark(key);
            reader.value(depth + 1 + usize::from(is_marked))
        })
    }

    fn members<T>(
        &mut self,
        count: usize,
        mut member: impl FnMut(&mut Self, &str) -> Result<T, DecodeError>,
    ) -> Result<BTreeMap<String, T>, DecodeError> {
        let mut members: Vec<(String, T)> = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            let key = self.string()?;
            if members.last().is_some_and(|(last, _)| *last >= key) {
                return Err(DecodeError::KeyOrder);
            }
            let value = member(self, &key)?;
            members.push((key, value));
        }
        // Made of all at once, a map needs no search for the place of each.
        Ok(members.into_iter().collect())
    }

    fn attachment(&mut self) -> Result<Attachment, DecodeError> {
        let (id, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        let len = self.varint()?;
        if len > i64::MAX.unsigned_abs() {
            return Err(DecodeError::Number);
        }
        let count = self.count()?;
        let metadata = self.members(count, |reader, _| reader.string())?;
        Ok(Attachment {
            id: *id,
            len,
            metadata,
        })
    }

    fn integer(&mut self) -> Result<i64, DecodeError> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
    }

    fn float(&mut self) -> Result<f64, DecodeError> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk::<8>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        let number = f64::from_le_bytes(*bytes);
        if !number.is_finite() {
            Err(DecodeError::NotFinite)
        } else if number == 0.0 && number.is_sign_negative() {
            Err(DecodeError::Number)
        } else {
            Ok(number)
        }
    }

    fn string(&mut self) -> Result<String, DecodeError> {
        std::str::from_utf8(self.text()?)
            .map(str::to_owned)
            .map_err(|_| DecodeError::Utf8)
    }

    /// A length and so many bytes: those of a string.
    fn text(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.count()?;
        self.bytes(length)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let split = self.rest.split_at_checked(length);
        let (bytes, rest) = split.ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Passes over a value.
    fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
        if depth > DEPTH_MAX {
            return Err(DecodeError::Depth);
        }
        match self.byte()? {
            NULL | FALSE | TRUE => {}
            INT | TIMESTAMP | COUNTER => _ = self.varint()?,
            FLOAT => _ = self.bytes(size_of::<f64>())?,
            STRING | BYTES | TEXT => _ = self.text()?,
            ATTACHMENT => _ = self.attachment()?,
            LIST => {
                for _ in 0..self.count()? {
                    self.skip(depth + 1)?;
                }
            }
            MAP => {
                for _ in 0..self.count()? {
                    self.text()?;
                    self.skip(depth + 1)?;
                }
            }
            tag => return Err(DecodeError::Tag(tag)),
        }
        Ok(())
    }

    /// A length or member count. Every counted thing takes at least one byte, so more than what is left is truncation.
    #[inline]
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::Number)?;
        if count > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(count)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.rest.split_first() {
            // Nearly all of them.
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 {
                    Err(DecodeError::Number)
                } else {
                    Ok(number)
                };
            }
        }
        Err(DecodeError::Number)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;
    use proptest::prelude::*;

    /// Goal: the stored form is pinned; a change of it is a change of the store's format.
    #[test]
    fn exact_bytes_are_pinned() {
        let value = Value::Map(BTreeMap::from([
            ("a".into(), Value::Int(-3)),
            (
                "b".into(),
                Value::List(vec![Value::Null, Value::Bool(true), "x".into()]),
            ),
            ("c".into(), Value::Float(1.5)),
            ("d".into(), Value::Bytes(vec![0, 255])),
            ("e".into(), Value::Timestamp(-1)),
            ("f".into(), Value::Counter(2)),
            ("g".into(), Value::Text("x".into())),
            (
                "h".into(),
                Value::from(Attachment {
                    id: [7; 32],
                    len: 300,
                    metadata: [("k".to_owned(), "v".to_owned())].into(),
                }),
            ),
        ]));
        let bytes = sedge_identity::hex(&value.encode()).to_string();
        assert_eq!(
            bytes,
            "070801610305016206030002050178016304000000000000f83f".to_owned()
                + "0164080200ff0165090101660a0401670b017801680c"
                + &"07".repeat(32)
                + "ac0201016b0176"
        );
    }

    /// Goal: equal values have equal bytes, and so equal digests, also when they are the two zeros.
    #[test]
    fn zero_has_no_sign() {
        let bytes = Value::Float(-0.0).encode();
        assert_eq!(bytes, Value::Float(0.0).encode());
        let negative = [&[FLOAT][..], &(-0.0_f64).to_le_bytes()].concat();
        assert_eq!(Value::decode(&negative), Err(DecodeError::Number));
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let mut bytes = [LIST, 1].repeat(DEPTH_MAX + 1);
        bytes.push(NULL);
        assert_eq!(Value::decode(&bytes), Err(DecodeError::Depth));
    }

    #[test]
    fn unordered_keys_and_long_numbers_are_refused() {
        assert_eq!(
            Value::decode(&[MAP, 2, 1, b'b', NULL, 1, b'a', NULL]),
            Err(DecodeError::KeyOrder)
        );
        assert_eq!(Value::decode(&[INT, 0x80, 0x00]), Err(DecodeError::Number));
    }

    proptest! {
        /// Goal: what is read in place is what decoding gives, member by member and item by item.
        #[test]
        fn reading_in_place_agrees_with_decoding(value in arbitrary::value(), name in "[a-z]{1,6}", index in 0usize..6) {
            let bytes = value.encode();
            let encoded = Encoded::new(&bytes);
            prop_assert_eq!(encoded.value(), Ok(value.clone()));
            let plain = match &value {
                Value::String(text) => Some(Plain::Text(text.as_bytes())),
                Value::Int(number) => Some(Plain::Int(*number)),
                _ => None,
            };
            prop_assert_eq!(encoded.plain(), Ok(plain));
            let mut names = vec![name];
            names.extend(value.as_map().into_iter().flat_map(|map| map.keys().cloned()));
            for name in names {
                let member = encoded.member(&name).unwrap().map(|member| member.value().unwrap());
                prop_assert_eq!(member.as_ref(), value.get(&name));
            }
            let item = encoded.item(index).unwrap().map(|item| item.value().unwrap());
            let expected = match &value {
                Value::List(items) => items.get(index),
                _ => None,
            };
            prop_assert_eq!(item.as_ref(), expected);
        }

        /// Goal: every value survives the round trip, and no proper prefix of its bytes is a value.
        #[test]
        fn round_trips_and_refuses_truncation(value in arbitrary::value()) {
            let bytes = value.encode();
            prop_assert_eq!(Value::decode(&bytes), Ok(value));
            for end in 0..bytes.len() {
                prop_assert!(Value::decode(&bytes[..end]).is_err());
            }
        }

        /// Goal: the form is canonical: whatever decodes re-encodes to the same bytes, and nothing panics.
        #[test]
        fn whatever_decodes_is_canonical(bytes in prop::collection::vec(0u8..14, 0..60)) {
            if let Ok(value) = Value::decode(&bytes) {
                prop_assert_eq!(value.encode(), bytes);
            }
        }
    }
}
