//! The schema version: migrates a database to it, and rejects any other.

use plaudit_domain::lane::LaneCount;
use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

use crate::pool;
pub use crate::schema_error::SchemaError;
use crate::seen_actions::windows;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Migrates the database to this version, and creates the lanes of a new one.
pub async fn migrate(pool: &PgPool, lane_count: LaneCount) -> Result<(), SchemaError> {
    MIGRATIONS.run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => SchemaError::TooNew { found, known: newest() },
        other => SchemaError::Migration(other),
    })?;
    // Migrations may take long. The statements after them have a time limit.
    pool::within(pool::ANSWER_MAX, first_rows(pool, lane_count)).await
}

/// Inserts the rows that a new database begins with.
async fn first_rows(pool: &PgPool, lane_count: LaneCount) -> Result<(), SchemaError> {
    // The number of lanes is fixed from then on, since users would change lanes otherwise.
    sqlx::query(include_str!("schema/add_lanes.sql"))
        .bind(i32::from(lane_count.get()))
        .execute(pool)
        .await?;
    sqlx::query(include_str!("schema/add_checkpoints.sql")).execute(pool).await?;
    // Needed only before the first batch. Later another session may hold the table, which is not an
    // error.
    if let Err(error) = windows::make_partitions(pool).await {
        let has_current: bool = sqlx::query_scalar(
            "select to_regclass('seen_actions_' || current) is not null from dedup_window",
        )
        .fetch_one(pool)
        .await?;
        if !has_current {
            return Err(error.into());
        }
    }
    Ok(())
}

/// Returns the projections that a migration emptied and that must be refilled from the log.
pub async fn projections_due(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select projection from projections_due order by projection")
        .fetch_all(pool)
        .await
}

/// Notes that a projection has been refilled.
pub async fn projection_filled(pool: &PgPool, projection: &str) -> sqlx::Result<()> {
    let sql = "delete from projections_due where projection = $1";
    sqlx::query(sql).bind(projection).execute(pool).await?;
    Ok(())
}

fn newest() -> i64 {
    MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
}

/// Rejects a schema that is older or newer than this program; the error names the command that
/// helps. Returns the number of lanes.
pub async fn check(pool: &PgPool) -> Result<LaneCount, SchemaError> {
    let migrated: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(pool)
        .await?;
    let found: i64 = if migrated {
        let query = "select coalesce(max(version) filter (where success), 0) from _sqlx_migrations";
        sqlx::query_scalar(query).fetch_one(pool).await?
    } else {
        0
    };
    match found.cmp(&newest()) {
        std::cmp::Ordering::Less => Err(SchemaError::TooOld { found, needed: newest() }),
        std::cmp::Ordering::Greater => Err(SchemaError::TooNew { found, known: newest() }),
        std::cmp::Ordering::Equal => {
            if let Some(projection) = projections_due(pool).await?.into_iter().next() {
                return Err(SchemaError::ProjectionDue { projection });
            }
            let lanes: i64 =
                sqlx::query_scalar("select count(*) from lane_numbers").fetch_one(pool).await?;
            Ok(LaneCount::try_from(lanes)?)
        }
    }
}
