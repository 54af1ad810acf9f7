//! What a batch reads before it decides: states, identities seen, offsets, receipts.
//!
//! Each statement probes a key once for each element of an array. The `limit 1` is what makes the
//! planner do so: without it, it may walk the table and look into the array for each row, which it
//! prefers when it has planned the statement while the table was still small. Naming the batch's
//! lanes once more as a constant, as a distributed table wants it, would make each probe walk that
//! list: there, a batch has one lane.

use std::collections::{BTreeSet, HashMap, HashSet};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::UserTasks;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::batch::{Receipt, SourcePosition};
use crate::error::ExecuteError;
use crate::reader;

/// A user's state as a batch holds it.
#[derive(Debug, Default, Clone)]
pub struct LoadedState {
    pub sequence: i64,
    pub state: UserTasks,
    /// Folded from the log, because the stored state was behind.
    pub refolded: bool,
}

/// The states of users, from one query.
pub async fn states(
    users: &[(Lane, UserId)],
    check_outside: &BTreeSet<Lane>,
    connection: &mut PgConnection,
) -> Result<HashMap<UserId, LoadedState>, ExecuteError> {
    let user_lanes: Vec<i16> = users.iter().map(|(lane, _)| lane.0).collect();
    let user_ids: Vec<&str> = users.iter().map(|(_, user)| user.as_str()).collect();
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "select u.user_id, s.sequence, s.state::text
         from unnest($1::smallint[], $2::text[]) u (lane, user_id)
         cross join lateral (
             select sequence, state from user_states
             where lane = u.lane and user_id = u.user_id limit 1
         ) s",
    )
    .bind(&user_lanes)
    .bind(&user_ids)
    .fetch_all(&mut *connection)
    .await?;
    let mut loaded = HashMap::with_capacity(users.len());
    for (user, sequence, state) in rows {
        let unreadable = |e: &dyn std::fmt::Display| {
            ExecuteError::Unreadable(format!("the stored state of user {user}: {e}"))
        };
        let state = serde_json::from_str(&state).map_err(|e| unreadable(&e))?;
        let user = UserId::try_from(user.clone()).map_err(|e| unreadable(&e))?;
        loaded.insert(user, LoadedState { sequence, state, refolded: false });
    }
    let outside: Vec<_> = users.iter().filter(|(lane, _)| check_outside.contains(lane)).collect();
    if !outside.is_empty() {
        catch_up(&outside, &mut loaded, connection).await?;
    }
    Ok(loaded)
}

/// Folds users from the log whose stored state is behind it, because stock postgres-es appended.
async fn catch_up(
    users: &[&(Lane, UserId)],
    loaded: &mut HashMap<UserId, LoadedState>,
    connection: &mut PgConnection,
) -> Result<(), ExecuteError> {
    for (lane, user) in users {
        let head: Option<i64> = sqlx::query_scalar(
            "select max(sequence) from events where lane = $1 and aggregate_type = 'UserTasks' and aggregate_id = $2",
        )
        .bind(lane.0)
        .bind(user.as_str())
        .fetch_one(&mut *connection)
        .await?;
        let known = loaded.get(user).map_or(0, |s| s.sequence);
        if head.unwrap_or(0) > known {
            let (state, sequence) = reader::fold_user(*lane, user, None, connection).await?;
            loaded.insert((*user).clone(), LoadedState { sequence, state, refolded: true });
        }
    }
    Ok(())
}

/// Which of these identities were judged before.
pub async fn seen(
    identities: &[(Lane, Uuid)],
    generation: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<HashSet<Uuid>> {
    if identities.is_empty() {
        return Ok(HashSet::new());
    }
    let in_lanes: Vec<i16> = identities.iter().map(|(lane, _)| lane.0).collect();
    let ids: Vec<Uuid> = identities.iter().map(|(_, id)| *id).collect();
    let rows: Vec<Uuid> = sqlx::query_scalar(
        "select a.identity
         from unnest($1::smallint[], $2::uuid[]) a (lane, identity)
         cross join lateral (
             select from seen_actions
             where lane = a.lane and identity = a.identity
               and generation in ($3, $3 - 1) limit 1
         ) s",
    )
    .bind(&in_lanes)
    .bind(&ids)
    .bind(generation)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Below which offset each lane has applied each of these source partitions.
pub type LaneOffsets = HashMap<(Lane, SourceKey), i64>;

/// A source partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    pub topic: std::sync::Arc<str>,
    pub incarnation: i32,
    pub partition: i32,
}

impl From<&SourcePosition> for SourceKey {
    fn from(at: &SourcePosition) -> Self {
        Self { topic: at.topic.clone(), incarnation: at.incarnation, partition: at.partition }
    }
}

/// Loads offsets of (lane, source partition) pairs.
pub async fn offsets(
    wanted: &HashSet<(Lane, SourceKey)>,
    connection: &mut PgConnection,
) -> sqlx::Result<LaneOffsets> {
    if wanted.is_empty() {
        return Ok(LaneOffsets::new());
    }
    let (mut in_lanes, mut topics, mut incarnations, mut partitions) =
        (vec![], vec![], vec![], vec![]);
    for (lane, key) in wanted {
        in_lanes.push(lane.0);
        topics.push(key.topic.as_ref());
        incarnations.push(key.incarnation);
        partitions.push(key.partition);
    }
    let rows: Vec<(i16, String, i32, i32, i64)> = sqlx::query_as(
        "select w.lane, w.topic, w.incarnation, w.partition, o.next_offset
         from unnest($1::smallint[], $2::text[], $3::int[], $4::int[]) w (lane, topic, incarnation, partition)
         cross join lateral (
             select next_offset from lane_offsets
             where lane = w.lane and topic = w.topic
               and incarnation = w.incarnation and partition = w.partition limit 1
         ) o",
    )
    .bind(&in_lanes)
    .bind(&topics)
    .bind(&incarnations)
    .bind(&partitions)
    .fetch_all(connection)
    .await?;
    let row = |(lane, topic, incarnation, partition, next): (i16, String, i32, i32, i64)| {
        ((Lane(lane), SourceKey { topic: topic.into(), incarnation, partition }), next)
    };
    Ok(rows.into_iter().map(row).collect())
}

/// The receipts that were given under these idempotency keys.
pub async fn receipts(
    keys: &[(Lane, UserId, String)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashMap<(UserId, String), Receipt>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let in_lanes: Vec<i16> = keys.iter().map(|(lane, _, _)| lane.0).collect();
    let users: Vec<&str> = keys.iter().map(|(_, user, _)| user.as_str()).collect();
    let names: Vec<&str> = keys.iter().map(|(_, _, key)| key.as_str()).collect();
    let rows: Vec<(String, Json<Receipt>)> = sqlx::query_as(
        "select c.idempotency_key, c.receipt
         from unnest($1::smallint[], $2::text[], $3::text[]) k (lane, user_id, idempotency_key)
         cross join lateral (
             select idempotency_key, receipt from claim_keys
             where lane = k.lane and user_id = k.user_id
               and idempotency_key = k.idempotency_key limit 1
         ) c",
    )
    .bind(&in_lanes)
    .bind(&users)
    .bind(&names)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(key, Json(receipt))| ((receipt.user.clone(), key), receipt))
        .collect())
}
