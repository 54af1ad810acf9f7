//! The sweeper records the effects of time alone: unclaimed rewards expire, are forfeited, or are
//! granted at the end of their period; streaks are protected or break. It also grants rewards that
//! waited for a budget and now fit. Screens, lists and claims apply the time themselves and never
//! wait for the sweeper.
//!
//! Every process that writes may run one. The events are the same whichever process records them,
//! and whenever. A user whom another process has settled in the meantime has nothing left to
//! settle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use plaudit_domain::ids::TaskId;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::batch::{Item, Origin, Settle};
use crate::error::ExecuteError;
use crate::pool::{self, Borrowed, within};
use crate::queue::CommandQueue;
use crate::rewards::lapses::due_users;
use crate::rewards::waiting::users_in_front;
use crate::streak_looks;

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
    loop {
        let rest = tokio::select! {
            () = stopped.cancelled() => return,
            swept = sweep(&pool, &queue) => match swept {
                Ok(Swept::Users(0) | Swept::LanesBusy) => EVERY,
                Ok(Swept::Users(_)) => Duration::ZERO,
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

/// The outcome of a sweep.
enum Swept {
    /// The number of due users and streaks found; there may be more.
    Users(usize),
    /// Some lanes could not be locked in time.
    LanesBusy,
}

/// Settles what is due, or a first part of it.
async fn sweep(pool: &PgPool, queue: &CommandQueue) -> Result<Swept, Arc<ExecuteError>> {
    let as_of = queue.clock().now();
    let read = tokio::time::timeout(CALL_MAX, queue.catalogue().newest(pool)).await;
    let catalogue = read.unwrap_or_else(|_| Err(pool::no_answer(CALL_MAX).into()))?;
    let look = async {
        let mut connection = Borrowed::from(pool).await?;
        let due = due_users(as_of, PER_LANE, &mut connection).await?;
        let waiting = users_in_front(&catalogue, as_of, &mut connection).await?;
        let streaks = streak_looks::due(as_of, PER_LANE, &mut connection).await?;
        connection.give_back();
        Ok::<_, sqlx::Error>((due, waiting, streaks))
    };
    let ((users, oldest), waiting, streaks) =
        within(CALL_MAX, look).await.map_err(ExecuteError::from)?;
    let age = oldest.map_or(0.0, |oldest| as_of.duration_since(oldest).as_secs_f64());
    metrics::gauge!("plaudit_unsettled_rewards_age_seconds").set(age);
    // Waiting users are not counted: they may have to wait on, so they are not a reason to sweep
    // again at once.
    let count = users.len() + streaks.len();
    let with_rewards = users.into_iter().chain(waiting);
    let mut users: BTreeMap<_, BTreeSet<TaskId>> =
        with_rewards.map(|user| (user, BTreeSet::new())).collect();
    for (lane, user, task) in streaks {
        users.entry((lane, user)).or_default().insert(task);
    }
    if users.is_empty() {
        return Ok(Swept::Users(0));
    }
    let item = |((lane, user), streaks)| Item {
        lane,
        work: Settle { user, streaks, as_of },
        origin: Origin::Sweeper,
    };
    let submission = queue.submit(users.into_iter().map(item).collect());
    // A lane held by another session must not block the others. Its users are found again in the
    // next sweep.
    match tokio::time::timeout(APPLY_MAX, submission).await {
        Ok(applied) => Ok(match applied? {
            // Users for whom nothing can be decided would be due again at once.
            applied if applied.iter().all(|applied| applied.answer.is_err()) => Swept::Users(0),
            _ => Swept::Users(count),
        }),
        Err(_) => Ok(Swept::LanesBusy),
    }
}
