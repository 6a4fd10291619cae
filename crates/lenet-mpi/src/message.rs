//! What rank 0 tells the others: a kind, and 32-bit words.

use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

/// Words that travel at once; those of a longer message follow. A step of training has its indices within it.
const FIRST: usize = 512;

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// There is nothing more to do.
    Stop,
    /// A text.
    Text,
    /// The samples that the next calls are about.
    Source,
    Backward,
    Update,
    Evaluate,
    Forward,
    Parameters,
    Buffers,
    OptimizerState,
    /// The engine is done with.
    End,
}

const KINDS: [Kind; 11] = [
    Kind::Stop,
    Kind::Text,
    Kind::Source,
    Kind::Backward,
    Kind::Update,
    Kind::Evaluate,
    Kind::Forward,
    Kind::Parameters,
    Kind::Buffers,
    Kind::OptimizerState,
    Kind::End,
];

/// A message, written front to back and read likewise.
pub(crate) struct Message {
    pub kind: Kind,
    words: Vec<u32>,
    at: usize,
}

impl Message {
    pub fn new(kind: Kind) -> Self {
        Message { kind, words: vec![0, 0], at: 2 }
    }

    pub fn word(mut self, word: u32) -> Self {
        self.words.push(word);
        self
    }

    pub fn long(self, value: u64) -> Self {
        self.word(value as u32).word((value >> 32) as u32)
    }

    pub fn float(self, value: f32) -> Self {
        self.word(value.to_bits())
    }

    /// A list, behind its length.
    pub fn list(mut self, words: impl ExactSizeIterator<Item = u32>) -> Self {
        self.words.push(words.len() as u32);
        self.words.extend(words);
        self
    }

    pub fn floats(self, values: &[f32]) -> Self {
        self.list(values.iter().map(|v| v.to_bits()))
    }

    pub fn bytes(self, bytes: &[u8]) -> Self {
        let word = |b: &[u8]| b.iter().rev().fold(0, |w, &b| w << 8 | u32::from(b));
        self.word(bytes.len() as u32).list(bytes.chunks(4).map(word))
    }

    pub fn next(&mut self) -> u32 {
        self.at += 1;
        // Messages are read as they were written; a rank of another version would meet zeros.
        self.words.get(self.at - 1).copied().unwrap_or(0)
    }

    pub fn next_long(&mut self) -> u64 {
        u64::from(self.next()) | u64::from(self.next()) << 32
    }

    pub fn next_float(&mut self) -> f32 {
        f32::from_bits(self.next())
    }

    pub fn next_list(&mut self) -> &[u32] {
        let len = self.next() as usize;
        let start = self.at.min(self.words.len());
        self.at = (start + len).min(self.words.len());
        &self.words[start..self.at]
    }

    pub fn next_floats(&mut self) -> Vec<f32> {
        self.next_list().iter().map(|&w| f32::from_bits(w)).collect()
    }

    pub fn next_bytes(&mut self) -> Vec<u8> {
        let len = self.next() as usize;
        let mut bytes: Vec<u8> = self.next_list().iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }

    /// From rank 0 to all others, which [`Message::receive`] it.
    pub fn send(mut self) {
        let world = SimpleCommunicator::world();
        (self.words[0], self.words[1]) = (self.kind as u32, self.words.len() as u32);
        self.words.resize(self.words.len().max(FIRST), 0);
        let root = world.process_at_rank(0);
        let (first, rest) = self.words.split_at_mut(FIRST);
        root.broadcast_into(first);
        if !rest.is_empty() {
            root.broadcast_into(rest);
        }
    }

    pub fn receive() -> Self {
        let world = SimpleCommunicator::world();
        let mut words = vec![0u32; FIRST];
        let root = world.process_at_rank(0);
        root.broadcast_into(&mut words[..]);
        if words[1] as usize > FIRST {
            words.resize(words[1] as usize, 0);
            root.broadcast_into(&mut words[FIRST..]);
        }
        let kind = KINDS.get(words[0] as usize).copied().unwrap_or(Kind::Stop);
        Message { kind, words, at: 2 }
    }
}
