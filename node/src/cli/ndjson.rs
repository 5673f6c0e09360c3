//! Reads documents line by line: bounded lines, bounded batches, bad lines reported and passed over.

use super::limits::{BAD_LINES_KEPT_MAX, BATCH_BYTES_MAX, BATCH_DOCUMENTS_MAX, LINE_BYTES_MAX};
use sedge::api::wire::Rejected;
use sedge::{Value, parse_json};
use std::io::{self, BufRead};

/// A line that is no document, or that the store refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct BadLine {
    /// Its number in the file, from 1.
    pub(crate) line: u64,
    /// What is wrong with it.
    pub(crate) reason: String,
}

/// Why an input can't be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    NotNdjson(#[from] NotNdjson),
}

/// An input that can't be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotNdjson {
    #[error("is packed by {0}; unpack it first with: {0} -dk FILE")]
    Packed(&'static str),
    #[error("is a binary file; what can be imported is text in UTF-8 with one JSON object a line")]
    Binary,
}

/// The first bytes of packed files, with the program that unpacks them.
const PACKED: [(&[u8], &str); 4] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
];

/// Documents with the lines they came from.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) documents: Vec<Value>,
    lines: Vec<u64>,
    /// Bytes read so far, of the whole input.
    pub(crate) bytes_read: u64,
}

impl Batch {
    /// The line of each rejected document.
    pub(crate) fn bad_lines(&self, rejected: Vec<Rejected>) -> impl Iterator<Item = BadLine> {
        rejected.into_iter().map(|rejected| BadLine {
            line: self.lines.get(rejected.index).copied().unwrap_or_default(),
            reason: rejected.reason,
        })
    }
}

/// Bad lines, of which the first of the file are kept, in its order.
#[derive(Debug, Default)]
pub(crate) struct BadLines {
    pub(crate) count: u64,
    pub(crate) kept: Vec<BadLine>,
}

impl BadLines {
    /// Notes a line. They come out of order: the store looks at a batch after all its lines are read.
    pub(crate) fn push(&mut self, bad: BadLine) {
        self.count += 1;
        let place = self.kept.partition_point(|kept| kept.line < bad.line);
        self.kept.insert(place, bad);
        self.kept.truncate(BAD_LINES_KEPT_MAX);
    }
}

/// The batches of an input.
pub(crate) struct Reader<R> {
    input: R,
    line: u64,
    bytes_read: u64,
    /// Whether a document was among the lines: then a binary one is a bad line, not a wrong file.
    is_ndjson: bool,
    pub(crate) bad: BadLines,
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            line: 0,
            bytes_read: 0,
            is_ndjson: false,
            bad: BadLines::default(),
        }
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// The input can't be read, or is no NDJSON at all.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Batch>, ReadError> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.documents.len() < BATCH_DOCUMENTS_MAX && bytes < BATCH_BYTES_MAX {
            let Some(text) = self.next_line()? else {
                break;
            };
            match parse(&text) {
                Ok(None) => {}
                Ok(Some((document, size))) => {
                    self.is_ndjson = true;
                    bytes += size;
                    batch.documents.push(document);
                    batch.lines.push(self.line);
                }
                Err(reason) => {
                    self.check_ndjson(&text)?;
                    self.bad.push(BadLine {
                        line: self.line,
                        reason,
                    });
                }
            }
        }
        batch.bytes_read = self.bytes_read;
        let ended = batch.documents.is_empty() && self.input.fill_buf()?.is_empty();
        Ok((!ended).then_some(batch))
    }

    /// Refuses the input as a whole when a bad line before the first document shows what it is.
    fn check_ndjson(&self, line: &[u8]) -> Result<(), NotNdjson> {
        let packed = PACKED.iter().find(|(magic, _)| line.starts_with(magic));
        match packed {
            Some((_, by)) if self.line == 1 => Err(NotNdjson::Packed(by)),
            _ if !self.is_ndjson && line.contains(&0) => Err(NotNdjson::Binary),
            _ => Ok(()),
        }
    }

    /// The next line that is short enough; longer ones are passed over and noted.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut text = Vec::new();
            let mut whole = 0usize;
            loop {
                let buffer = self.input.fill_buf()?;
                if buffer.is_empty() {
                    break;
                }
                let end = buffer.iter().position(|byte| *byte == b'\n');
                let taken = end.map_or(buffer.len(), |end| end + 1);
                whole += taken;
                if whole <= LINE_BYTES_MAX {
                    text.extend_from_slice(&buffer[..taken]);
                }
                self.input.consume(taken);
                if end.is_some() {
                    break;
                }
            }
            if whole == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.bytes_read += whole as u64;
            if whole <= LINE_BYTES_MAX {
                return Ok(Some(text));
            }
            self.bad.push(BadLine {
                line: self.line,
                reason: format!("the line has {whole} bytes; at most {LINE_BYTES_MAX} are read"),
            });
        }
    }
}

