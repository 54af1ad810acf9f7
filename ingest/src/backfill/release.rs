//! Grants the rewards that a finished backfill holds back, once an operator releases them.

use plaudit_domain::lane::Lane;
use plaudit_event_store::backfills::lease::{Lease, ReleaseRequest};
use plaudit_event_store::{Item, Origin, Outcome, PastOutcome, Work, states};

use super::{BackfillWorker, StopReason};

/// Users read per query.
const USERS: i64 = 250;

impl BackfillWorker {
    /// Releases the held rewards of all users, lane by lane. Releasing a user twice grants nothing
    /// twice.
    pub(super) async fn release(
        &self,
        lease: &Lease,
        request: &ReleaseRequest,
    ) -> Result<(), StopReason> {
        let lanes = i16::try_from(self.queue.lane_count().get()).unwrap_or(i16::MAX);
        for lane in (0..lanes).map(Lane) {
            let mut after = String::new();
            loop {
                let from = after.as_str();
                let held = |pool| async move {
                    states::users_with_held_rewards(&pool, lane, &lease.task, from, USERS).await
                };
                let users = self.database.call(held).await?;
                let Some(last) = users.last() else { break };
                after = last.as_str().to_owned();
                let item = |user| Item {
                    lane,
                    work: Work::ReleaseBackfill {
                        user,
                        task: lease.task.clone(),
                        by: request.by.clone(),
                        reason: request.reason.clone(),
                        at: request.at,
                    },
                    origin: Origin::Backfill { task: lease.task.clone(), from: None },
                };
                let applied = self.apply(lease, users.into_iter().map(item).collect()).await?;
                let moved = |outcome: &Outcome| *outcome == Outcome::Past(PastOutcome::Moved);
                let released = applied.iter().filter(|a| moved(&a.outcome)).count();
                if let Some(Outcome::Failed(why)) = applied
                    .iter()
                    .map(|applied| &applied.outcome)
                    .find(|outcome| matches!(outcome, Outcome::Failed(_)))
                {
                    tracing::error!(task = %lease.task, %lane, "the held rewards of a user can't be released: {why}");
                }
                let released = i64::try_from(released).unwrap_or(i64::MAX);
                self.note_released(lease, released, false).await?;
            }
        }
        self.note_released(lease, 0, true).await
    }

    async fn note_released(
        &self,
        lease: &Lease,
        users: i64,
        is_all: bool,
    ) -> Result<(), StopReason> {
        let note = |pool| async move { lease.released(&pool, users, is_all).await };
        if self.database.call(note).await? { Ok(()) } else { Err(StopReason::NotOurs) }
    }
}
