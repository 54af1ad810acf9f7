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

use crate::aggregate::AGGREGATE_TYPE;
use crate::batch::{ClaimKey, Receipt, SourcePosition};
use crate::error::ExecuteError;
use crate::reader;

/// A user's state as a batch holds it.
#[derive(Debug, Default, Clone)]
pub struct LoadedState {
    pub sequence: i64,
    pub state: UserTasks,
    /// Folded from the log, because the stored state was behind, or could not be read.
    pub refolded: bool,
    /// Why nothing can be decided for this user: the log itself can't be read. Others go on.
    pub fault: Option<String>,
}

/// Which stored states to hold against the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspect<'a> {
    /// Those of lanes that somebody else appended to.
    Lanes(&'a BTreeSet<Lane>),
    /// All: an append found a sequence taken that the state did not know of.
    All,
}

/// The states of users, from one query.
pub async fn states(
    users: &[(Lane, UserId)],
    suspect: Suspect<'_>,
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
    let mut unreadable = BTreeSet::new();
    for (user, sequence, state) in rows {
        let user = UserId::try_from(user).map_err(|e| ExecuteError::Unreadable(e.to_string()))?;
        match serde_json::from_str(&state) {
            Ok(state) => {
                loaded.insert(user, LoadedState { sequence, state, ..LoadedState::default() });
            }
            // It is a cache of the log.
            Err(error) => {
                tracing::error!(%error, "the stored state of a user can't be read; it is folded anew");
                unreadable.insert(user);
            }
        }
    }
    let is_suspect = |(lane, user): &&(Lane, UserId)| match suspect {
        Suspect::All => true,
        Suspect::Lanes(lanes) => lanes.contains(lane) || unreadable.contains(user),
    };
    let suspects: Vec<_> = users.iter().filter(is_suspect).collect();
    if !suspects.is_empty() {
        catch_up(&suspects, &mut loaded, connection).await?;
    }
    Ok(loaded)
}

/// Folds users from the log whose stored state is behind it.
async fn catch_up(
    users: &[&(Lane, UserId)],
    loaded: &mut HashMap<UserId, LoadedState>,
    connection: &mut PgConnection,
) -> Result<(), ExecuteError> {
    let lanes: Vec<i16> = users.iter().map(|(lane, _)| lane.0).collect();
    let names: Vec<&str> = users.iter().map(|(_, user)| user.as_str()).collect();
    let heads: Vec<(i64, i64)> = sqlx::query_as(
        "select u.place, e.sequence
         from unnest($1::smallint[], $2::text[]) with ordinality u (lane, user_id, place)
         cross join lateral (
             select sequence from events
             where lane = u.lane and aggregate_type = $3 and aggregate_id = u.user_id
             order by sequence desc limit 1
         ) e",
    )
    .bind(&lanes)
    .bind(&names)
    .bind(AGGREGATE_TYPE)
    .fetch_all(&mut *connection)
    .await?;
    for (place, head) in heads {
        // `with ordinality` counts from 1.
        let Some((lane, user)) = usize::try_from(place - 1).ok().and_then(|at| users.get(at))
        else {
            continue;
        };
        if head == loaded.get(user).map_or(0, |s| s.sequence) {
            continue;
        }
        let folded = match reader::fold_user(*lane, user, None, connection).await {
            Ok((state, sequence)) => LoadedState { sequence, state, refolded: true, fault: None },
            Err(ExecuteError::Unreadable(reason)) => {
                tracing::error!(
                    reason,
                    "the log of a user can't be read; what concerns the user is set aside"
                );
                LoadedState { fault: Some(reason), ..LoadedState::default() }
            }
            Err(error) => return Err(error),
        };
        loaded.insert(user.clone(), folded);
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
    wanted: &[(Lane, ClaimKey)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashMap<ClaimKey, Vec<Receipt>>> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let in_lanes: Vec<i16> = wanted.iter().map(|(lane, _)| lane.0).collect();
    let users: Vec<&str> = wanted.iter().map(|(_, of)| of.user.as_str()).collect();
    let tasks: Vec<&str> = wanted.iter().map(|(_, of)| of.task_text()).collect();
    let keys: Vec<&str> = wanted.iter().map(|(_, of)| of.key.as_str()).collect();
    let rows: Vec<(i64, Json<Vec<Receipt>>)> = sqlx::query_as(
        "select k.place, c.receipts
         from unnest($1::smallint[], $2::text[], $3::text[], $4::text[]) with ordinality
              k (lane, user_id, task_id, idempotency_key, place)
         cross join lateral (
             select receipts from claim_keys
             where lane = k.lane and user_id = k.user_id and task_id = k.task_id
               and idempotency_key = k.idempotency_key limit 1
         ) c",
    )
    .bind(&in_lanes)
    .bind(&users)
    .bind(&tasks)
    .bind(&keys)
    .fetch_all(connection)
    .await?;
    // `with ordinality` counts from 1.
    let of = |place: i64| wanted.get(usize::try_from(place - 1).ok()?);
    let found = rows
        .into_iter()
        .filter_map(|(place, Json(receipts))| of(place).map(|(_, of)| (of.clone(), receipts)));
    Ok(found.collect())
}
