//! Past actions, counted by a task that was published after they were first decided.

use std::panic::{AssertUnwindSafe, catch_unwind};

use plaudit_domain::action::Action;
use plaudit_domain::catalogue::Status;
use plaudit_domain::ids::TaskId;
use plaudit_domain::user_tasks::{
    BackfillRelease, PastAction, decide_backfill_release, decide_past_action,
};

use super::BatchDecider;
use super::metadata::metadata;
use crate::batch::{
    CountPast, Decide, Item, NotApplied, Origin, PastAnswer, ReleaseAnswer, ReleaseBackfill,
    SettleBackfills,
};
use crate::source_offsets::SourceKey;
use crate::states::truncate_to_micros;

impl BatchDecider<'_, '_> {
    /// Remembers a live action for each task with an open backfill that it may move. Otherwise the
    /// backfill could count the action again, if it finds a repeat whose identity has expired.
    pub(super) fn note_for_backfills(&mut self, item: &Item, action: &Action) {
        for task in self.backfills.tasks() {
            if self.catalogue.task(task).is_some_and(|task| task.is_moved_by(&action.kind)) {
                let decided = (item.lane, task.clone(), action.identity());
                self.decided.backfill_actions.insert(decided);
            }
        }
    }

    /// True if the lane had applied the record before the task was published.
    fn is_past(&self, item: &Item, task: &TaskId) -> bool {
        let Origin::Backfill { from: Some(at), .. } = &item.origin else { return false };
        let key = (item.lane, task.clone(), SourceKey::from(at));
        self.past.bounds.get(&key).is_some_and(|end| at.offset < *end)
    }
}

impl<'b> Decide<'b, CountPast> for BatchDecider<'_, 'b> {
    /// Counts a past action for one task, unless the task has decided it before or will on release
    /// of a parked record, or the action was taken back.
    fn answer(&mut self, item: &'b Item, past: &'b CountPast) -> Result<PastAnswer, NotApplied> {
        let CountPast { task, action, parked_as } = past;
        let Some(rewards) = self.backfills.of(task).map(|open| open.rewards) else {
            return Ok(PastAnswer::Closed);
        };
        if self.catalogue.task(task).is_none_or(|task| task.status != Status::Active) {
            return Ok(PastAnswer::Closed);
        }
        if !self.is_past(item, task) {
            return Ok(PastAnswer::Live);
        }
        let identity = action.identity();
        let known = (task.clone(), identity);
        let decided = (item.lane, task.clone(), identity);
        if self.past.decided.contains(&known) || self.decided.backfill_actions.contains(&decided) {
            return Ok(PastAnswer::Known);
        }
        if parked_as.iter().any(|(_, id)| self.past.parked.contains(id)) {
            return Ok(PastAnswer::Parked);
        }
        if self.past.reversed.contains(&identity) {
            return Ok(PastAnswer::Reversed);
        }
        if let Some(reason) = self.fault(item, &action.user) {
            return Err(NotApplied(format!("nothing can be decided: {reason}")));
        }
        let seed = self.seeds.of_past(action, task);
        let past = PastAction { task, action, seed, rewards, counted_at: self.now };
        let state = &self.users[&action.user].loaded.state;
        let decide = || decide_past_action(state, past, self.catalogue, &self.budgets_used);
        let Ok(decision) = catch_unwind(AssertUnwindSafe(decide)) else {
            return Err(NotApplied("an internal error while counting it".to_owned()));
        };
        self.decided.backfill_actions.insert(decided);
        // Renews the identity: from now on a repeat is recognised for a full dedup period.
        self.decided.seen_again.insert((item.lane, identity));
        self.seen.insert(identity);
        if decision.events.is_empty() {
            return Ok(PastAnswer::Unmoved);
        }
        let counted = self.past.counted.entry(identity).or_default();
        counted.extend(decision.events.iter().cloned());
        self.record(item, &action.user, decision.events, &metadata(item, Some(action)));
        Ok(PastAnswer::Moved)
    }
}

impl<'b> Decide<'b, SettleBackfills> for BatchDecider<'_, 'b> {
    /// Adds nothing to what each batch does for its lanes.
    fn answer(&mut self, _: &'b Item, _: &'b SettleBackfills) -> Result<(), NotApplied> {
        Ok(())
    }
}

impl<'b> Decide<'b, ReleaseBackfill> for BatchDecider<'_, 'b> {
    fn answer(
        &mut self,
        item: &'b Item,
        release: &'b ReleaseBackfill,
    ) -> Result<ReleaseAnswer, NotApplied> {
        let ReleaseBackfill { user, task, by, reason, at } = release;
        self.readable(item, user)?;
        let release = BackfillRelease {
            user: user.clone(),
            task: task.clone(),
            seed: self.seeds.of_release(user, task),
            by: by.clone(),
            reason: reason.clone(),
            at: truncate_to_micros(*at),
        };
        let state = &self.users[user].loaded.state;
        let decision = decide_backfill_release(state, &release, self.catalogue, &self.budgets_used);
        if decision.events.is_empty() {
            return Ok(ReleaseAnswer::NothingHeld);
        }
        self.note(item, user, decision.events);
        Ok(ReleaseAnswer::Granted)
    }
}
