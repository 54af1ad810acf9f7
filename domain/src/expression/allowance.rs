//! The cost that several evaluations share.

use super::budget::{BYTES_MAX, Budget, STEPS_MAX};
use super::failure::Stop;

/// The number of full evaluations that the expressions of one action, or of one screen, share. An
/// evaluation after that may still take [`SMALL_STEPS`], so that an expensive rule of one task does
/// not stop the cheap rules of all others.
pub const FULL_EVALUATIONS_MAX: u32 = 20;

/// The steps of one evaluation once the full ones are used up: a hundredth of a full evaluation,
/// and about a hundred times what an ordinary rule takes.
const SMALL_STEPS: u32 = STEPS_MAX / 100;
const SMALL_BYTES: u32 = BYTES_MAX / 128;

/// The number of small evaluations. An action touches at most 500 tasks, each with an audience and
/// a `where`.
const SMALL_EVALUATIONS_MAX: u32 = 1_000;

/// The cost that several evaluations share. Each of them costs at most one full evaluation.
///
/// It is spent in the order of the evaluations, and depends on nothing but the expressions and the
/// data, so that the same action is decided in the same way each time.
#[derive(Debug)]
pub struct Allowance {
    full: Budget,
    small: Budget,
}

/// The cost of one full evaluation.
impl Default for Allowance {
    fn default() -> Self {
        Self { full: Budget::full(), small: Budget::new(0, 0) }
    }
}

impl Allowance {
    /// An allowance for the expressions of many tasks, which together cost at most 30 full
    /// evaluations.
    pub fn of_many_tasks() -> Self {
        let full = Budget::new(FULL_EVALUATIONS_MAX * STEPS_MAX, FULL_EVALUATIONS_MAX * BYTES_MAX);
        let small =
            Budget::new(SMALL_EVALUATIONS_MAX * SMALL_STEPS, SMALL_EVALUATIONS_MAX * SMALL_BYTES);
        Self { full, small }
    }

    /// Runs one evaluation with its part of the allowance. `evaluate` returns the unused rest of
    /// the budget.
    pub(super) fn spend<'v, T>(
        &mut self,
        evaluate: impl FnOnce(Budget) -> (Result<T, Stop<'v>>, Budget),
    ) -> Result<T, Stop<'v>> {
        let (mut budget, small) =
            (self.full.lend(STEPS_MAX, BYTES_MAX), self.small.lend(SMALL_STEPS, SMALL_BYTES));
        let is_small = !budget.covers(&small);
        let from = if is_small {
            self.full.take_back(&budget);
            budget = small;
            &mut self.small
        } else {
            self.small.take_back(&small);
            &mut self.full
        };
        let is_cut = !budget.covers(&Budget::full());
        let (result, rest) = evaluate(budget);
        from.take_back(&rest);
        result.map_err(|stop| if is_cut && stop.is_final() { Stop::OutOfAllowance } else { stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(allowance: &mut Allowance, steps: usize) -> Result<(), Stop<'static>> {
        allowance.spend(|mut budget| (budget.steps(steps), budget))
    }

    #[test]
    fn many_evaluations_cost_at_most_twenty_full_ones_and_then_small_ones() {
        let mut allowance = Allowance::of_many_tasks();
        let (full, small) = (STEPS_MAX as usize, SMALL_STEPS as usize);
        assert!(matches!(takes(&mut allowance, full + 1), Err(Stop::OutOfSteps)));
        for _ in 1..FULL_EVALUATIONS_MAX {
            assert!(takes(&mut allowance, full).is_ok());
        }
        assert!(matches!(takes(&mut allowance, small + 1), Err(Stop::OutOfAllowance)));
        for _ in 1..SMALL_EVALUATIONS_MAX {
            assert!(takes(&mut allowance, small).is_ok());
        }
        assert!(matches!(takes(&mut allowance, 1), Err(Stop::OutOfAllowance)));
    }

    #[test]
    fn an_allowance_of_one_evaluation_is_spent_to_its_end() {
        let mut allowance = Allowance::default();
        assert!(takes(&mut allowance, STEPS_MAX as usize - 1).is_ok());
        assert!(takes(&mut allowance, 1).is_ok());
        assert!(matches!(takes(&mut allowance, 1), Err(Stop::OutOfAllowance)));
    }
}
