//! Random numbers that a seed repeats on any machine and with any release of `rand`.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A random number generator.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// Creates one stream of a seed. Concurrent tasks use different streams, so that none depends
    /// on the pace of another.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Returns a number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound.max(1))
    }

    /// Returns a number of `from..until`; `from` if the range is empty.
    pub fn between(&mut self, from: i64, until: i64) -> i64 {
        self.0.random_range(from..until.max(from + 1))
    }

    /// Returns true `per_mille` times in a thousand, on average.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// Picks an element; `None` for an empty slice.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.choose(&mut self.0)
    }

    /// Returns an index below `len`; 0 if `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.0.random_range(0..len.max(1))
    }

    /// Shuffles a slice.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        all.shuffle(&mut self.0);
    }
}
