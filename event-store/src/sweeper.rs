//! The sweeper records the effects of time alone: unclaimed rewards expire, are forfeited, or are
//! granted at the end of their period; streaks are protected or break. It also grants rewards that
//! waited for a budget and now fit. Screens, lists and claims apply the time themselves and never
//! wait for the sweeper.
//!
//! Every process that writes may run one. The events are the same whichever process records them,
//! and whenever. A user whom another process has settled in the meantime has nothing left to
//! settle.

mod skipped;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::{Applied, Item, NotApplied, Origin, Settle, Settled};
use crate::catalogue_store::CatalogueStore;
use crate::error::ExecuteError;
use crate::pool::{self, Borrowed, within};
use crate::queue::CommandQueue;
use crate::rewards::lapses::due_users;
use crate::rewards::waiting::{Page, WaitingPages};
use crate::streak_looks;
use skipped::SkippedUsers;

/// Interval between sweeps while nothing is due.
const EVERY: Duration = Duration::from_secs(1);

/// Delay after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Time limit for finding what is due.
const CALL_MAX: Duration = Duration::from_secs(3);

/// Time limit for settling before the next sweep.
const APPLY_MAX: Duration = Duration::from_secs(5);

/// The maximum number of milestones, and of streaks, taken from a lane at a time: with 64 lanes
/// some 6,000 of each.
const PER_LANE: i64 = 100;

/// Sweeps until `stopped`.
pub async fn run(pool: PgPool, queue: CommandQueue, stopped: CancellationToken) {
    let (skipped, waiting) = (SkippedUsers::default(), WaitingPages::default());
    let mut sweeper = Sweeper { pool, queue, skipped, waiting };
    loop {
        let rest = tokio::select! {
            () = stopped.cancelled() => return,
            swept = sweeper.sweep() => match swept {
                Ok(true) => Duration::ZERO,
                Ok(false) => EVERY,
                Err(error) => {
                    tracing::warn!(%error, "what is due by time could not be settled; trying again");
                    RETRY_AFTER
                }
            },
        };
        if tokio::time::timeout(rest, stopped.cancelled()).await.is_ok() {
            return;
        }
    }
}

struct Sweeper {
    pool: PgPool,
    queue: CommandQueue,
    skipped: SkippedUsers,
    waiting: WaitingPages,
}

/// The parts of a user that a sweep found.
#[derive(Default)]
struct Found {
    /// True if unclaimed rewards are due.
    has_due_rewards: bool,
    /// The streaks to look at.
    streaks: BTreeSet<TaskId>,
}

type FoundUsers = BTreeMap<(Lane, UserId), Found>;

impl Sweeper {
    /// Settles what is due, or a first part of it. Returns true if the next sweep may find more.
    async fn sweep(&mut self) -> Result<bool, Arc<ExecuteError>> {
        let as_of = self.queue.clock().now();
        let (found, page) = self.find(as_of).await?;
        if found.is_empty() {
            self.waiting.note_tried(&page);
            return Ok(false);
        }
        let item = |((lane, user), found): (&(Lane, UserId), &Found)| Item {
            lane: *lane,
            work: Settle { user: user.clone(), streaks: found.streaks.clone(), as_of },
            origin: Origin::Sweeper,
        };
        let submission = self.queue.submit(found.iter().map(item).collect());
        let applied = tokio::time::timeout(APPLY_MAX, submission).await;
        if let Ok(Err(error)) = applied {
            return Err(error);
        }
        self.waiting.note_tried(&page);
        // A lane held by another session must not block the others. Its users are found again in
        // the next sweep.
        let Ok(Ok(applied)) = applied else { return Ok(false) };
        Ok(self.note(found, &applied, Instant::now()))
    }

    /// Finds users for whom something is due, and users who wait for budgets.
    async fn find(&mut self, as_of: Timestamp) -> Result<(FoundUsers, Page), Arc<ExecuteError>> {
        let catalogue: &CatalogueStore = self.queue.catalogue();
        let read = tokio::time::timeout(CALL_MAX, catalogue.newest(&self.pool)).await;
        let catalogue = read.unwrap_or_else(|_| Err(pool::no_answer(CALL_MAX).into()))?;
        let skipped = self.skipped.names(Instant::now());
        let (pool, waiting, lane_count) = (&self.pool, &mut self.waiting, self.queue.lane_count());
        let look = async {
            let mut connection = Borrowed::from(pool).await?;
            let due = due_users(as_of, PER_LANE, &skipped, &mut connection).await?;
            let page = waiting.next(&catalogue, as_of, lane_count, &mut connection).await?;
            let streaks = streak_looks::due(as_of, PER_LANE, &skipped, &mut connection).await?;
            connection.give_back();
            Ok::<_, sqlx::Error>((due, page, streaks))
        };
        let ((due, oldest), page, streaks) =
            within(CALL_MAX, look).await.map_err(ExecuteError::from)?;
        let age = oldest.map_or(0.0, |oldest| as_of.duration_since(oldest).as_secs_f64());
        metrics::gauge!("plaudit_unsettled_rewards_age_seconds").set(age);
        let mut found = FoundUsers::new();
        for user in due {
            found.entry(user).or_default().has_due_rewards = true;
        }
        for (lane, user, task) in streaks {
            found.entry((lane, user)).or_default().streaks.insert(task);
        }
        for user in page.users.iter().filter(|(_, user)| !self.skipped.contains(user)) {
            found.entry(user.clone()).or_default();
        }
        Ok((found, page))
    }

    /// Notes the outcomes of a sweep. Returns true if the next sweep may find more: something was
    /// recorded, or users were left out who stood before others.
    fn note(
        &mut self,
        found: FoundUsers,
        applied: &[Applied<Result<Settled, NotApplied>>],
        now: Instant,
    ) -> bool {
        let mut has_progress = false;
        for (((_, user), found), applied) in found.into_iter().zip(applied) {
            has_progress |= match &applied.answer {
                Err(NotApplied(_)) => self.skipped.add_failed(user, now),
                Ok(Settled { events: 1.. }) => true,
                _ if found.has_due_rewards => self.skipped.add_without_effect(user, now),
                // A look at a streak sets the time of the next one. Users who wait for budgets may
                // have to wait on.
                _ => !found.streaks.is_empty(),
            };
        }
        has_progress
    }
}

#[cfg(test)]
#[path = "sweeper/tests.rs"]
mod tests;
