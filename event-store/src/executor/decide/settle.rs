//! Records the effects of time.

use plaudit_domain::user_tasks::decide_settle;

use super::BatchDecider;
use crate::batch::{Decide, Item, NotApplied, Settle, Settled};
use crate::states::truncate_to_micros;

impl<'b> Decide<'b, Settle> for BatchDecider<'_, 'b> {
    fn answer(&mut self, item: &'b Item, settle: &'b Settle) -> Result<Settled, NotApplied> {
        let Settle { user, streaks, as_of } = settle;
        self.working(item, user).looked_at.extend(streaks.iter().cloned());
        self.readable(item, user)?;
        let (state, as_of) = (&self.users[user].loaded.state, truncate_to_micros(*as_of));
        let events = decide_settle(state, as_of, self.catalogue, &self.budgets_used);
        let settled = Settled { events: events.len() };
        self.note(item, user, events);
        Ok(settled)
    }
}
