//! Decoding: of canonical bytes only.

use super::{
    ATTACHMENT, BYTES, COUNTER, DecodeError, FALSE, FLOAT, INT, LIST, MAP, NULL, STRING, TEXT,
    TIMESTAMP, TRUE,
};
use crate::value::{ATTACHMENT_LEVELS, Attachment, DEPTH_MAX, Value, typed};
use std::collections::BTreeMap;

/// What is still to be read.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next value, so many levels below the root.
    pub(super) fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
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

    pub(super) fn integer(&mut self) -> Result<i64, DecodeError> {
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
    pub(super) fn text(&mut self) -> Result<&'a [u8], DecodeError> {
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
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
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
    pub(super) fn count(&mut self) -> Result<usize, DecodeError> {
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

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }
}
