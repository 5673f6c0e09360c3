//! Which chunks of a blob are somewhere: a bit for each.

use bytes::Bytes;

/// A set of chunks of one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSet {
    /// 64 chunks each, the first one in the lowest bit; those behind the last chunk are 0.
    words: Vec<u64>,
    chunks: u64,
    count: u64,
}

impl ChunkSet {
    /// None of so many chunks.
    pub fn none(chunks: u64) -> Self {
        let words = usize::try_from(chunks.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            words: vec![0; words],
            chunks,
            count: 0,
        }
    }

    /// All of so many chunks.
    pub fn all(chunks: u64) -> Self {
        Self::none(chunks).complement()
    }

    /// Those that are not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut words: Vec<u64> = self.words.iter().map(|word| !word).collect();
        if let (Some(last), 1..) = (words.last_mut(), self.chunks % 64) {
            *last &= (1 << (self.chunks % 64)) - 1;
        }
        Self {
            words,
            chunks: self.chunks,
            count: self.chunks - self.count,
        }
    }

    /// Whether a chunk is in it.
    pub fn has(&self, index: u64) -> bool {
        self.word(index)
            .is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Adds a chunk, if the blob has it.
    pub fn add(&mut self, index: u64) {
        if index < self.chunks && !self.has(index) {
            self.toggle(index);
            self.count += 1;
        }
    }

    /// Takes a chunk out.
    pub fn remove(&mut self, index: u64) {
        if self.has(index) {
            self.toggle(index);
            self.count -= 1;
        }
    }

    /// How many chunks are in it.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether no chunk is in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether every chunk of the blob is in it.
    pub fn is_full(&self) -> bool {
        self.count == self.chunks
    }

    /// The first chunk that is in both sets.
    pub fn first_common(&self, other: &Self) -> Option<u64> {
        let pairs = self.words.iter().zip(&other.words);
        let (number, common) = pairs
            .map(|(one, two)| one & two)
            .enumerate()
            .find(|(_, common)| *common != 0)?;
        Some(number as u64 * 64 + u64::from(common.trailing_zeros()))
    }

    /// The bytes that travel: eight chunks each, as many bytes as that takes.
    pub fn encode(&self) -> Bytes {
        let mut bytes: Vec<u8> = self
            .words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        bytes.truncate(usize::try_from(self.chunks.div_ceil(8)).unwrap_or(usize::MAX));
        bytes.into()
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` when it is no set of so many chunks.
    pub fn decode(bytes: &[u8], chunks: u64) -> Option<Self> {
        if bytes.len() as u64 != chunks.div_ceil(8) {
            return None;
        }
        let mut words = Vec::with_capacity(bytes.len().div_ceil(8));
        for bytes in bytes.chunks(8) {
            let word = bytes.iter().rev();
            words.push(word.fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
        let beyond = match chunks % 64 {
            0 => 0,
            used => words.last().map_or(0, |last| last >> used),
        };
        let count = words.iter().map(|word| u64::from(word.count_ones())).sum();
        (beyond == 0).then_some(Self {
            words,
            chunks,
            count,
        })
    }

    fn word(&self, index: u64) -> Option<u64> {
        let word = self.words.get(usize::try_from(index / 64).ok()?);
        word.copied()
    }

    fn toggle(&mut self, index: u64) {
        let number = usize::try_from(index / 64).unwrap_or(usize::MAX);
        if let Some(word) = self.words.get_mut(number) {
            *word ^= 1 << (index % 64);
        }
    }
}
