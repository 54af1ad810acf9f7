//! Grants with their deliveries, for operators and auditors.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Reward, RewardState};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{Attempt, DeliveryState};
use crate::instant;
use crate::rewards::{self, COLUMNS, RewardRow, grants};
use crate::states::{undecodable, unless_unreadable};

/// Selects the grants to list. Unset fields match everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The state as of the moment of the list. `failed` also matches
    /// [`GrantEntry::has_failed_again`].
    pub state: Option<RewardState>,
    /// True for grants alone that are recorded as `claimed`, `delivering` or `failed`: however many
    /// were ever delivered, only these are read.
    pub is_undelivered: bool,
    /// The kind of reward.
    pub kind: Option<String>,
    /// The code of the reward.
    pub code: Option<String>,
    /// Only grants that go to the payer by this channel.
    pub channel: Option<String>,
    /// Only grants first queued for delivery at this instant or later.
    pub queued_since: Option<Timestamp>,
    /// Only grants after this one, in the order of the list.
    pub after: Option<Uuid>,
    /// The maximum number of grants.
    pub limit: usize,
}

/// A grant with its deliveries.
#[derive(Debug, Clone)]
pub struct GrantEntry {
    /// The user's lane.
    pub lane: Lane,
    /// The user who got the grant.
    pub user: UserId,
    /// The reward, with its recorded state.
    pub row: RewardRow,
    /// The state as of the read, whether an event records it yet or not.
    pub state: RewardState,
    /// The delivery to the payer first; empty before the reward is claimed.
    pub deliveries: Vec<Listed>,
}

impl GrantEntry {
    /// The reward if it is revoked together with the others of its milestone: nobody has claimed it
    /// yet, or it waits for a budget.
    pub fn revoked_with_milestone(&self) -> Option<&Reward> {
        let is_together = matches!(self.row.state, RewardState::Claimable | RewardState::Waiting);
        Some(&self.row.reward).filter(|_| is_together)
    }

    /// True if the reward stays delivered although its last delivery to the payer failed: it was
    /// sent again for a payer that had lost it, or confirmed before it was sent. Needs an operator,
    /// like any failed delivery.
    pub fn has_failed_again(&self) -> bool {
        let is_failed = |d: &Listed| d.pays && d.state == DeliveryState::Failed.as_str();
        self.row.state == RewardState::Delivered && self.deliveries.iter().any(is_failed)
    }
}

/// A delivery as operators see it.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its channel.
    pub channel: String,
    /// True if the channel leads to the payer.
    pub pays: bool,
    /// `waiting`, `sent`, `delivered`, `failed`, `revoked` or `replaced`.
    pub state: String,
    /// The number of attempts.
    pub attempts: i32,
    /// The last attempts, oldest first: up to 20 in a list, up to 200 for a single grant. Only the
    /// last 20 keep the answers.
    pub attempted: Vec<Attempt>,
    /// The reason why it, or its last attempt, failed.
    pub reason: Option<String>,
    /// The time at which it was queued, for the first time or again.
    pub queued_at: Timestamp,
    /// For `waiting`: the earliest time of the next attempt.
    pub due_at: Option<Timestamp>,
    /// The time at which it is given up.
    pub give_up_at: Option<Timestamp>,
    /// The time at which it became delivered, failed, revoked or replaced.
    #[serde(skip)]
    pub settled_at: Option<Timestamp>,
    /// True if the broker may have it although no attempt is noted.
    #[serde(skip)]
    pub may_be_published: bool,
}

/// A page of grants.
#[derive(Debug, Clone)]
pub struct GrantPage {
    /// In order of grant id within each lane.
    pub grants: Vec<GrantEntry>,
    /// The `after` of the next page; `None` on the last page.
    pub next: Option<Uuid>,
}

