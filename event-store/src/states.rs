//! `user_states`: the fold of each user's stream, a cache of the log.

use std::collections::{BTreeSet, HashMap};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::UserTasks;
use sqlx::PgConnection;

use crate::aggregate::AGGREGATE_TYPE;
use crate::batch::ChangedUser;
use crate::error::ExecuteError;
use crate::{lanes, reader};

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

/// Which stored states to compare with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify<'a> {
    /// Those of users of these lanes to whom stock postgres-es appended.
    Lanes(&'a BTreeSet<Lane>),
    /// All: an append found a sequence taken that the state did not know of.
    All,
}

/// The states of users, from one query.
pub async fn load(
    users: &[(Lane, UserId)],
    verify: Verify<'_>,
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
    let mut unreadable: BTreeSet<String> = BTreeSet::new();
    for (user, sequence, state) in rows {
        let user = UserId::try_from(user).map_err(|e| ExecuteError::Unreadable(e.to_string()))?;
        match serde_json::from_str(&state) {
            Ok(state) => {
                loaded.insert(user, LoadedState { sequence, state, ..LoadedState::default() });
            }
            // It is a cache of the log.
            Err(error) => {
                tracing::error!(%error, "the stored state of a user can't be read; folding it from the log");
                unreadable.insert(user.to_string());
            }
        }
    }
    let mut behind = unreadable;
    if let Verify::Lanes(lanes) = verify {
        let in_lanes = users.iter().filter(|(lane, _)| lanes.contains(lane));
        let in_lanes: Vec<_> = in_lanes.map(|(lane, user)| (*lane, user.as_str())).collect();
        if !in_lanes.is_empty() {
            behind.extend(lanes::external_appends(&in_lanes, connection).await?);
        }
    }
    let is_suspect =
        |(_, user): &&(Lane, UserId)| verify == Verify::All || behind.contains(user.as_str());
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
            continue; // the stored state is what the log says
        }
        let folded = match reader::fold_user(*lane, user, None, connection).await {
            Ok((state, sequence)) => LoadedState { sequence, state, refolded: true, fault: None },
            Err(ExecuteError::Unreadable(reason)) => {
                tracing::error!(
                    reason,
                    "the log of a user can't be read; actions of this user are parked"
                );
                LoadedState { fault: Some(reason), ..LoadedState::default() }
            }
            Err(error) => return Err(error),
        };
        loaded.insert(user.clone(), folded);
    }
    Ok(())
}

/// Stores the states of users.
pub async fn save(users: &[ChangedUser], connection: &mut PgConnection) -> sqlx::Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let lanes: Vec<i16> = users.iter().map(|u| u.lane.0).collect();
    let ids: Vec<&str> = users.iter().map(|u| u.user.as_str()).collect();
    let sequences: Vec<i64> = users.iter().map(|u| u.sequence).collect();
    let states: Vec<String> = users
        .iter()
        .map(|u| serde_json::to_string(&u.state))
        .collect::<Result<_, _>>()
        .map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query(
        "insert into user_states (lane, user_id, sequence, state)
         select u.lane, u.user_id, u.sequence, u.state::json
         from unnest($1::smallint[], $2::text[], $3::bigint[], $4::text[]) u (lane, user_id, sequence, state)
         on conflict (lane, user_id) do update set sequence = excluded.sequence, state = excluded.state",
    )
    .bind(&lanes)
    .bind(&ids)
    .bind(&sequences)
    .bind(&states)
    .execute(connection)
    .await?;
    Ok(())
}
