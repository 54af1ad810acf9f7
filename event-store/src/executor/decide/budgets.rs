//! Budgets in a batch: rewards that wait for them, and the amounts that the batch takes.

use plaudit_domain::user_tasks::Event;

use super::{BatchDecider, Loaded};
use crate::budgets::Take;
use crate::rewards::waiting::FoundWaiting;

impl Loaded {
    /// Adds the waiting milestones to the states.
    pub fn add_waiting(&mut self, found: FoundWaiting) {
        for (user, tasks) in found {
            let Some(loaded) = self.states.get_mut(&user).filter(|loaded| !loaded.refolded) else {
                continue;
            };
            for (task, waiting) in tasks {
                if let Some(past) = loaded.state.tasks.get_mut(&task) {
                    past.waiting = waiting;
                }
            }
        }
    }
}

impl BatchDecider<'_, '_> {
    /// Takes the amounts that an event grants from the budgets, so that later decisions of the
    /// batch see them used.
    pub(super) fn take_from_budgets(&mut self, event: &Event) {
        for (key, taken) in event.budget_takes() {
            self.budgets_used.add(key, taken);
            let limit = self.catalogue.budget(&key.budget).map_or(0, |found| found.budget.limit);
            let take = self.decided.budget_takes.entry(key.clone());
            take.or_insert(Take { taken: 0, limit }).taken += taken;
        }
    }
}
