//! The cost limits of one evaluation.
//!
//! An expression comes from outside, and so does the data. Every evaluation therefore pays for each
//! operation before doing it, and ends when its steps or its bytes are used up. The charges depend
//! on the expression and the data alone, never on the clock, so that the same action is always
//! decided in the same way.

use super::failure::Stop;

/// The most steps of one evaluation. A step is one node of the expression, one element of a loop, or
/// [`TEXT_BYTES_PER_STEP`] bytes of text that are compared or copied. With optimisation a step takes
/// 20 to 55 ns, measured on two busy cores, so that this is less than 10 ms.
pub const STEPS_MAX: u32 = 150_000;

/// The most bytes that one evaluation may allocate, added up from its start to its end. It
/// therefore never holds more than this.
pub const BYTES_MAX: u32 = 8 * 1024 * 1024;

/// The bytes of text that count as one step.
pub(super) const TEXT_BYTES_PER_STEP: usize = 64;

/// The steps and bytes that an evaluation has left.
#[derive(Debug)]
pub(super) struct Budget {
    steps_left: u32,
    bytes_left: u32,
}

impl Budget {
    pub fn new(steps: u32, bytes: u32) -> Self {
        Self { steps_left: steps, bytes_left: bytes }
    }

    /// The budget of one evaluation.
    pub fn full() -> Self {
        Self::new(STEPS_MAX, BYTES_MAX)
    }

    /// Pays for `count` steps.
    pub fn steps(&mut self, count: usize) -> Result<(), Stop<'static>> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(left) = self.steps_left.checked_sub(count) {
            self.steps_left = left;
            return Ok(());
        }
        self.steps_left = 0;
        Err(Stop::OutOfSteps)
    }

    /// Pays for reading this many bytes of text once.
    pub fn text(&mut self, bytes: usize) -> Result<(), Stop<'static>> {
        self.steps(bytes / TEXT_BYTES_PER_STEP)
    }

    /// Pays for memory that is about to be allocated.
    pub fn bytes(&mut self, count: usize) -> Result<(), Stop<'static>> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(left) = self.bytes_left.checked_sub(count) {
            self.bytes_left = left;
            return Ok(());
        }
        self.bytes_left = 0;
        Err(Stop::OutOfBytes)
    }

    /// Lends up to these amounts to one evaluation, which returns the rest.
    pub fn lend(&mut self, steps: u32, bytes: u32) -> Self {
        let lent = Self::new(steps.min(self.steps_left), bytes.min(self.bytes_left));
        self.steps_left -= lent.steps_left;
        self.bytes_left -= lent.bytes_left;
        lent
    }

    /// Takes back the rest of a budget that was lent.
    pub fn take_back(&mut self, left: &Self) {
        self.steps_left += left.steps_left;
        self.bytes_left += left.bytes_left;
    }

    /// True if at least as much is left as of `other`.
    pub fn covers(&self, other: &Self) -> bool {
        self.steps_left >= other.steps_left && self.bytes_left >= other.bytes_left
    }

    /// The steps and bytes spent from a full budget.
    #[cfg(test)]
    pub fn spent(&self) -> (u32, u32) {
        (STEPS_MAX - self.steps_left, BYTES_MAX - self.bytes_left)
    }
}
