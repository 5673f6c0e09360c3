//! Reading a value in binary form where it lies.

use super::reader::Reader;
use super::{DecodeError, INT, LIST, MAP, STRING};
use crate::value::Value;
use std::cmp::Ordering;

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
