//! The compact binary form of a value, as the store keeps it and digests hash it.
//!
//! One tag byte, then: int as zigzag LEB128, float as 8 bytes little-endian (zero without a sign), string as LEB128 length and UTF-8,
//! list and map as LEB128 count and members, map keys as strings in ascending byte order; bytes and text as a string is, timestamp
//! and counter as an int is, an attachment as its 32 bytes of hash, LEB128 length, and its metadata as a map of strings.

mod encoded;
mod reader;

#[cfg(test)]
mod tests;

use super::{DEPTH_MAX, Value, without_sign_of_zero};
use reader::Reader;

pub(crate) use encoded::{Encoded, Plain};

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