/// Lists grants lane by lane. `None` if there is no grant with the id of [`Filter::after`].
pub async fn list(pool: &PgPool, filter: &Filter) -> sqlx::Result<Option<GrantPage>> {
    let now = Timestamp::now();
    let mut connection = pool.acquire().await?;
    let mut after = (i16::MIN, Uuid::nil());
    if let Some(grant) = filter.after {
        let Some((lane, _)) = grants::owner(grant, &mut connection).await? else {
            return Ok(None);
        };
        after = (lane.0, grant);
    }
    let lanes: Vec<i16> =
        sqlx::query_scalar("select lane from lanes where lane >= $1 order by lane")
            .bind(after.0)
            .fetch_all(&mut *connection)
            .await?;
    let mut found = Vec::new();
    for lane in lanes {
        let missing = filter.limit + 1 - found.len();
        let last = if lane == after.0 { after.1 } else { Uuid::nil() };
        let is_first = lane != after.0;
        let (lane, begin) = (Lane(lane), (last, is_first));
        found.extend(of_lane(lane, begin, missing, filter, now, &mut connection).await?);
        if found.len() > filter.limit {
            break;
        }
    }
    let next = (found.len() > filter.limit).then(|| found[filter.limit - 1].row.reward.grant);
    found.truncate(filter.limit);
    Ok(Some(GrantPage { grants: found, next }))
}

/// Returns true if there is a grant with this id, so that it can be a [`Filter::after`].
pub async fn grant_exists(pool: &PgPool, grant: Uuid) -> sqlx::Result<bool> {
    let mut connection = pool.acquire().await?;
    Ok(grants::owner(grant, &mut connection).await?.is_some())
}

/// The number of last attempts shown per delivery: in a list, to bound the size of a page; and for
/// a single grant, where all stored attempts are shown. With the delays between attempts, these
/// cover about six days.
const ATTEMPTS_LISTED: i32 = 20;
const ATTEMPTS_SHOWN: i32 = 200;

/// The states of grants on their way to the payer, which have an index of their own.
const UNDELIVERED: [RewardState; 3] =
    [RewardState::Claimed, RewardState::Delivering, RewardState::Failed];

/// The remaining conditions on a grant.
const CONDITIONS: &str = "r.lane = $1 and (r.grant_id > $2 or $3)
    and ($5::text is null or r.code = $5) and ($8::text is null or r.kind = $8)
    and ($9::text is null and $10::timestamptz is null or exists (
        select from deliveries d
        where d.lane = r.lane and d.grant_id = r.grant_id and d.pays
          and ($9::text is null or d.channel = $9)
          and ($10::timestamptz is null or d.queued_at >= $10)))";

async fn of_lane(
    lane: Lane,
    (after, from_start): (Uuid, bool),
    limit: usize,
    filter: &Filter,
    now: Timestamp,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<GrantEntry>> {
    let source = match filter.state {
        _ if filter.is_undelivered => format!(
            "(select * from reward_state r
              where r.state in ('claimed', 'delivering', 'failed') and ($4::text is null or r.state = $4) and {CONDITIONS}
              order by r.grant_id limit $6) r"
        ),
        Some(RewardState::Failed) => format!(
            "((select * from reward_state r
               where r.state in ('claimed', 'delivering', 'failed') and r.state = $4 and {CONDITIONS}
               order by r.grant_id limit $6)
              union all
              (select r.* from deliveries f
               join reward_state r on r.lane = f.lane and r.grant_id = f.grant_id and r.state = 'delivered'
               where f.lane = $1 and f.state = 'failed' and f.pays and (f.redeliveries > 0 or f.acknowledged)
                 and (f.grant_id > $2 or $3) and {CONDITIONS}
               order by r.grant_id limit $6)) r"
        ),
        // Also counts as claimed: rewards granted by the end of a period that no event records yet.
        // They are found by the first line of each milestone, as the sweeper does.
        Some(state) if UNDELIVERED.contains(&state) => format!(
            "((select * from reward_state r
               where r.state in ('claimed', 'delivering', 'failed') and r.state = $4 and {CONDITIONS}
               order by r.grant_id limit $6)
              union all
              (select r.* from reward_state f
               join reward_state r on r.lane = f.lane and r.user_id = f.user_id
                 and r.granted_position = f.granted_position and r.state = 'claimable'
               where $4 = 'claimed' and f.lane = $1 and f.state = 'claimable' and f.ordinal = 0
                 and f.lapses_at is not null and f.lapses_at <= $7 and f.lapses_as = 'granted'
                 and {CONDITIONS}
               order by r.grant_id limit $6)) r"
        ),
        _ => {
            let state = rewards::state_as_of("$7");
            format!("reward_state r where {CONDITIONS} and ($4::text is null or $4 = {state})")
        }
    };
    let columns: Vec<String> = COLUMNS.split(", ").map(|name| format!("r.{name}")).collect();
    let sql = format!(
        "select r.user_id, {} from {source} order by r.grant_id limit $6",
        columns.join(", ")
    );
    let rows = sqlx::query(&sql)
        .bind(lane.0)
        .bind(after)
        .bind(from_start)
        .bind(filter.state.map(RewardState::as_str))
        .bind(filter.code.as_deref())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(instant::to_sql(now))
        .bind(filter.kind.as_deref())
        .bind(filter.channel.as_deref())
        .bind(filter.queued_since.map(instant::to_sql))
        .fetch_all(&mut *connection)
        .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        entries.extend(unless_unreadable(entry(lane, row, now), "reward_state").flatten());
    }
    add_deliveries(lane, &mut entries, ATTEMPTS_LISTED, connection).await?;
    Ok(entries)
}

