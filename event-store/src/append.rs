//! What a batch writes: set-based statements, one per kind of row.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::aggregate::AGGREGATE_TYPE;
use crate::batch::{
    ChangedUser, CheckpointMove, ClaimKey, NewEvent, Origin, ParkedRecord, Receipt,
};
use crate::error::ExecuteError;
use crate::load::SourceKey;

/// Appends events to the log.
pub async fn events(events: &[NewEvent], connection: &mut PgConnection) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let count = events.len();
    let mut lanes = Vec::with_capacity(count);
    let mut users = Vec::with_capacity(count);
    let mut sequences = Vec::with_capacity(count);
    let mut types = Vec::with_capacity(count);
    let mut versions = Vec::with_capacity(count);
    let mut payloads = Vec::with_capacity(count);
    let mut metadata = Vec::with_capacity(count);
    let mut positions = Vec::with_capacity(count);
    for new in events {
        let (event_type, event_version) = new.event.schema();
        lanes.push(new.lane.0);
        users.push(new.user.as_str());
        sequences.push(new.sequence);
        types.push(event_type);
        versions.push(event_version);
        payloads
            .push(serde_json::to_string(&new.event).map_err(|e| sqlx::Error::Encode(e.into()))?);
        metadata.push(new.metadata.as_ref());
        positions.push(new.position);
    }
    sqlx::query(
        "insert into events
             (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
         select e.lane, $9, e.user_id, e.sequence, e.event_type, e.event_version, e.payload::json, e.metadata::json, e.position
         from unnest($1::smallint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[])
              e (lane, user_id, sequence, event_type, event_version, payload, metadata, position)",
    )
    .bind(&lanes)
    .bind(&users)
    .bind(&sequences)
    .bind(&types)
    .bind(&versions)
    .bind(&payloads)
    .bind(&metadata)
    .bind(&positions)
    .bind(AGGREGATE_TYPE)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the states of users.
pub async fn states(users: &[ChangedUser], connection: &mut PgConnection) -> sqlx::Result<()> {
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

/// Remembers the identities of judged actions.
pub async fn seen(
    identities: &[(Lane, Uuid)],
    generation: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if identities.is_empty() {
        return Ok(());
    }
    let lanes: Vec<i16> = identities.iter().map(|(lane, _)| lane.0).collect();
    let ids: Vec<Uuid> = identities.iter().map(|(_, id)| *id).collect();
    sqlx::query(
        "insert into seen_actions (lane, generation, identity)
         select a.lane, $3, a.identity from unnest($1::smallint[], $2::uuid[]) a (lane, identity)",
    )
    .bind(&lanes)
    .bind(&ids)
    .bind(generation)
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves the lanes' offsets of source partitions.
pub async fn offsets(
    moved: &HashMap<(Lane, SourceKey), i64>,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let mut moved: Vec<_> = moved.iter().collect();
    moved.sort();
    let lanes: Vec<i16> = moved.iter().map(|((lane, _), _)| lane.0).collect();
    let topics: Vec<&str> = moved.iter().map(|((_, key), _)| key.topic.as_ref()).collect();
    let incarnations: Vec<i32> = moved.iter().map(|((_, key), _)| key.incarnation).collect();
    let partitions: Vec<i32> = moved.iter().map(|((_, key), _)| key.partition).collect();
    let next: Vec<i64> = moved.iter().map(|(_, next)| **next).collect();
    sqlx::query(
        "insert into lane_offsets (lane, topic, incarnation, partition, next_offset)
         select o.lane, o.topic, o.incarnation, o.partition, o.next_offset
         from unnest($1::smallint[], $2::text[], $3::int[], $4::int[], $5::bigint[])
              o (lane, topic, incarnation, partition, next_offset)
         on conflict (lane, topic, incarnation, partition) do update set next_offset = excluded.next_offset",
    )
    .bind(&lanes)
    .bind(&topics)
    .bind(&incarnations)
    .bind(&partitions)
    .bind(&next)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps what was set aside. A record that is set aside again changes nothing.
pub async fn parked(
    records: &[(Lane, &Origin, Cow<'_, ParkedRecord>)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    for (lane, origin, record) in records {
        let at = match origin {
            Origin::Record(at) => Some(at),
            Origin::Request(_) | Origin::Follower => None,
        };
        sqlx::query(
            "insert into parked (lane, id, reason, repairable, user_id, topic, partition, \"offset\", headers, bytes)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             on conflict (lane, id) do nothing",
        )
        .bind(lane.0)
        .bind(record.id)
        .bind(&record.reason)
        .bind(record.repairable)
        .bind(record.user.as_ref().map(UserId::as_str))
        .bind(at.map(|at| at.topic.as_ref()))
        .bind(at.map(|at| at.partition))
        .bind(at.map(|at| at.offset))
        .bind(&record.headers)
        .bind(&record.bytes)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Keeps receipts by idempotency key.
pub async fn receipts(
    given: &[(Lane, ClaimKey, Vec<Receipt>)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    for (lane, of, receipts) in given {
        sqlx::query(
            "insert into claim_keys (lane, user_id, task_id, idempotency_key, receipts)
             values ($1, $2, $3, $4, $5)
             on conflict (lane, user_id, task_id, idempotency_key) do nothing",
        )
        .bind(lane.0)
        .bind(of.user.as_str())
        .bind(of.task_text())
        .bind(&of.key)
        .bind(sqlx::types::Json(receipts))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Moves followers' checkpoints; fails if one is not where its follower thinks it is.
pub async fn checkpoints(
    moves: &[CheckpointMove],
    connection: &mut PgConnection,
) -> Result<(), ExecuteError> {
    let unique: HashSet<_> = moves.iter().map(|m| (m.follower, m.lane)).collect();
    debug_assert_eq!(unique.len(), moves.len(), "one step per follower and lane");
    for step in moves {
        let done = sqlx::query(
            "update follower_checkpoints set position = $1 where lane = $2 and follower = $3 and position = $4",
        )
        .bind(step.to)
        .bind(step.lane.0)
        .bind(step.follower)
        .bind(step.from)
        .execute(&mut *connection)
        .await?;
        if done.rows_affected() != 1 {
            return Err(ExecuteError::Fenced {
                follower: step.follower.to_owned(),
                lane: step.lane,
            });
        }
    }
    Ok(())
}
