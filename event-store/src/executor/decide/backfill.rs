//! Past actions, counted by a task that was published after they were first decided.

use std::panic::{AssertUnwindSafe, catch_unwind};

use plaudit_domain::action::Action;
use plaudit_domain::catalogue::Status;
use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{BackfillRelease, Command, PastAction, Seed, decide_past_action};
use uuid::Uuid;

use super::BatchDecider;
use super::metadata::metadata;
use crate::batch::{Item, Origin, Outcome, PastOutcome};
use crate::source_offsets::SourceKey;

impl<'b> BatchDecider<'_, 'b> {
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

    /// Counts a past action for one task, unless the task has decided it before or will on release
    /// of a parked record, or the action was taken back.
    pub(super) fn count_past(
        &mut self,
        item: &'b Item,
        task: &TaskId,
        action: &Action,
        parked_as: &[(Lane, Uuid)],
    ) -> Outcome {
        let Some(rewards) = self.backfills.of(task).map(|open| open.rewards) else {
            return Outcome::Past(PastOutcome::Closed);
        };
        if self.catalogue.task(task).is_none_or(|task| task.status != Status::Active) {
            return Outcome::Past(PastOutcome::Closed);
        }
        if !self.is_past(item, task) {
            return Outcome::Past(PastOutcome::Live);
        }
        let identity = action.identity();
        let known = (task.clone(), identity);
        let decided = (item.lane, task.clone(), identity);
        if self.past.decided.contains(&known) || self.decided.backfill_actions.contains(&decided) {
            return Outcome::Past(PastOutcome::Known);
        }
        if parked_as.iter().any(|(_, id)| self.past.parked.contains(id)) {
            return Outcome::Past(PastOutcome::Parked);
        }
        if self.past.reversed.contains(&identity) {
            return Outcome::Past(PastOutcome::Reversed);
        }
        if let Some(reason) = self.fault(item, &action.user) {
            return Outcome::Failed(format!("nothing can be decided: {reason}"));
        }
        let seed = Seed(Uuid::new_v4().as_u64_pair().0);
        let past = PastAction { task, action, seed, rewards, counted_at: self.now };
        let state = &self.users[&action.user].loaded.state;
        let decide = || decide_past_action(state, past, self.catalogue, &self.budgets_used);
        let Ok(decision) = catch_unwind(AssertUnwindSafe(decide)) else {
            return Outcome::Failed("an internal error while counting it".to_owned());
        };
        self.decided.backfill_actions.insert(decided);
        // Renews the identity: from now on a repeat is recognised for a full dedup period.
        self.decided.seen_again.insert((item.lane, identity));
        self.seen.insert(identity);
        if decision.events.is_empty() {
            return Outcome::Past(PastOutcome::Unmoved);
        }
        let counted = self.past.counted.entry(identity).or_default();
        counted.extend(decision.events.iter().cloned());
        self.record(item, &action.user, decision.events, &metadata(item, Some(action)));
        Outcome::Past(PastOutcome::Moved)
    }

    /// True if the lane had applied the record before the task was published.
    fn is_past(&self, item: &Item, task: &TaskId) -> bool {
        let Origin::Backfill { from: Some(at), .. } = &item.origin else { return false };
        let key = (item.lane, task.clone(), SourceKey::from(at));
        self.past.bounds.get(&key).is_some_and(|end| at.offset < *end)
    }

    /// Grants the rewards that the backfill of a task holds for a user.
    pub(super) fn release_backfill(&mut self, item: &'b Item, release: BackfillRelease) -> Outcome {
        let user = release.user.clone();
        match self.decide(item, &user, &Command::ReleaseBackfill(release)) {
            Err(rejection) => Outcome::Rejected(rejection),
            Ok(decision) if decision.events.is_empty() => Outcome::Past(PastOutcome::Unmoved),
            Ok(decision) => {
                self.record(item, &user, decision.events, &metadata(item, None));
                Outcome::Past(PastOutcome::Moved)
            }
        }
    }
}