/// Finds one grant with its deliveries; `None` if there is no such grant.
pub async fn find(pool: &PgPool, grant: Uuid) -> sqlx::Result<Option<GrantEntry>> {
    let mut connection = pool.acquire().await?;
    let Some((lane, _)) = grants::owner(grant, &mut connection).await? else { return Ok(None) };
    let sql = format!(
        "select user_id, {COLUMNS} from reward_state where lane = $1 and grant_id = $2 limit 1"
    );
    let row = sqlx::query(&sql).bind(lane.0).bind(grant).fetch_optional(&mut *connection).await?;
    let mut entries = Vec::new();
    if let Some(row) = row {
        entries.extend(entry(lane, &row, Timestamp::now())?);
    }
    add_deliveries(lane, &mut entries, ATTEMPTS_SHOWN, &mut connection).await?;
    Ok(entries.pop())
}

fn entry(lane: Lane, row: &PgRow, now: Timestamp) -> sqlx::Result<Option<GrantEntry>> {
    let user: String = row.try_get(0)?;
    let user = user.try_into().map_err(undecodable)?;
    let found = RewardRow::read(row, 1)?;
    Ok(found.map(|row| {
        let state = row.state_as_of(now);
        GrantEntry { lane, user, row, state, deliveries: Vec::new() }
    }))
}

async fn add_deliveries(
    lane: Lane,
    entries: &mut [GrantEntry],
    attempts_max: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(include_str!("of_grants.sql"))
        .bind(lane.0)
        .bind(entries.iter().map(|entry| entry.row.reward.grant).collect::<Vec<_>>())
        .bind(attempts_max)
        .fetch_all(connection)
        .await?;
    let mut by_grant: HashMap<Uuid, Vec<Listed>> = HashMap::new();
    for row in &rows {
        let listed = unless_unreadable(listed(row), "deliveries");
        by_grant.entry(row.try_get(0)?).or_default().extend(listed);
    }
    for entry in entries {
        entry.deliveries = by_grant.remove(&entry.row.reward.grant).unwrap_or_default();
    }
    Ok(())
}

fn listed(row: &PgRow) -> sqlx::Result<Listed> {
    let at = |column: usize| -> sqlx::Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<DateTime<Utc>>, _>(column)?.map(instant::from_sql))
    };
    Ok(Listed {
        channel: row.try_get(1)?,
        pays: row.try_get(2)?,
        state: row.try_get(3)?,
        attempts: row.try_get(4)?,
        attempted: row.try_get::<Json<Vec<Attempt>>, _>(5)?.0,
        reason: row.try_get(6)?,
        queued_at: at(7)?.unwrap_or_default(),
        due_at: at(8)?,
        give_up_at: at(9)?,
        settled_at: at(10)?,
        may_be_published: row.try_get(11)?,
    })
}
