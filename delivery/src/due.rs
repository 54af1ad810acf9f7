//! Which rewards are due: those that the log holds after the checkpoints.

use plaudit_domain::catalogue::definition::ClaimMode;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Position;
use plaudit_domain::user_tasks::{Event, Reward};
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::reader::{self, Entry, Unreadable};
use plaudit_followers::bounded::{CALL_MAX, within};
use plaudit_followers::{Skipped, Span};
use sqlx::{PgConnection, PgPool};

use crate::FOLLOWER;

/// How many events with rewards of one lane make a round at most.
const PAGE: i64 = 500;

/// After so many rewards, over all lanes, a round takes no further event: far below the 100,000
/// records that the Kafka client holds by default, and acknowledged within a second or so.
const REWARDS_MAX: usize = 5_000;

/// What is due in one lane.
pub struct DueRewards {
    pub span: Span,
    /// By user, in order of the log.
    pub rewards: Vec<(UserId, Vec<Reward>)>,
    /// The log was read up to here.
    pub up_to: i64,
    /// Events that could not be read and are skipped.
    pub unreadable: Vec<Unreadable>,
    /// Events that were skipped once and can be read now. Their rewards come first.
    pub recovered: Vec<Position>,
}

impl DueRewards {
    pub fn count(&self) -> usize {
        self.rewards.iter().map(|(_, rewards)| rewards.len()).sum()
    }

    /// Takes in an event. One that can't be read concerns its user only.
    fn add(&mut self, entry: Entry) {
        match entry {
            Ok(recorded) => {
                let due = rewards_of(recorded.event);
                match self.rewards.iter_mut().find(|(user, _)| *user == recorded.user) {
                    _ if due.is_empty() => {}
                    Some((_, known)) => known.extend(due),
                    None => self.rewards.push((recorded.user, due)),
                }
            }
            Err(unreadable) => self.unreadable.push(unreadable),
        }
    }
}

/// Reads spans until a round is full.
pub async fn read(spans: &[Span], pool: &PgPool) -> sqlx::Result<Vec<DueRewards>> {
    let mut connection = within(CALL_MAX, Borrowed::from(pool)).await?;
    let mut all = Vec::new();
    let mut room = REWARDS_MAX;
    for span in spans {
        if room == 0 {
            break;
        }
        let due = within(CALL_MAX, read_span(*span, room, &mut connection)).await?;
        room = room.saturating_sub(due.count());
        all.push(due);
    }
    connection.give_back();
    Ok(all)
}

async fn read_span(
    span: Span,
    room: usize,
    connection: &mut PgConnection,
) -> sqlx::Result<DueRewards> {
    let mut due = DueRewards {
        span,
        rewards: Vec::new(),
        up_to: span.after,
        unreadable: Vec::new(),
        recovered: Vec::new(),
    };
    if span.is_first {
        read_skipped(&mut due, connection).await?;
    }
    let page = reader::delivery_page(span.lane, span.after, span.head, PAGE, connection).await?;
    let is_full = i64::try_from(page.len()).is_ok_and(|len| len == PAGE);
    for entry in page {
        if due.count() >= room {
            return Ok(due);
        }
        due.up_to = match &entry {
            Ok(recorded) => recorded.position.number,
            Err(unreadable) => unreadable.position.number,
        };
        due.add(entry);
    }
    if !is_full {
        due.up_to = span.head;
    }
    Ok(due)
}

/// Reads again what was skipped: a newer program may be able to.
async fn read_skipped(due: &mut DueRewards, connection: &mut PgConnection) -> sqlx::Result<()> {
    let lane = due.span.lane;
    let skipped = Skipped::of_lane(FOLLOWER, lane, connection).await?;
    let positions: Vec<i64> = skipped
        .iter()
        .map(|skipped| skipped.position.number)
        .filter(|number| *number <= due.span.after)
        .collect();
    if positions.is_empty() {
        return Ok(());
    }
    for entry in reader::at_positions(lane, &positions, connection).await? {
        if let Ok(recorded) = &entry {
            due.recovered.push(recorded.position);
        }
        due.add(entry);
    }
    Ok(())
}

/// The rewards that an event makes payable.
fn rewards_of(event: Event) -> Vec<Reward> {
    match event {
        Event::MilestoneReached { mode: ClaimMode::Automatic, rewards, .. }
        | Event::RewardsClaimed { rewards, .. } => rewards,
        _ => vec![],
    }
}
