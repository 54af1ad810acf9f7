//! Lanes: their locks and heads.
//!
//! Every writer holds the lane's advisory lock until commit. The lock updates no row, so nothing
//! bloats while an old snapshot is open. The head is read after the lock, in a separate statement,
//! from the unique index of the log. Should two writers ever hold the same lane, that index is the
//! last guard.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use plaudit_domain::lane::{Lane, Position};
use sqlx::{Executor as _, PgConnection, Row};
use uuid::Uuid;

/// The first key of the advisory locks, 'PLAU' in ASCII, as in the SQL function `plaudit_lock_lane`.
const LOCK_CLASS: i32 = 0x504C_4155;

/// The second key of the gate, which is not a lane. Writers hold it shared. A caller that needs all
/// lanes takes it exclusively first: it then waits for the running batches, and no new batch begins
/// before it.
const GATE: i32 = -1;

/// A locked lane.
#[derive(Debug, Clone, Copy)]
pub struct LaneHead {
    /// The position of the next event.
    pub next_position: i64,
    /// The transaction that wrote the last event, by its `xmin`; 0 for an empty lane. Together with
    /// the position it shows whether the lane is unchanged, even if the database was restored in
    /// the meantime.
    pub last_writer: i64,
    /// True if stock postgres-es appended to users of this lane whom no batch has touched since.
    pub external_appends: bool,
    /// True if later actions of some user of this lane wait behind a parked record.
    pub parked_blocking: bool,
}

/// The heads of locked lanes and other inputs of a batch, from one snapshot taken after the locks.
#[derive(Debug, Clone)]
pub struct Locked {
    /// Each lane with its head.
    pub heads: BTreeMap<Lane, LaneHead>,
    /// The identity of the catalogue. Changes with every change of the catalogue.
    pub catalogue_identity: Uuid,
    /// The open dedup window.
    pub dedup_window: i32,
    /// The transaction that holds the locks. Its id is the `xmin` of the rows it writes.
    pub transaction: i64,
    /// A hash of the tables that hold the rows of users and tasks. A rebuild or a restore replaces
    /// them.
    pub tables: i64,
}

/// Time limit for waiting for lanes that another session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneWait {
    /// Do not wait.
    None,
    /// Wait up to this time for each lane.
    UpTo(Duration),
}

/// The outcome of locking lanes.
#[derive(Debug)]
pub enum LockOutcome {
    /// All lanes are locked.
    Locked(Locked),
    /// These lanes may be held by another session; after [`LaneWait::UpTo`] these are all the lanes
    /// asked for. The transaction must be rolled back.
    Busy(BTreeSet<Lane>),
}

/// Locks lanes for the transaction and reads their heads, in one round trip. The heads are read by
/// a separate statement, whose snapshot is taken after the locks.
///
/// A writer that waits asks in ascending order (`unnest` returns the array in order), so that
/// writers never deadlock.
pub async fn lock(
    lanes: &BTreeSet<Lane>,
    wait: LaneWait,
    connection: &mut PgConnection,
) -> sqlx::Result<LockOutcome> {
    lock_by(&lock_sql(lanes, wait, Gate::Pass), lanes, connection).await
}

/// Locks all lanes, ahead of every batch that has not begun.
pub async fn lock_all(
    lanes: &BTreeSet<Lane>,
    limit: Duration,
    connection: &mut PgConnection,
) -> sqlx::Result<LockOutcome> {
    lock_by(&lock_sql(lanes, LaneWait::UpTo(limit), Gate::Close), lanes, connection).await
}

async fn lock_by(
    sql: &str,
    lanes: &BTreeSet<Lane>,
    connection: &mut PgConnection,
) -> sqlx::Result<LockOutcome> {
    let rows = match connection.fetch_all(sqlx::raw_sql(sql)).await {
        Ok(rows) => rows,
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) =>
        {
            return Ok(LockOutcome::Busy(lanes.clone()));
        }
        Err(error) => return Err(error),
    };
    let count = lanes.len();
    let Some((last, rows)) = rows.split_last().filter(|(_, rows)| rows.len() == 2 * count + 1)
    else {
        return Err(sqlx::Error::RowNotFound);
    };
    let Some((gate, rows)) = rows.split_first() else { return Err(sqlx::Error::RowNotFound) };
    if !gate.try_get::<bool, _>("held")? {
        return Ok(LockOutcome::Busy(lanes.clone()));
    }
    let (locks, read) = rows.split_at(count);
    let mut busy = BTreeSet::new();
    for lock in locks {
        if !lock.try_get::<bool, _>("held")? {
            busy.insert(Lane(lock.try_get("lane")?));
        }
    }
    if !busy.is_empty() {
        return Ok(LockOutcome::Busy(busy));
    }
    let mut heads = BTreeMap::new();
    for row in read {
        let next_position = row.try_get::<i64, _>("head")? + 1;
        let external_appends = row.try_get("external_appends")?;
        let parked_blocking = row.try_get("parked_blocking")?;
        let last_writer = row.try_get("last_writer")?;
        let head = LaneHead { next_position, last_writer, external_appends, parked_blocking };
        heads.insert(Lane(row.try_get("lane")?), head);
    }
    Ok(LockOutcome::Locked(Locked {
        heads,
        catalogue_identity: last.try_get("identity")?,
        dedup_window: last.try_get("current")?,
        transaction: last.try_get("transaction")?,
        tables: last.try_get("tables")?,
    }))
}

