//! Finds the grants in the events of a time span.

use std::collections::HashMap;

use jiff::Timestamp;
use plaudit_domain::catalogue::definition::ClaimMode;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Event, Reward, RewardState, UnclaimedRewards};
use plaudit_event_store::pool::{ANSWER_MAX, within};
use plaudit_event_store::reader::{self, LaneSpan};
use plaudit_event_store::rewards::{by_grant, grants};
use sqlx::PgConnection;
use uuid::Uuid;

use super::LOOKED_UP;

/// Events read per query.
const PAGE: i64 = 2_000;

/// A grant that became payable, was delivered, failed or was revoked within the time span, or that
/// its payer reported as paid within the span although it was revoked before.
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

/// Returns the grants that the events of a lane are about, and the number of unreadable events.
pub(super) async fn grants_of(
    span: LaneSpan,
    connection: &mut PgConnection,
) -> sqlx::Result<(Vec<GrantInWindow>, u64)> {
    let mut found: HashMap<Uuid, GrantInWindow> = HashMap::new();
    let mut ignored: HashMap<Uuid, IgnoredPayment> = HashMap::new();
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
            if let Event::AcknowledgementIgnored { grant, delivered: true, .. } = &recorded.event
                && let Ok(grant) = grant.parse()
            {
                let user = recorded.user.clone();
                ignored.insert(grant, IgnoredPayment { user, at: last_event_at });
            }
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
    ignored.retain(|grant, _| !found.contains_key(grant));
    let revoked_before = revoked(span.lane, &ignored, connection).await?;
    Ok((found.into_values().chain(revoked_before).collect(), unreadable))
}

/// A payer's report that it paid a grant, which changed nothing.
struct IgnoredPayment {
    user: UserId,
    at: Timestamp,
}

/// Returns the grants among these that are revoked. A report about the grant of another user is left
/// out.
async fn revoked(
    lane: Lane,
    ignored: &HashMap<Uuid, IgnoredPayment>,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<GrantInWindow>> {
    let reported: Vec<_> = ignored.keys().map(|grant| (lane, *grant)).collect();
    let mut revoked = Vec::new();
    for chunk in reported.chunks(LOOKED_UP) {
        // Most of these grants were delivered before: their payer confirmed them twice.
        let states = within(ANSWER_MAX, grants::states(chunk, connection)).await?;
        let is_revoked = |grant: &Uuid| states.get(grant) == Some(&RewardState::Revoked);
        let ids: Vec<_> = chunk.iter().map(|(_, grant)| *grant).filter(is_revoked).collect();
        let rows = within(ANSWER_MAX, by_grant::of_any_lane(&ids, connection)).await?;
        for (user, row) in rows {
            let Reward { grant, amount, .. } = row.reward;
            let Some(report) = ignored.get(&grant).filter(|report| report.user == user) else {
                continue;
            };
            let (last_event_at, is_delivered) = (report.at, false);
            revoked.push(GrantInWindow { lane, grant, user, amount, last_event_at, is_delivered });
        }
    }
    Ok(revoked)
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
        // No other event makes a grant payable, or pays, fails or revokes it. An ignored
        // acknowledgement is looked up by its grant.
        _ => (Vec::new(), false),
    }
}
