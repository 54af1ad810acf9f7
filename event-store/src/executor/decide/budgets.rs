//! Budgets in a batch: what waits for them, and what the batch takes of them.

use plaudit_domain::user_tasks::Event;

use super::{BatchDecider, Loaded};
use crate::budgets::Take;
use crate::rewards::waiting::FoundWaiting;

impl Loaded {
    /// Puts what waits for budgets into the states.
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
    /// Takes the amounts that an event grants from the budgets of the batch, so that later decisions see them used.
    pub(super) fn take_from_budgets(&mut self, event: &Event) {
        for (key, taken) in event.budget_takes() {
            self.budgets_used.add(key, taken);
            let limit = self.catalogue.budget(&key.budget).map_or(0, |found| found.budget.limit);
            let take = self.decided.budget_takes.entry(key.clone());
            take.or_insert(Take { taken: 0, limit }).taken += taken;
        }
    }
}
