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
use sqlx::postgres::PgRow;
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
    /// Some lanes could not be locked. The transaction must be rolled back.
    Busy(Contention),
}

/// The reason why lanes could not be locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contention {
    /// Other sessions hold these lanes. Empty if a lane became free just after the wait for it had
    /// ended.
    Held(BTreeSet<Lane>),
    /// Another session is locking all lanes, as the swap of a rebuild does. Until it ends, no lane
    /// can be locked, and none counts as held.
    GateClosed,
    /// Another session holds a budget. Holds the lanes with work that draws on it. The lanes
    /// themselves are free.
    BudgetHeld(BTreeSet<Lane>),
}

impl Contention {
    /// True if work of this lane has to wait.
    pub fn delays(&self, lane: Lane) -> bool {
        match self {
            Self::Held(lanes) | Self::BudgetHeld(lanes) => lanes.contains(&lane),
            Self::GateClosed => true,
        }
    }

    /// True if another session holds this lane.
    pub fn holds(&self, lane: Lane) -> bool {
        matches!(self, Self::Held(held) if held.contains(&lane))
    }
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
    let array = array_of(lanes);
    let sql = locks_and_heads(&array, wait);
    match connection.fetch_all(sqlx::raw_sql(&sql)).await {
        Ok(rows) => outcome_of(&rows, lanes.len()),
        Err(sqlx::Error::Database(error))
            if wait != LaneWait::None && error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) =>
        {
            contention(lanes, connection).await.map(LockOutcome::Busy)
        }
        Err(error) => Err(error),
    }
}

/// Locks those lanes that are free, without a wait, and returns them. Returns none while another
/// session locks all lanes.
pub async fn lock_free(
    lanes: &BTreeSet<Lane>,
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeSet<Lane>> {
    let sql = try_sql(&array_of(lanes));
    let rows = connection.fetch_all(sqlx::raw_sql(&sql)).await?;
    let Some((gate, locks)) = rows.split_first() else { return Err(sqlx::Error::RowNotFound) };
    Ok(match contention_of(gate, locks)? {
        Contention::Held(held) => lanes.difference(&held).copied().collect(),
        Contention::GateClosed | Contention::BudgetHeld(_) => BTreeSet::new(),
    })
}

/// Locks all lanes, ahead of every batch that has not begun. The caller limits the wait by
/// `statement_timeout`: all locks are taken by one statement.
pub async fn lock_all(lanes: &BTreeSet<Lane>, connection: &mut PgConnection) -> sqlx::Result<()> {
    let array = array_of(lanes);
    let sql = format!(
        "select pg_advisory_xact_lock({LOCK_CLASS}, key) from unnest('{{{GATE},{array}}}'::integer[]) key"
    );
    connection.execute(sqlx::raw_sql(&sql)).await?;
    Ok(())
}

/// The lanes that are locked, each with the transaction that holds it. Takes no lock, so it delays
/// nobody.
pub async fn holders(connection: &mut PgConnection) -> sqlx::Result<BTreeSet<(Lane, String)>> {
    let rows: Vec<(i16, String)> = sqlx::query_as(include_str!("lanes/holders.sql"))
        .bind(i64::from(LOCK_CLASS))
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|(lane, holder)| (Lane(lane), holder)).collect())
}

/// Finds out what kept lanes from being locked in time, without a further wait. Lanes that are free
/// by now are locked until the rollback, which follows at once.
async fn contention(
    lanes: &BTreeSet<Lane>,
    connection: &mut PgConnection,
) -> sqlx::Result<Contention> {
    let sql = format!("rollback to savepoint lanes; {}", try_sql(&array_of(lanes)));
    let rows = connection.fetch_all(sqlx::raw_sql(&sql)).await?;
    let Some((gate, locks)) = rows.split_first() else { return Err(sqlx::Error::RowNotFound) };
    contention_of(gate, locks)
}

fn outcome_of(rows: &[PgRow], count: usize) -> sqlx::Result<LockOutcome> {
    let Some((last, rows)) = rows.split_last().filter(|(_, rows)| rows.len() == 2 * count + 1)
    else {
        return Err(sqlx::Error::RowNotFound);
    };
    let Some((gate, rows)) = rows.split_first() else { return Err(sqlx::Error::RowNotFound) };
    let (locks, read) = rows.split_at(count);
    match contention_of(gate, locks)? {
        Contention::Held(held) if held.is_empty() => {}
        contention => return Ok(LockOutcome::Busy(contention)),
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

fn contention_of(gate: &PgRow, locks: &[PgRow]) -> sqlx::Result<Contention> {
    if !gate.try_get::<bool, _>("held")? {
        return Ok(Contention::GateClosed);
    }
    let mut held = BTreeSet::new();
    for lock in locks {
        if !lock.try_get::<bool, _>("held")? {
            held.insert(Lane(lock.try_get("lane")?));
        }
    }
    Ok(Contention::Held(held))
}

fn array_of(lanes: &BTreeSet<Lane>) -> String {
    let mut array = String::with_capacity(lanes.len() * 4);
    for lane in lanes {
        let _ = write!(array, "{}{lane}", if array.is_empty() { "" } else { "," });
    }
    array
}

/// SQL that locks the gate and lanes, and reads their heads.
fn locks_and_heads(array: &str, wait: LaneWait) -> String {
    let heads = heads_sql(array);
    match wait {
        LaneWait::None => format!("{}; {heads}", try_sql(array)),
        // The savepoint allows a look at the lanes after a wait that was too long, also one for a
        // table. It is released before anything is written: rows of a subtransaction would have
        // another `xmin`.
        LaneWait::UpTo(limit) => format!(
            "savepoint lanes; set local lock_timeout = {}; \
             select {GATE} as lane, pg_advisory_xact_lock_shared({LOCK_CLASS}, {GATE})::text is not null as held; \
             select lane, pg_advisory_xact_lock({LOCK_CLASS}, lane)::text is not null as held \
             from unnest('{{{array}}}'::smallint[]) lane; \
             {heads}; release savepoint lanes",
            limit.as_millis().max(1)
        ),
    }
}

/// SQL that tries to lock the gate and lanes, without a wait.
fn try_sql(array: &str) -> String {
    format!(
        "select {GATE} as lane, pg_try_advisory_xact_lock_shared({LOCK_CLASS}, {GATE}) as held; \
         select lane, pg_try_advisory_xact_lock({LOCK_CLASS}, lane) as held \
         from unnest('{{{array}}}'::smallint[]) lane"
    )
}

/// SQL that reads the heads of lanes and the other inputs of a batch.
fn heads_sql(array: &str) -> String {
    format!(
        "select l.lane, coalesce(e.position, 0) as head, coalesce(e.xmin::text::bigint, 0) as last_writer, \
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
pub(crate) const LOCK_NOT_AVAILABLE: &str = "55P03";

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
    let found: Vec<String> = sqlx::query_scalar(include_str!("lanes/external_appends.sql"))
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
    sqlx::query(include_str!("lanes/note_external_appends.sql"))
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
    sqlx::query(include_str!("lanes/forget_external_appends.sql"))
        .bind(users.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(users.iter().map(|(_, user)| *user).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
