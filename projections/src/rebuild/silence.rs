//! Detects a step of a rebuild whose answer never comes. The duration of a step is not known
//! beforehand, but PostgreSQL shows whether it works on one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use plaudit_event_store::pool;
use tokio::time::Instant;

use super::run::Run;

/// Time limit for one look.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Number of looks within the limit of silence.
const LOOKS: u32 = 10;

/// Returns once no session of a running rebuild has worked for as long as the options allow: an
/// answer was lost. Legitimate pauses are shorter: the fold of a chunk, the pause between two
/// attempts to swap, and a paused rebuild, which asks twice a second whether it may go on.
pub(super) async fn until_silent(run: &Run) {
    let limit = run.silence_max;
    // The last state of the sessions and its beginning, by our clock.
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

/// State of the sessions that do a rebuild's work, as PostgreSQL shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sessions {
    /// At least one of them executes a statement.
    AtWork,
    /// All are idle or wait for their client; the state of one of them changed last at this time.
    IdleSince(DateTime<Utc>),
    /// There are no sessions, or the database does not show them: `track_activities` is off.
    Unknown,
}

async fn look(run: &Run) -> Sessions {
    let asked = sqlx::query_as::<_, (Option<bool>, Option<DateTime<Utc>>)>(include_str!(
        "silence/sessions.sql"
    ))
    .bind(&run.session_name)
    .fetch_one(&run.questions);
    match pool::within(LOOK_MAX, asked).await {
        Ok((Some(true), _)) => Sessions::AtWork,
        Ok((Some(false), Some(since))) => Sessions::IdleSince(since),
        Ok(_) | Err(_) => Sessions::Unknown,
    }
}
