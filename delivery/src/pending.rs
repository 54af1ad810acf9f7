//! What is owed: rewards in the log after the follower's checkpoints.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plaudit_domain::catalogue::definition::ClaimMode;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Event, Reward};
use plaudit_event_store::{CheckpointMove, ExecuteError, reader};
use sqlx::PgPool;

use crate::FOLLOWER;

/// How many events with rewards of one lane make a round.
const PAGE: i64 = 500;

/// An idle checkpoint is stored when it is this old: a restart reads that much again, and finds
/// nothing to deliver in it.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(5);

/// What one lane owes.
pub struct Owed {
    pub lane: Lane,
    /// By user, in order of the log.
    pub rewards: Vec<(UserId, Vec<Reward>)>,
    /// The log was read up to here.
    pub up_to: i64,
}

/// Where the follower stands in each lane.
#[derive(Default)]
pub struct Cursor {
    lanes: BTreeMap<Lane, Place>,
}

struct Place {
    /// The stored checkpoint.
    stored: i64,
    /// Read up to here; nothing is owed in between.
    read: i64,
    stored_since: Instant,
}

impl Cursor {
    /// The stored checkpoints.
    pub async fn load(pool: &PgPool) -> sqlx::Result<Self> {
        let rows: Vec<(i16, i64)> =
            sqlx::query_as("select lane, position from follower_checkpoints where follower = $1")
                .bind(FOLLOWER)
                .fetch_all(pool)
                .await?;
        let place = |stored| Place { stored, read: stored, stored_since: Instant::now() };
        Ok(Self {
            lanes: rows.into_iter().map(|(lane, stored)| (Lane(lane), place(stored))).collect(),
        })
    }

    /// Reads what the log holds beyond the places read so far.
    pub async fn read(&mut self, pool: &PgPool) -> Result<Vec<Owed>, ExecuteError> {
        let mut connection = pool.acquire().await?;
        let heads = reader::heads(&mut connection).await?;
        let mut owed = Vec::new();
        for head in heads {
            let Some(place) = self.lanes.get_mut(&head.lane) else { continue };
            if head.number <= place.read {
                continue;
            }
            let page =
                reader::rewards_page(head.lane, place.read, head.number, PAGE, &mut connection)
                    .await?;
            let full = i64::try_from(page.len()).is_ok_and(|len| len == PAGE);
            let up_to =
                page.last().filter(|_| full).map_or(head.number, |last| last.position.number);
            let mut rewards: Vec<(UserId, Vec<Reward>)> = Vec::new();
            for recorded in page {
                let due = rewards_due(recorded.event);
                match rewards.iter_mut().find(|(user, _)| *user == recorded.user) {
                    _ if due.is_empty() => {}
                    Some((_, known)) => known.extend(due),
                    None => rewards.push((recorded.user, due)),
                }
            }
            owed.push(Owed { lane: head.lane, rewards, up_to });
        }
        Ok(owed)
    }

    /// The checkpoints to store: of lanes with rewards at once, of others now and then.
    pub fn moves_due(&mut self, owed: &[Owed]) -> Vec<CheckpointMove> {
        let mut moves = Vec::new();
        for lane in owed {
            let Some(place) = self.lanes.get_mut(&lane.lane) else { continue };
            place.read = lane.up_to;
            if !lane.rewards.is_empty() || place.stored_since.elapsed() > IDLE_CHECKPOINT {
                moves.push(CheckpointMove {
                    follower: FOLLOWER,
                    lane: lane.lane,
                    from: place.stored,
                    to: lane.up_to,
                });
            }
        }
        moves
    }

    /// Remembers what was stored.
    pub fn moved(&mut self, moves: &[CheckpointMove]) {
        for step in moves {
            if let Some(place) = self.lanes.get_mut(&step.lane) {
                place.stored = step.to;
                place.stored_since = Instant::now();
            }
        }
    }
}

/// The rewards that an event makes payable.
fn rewards_due(event: Event) -> Vec<Reward> {
    match event {
        Event::MilestoneReached { mode: ClaimMode::Automatic, rewards, .. }
        | Event::RewardsClaimed { rewards, .. } => rewards,
        _ => vec![],
    }
}
