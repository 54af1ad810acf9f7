//! What is owed: rewards in the log after the follower's checkpoints.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plaudit_domain::catalogue::definition::ClaimMode;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{Event, Reward};
use plaudit_event_store::reader::{self, Recorded};
use plaudit_event_store::{CheckpointMove, ExecuteError};
use sqlx::{PgConnection, PgPool};

use crate::FOLLOWER;

/// How many events with rewards of one lane make a round at most.
const PAGE: i64 = 500;

/// After so many rewards, over all lanes, a round takes no further event: far below the 100,000
/// records that the Kafka client holds by default, and acknowledged within a second or so.
const REWARDS_MAX: usize = 5_000;

/// An idle checkpoint is stored when it is this old: a restart reads that much again, and finds
/// nothing to deliver in it.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(5);

/// A lane that failed by itself is left alone for so long, while the others go on.
const SUSPENDED: Duration = Duration::from_secs(5);

/// What one lane owes.
pub struct Owed {
    pub lane: Lane,
    /// By user, in order of the log.
    pub rewards: Vec<(UserId, Vec<Reward>)>,
    /// The log was read up to here.
    pub up_to: i64,
}

impl Owed {
    pub fn count(&self) -> usize {
        self.rewards.iter().map(|(_, rewards)| rewards.len()).sum()
    }
}

/// Where the follower stands in each lane.
#[derive(Default)]
pub struct Cursor {
    lanes: BTreeMap<Lane, Place>,
    /// The lane that was read last: the next round begins after it, so that none is left behind
    /// when a round is full before it has come around.
    last: Option<Lane>,
}

struct Place {
    /// The stored checkpoint.
    stored: i64,
    /// Read up to here; nothing is owed in between.
    read: i64,
    stored_since: Instant,
    suspended_since: Option<Instant>,
}

impl Cursor {
    /// The stored checkpoints.
    pub async fn load(pool: &PgPool) -> sqlx::Result<Self> {
        let rows: Vec<(i16, i64)> =
            sqlx::query_as("select lane, position from follower_checkpoints where follower = $1")
                .bind(FOLLOWER)
                .fetch_all(pool)
                .await?;
        let place = |stored| Place {
            stored,
            read: stored,
            stored_since: Instant::now(),
            suspended_since: None,
        };
        let lanes = rows.into_iter().map(|(lane, stored)| (Lane(lane), place(stored))).collect();
        Ok(Self { lanes, last: None })
    }

    /// Reads what the log holds beyond the places read so far, until a round is full. A lane that
    /// can't be read is suspended, and given with its reason.
    pub async fn read(
        &mut self,
        pool: &PgPool,
    ) -> Result<(Vec<Owed>, Vec<(Lane, ExecuteError)>), ExecuteError> {
        let mut connection = pool.acquire().await?;
        let mut heads = reader::heads(&mut connection).await?;
        let next = heads.iter().position(|head| Some(head.lane) > self.last).unwrap_or(0);
        heads.rotate_left(next);
        let (mut owed, mut unreadable) = (Vec::new(), Vec::new());
        let mut room = REWARDS_MAX;
        for head in heads {
            let Some(place) = self.lanes.get_mut(&head.lane) else { continue };
            if head.number <= place.read || place.is_suspended() {
                continue;
            }
            if room == 0 {
                break;
            }
            self.last = Some(head.lane);
            match owed_beyond(place.read, head, room, &mut connection).await {
                Ok(lane) => {
                    room = room.saturating_sub(lane.count());
                    owed.push(lane);
                }
                Err(error @ ExecuteError::Unavailable(_)) => return Err(error),
                Err(error) => {
                    place.suspend();
                    unreadable.push((head.lane, error));
                }
            }
        }
        Ok((owed, unreadable))
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
                place.suspended_since = None;
            }
        }
    }

    /// Leaves a lane alone for a while, and then begins at its stored checkpoint.
    pub fn suspend(&mut self, lane: Lane) {
        if let Some(place) = self.lanes.get_mut(&lane) {
            place.suspend();
        }
    }
}

impl Place {
    fn suspend(&mut self) {
        self.read = self.stored;
        self.suspended_since = Some(Instant::now());
    }

    fn is_suspended(&self) -> bool {
        self.suspended_since.is_some_and(|since| since.elapsed() < SUSPENDED)
    }
}

/// What a lane owes beyond `after`. An event that can't be read holds up those behind it and none
/// before it.
async fn owed_beyond(
    after: i64,
    head: Position,
    room: usize,
    connection: &mut PgConnection,
) -> Result<Owed, ExecuteError> {
    let mut limit = PAGE;
    loop {
        let page = reader::rewards_page(head.lane, after, head.number, limit, connection).await;
        match page {
            Ok(page) => {
                let is_full = i64::try_from(page.len()).is_ok_and(|len| len == limit);
                let up_to = if is_full { None } else { Some(head.number) };
                return Ok(owed_of(page, head.lane, up_to, room));
            }
            Err(ExecuteError::Unreadable(_)) if limit > 1 => limit /= 2,
            Err(error) => return Err(error),
        }
    }
}

/// What the events of a page owe, until there is no room. `up_to` is where the page ends, if that
/// is not its last event.
fn owed_of(page: Vec<Recorded>, lane: Lane, up_to: Option<i64>, room: usize) -> Owed {
    let mut owed = Owed { lane, rewards: Vec::new(), up_to: 0 };
    let mut count = 0;
    for recorded in page {
        if count >= room {
            return owed;
        }
        owed.up_to = recorded.position.number;
        let due = rewards_due(recorded.event);
        count += due.len();
        match owed.rewards.iter_mut().find(|(user, _)| *user == recorded.user) {
            _ if due.is_empty() => {}
            Some((_, known)) => known.extend(due),
            None => owed.rewards.push((recorded.user, due)),
        }
    }
    owed.up_to = up_to.unwrap_or(owed.up_to);
    owed
}

/// The rewards that an event makes payable.
fn rewards_due(event: Event) -> Vec<Reward> {
    match event {
        Event::MilestoneReached { mode: ClaimMode::Automatic, rewards, .. }
        | Event::RewardsClaimed { rewards, .. } => rewards,
        _ => vec![],
    }
}
