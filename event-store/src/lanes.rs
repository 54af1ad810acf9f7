//! The lane rows: whoever writes to a lane's users holds its row until commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use plaudit_domain::lane::Lane;
use sqlx::{Executor as _, PgConnection, Row};

/// A locked lane.
#[derive(Debug, Clone, Copy)]
pub struct LaneHead {
    /// As it was when the row was locked.
    pub locked_at: i64,
    /// What the next event gets.
    pub next_position: i64,
    /// Whether stock postgres-es ever appended to this lane.
    pub written_outside: bool,
}

/// What one round trip at the start of a batch tells.
pub struct Locked {
    pub heads: BTreeMap<Lane, LaneHead>,
    pub catalogue_revision: i64,
    /// The generation of `seen_actions` that runs by the database's clock, read when all lanes are
    /// held: a transaction that waited for them over a boundary must look where others wrote.
    pub generation: i32,
}

/// How long one generation of `seen_actions` runs, in seconds: the shortest time for which an
/// identity is known.
pub const GENERATION_SECONDS: i64 = 7 * 24 * 3600;

/// Locks lanes in ascending order, so that batches wait for each other and never in a circle.
///
/// One statement per lane in one round trip: an update takes the row lock that holds while a
/// distributed table's shards move, and each statement names one lane as a constant.
pub async fn lock(lanes: &BTreeSet<Lane>, connection: &mut PgConnection) -> sqlx::Result<Locked> {
    let mut sql = String::with_capacity(lanes.len() * 128 + 160);
    for lane in lanes {
        let _ = write!(
            sql,
            "update lanes set next_position = next_position where lane = {lane} \
             returning lane, next_position, outside_position is not null as outside;"
        );
    }
    let _ = write!(
        sql,
        "select revision, floor(extract(epoch from clock_timestamp()) / {GENERATION_SECONDS})::int as generation from catalogue"
    );
    let rows = connection.fetch_all(sqlx::raw_sql(&sql)).await?;
    let Some((last, rows)) = rows.split_last().filter(|(_, rows)| rows.len() == lanes.len()) else {
        return Err(sqlx::Error::RowNotFound);
    };
    let mut heads = BTreeMap::new();
    for row in rows {
        let next_position = row.try_get("next_position")?;
        let written_outside = row.try_get("outside")?;
        let head = LaneHead { locked_at: next_position, next_position, written_outside };
        heads.insert(Lane(row.try_get("lane")?), head);
    }
    Ok(Locked {
        heads,
        catalogue_revision: last.try_get("revision")?,
        generation: last.try_get("generation")?,
    })
}

/// Stores the new heads. Fails if a row is not where it was when it was locked.
pub async fn close(
    heads: &BTreeMap<Lane, LaneHead>,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let moved: Vec<_> =
        heads.iter().filter(|(_, head)| head.next_position != head.locked_at).collect();
    if moved.is_empty() {
        return Ok(());
    }
    let mut sql = String::with_capacity(moved.len() * 112);
    for (lane, head) in &moved {
        let _ = write!(
            sql,
            "update lanes set next_position = {} where lane = {lane} and next_position = {};",
            head.next_position, head.locked_at
        );
    }
    let done = connection.execute(sqlx::raw_sql(&sql)).await?;
    let expected = u64::try_from(moved.len()).unwrap_or(u64::MAX);
    if done.rows_affected() == expected { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}
