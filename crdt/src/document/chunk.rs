//! Measures an Automerge change chunk from outside before automerge decodes it.
//!
//! Automerge inflates a compressed chunk without a bound and expands run-length encoded columns row by row, so a few
//! bytes can cost gigabytes or hours. [`measure`] walks the same layout (Automerge binary format, "Change chunk") with
//! bounds: sizes, counts and run lengths. It proves nothing else; automerge still verifies checksum and contents.

use crate::limits::{
    CHANGE_OPS_MAX, CHANGE_REFERENCES_MAX, CHANGE_TIME_MS_MAX, CHUNK_BYTES_MAX,
    CHUNK_INFLATED_BYTES_MAX,
};
use std::borrow::Cow;
use std::io::Read;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const TYPE_CHANGE: u8 = 1;
const TYPE_COMPRESSED: u8 = 2;

/// Bytes that one byte of a compressed chunk stands for at most: a run of 258 in two bits.
const DEFLATE_RATIO_MAX: usize = 1_032;

/// Why a chunk from outside is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes end within the chunk, or a length points beyond its end.
    #[error("the chunk is truncated")]
    Truncated,
    /// Not an Automerge chunk.
    #[error("the chunk does not begin like an Automerge chunk")]
    Magic,
    /// A document or bundle chunk where only a change may be.
    #[error("chunk type {0} is not a change")]
    Type(u8),
    /// Bytes remain after the chunk.
    #[error("{0} bytes follow the chunk")]
    Trailing(usize),
    /// Larger than [`CHUNK_BYTES_MAX`].
    #[error("the chunk has {0} bytes; at most {CHUNK_BYTES_MAX} are allowed")]
    TooLarge(usize),
    /// Larger than [`CHUNK_INFLATED_BYTES_MAX`] once inflated.
    #[error("the chunk inflates to more than {CHUNK_INFLATED_BYTES_MAX} bytes")]
    Inflated,
    /// The compressed content is damaged.
    #[error("the compressed chunk is damaged")]
    Deflate,
    /// A number is longer than 64 bits.
    #[error("a number in the chunk is too long")]
    Number,
    /// A column expands to more than the allowed operations.
    #[error("the change has more than {CHANGE_OPS_MAX} operations")]
    Operations,
    /// Further from 1970 than [`CHANGE_TIME_MS_MAX`].
    #[error("the change's time is {0} ms after 1970, which no clock says")]
    Time(i64),
    /// Too many dependencies, actors or columns.
    #[error("the change has more than {CHANGE_REFERENCES_MAX} dependencies, actors or columns")]
    References,
}

/// A change chunk that keeps the bounds.
pub(super) struct Measured<'a> {
    /// The chunk without compression, with the checksum that it came with.
    pub(super) plain: Cow<'a, [u8]>,
    /// How many operations it expands to: the rows of its longest column.
    pub(super) operations: u64,
}

/// What a chunk inflates to at most, by its length alone.
pub(super) fn inflated_bytes_max(chunk: &[u8]) -> usize {
    match chunk.get(MAGIC.len() + 4) {
        Some(&TYPE_COMPRESSED) => {
            let inflated = chunk.len().saturating_mul(DEFLATE_RATIO_MAX);
            inflated.min(CHUNK_INFLATED_BYTES_MAX)
        }
        _ => chunk.len(),
    }
}

/// Checks the bounds of one change chunk that spans all of `bytes`.
///
/// # Errors
/// The first bound that does not hold; see [`ChunkError`]. Memory stays below twice [`CHUNK_INFLATED_BYTES_MAX`].
pub(super) fn measure(bytes: &[u8]) -> Result<Measured<'_>, ChunkError> {
    if bytes.len() > CHUNK_BYTES_MAX {
        return Err(ChunkError::TooLarge(bytes.len()));
    }
    let mut chunk = Cursor(bytes);
    if chunk.take(4)? != MAGIC {
        return Err(ChunkError::Magic);
    }
    let checksum = chunk.take(4)?; // whoever decodes it verifies it
    let kind = chunk.byte()?;
    let length = chunk.length()?;
    let body = chunk.take(length)?;
    if !chunk.0.is_empty() {
        return Err(ChunkError::Trailing(chunk.0.len()));
    }
    match kind {
        TYPE_CHANGE => Ok(Measured {
            operations: check_body(body)?,
            plain: Cow::Borrowed(bytes),
        }),
        TYPE_COMPRESSED => {
            let body = inflate(body)?;
            Ok(Measured {
                operations: check_body(&body)?,
                plain: Cow::Owned(plain(checksum, &body)),
            })
        }
        other => Err(ChunkError::Type(other)),
    }
}

