//! The sweeper records what time alone brings about: rewards that nobody claimed expire, are forfeited, or are
//! granted with the end of their period; streaks are protected, or break. It also grants what waited for a budget and
//! fits by now. Screens, lists and claims go by the time itself and never wait for it.
//!
//! Every process that writes may run one. The events are the same whoever records them and when, and a user
//! whom another process has settled meanwhile has nothing left that is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use plaudit_domain::ids::TaskId;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::batch::{Applied, Item, Origin, Outcome, Work};
use crate::error::ExecuteError;
use crate::pool::{self, Borrowed, within};
use crate::queue::CommandQueue;
use crate::rewards::lapses::due_users;
use crate::rewards::waiting::users_in_front;
use crate::streak_looks;

/// How often the sweeper looks while nothing is due.
const EVERY: Duration = Duration::from_secs(1);

/// How long it rests after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long looking may take.
const CALL_MAX: Duration = Duration::from_secs(3);

/// How long settling may take before the sweeper looks again.
const APPLY_MAX: Duration = Duration::from_secs(5);

/// The most milestones, and streaks, that it takes of a lane at a time: 64 lanes make some 6,000 at the most.
const PER_LANE: i64 = 100;

/// Runs until `stopped`.
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

/// The outcome of a look.
enum Swept {
    /// So many users were settled; others may be due.
    Users(usize),
    /// Some lanes could not be had in time.
    LanesBusy,
}

/// Settles what is due, or the beginning of it.
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
    // Those who wait may have to wait on, so that they are no reason to look again at once.
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
        work: Work::Settle { user, streaks, as_of },
        origin: Origin::Sweeper,
    };
    let submission = queue.submit(users.into_iter().map(item).collect());
    // A lane that somebody holds must not keep the others waiting: it comes again.
    match tokio::time::timeout(APPLY_MAX, submission).await {
        Ok(applied) => Ok(match applied? {
            // Those of whom nothing can be decided are due again at once.
            applied if applied.iter().all(is_failed) => Swept::Users(0),
            _ => Swept::Users(count),
        }),
        Err(_) => Ok(Swept::LanesBusy),
    }
}

fn is_failed(applied: &Applied) -> bool {
    matches!(applied.outcome, Outcome::Failed(_))
}
