//! Notices a step of a rebuild whose answer never comes. How long a step takes is not known beforehand, but
//! PostgreSQL knows whether it works on it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use plaudit_event_store::pool;
use tokio::time::Instant;

use super::run::Run;

/// The time limit of a look.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// So many looks are made before a silence is judged.
const LOOKS: u32 = 10;

/// Returns when none of the rebuild's sessions has worked for as long as the options allow, although the rebuild
/// has not ended: an answer was lost. Folding a chunk, a pause between two attempts to swap and a paused rebuild,
/// which looks twice a second whether it may go on, are all shorter.
pub(super) async fn until_silent(run: &Run) {
    let limit = run.silence_max;
    // What the sessions showed, and since when they show the same, by our clock.
    let (mut shown, mut since) = (Sessions::AtWork, Instant::now());
    loop {
        tokio::time::sleep(limit / LOOKS).await;
        let seen = look(run).await;
        if seen != shown {
            (shown, since) = (seen, Instant::now());
        } else if matches!(seen, Sessions::IdleSince(_)) && since.elapsed() >= limit {
            return;
        }
    }
}

/// The sessions that do a rebuild's work, as PostgreSQL shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sessions {
    /// At least one of them has a statement.
    AtWork,
    /// None has; the last one that had one ended at this time.
    IdleSince(DateTime<Utc>),
    /// There is none, or the database does not show them: `track_activities` is off.
    Unknown,
}

async fn look(run: &Run) -> Sessions {
    let asked = sqlx::query_as::<_, (Option<bool>, Option<DateTime<Utc>>)>(
        "select bool_or(state not like 'idle%'), max(state_change)
         from pg_stat_activity where datname = current_database() and application_name = $1",
    )
    .bind(&run.session_name)
    .fetch_one(&run.questions);
    match pool::within(LOOK_MAX, asked).await {
        Ok((Some(true), _)) => Sessions::AtWork,
        Ok((Some(false), Some(since))) => Sessions::IdleSince(since),
        Ok(_) | Err(_) => Sessions::Unknown,
    }
}
