//! Randomness that a seed repeats, on any machine and with any release of `rand`.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The draws of the soak.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// One stream of a seed. Streams are for threads of work, so that one does not depend on the
    /// pace of another.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound.max(1))
    }

    /// A number of `from..until`; `from` if there is none.
    pub fn between(&mut self, from: i64, until: i64) -> i64 {
        self.0.random_range(from..until.max(from + 1))
    }

    /// Whether something happens that happens `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of them, none of an empty slice.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.choose(&mut self.0)
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        self.0.random_range(0..len.max(1))
    }

    /// Puts them into a random order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        all.shuffle(&mut self.0);
    }
}
