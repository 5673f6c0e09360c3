//! The trace of a run: BLAKE3 over all that happened, in order. Equal traces mean equal runs.

use std::fmt;

use sedge_identity::hex;

/// Lines that a recorded trace keeps.
const LINES_MAX: usize = 10_000;

/// The hash of all that happened in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceHash(pub [u8; 32]);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceHash({self})")
    }
}

#[derive(Default)]
pub(super) struct Trace {
    hasher: blake3::Hasher,
    pub happenings: u64,
    /// What happened, in words, where somebody wants to read it.
    pub lines: Option<Vec<String>>,
}

impl Trace {
    /// Adds a happening: when, what, at or between whom, with what bytes.
    pub fn add(&mut self, at: u64, what: &str, who: [usize; 2], bytes: &[u8]) {
        let number = |number: u64| number.to_le_bytes();
        self.happenings += 1;
        self.hasher.update(&number(at));
        self.hasher.update(&number(what.len() as u64));
        self.hasher.update(what.as_bytes());
        for it in who {
            self.hasher.update(&number(it as u64));
        }
        self.hasher.update(&number(bytes.len() as u64));
        self.hasher.update(bytes);
        if let Some(lines) = &mut self.lines
            && lines.len() < LINES_MAX
        {
            let [from, to] = who;
            lines.push(match from == to {
                true => format!("{at:>7} ms  {from:>2}      {what}"),
                false => format!("{at:>7} ms  {from:>2} → {to:<2} {what}"),
            });
        }
    }

    pub fn hash(&self) -> TraceHash {
        TraceHash(*self.hasher.finalize().as_bytes())
    }
}