/// The document on a line and its size as compact JSON, in bytes; `None` for an empty line.
fn parse(line: &[u8]) -> Result<Option<(Value, usize)>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    match parse_json(text) {
        Ok(document @ Value::Map(_)) => match document.to_string().len() {
            size if size <= LINE_BYTES_MAX => Ok(Some((document, size))),
            size => Err(format!(
                "the document has {size} bytes as JSON; at most {LINE_BYTES_MAX} are taken"
            )),
        },
        Ok(other) => Err(format!(
            "no document but a JSON value of type {}; each line holds one object",
            other.type_name()
        )),
        Err(error) => {
            let text = error.to_string();
            let reason = text.replace(" at line 1 column ", " at column "); // the line is told with its own number
            Err(format!("not JSON: {reason}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> (Vec<String>, Vec<u64>) {
        let mut reader = Reader::new(input);
        let mut documents = Vec::new();
        while let Some(batch) = reader.next_batch().unwrap() {
            documents.extend(batch.documents.iter().map(ToString::to_string));
        }
        (
            documents,
            reader.bad.kept.iter().map(|bad| bad.line).collect(),
        )
    }

    #[test]
    fn bad_lines_are_numbered_and_the_rest_is_read() {
        let input = b"{\"a\":1}\n\nnonsense\n[1]\n{\"a\":1,\"a\":2}\n\xff\n{\"b\":2}";
        let (documents, bad) = read(input);
        assert_eq!(documents, [r#"{"a":1}"#, r#"{"b":2}"#]);
        assert_eq!(bad, [3, 4, 5, 6]);
    }

    /// Goal: whatever the order in which they are noted, the first bad lines of a file are kept, in its order.
    #[test]
    fn the_first_bad_lines_are_kept_in_order() {
        let mut bad = BadLines::default();
        let most = BAD_LINES_KEPT_MAX as u64;
        for line in (2..=most + 1).chain([1, most + 2]) {
            let reason = String::new();
            bad.push(BadLine { line, reason });
        }
        let kept: Vec<_> = bad.kept.iter().map(|bad| bad.line).collect();
        assert_eq!(kept, (1..=most).collect::<Vec<_>>());
        assert_eq!(bad.count, most + 2);
    }

    /// Goal: a line without end costs no memory beyond its bound.
    #[test]
    fn an_overlong_line_is_passed_over() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 10];
        input.extend_from_slice(b"\n{\"a\":1}\n");
        assert_eq!(read(&input), (vec![r#"{"a":1}"#.to_owned()], vec![1]));
    }

    /// Goal: a file that can't be meant is refused once; after a document, the same bytes are a bad line.
    #[test]
    fn a_packed_or_binary_input_is_refused() {
        let refused = |input: &[u8]| match Reader::new(input).next_batch() {
            Err(ReadError::NotNdjson(refused)) => Some(refused),
            _ => None,
        };
        assert_eq!(
            refused(b"\x1f\x8b\x08\0\n\n"),
            Some(NotNdjson::Packed("gzip"))
        );
        assert_eq!(
            refused(b"\x89PNG\r\n\x1a\n\0\0\0\x0d"),
            Some(NotNdjson::Binary)
        );
        assert_eq!(refused(b"{\0\"\0a\0"), Some(NotNdjson::Binary), "UTF-16");
        let (documents, bad) = read(b"{\"a\":1}\n\0\0\n\x1f\x8b\n");
        assert_eq!((documents.len(), bad), (1, vec![2, 3]));
    }

    #[test]
    fn many_lines_come_in_batches() {
        let input = "{\"a\":1}\n".repeat(BATCH_DOCUMENTS_MAX * 2 + 1);
        assert_eq!(read(input.as_bytes()).0.len(), BATCH_DOCUMENTS_MAX * 2 + 1);
        let only_bad = "x\n".repeat(3);
        assert_eq!(read(only_bad.as_bytes()), (vec![], vec![1, 2, 3]));
    }
}