/// The chunks of a record of at most so many changes that are not deflated; `None` of any other record.
pub(super) fn changes(record: &[u8], count_max: usize) -> Option<Vec<&[u8]>> {
    let (mut rest, mut chunks) = (record, Vec::new());
    while !rest.is_empty() && chunks.len() < count_max {
        let mut chunk = Cursor(rest);
        let header = (chunk.take(4).ok()?, chunk.take(4).ok()?, chunk.byte().ok()?);
        let length = chunk.length().ok()?;
        chunk.take(length).ok()?;
        let (this, others) = rest.split_at_checked(rest.len() - chunk.0.len())?;
        if header.0 != MAGIC || header.2 != TYPE_CHANGE {
            return None;
        }
        chunks.push(this);
        rest = others;
    }
    rest.is_empty().then_some(chunks)
}

/// The chunk that has a change's body as it is.
fn plain(checksum: &[u8], body: &[u8]) -> Vec<u8> {
    let mut chunk = [&MAGIC[..], checksum, &[TYPE_CHANGE]].concat();
    let mut length = body.len();
    while length >= 0x80 {
        chunk.push(length as u8 | 0x80);
        length >>= 7;
    }
    chunk.push(length as u8);
    chunk.extend_from_slice(body);
    chunk
}

fn inflate(compressed: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let mut body = Vec::new();
    let mut decoder = flate2::bufread::DeflateDecoder::new(compressed);
    decoder
        .by_ref()
        .take(CHUNK_INFLATED_BYTES_MAX as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|_| ChunkError::Deflate)?;
    if body.len() > CHUNK_INFLATED_BYTES_MAX {
        return Err(ChunkError::Inflated);
    }
    match decoder.into_inner() {
        [] => Ok(body),
        _ => Err(ChunkError::Deflate), // bytes behind the end would travel on for ever
    }
}

fn check_body(body: &[u8]) -> Result<u64, ChunkError> {
    let mut body = Cursor(body);
    for _ in 0..body.references()? {
        body.take(32)?; // a dependency's hash
    }
    body.prefixed()?; // actor
    body.unsigned()?; // seq
    body.unsigned()?; // start_op
    let time_ms = body.signed()?;
    if time_ms.unsigned_abs() > CHANGE_TIME_MS_MAX.unsigned_abs() {
        return Err(ChunkError::Time(time_ms));
    }
    body.prefixed()?; // message
    for _ in 0..body.references()? {
        body.prefixed()?; // another actor
    }
    let columns = (0..body.references()?)
        .map(|_| Ok((body.unsigned()?, body.length()?)))
        .collect::<Result<Vec<_>, ChunkError>>()?;
    let mut rows = 0;
    for (specification, length) in columns {
        rows = rows.max(check_column(specification, Cursor(body.take(length)?))?);
    }
    Ok(rows)
}

/// What one row of a column takes, by the low three bits of its specification.
#[derive(Clone, Copy)]
enum Row {
    Unsigned,
    Signed,
    Text,
}

fn check_column(specification: u64, column: Cursor<'_>) -> Result<u64, ChunkError> {
    match specification & 7 {
        0 | 1 | 2 | 6 => check_runs(Row::Unsigned, column),
        3 => check_runs(Row::Signed, column),
        4 => check_booleans(column),
        5 => check_runs(Row::Text, column),
        _ => Ok(0), // raw values: as long as they are
    }
}

/// A run-length encoded column: n > 0 repeats one row, n < 0 introduces |n| literal rows, 0 a run of nulls.
fn check_runs(row: Row, mut column: Cursor<'_>) -> Result<u64, ChunkError> {
    let mut rows = 0u64;
    while !column.0.is_empty() {
        let run = column.signed()?;
        rows = rows.saturating_add(match run {
            0 => column.unsigned()?,
            n => n.unsigned_abs(),
        });
        if rows > CHANGE_OPS_MAX {
            return Err(ChunkError::Operations);
        }
        let literals = if run < 0 {
            run.unsigned_abs()
        } else {
            u64::from(run > 0)
        };
        for _ in 0..literals {
            match row {
                Row::Unsigned => drop(column.unsigned()?),
                Row::Signed => drop(column.signed()?),
                Row::Text => drop(column.prefixed()?),
            }
        }
    }
    Ok(rows)
}

