//! The statements of a batch: one transaction, one statement for each kind of row.

use std::fmt::Write as _;

use plaudit_event_store::{instant, pool};
use sqlx::{Executor as _, PgConnection, PgPool, Row as _};
use uuid::Uuid;

use super::content::Batch;

/// Writes a batch in one transaction.
pub async fn write(pool: &PgPool, batch: &Batch, reads: bool) -> sqlx::Result<()> {
    let mut tx = pool.begin_with(pool::BEGIN_PROBING).await?;
    let dedup_window = lock(batch, &mut tx).await?;
    if reads {
        read_rows(batch, &mut tx).await?;
    }
    probe_identities(batch, dedup_window, &mut tx).await?;
    append(batch, &mut tx).await?;
    write_tasks(batch, &mut tx).await?;
    write_users(batch, &mut tx).await?;
    add_identities(batch, dedup_window, &mut tx).await?;
    advance_offsets(batch, &mut tx).await?;
    tx.commit().await
}

/// Locks the lanes, and reads their heads in a statement after that. Returns the open dedup window.
async fn lock(batch: &Batch, connection: &mut PgConnection) -> sqlx::Result<i32> {
    let mut lanes = String::new();
    for lane in &batch.lanes {
        let _ = write!(lanes, "{}{lane}", if lanes.is_empty() { "" } else { "," });
    }
    // The first key is that of Plaudit's own locks.
    let sql = format!(
        "select pg_advisory_xact_lock(x'504C4155'::integer, lane) from unnest('{{{lanes}}}'::smallint[]) lane; {}",
        include_str!("heads.sql").replace("$1", &format!("'{{{lanes}}}'"))
    );
    let rows = connection.fetch_all(sqlx::raw_sql(&sql)).await?;
    rows.last().ok_or(sqlx::Error::RowNotFound)?.try_get("current")
}

/// Reads each user's row and last sequence, and each task's row.
async fn read_rows(batch: &Batch, connection: &mut PgConnection) -> sqlx::Result<()> {
    let lanes: Vec<i16> = batch.tasks.iter().map(|(lane, ..)| *lane).collect();
    let users: Vec<&str> = batch.tasks.iter().map(|(_, user, _)| user.as_ref()).collect();
    let tasks: Vec<&str> = batch.tasks.iter().map(|(.., row)| row.task.as_str()).collect();
    let read = sqlx::query(include_str!("read_users.sql")).bind(&lanes).bind(&users);
    read.fetch_all(&mut *connection).await?;
    let read = sqlx::query(include_str!("read_tasks.sql")).bind(&lanes).bind(&users).bind(&tasks);
    read.fetch_all(connection).await?;
    Ok(())
}

/// Looks for each identity in the open dedup window and the one before.
async fn probe_identities(
    batch: &Batch,
    dedup_window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let known: Vec<Uuid> = sqlx::query_scalar(include_str!("probe_identities.sql"))
        .bind(batch.events.iter().map(|event| event.lane).collect::<Vec<_>>())
        .bind(batch.events.iter().map(|event| event.identity).collect::<Vec<_>>())
        .bind(dedup_window)
        .fetch_all(connection)
        .await?;
    if known.is_empty() { Ok(()) } else { Err(sqlx::Error::Protocol("a known identity".into())) }
}

async fn append(batch: &Batch, connection: &mut PgConnection) -> sqlx::Result<()> {
    let events = &batch.events;
    sqlx::query(include_str!("append.sql"))
        .bind(events.iter().map(|event| event.lane).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.user.as_ref()).collect::<Vec<&str>>())
        .bind(events.iter().map(|event| event.sequence).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.kind).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.version).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.payload.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.metadata.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_tasks(batch: &Batch, connection: &mut PgConnection) -> sqlx::Result<()> {
    let tasks = &batch.tasks;
    let rows = || tasks.iter().map(|(.., row)| row);
    let periods = || rows().map(|row| row.period.as_ref());
    sqlx::query(include_str!("write_tasks.sql"))
        .bind(tasks.iter().map(|(lane, ..)| *lane).collect::<Vec<_>>())
        .bind(tasks.iter().map(|(_, user, _)| user.as_ref()).collect::<Vec<&str>>())
        .bind(rows().map(|row| row.task.as_str()).collect::<Vec<_>>())
        .bind(rows().map(|row| row.watermark.map(instant::to_sql)).collect::<Vec<_>>())
        .bind(periods().map(|p| p.map(|p| p.version)).collect::<Vec<_>>())
        .bind(periods().map(|p| p.map(|p| p.key.as_str())).collect::<Vec<_>>())
        .bind(periods().map(|p| p?.starts_at.map(instant::to_sql)).collect::<Vec<_>>())
        .bind(periods().map(|p| p?.ends_at.map(instant::to_sql)).collect::<Vec<_>>())
        .bind(periods().map(|p| p?.closes_at.map(instant::to_sql)).collect::<Vec<_>>())
        .bind(periods().map(|p| p.map(|p| p.progress)).collect::<Vec<_>>())
        .bind(periods().map(|p| p.map(|p| p.completed)).collect::<Vec<_>>())
        .bind(rows().map(|row| row.details.as_deref()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_users(batch: &Batch, connection: &mut PgConnection) -> sqlx::Result<()> {
    let users = &batch.new_users;
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("write_users.sql"))
        .bind(users.iter().map(|(lane, ..)| *lane).collect::<Vec<_>>())
        .bind(users.iter().map(|(_, user, _)| user.as_ref()).collect::<Vec<&str>>())
        .bind(users.iter().map(|(.., row)| row.zones.as_str()).collect::<Vec<_>>())
        .bind(users.iter().map(|(.., row)| row.counted).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn add_identities(
    batch: &Batch,
    dedup_window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("add_identities.sql"))
        .bind(batch.events.iter().map(|event| event.lane).collect::<Vec<_>>())
        .bind(batch.events.iter().map(|event| event.identity).collect::<Vec<_>>())
        .bind(batch.events.iter().map(|event| event.sequence).collect::<Vec<_>>())
        .bind(dedup_window)
        .execute(connection)
        .await?;
    Ok(())
}

async fn advance_offsets(batch: &Batch, connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(include_str!("advance_offsets.sql"))
        .bind(batch.lanes.iter().copied().collect::<Vec<i16>>())
        .bind(batch.next_offset)
        .execute(connection)
        .await?;
    Ok(())
}
