//! Reads from the log what concerns deliveries after a checkpoint.

use std::collections::HashMap;

use plaudit_domain::catalogue::definition::ClaimMode;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Position;
use plaudit_domain::user_tasks::{Event, Reward, UnclaimedRewards};
use plaudit_event_store::deliveries::{Acknowledged, DeliveryState, Queued, QueuedAgain, Settled};
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::reader::{self, Entry, Recorded, Unreadable};
use plaudit_event_store::rewards::RewardPlace;
use plaudit_followers::bounded::{CALL_MAX, within};
use plaudit_followers::{Skipped, Span};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::FOLLOWER;
use crate::channels::{Channels, KAFKA};

/// Maximum number of events in a round, of one lane and of all lanes.
const PAGE: i64 = 500;
const EVENTS_MAX: usize = 4_000;

/// Changes to be stored for one lane.
pub struct LanePage {
    pub span: Span,
    /// Last position of the log that was read.
    pub up_to: i64,
    /// Grants that became payable.
    pub payable: Vec<Queued>,
    /// Redeliveries, stored after `payable`.
    pub again: Vec<QueuedAgain>,
    /// Final states of deliveries, by payers or revocations, stored after `payable`.
    pub settled: Vec<Settled>,
    /// Payers' acknowledgements of rewards that were delivered before, stored after `again`.
    pub acknowledged: Vec<Acknowledged>,
    /// Events that could not be read and are skipped.
    pub unreadable: Vec<Unreadable>,
    /// Events that were skipped before and can be read now.
    pub recovered: Vec<Position>,
}

/// The last change to a grant on this page.
enum Last {
    Again(Box<QueuedAgain>),
    Settled(Settled),
}

/// Reads spans until a round is full.
pub async fn read(
    spans: &[Span],
    channels: &Channels,
    pool: &PgPool,
) -> sqlx::Result<Vec<LanePage>> {
    let mut connection = within(CALL_MAX, Borrowed::from(pool)).await?;
    let (mut pages, mut events) = (Vec::new(), 0);
    for span in spans {
        if events >= EVENTS_MAX {
            break;
        }
        let (page, read) = within(CALL_MAX, read_span(*span, channels, &mut connection)).await?;
        events += read;
        pages.push(page);
    }
    connection.give_back();
    Ok(pages)
}

async fn read_span(
    span: Span,
    channels: &Channels,
    connection: &mut PgConnection,
) -> sqlx::Result<(LanePage, usize)> {
    let mut page = LanePage {
        span,
        up_to: span.head,
        payable: Vec::new(),
        again: Vec::new(),
        settled: Vec::new(),
        acknowledged: Vec::new(),
        unreadable: Vec::new(),
        recovered: Vec::new(),
    };
    let mut last: HashMap<Uuid, Last> = HashMap::new();
    if span.is_first {
        for entry in skipped_before(span, connection).await? {
            if let Ok(recorded) = &entry {
                page.recovered.push(recorded.position);
            }
            page.add(entry, channels, &mut last);
        }
    }
    let entries = reader::delivery_page(span.lane, span.after, span.head, PAGE, connection).await?;
    let count = entries.len();
    if i64::try_from(count).is_ok_and(|count| count == PAGE)
        && let Some(entry) = entries.last()
    {
        page.up_to = match entry {
            Ok(recorded) => recorded.position.number,
            Err(unreadable) => unreadable.position.number,
        };
    }
    for entry in entries {
        page.add(entry, channels, &mut last);
    }
    for said in last.into_values() {
        match said {
            Last::Again(again) => page.again.push(*again),
            Last::Settled(settled) => page.settled.push(settled),
        }
    }
    Ok((page, count))
}

/// Reads skipped events again: a newer program may be able to.
async fn skipped_before(span: Span, connection: &mut PgConnection) -> sqlx::Result<Vec<Entry>> {
    let skipped = Skipped::of_lane(FOLLOWER, span.lane, connection).await?;
    let numbers = skipped.iter().map(|skipped| skipped.position.number);
    let positions: Vec<i64> = numbers.filter(|number| *number <= span.after).collect();
    if positions.is_empty() {
        return Ok(vec![]);
    }
    reader::at_positions(span.lane, &positions, connection).await
}

impl LanePage {
    /// True if only the checkpoint must be stored.
    pub fn is_empty(&self) -> bool {
        self.payable.is_empty()
            && self.again.is_empty()
            && self.settled.is_empty()
            && self.acknowledged.is_empty()
    }