/// The mode in which a writer takes the gate.
#[derive(Clone, Copy)]
enum Gate {
    Pass,
    Close,
}

fn lock_sql(lanes: &BTreeSet<Lane>, wait: LaneWait, gate: Gate) -> String {
    let shared = match gate {
        Gate::Pass => "_shared",
        Gate::Close => "",
    };
    let mut array = String::with_capacity(lanes.len() * 4);
    for lane in lanes {
        let _ = write!(array, "{}{lane}", if array.is_empty() { "" } else { "," });
    }
    let lock = match wait {
        LaneWait::None => format!(
            "select {GATE} as lane, pg_try_advisory_xact_lock{shared}({LOCK_CLASS}, {GATE}) as held; \
             select lane, pg_try_advisory_xact_lock({LOCK_CLASS}, lane) as held \
             from unnest('{{{array}}}'::smallint[]) lane"
        ),
        LaneWait::UpTo(limit) => format!(
            "set local lock_timeout = {}; \
             select {GATE} as lane, pg_advisory_xact_lock{shared}({LOCK_CLASS}, {GATE})::text is not null as held; \
             select lane, pg_advisory_xact_lock({LOCK_CLASS}, lane)::text is not null as held \
             from unnest('{{{array}}}'::smallint[]) lane",
            limit.as_millis().max(1)
        ),
    };
    format!(
        "{lock}; \
         select l.lane, coalesce(e.position, 0) as head, coalesce(e.xmin::text::bigint, 0) as last_writer, \
         exists (select from external_appends a where a.lane = l.lane) as external_appends, \
         exists (select from parked p where p.lane = l.lane and p.repairable \
         and p.resolved_at is null) as parked_blocking \
         from unnest('{{{array}}}'::smallint[]) l (lane) \
         left join lateral (select position, xmin from events where lane = l.lane \
         order by position desc limit 1) e on true; \
         select c.identity, w.current, pg_current_xact_id()::xid::text::bigint as transaction, \
         ('task_view'::regclass::oid::bigint << 31) # 'user_view'::regclass::oid::bigint as tables \
         from catalogue c, dedup_window w"
    )
}

/// Error code: waiting for a lock took longer than `lock_timeout`.
///
/// Source: PostgreSQL, appendix A "Error Codes".
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Reads the head of one lane.
pub async fn head(lane: Lane, connection: &mut PgConnection) -> sqlx::Result<Position> {
    let next: i64 = sqlx::query_scalar("select next_position from lanes where lane = $1")
        .bind(lane.0)
        .fetch_one(connection)
        .await?;
    Ok(Position { lane, number: next - 1 })
}

/// Reads the head of every lane: the position of its last committed event.
pub async fn heads(connection: &mut PgConnection) -> sqlx::Result<Vec<Position>> {
    let rows: Vec<(i16, i64)> =
        sqlx::query_as("select lane, next_position - 1 from lanes order by lane")
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|(lane, number)| Position { lane: Lane(lane), number }).collect())
}

/// Returns the users among these to whom stock postgres-es appended and whom no batch has touched
/// since.
pub async fn external_appends(
    users: &[(Lane, &str)],
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeSet<String>> {
    let in_lanes: Vec<i16> = users.iter().map(|(lane, _)| lane.0).collect();
    let names: Vec<&str> = users.iter().map(|(_, user)| *user).collect();
    let found: Vec<String> = sqlx::query_scalar(
        "select u.user_id from unnest($1::smallint[], $2::text[]) u (lane, user_id)
         cross join lateral (
             select from external_appends where lane = u.lane and user_id = u.user_id limit 1
         ) e",
    )
    .bind(&in_lanes)
    .bind(&names)
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().collect())
}

/// Marks users whose rows may be behind the log. The next batch that touches such a user folds the
/// log again.
pub async fn note_external_appends(
    lanes: &[i16],
    users: &[&str],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into external_appends (lane, user_id)
         select distinct u.lane, u.user_id from unnest($1::smallint[], $2::text[]) u (lane, user_id)
         on conflict do nothing",
    )
    .bind(lanes)
    .bind(users)
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes the marks of users who were folded from the log.
pub async fn forget_external_appends(
    users: &[(Lane, &str)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from external_appends e using unnest($1::smallint[], $2::text[]) u (lane, user_id)
         where e.lane = u.lane and e.user_id = u.user_id",
    )
    .bind(users.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
    .bind(users.iter().map(|(_, user)| *user).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
