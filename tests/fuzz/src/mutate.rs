//! Changes of inputs, without coverage: what a run in CI can do in a minute.

/// Makes inputs from others, by a seed.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
}

/// Bytes that readers care about.
const INTERESTING: &[&[u8]] = &[
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"(",
    b")",
    b" AND ",
    b" OR ",
    b"NOT ",
    b"#a",
    b":a",
    b" = ",
    b"<>",
    b".",
    b"[0]",
    b"[4294967296]",
    b"SET ",
    b"REMOVE ",
    b"ADD ",
    b"DELETE ",
    b"size(",
    b"-",
    b"+",
    b"1E999",
    b"\0",
    b"\x01",
    b"\xff",
    b"\x7f",
    b"\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x01",
    b"\xc3\x28",
    b"%",
    b"=",
    b";",
];
/// Changes of one input at most.
const CHANGES_MAX: usize = 6;

impl Mutator {
    /// A mutator whose changes follow from the seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An input made from one of these, perhaps with a piece of another; at most `bytes_max` long.
    pub fn next_input(&mut self, corpus: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
        let mut input = self.one_of(corpus);
        for _ in 0..1 + self.below(CHANGES_MAX) {
            self.change(&mut input, corpus);
        }
        input.truncate(bytes_max);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let from = self.below(input.len() + 1);
        let to = (from + self.below(16)).min(input.len());
        match self.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(from) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(from) {
                    *byte = self.below(256) as u8; // below 256
                }
            }
            2 => drop(input.drain(from..to)),
            3 | 4 => {
                let piece = INTERESTING[self.below(INTERESTING.len())];
                input.splice(from..from, piece.iter().copied());
            }
            5 => {
                // A piece again and again: nesting, long lists.
                let piece = input[from..to].to_vec();
                for _ in 0..self.below(64) {
                    input.splice(from..from, piece.iter().copied());
                }
            }
            6 => {
                let other = self.one_of(corpus);
                let start = self.below(other.len() + 1);
                let end = (start + self.below(64)).min(other.len());
                input.splice(from..to, other[start..end].iter().copied());
            }
            _ => input.truncate(from),
        }
    }

    fn one_of(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let at = self.below(corpus.len());
        corpus.get(at).cloned().unwrap_or_default()
    }

    /// SplitMix64, below `end`; 0 if `end` is 0.
    fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % (end.max(1) as u64)) as usize
    }
}
