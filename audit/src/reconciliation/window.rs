//! Finds the grants in the events of a time span.

use std::collections::HashMap;

use jiff::Timestamp;
use plaudit_domain::catalogue::definition::ClaimMode;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Event, Reward, UnclaimedRewards};
use plaudit_event_store::pool::{ANSWER_MAX, within};
use plaudit_event_store::reader::{self, LaneSpan};
use sqlx::PgConnection;
use uuid::Uuid;

/// Events read per query.
const PAGE: i64 = 2_000;

/// A grant that became payable, was delivered, failed or was revoked within the time span.
pub(super) struct GrantInWindow {
    pub lane: Lane,
    pub grant: Uuid,
    pub user: UserId,
    pub amount: i64,
    /// The time of the last such event within the span.
    pub last_event_at: Timestamp,
    /// True if it was delivered within the span.
    pub is_delivered: bool,
}

/// Returns the events of each lane that were stored in `from..until`.
pub(super) async fn spans(
    from: Timestamp,
    until: Timestamp,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<LaneSpan>> {
    within(ANSWER_MAX, reader::spans_of_time(from, until, connection)).await
}

/// Returns the grants that the events of a lane are about, and the number of unreadable events.
pub(super) async fn grants(
    span: LaneSpan,
    connection: &mut PgConnection,
) -> sqlx::Result<(Vec<GrantInWindow>, u64)> {
    let mut found: HashMap<Uuid, GrantInWindow> = HashMap::new();
    let (mut after, mut unreadable) = (span.after, 0);
    loop {
        let page = reader::delivery_page(span.lane, after, span.up_to, PAGE, connection);
        let page = within(ANSWER_MAX, page).await?;
        let is_last = i64::try_from(page.len()).is_ok_and(|count| count < PAGE);
        for entry in page {
            let recorded = match entry {
                Ok(recorded) => recorded,
                Err(row) => {
                    after = row.position.number;
                    unreadable += 1;
                    continue;
                }
            };
            after = recorded.position.number;
            let last_event_at = recorded.recorded_at;
            let (rewards, is_delivered) = named(recorded.event);
            for Reward { grant, amount, .. } in rewards {
                let user = recorded.user.clone();
                let of_grant = found.entry(grant).or_insert(GrantInWindow {
                    lane: span.lane,
                    grant,
                    user,
                    amount,
                    last_event_at,
                    is_delivered,
                });
                of_grant.is_delivered |= is_delivered;
                of_grant.last_event_at = of_grant.last_event_at.max(last_event_at);
            }
        }
        if is_last {
            break;
        }
    }
    Ok((found.into_values().collect(), unreadable))
}

/// Returns the rewards that an event makes payable, pays, fails or revokes, and whether it delivers
/// them.
fn named(event: Event) -> (Vec<Reward>, bool) {
    match event {
        Event::RewardDelivered { reward, .. } => (vec![reward], true),
        Event::RewardFailed { reward, .. }
        | Event::RewardGranted { reward, .. }
        | Event::RedeliveryRequested { reward, .. } => (vec![reward], false),
        Event::MilestoneReached { mode: ClaimMode::Automatic, rewards, .. }
        | Event::RewardsClaimed { rewards, .. }
        | Event::RewardsRevoked { rewards, .. }
        | Event::RewardsGranted(UnclaimedRewards { rewards, .. }) => (rewards, false),
        // No other event makes a grant payable, or pays, fails or revokes it.
        _ => (Vec::new(), false),
    }
}
