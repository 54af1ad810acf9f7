//! The follower that continues the chains.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use plaudit_domain::lane::Lane;
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::raw_log::{self, RawRow};
use plaudit_event_store::states::UserFaults;
use plaudit_event_store::{ExecuteError, move_checkpoints, off_the_runtime};
use plaudit_followers::bounded::{begin, within};
use plaudit_followers::{Handler, LaneOutcome, Span};
use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;

use crate::chain::Digest;
use crate::{FOLLOWER, stored};

/// The most events of one round: a few megabytes.
const EVENTS_MAX: i64 = 5_000;

/// With fewer new events than this, a round waits for [`GATHERING`] first, so that the many small
/// changes of an active user become one write.
const WORTH_A_ROUND: i64 = 2_000;
const GATHERING: Duration = Duration::from_secs(1);

/// The pause after a round during a backlog, as a multiple of the round's duration. At most
/// [`REST_MAX`].
const REST: u32 = 4;
const REST_MAX: Duration = Duration::from_secs(2);

/// Time limit for one lane in a round.
const LANE_MAX: Duration = Duration::from_secs(5);

/// Continues the chains of all users.
pub struct DigestFollower {
    pub pool: PgPool,
    /// The users with an event that can't be read. This follower is the one that reads every event.
    /// It finds those among the events that it reads after the start of the process; a user with an
    /// older one is met when a batch touches the user.
    pub faults: Arc<UserFaults>,
}

#[async_trait]
impl Handler for DigestFollower {
    async fn handle(&mut self, spans: &[Span]) -> Result<Vec<LaneOutcome>, String> {
        let waiting: i64 = spans.iter().map(|span| span.head - span.after).sum();
        if waiting < WORTH_A_ROUND {
            tokio::time::sleep(GATHERING).await;
        }
        let began = Instant::now();
        let mut outcomes = Vec::new();
        let mut left = EVENTS_MAX;
        for span in spans {
            if left <= 0 {
                break;
            }
            let done = within(LANE_MAX, self.cover(span, left)).await;
            outcomes.push(match done {
                Ok((up_to, events)) => {
                    left -= events;
                    LaneOutcome::Handled { lane: span.lane, up_to, is_stored: up_to > span.stored }
                }
                Err(error) => LaneOutcome::Failed { lane: span.lane, reason: error.to_string() },
            });
        }
        // During a backlog, action batches have priority: digests may lag, counting may not.
        let rest = began.elapsed().saturating_mul(REST).min(REST_MAX);
        if waiting >= WORTH_A_ROUND {
            tokio::time::sleep(rest).await;
        }
        Ok(outcomes)
    }
}

impl DigestFollower {
    /// Covers a page of a lane and moves the checkpoint in the same transaction. Returns the last
    /// position covered and the number of events.
    async fn cover(&self, span: &Span, limit: i64) -> Result<(i64, i64), ExecuteError> {
        let mut connection = Borrowed::from(&self.pool).await?;
        let mut tx = begin(&mut connection).await?;
        let rows = raw_log::after(span.lane, span.stored, span.head, limit, &mut tx).await?;
        let Some(last) = rows.last().map(|row| row.position) else {
            tx.rollback().await?;
            connection.give_back();
            return Ok((span.head.max(span.stored), 0));
        };
        let mut by_user: BTreeMap<&str, Vec<&RawRow>> = BTreeMap::new();
        for row in &rows {
            by_user.entry(&row.user).or_default().push(row);
        }
        // Noted before the commit, since this follower never reads these events again after it.
        self.note_faults(span, &rows);
        continue_chains(span.lane, &by_user, &mut tx).await?;
        move_checkpoints(&[span.checkpoint(FOLLOWER, last)], &mut tx).await?;
        tx.commit().await?;
        connection.give_back();
        let events = i64::try_from(rows.len()).unwrap_or(limit);
        metrics::counter!("plaudit_digests_events_total").increment(rows.len() as u64);
        Ok((last, events))
    }

    fn note_faults(&self, span: &Span, rows: &[RawRow]) {
        let faults = || rows.iter().filter_map(|row| Some((row, row.fault()?)));
        for (row, reason) in off_the_runtime(|| faults().collect::<Vec<_>>()) {
            self.faults.note(span.lane, &row.user, row.sequence, &reason);
        }
    }
}

async fn continue_chains(
    lane: Lane,
    by_user: &BTreeMap<&str, Vec<&RawRow>>,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let users: Vec<&str> = by_user.keys().copied().collect();
    let known = stored::load(lane, &users, connection).await?;
    let known: BTreeMap<&str, (i64, Digest)> = known
        .iter()
        .filter_map(|(user, at, digest)| Some((user.as_str(), (*at, Digest::from_bytes(digest)?))))
        .collect();
    let (mut sequences, mut digests) = (Vec::new(), Vec::new());
    for (user, rows) in by_user {
        let (mut sequence, mut digest) = known.get(user).copied().unwrap_or_default();
        for row in rows.iter().filter(|row| row.sequence > sequence).collect::<Vec<_>>() {
            digest = digest.with(row);
            sequence = row.sequence;
        }
        sequences.push(sequence);
        digests.push(digest.as_bytes().to_vec());
    }
    stored::save(lane, &users, &sequences, &digests, connection).await
}