/// A boolean column: alternating run lengths of false and true.
fn check_booleans(mut column: Cursor<'_>) -> Result<u64, ChunkError> {
    let mut rows = 0u64;
    while !column.0.is_empty() {
        rows = rows.saturating_add(column.unsigned()?);
        if rows > CHANGE_OPS_MAX {
            return Err(ChunkError::Operations);
        }
    }
    Ok(rows)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ChunkError> {
        let (head, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(ChunkError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, ChunkError> {
        let (byte, rest) = self.0.split_first().ok_or(ChunkError::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn unsigned(&mut self) -> Result<u64, ChunkError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ChunkError::Number)
    }

    fn signed(&mut self) -> Result<i64, ChunkError> {
        let mut number = 0i64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let negative = byte & 0x40 != 0 && shift + 7 < 64;
                return Ok(if negative {
                    number | (-1i64 << (shift + 7))
                } else {
                    number
                });
            }
        }
        Err(ChunkError::Number)
    }

    fn length(&mut self) -> Result<usize, ChunkError> {
        usize::try_from(self.unsigned()?).map_err(|_| ChunkError::Truncated)
    }

    fn prefixed(&mut self) -> Result<&'a [u8], ChunkError> {
        let length = self.length()?;
        self.take(length)
    }

    fn references(&mut self) -> Result<u64, ChunkError> {
        match self.unsigned()? {
            count if count > CHANGE_REFERENCES_MAX => Err(ChunkError::References),
            count => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use automerge::{AutoCommit, ROOT, transaction::Transactable};
    use proptest::prelude::*;
    use std::io::Write;

    fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = plain(&[0; 4], body);
        bytes[8] = kind;
        bytes
    }

    fn check(bytes: &[u8]) -> Result<u64, ChunkError> {
        measure(bytes).map(|measured| measured.operations)
    }

    /// The body of a change whose only column has this specification and content.
    fn body(specification: u8, column: &[u8]) -> Vec<u8> {
        [
            &[0, 1, 7, 1, 1, 0, 0, 0, 1, specification][..],
            &[column.len() as u8],
            column,
        ]
        .concat()
    }

    fn real_change(fields: usize) -> Vec<u8> {
        let mut document = AutoCommit::new();
        for field in 0..fields {
            document
                .put(ROOT, format!("field {field}"), "value")
                .unwrap();
        }
        document.commit();
        let mut change = document.get_last_local_change().unwrap();
        change.bytes().into_owned()
    }

    #[test]
    fn real_changes_pass_plain_and_compressed() {
        let (small, large) = (real_change(3), real_change(500));
        assert_eq!((small[8], large[8]), (TYPE_CHANGE, TYPE_COMPRESSED));
        assert_eq!((check(&small), check(&large)), (Ok(3), Ok(500)));
    }

    /// Goal: what is decoded of a compressed chunk is the change that automerge finds in it.
    #[test]
    fn a_compressed_chunk_is_measured_as_it_decodes() {
        for fields in [3, 20, 500] {
            let chunk = real_change(fields);
            let plain = measure(&chunk).unwrap().plain;
            let change = automerge::Change::from_bytes(chunk.clone()).unwrap();
            assert_eq!(plain, change.raw_bytes());
        }
    }

    /// Goal: 261 kB that inflate to 256 MiB are refused after 8 MiB.
    #[test]
    fn a_decompression_bomb_is_refused() {
        let mut deflate =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            deflate.write_all(&[0; 1 << 20]).unwrap();
        }
        let bomb = chunk(TYPE_COMPRESSED, &deflate.finish().unwrap());
        assert!(bomb.len() < 100_000);
        assert_eq!(check(&bomb), Err(ChunkError::Inflated));
    }

    /// Goal: a run of 2^40 rows in a few bytes is refused, in every kind of run.
    #[test]
    fn run_length_bombs_are_refused() {
        let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
        let repeated = [&huge[..], &[1]].concat();
        let nulls = [&[0][..], &huge].concat();
        for (specification, column) in [(2, &repeated[..]), (3, &nulls), (4, &huge), (5, &nulls)] {
            assert_eq!(
                check(&chunk(TYPE_CHANGE, &body(specification, column))),
                Err(ChunkError::Operations)
            );
        }
    }

    /// Goal: no change's time can make automerge's differences of times overflow, which would keep others' changes out.
    #[test]
    fn times_that_no_clock_says_are_refused() {
        for time_ms in [i64::MIN, i64::MAX, CHANGE_TIME_MS_MAX + 1] {
            let mut document = AutoCommit::new();
            document.put(ROOT, "a", 1).unwrap();
            let options = automerge::transaction::CommitOptions::default().with_time(time_ms);
            document.commit_with(options);
            let change = document.get_last_local_change().unwrap();
            assert_eq!(check(change.raw_bytes()), Err(ChunkError::Time(time_ms)));
        }
    }

    #[test]
    fn other_chunk_types_are_refused() {
        let mut document = AutoCommit::new();
        document.put(ROOT, "a", 1).unwrap();
        assert_eq!(check(&document.save()), Err(ChunkError::Type(0)));
        assert_eq!(check(b"hello world"), Err(ChunkError::Magic));
    }

    proptest! {
        #[test]
        fn truncated_chunks_are_refused(fields in 1usize..200, cut in any::<prop::sample::Index>()) {
            let bytes = real_change(fields);
            prop_assert!(check(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn arbitrary_bodies_never_panic(kind in 0u8..4, body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(check(&chunk(kind, &body)).is_err() || kind == TYPE_CHANGE || kind == TYPE_COMPRESSED);
        }
    }
}