    /// Adds an event. An unreadable one concerns its user only.
    fn add(&mut self, entry: Entry, channels: &Channels, last: &mut HashMap<Uuid, Last>) {
        let recorded = match entry {
            Ok(recorded) => recorded,
            Err(unreadable) => return self.unreadable.push(unreadable),
        };
        let Recorded { user, position, event, metadata, .. } = recorded;
        let lane = position.lane;
        let settled = |reward: &Reward, state, reason| {
            let by_action = metadata.get("action_id").is_some();
            let may_be_of_a_copy =
                by_action && channels.payer_of(&reward.kind, &reward.code).is_some();
            Last::Settled(Settled { lane, grant: reward.grant, state, reason, may_be_of_a_copy })
        };
        match event {
            Event::MilestoneReached { mode: ClaimMode::Automatic, rewards, .. }
            | Event::RewardsClaimed { rewards, .. }
            | Event::RewardsGranted(UnclaimedRewards { rewards, .. }) => {
                for (ordinal, reward) in (0..).zip(rewards) {
                    let place = RewardPlace { position: position.number, ordinal };
                    self.payable.extend(queued(lane, &user, &reward, place, channels));
                }
            }
            Event::RewardGranted { reward, .. } => {
                let place = RewardPlace { position: position.number, ordinal: 0 };
                self.payable.extend(queued(lane, &user, &reward, place, channels));
            }
            Event::RewardsRevoked { rewards, reason, .. } => {
                for reward in rewards {
                    let said = settled(&reward, DeliveryState::Revoked, Some(reason.clone()));
                    last.insert(reward.grant, said);
                }
            }
            Event::RedeliveryRequested {
                reward,
                stays_delivered,
                stays_delivering,
                keeps_payer,
                ..
            } => {
                let place = RewardPlace { position: position.number, ordinal: 0 };
                let (grant, mut rows) =
                    (reward.grant, queued(lane, &user, &reward, place, channels));
                // An earlier acknowledgement is about an older delivery.
                self.acknowledged.retain(|acknowledged| acknowledged.grant != grant);
                if let Some(paying) = rows.iter().position(|row| row.pays) {
                    let queued = rows.swap_remove(paying);
                    let was_sent = stays_delivered || stays_delivering;
                    let again = Box::new(QueuedAgain { queued, keeps_payer, was_sent });
                    last.insert(grant, Last::Again(again));
                }
            }
            Event::RewardDelivered { reward, .. } => {
                last.insert(reward.grant, settled(&reward, DeliveryState::Delivered, None));
            }
            Event::RewardFailed { reward, reason, .. } => {
                last.insert(reward.grant, settled(&reward, DeliveryState::Failed, Some(reason)));
            }
            Event::AcknowledgementIgnored { grant, delivered, .. } => {
                if let Ok(grant) = grant.parse() {
                    self.acknowledge(Acknowledged { lane, grant, is_delivered: delivered });
                }
            }
            // The query leaves these out, or they make nothing payable.
            Event::MilestoneReached { mode: ClaimMode::Manual, .. }
            | Event::UserUpdated { .. }
            | Event::ProgressRecorded { .. }
            | Event::ProgressCorrected { .. }
            | Event::ActionReversed { .. }
            | Event::CreditKept { .. }
            | Event::StreakAdvanced { .. }
            | Event::StreakBroken { .. }
            | Event::StreakProtected { .. }
            | Event::PeriodMadeUp { .. }
            | Event::FreezesGranted { .. }
            | Event::FreezeReserved { .. }
            | Event::BackfillReleased { .. }
            | Event::ParkedReleased { .. }
            | Event::ParkedDiscarded { .. }
            | Event::RewardsExpired(_)
            | Event::RewardsForfeited(_)
            | Event::TaskCompleted { .. }
            | Event::DeliveryStarted { .. }
            | Event::ActionTooLate { .. }
            | Event::ActionNotCounted { .. } => {}
        }
    }

    /// Adds an acknowledgement; there is one for each grant. A payment counts, whatever else the
    /// payer said.
    fn acknowledge(&mut self, said: Acknowledged) {
        match self.acknowledged.iter_mut().find(|known| known.grant == said.grant) {
            Some(known) => known.is_delivered |= said.is_delivered,
            None => self.acknowledged.push(said),
        }
    }
}

/// The deliveries of a grant: always to the topic, and by webhook if one leads to its payer.
fn queued(
    lane: plaudit_domain::lane::Lane,
    user: &UserId,
    reward: &Reward,
    place: RewardPlace,
    channels: &Channels,
) -> Vec<Queued> {
    let payer = channels.payer_of(&reward.kind, &reward.code);
    let to = |channel: &str, pays, retry_for| Queued {
        lane,
        user: user.clone(),
        reward: reward.clone(),
        place,
        channel: channel.to_owned(),
        pays,
        retry_for,
    };
    let mut rows = vec![to(KAFKA, payer.is_none(), None)];
    rows.extend(payer.map(|channel| to(&channel.name, true, Some(channel.retry_for))));
    rows
}
