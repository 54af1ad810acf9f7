//! The schema's version: bringing a database to it, and refusing any other.

use plaudit_domain::lane::{InvalidLaneCount, LaneCount};
use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

use crate::pool;
use crate::seen_actions::windows;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Why the database can't be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not migrated, or by an older program.
    #[error("the database has schema {found}, this program needs {needed}; run `plaudit migrate`")]
    TooOld {
        /// 0: none at all.
        found: i64,
        /// The newest that this program knows.
        needed: i64,
    },
    /// Migrated by a newer program.
    #[error(
        "the database has schema {found}, newer than {known}, the newest this program knows; run the newer plaudit that migrated it"
    )]
    TooNew {
        /// The version of the database.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A migration emptied a projection, and `plaudit migrate` was stopped before it filled it from the log.
    #[error("the projection {projection} is not filled from the log yet; run `plaudit migrate`")]
    ProjectionDue {
        /// The first of them.
        projection: String,
    },
    /// The number of lanes.
    #[error(transparent)]
    Lanes(#[from] InvalidLaneCount),
    /// The address of the database.
    #[error(
        "`database.url` is not a PostgreSQL address such as postgres://user@host/database: {0}"
    )]
    Url(#[source] sqlx::Error),
    /// A migration failed; what it did was rolled back.
    #[error("a migration failed: {0}")]
    Migration(#[from] MigrateError),
    /// The database.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Brings the database to this version, and makes its lanes if it is new.
pub async fn migrate(pool: &PgPool, lane_count: LaneCount) -> Result<(), SchemaError> {
    MIGRATIONS.run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => SchemaError::TooNew { found, known: newest() },
        other => SchemaError::Migration(other),
    })?;
    // Migrations take as long as they take; what follows does not.
    pool::within(pool::ANSWER_MAX, first_rows(pool, lane_count)).await
}

/// The rows that a new database begins with.
async fn first_rows(pool: &PgPool, lane_count: LaneCount) -> Result<(), SchemaError> {
    // Their number is fixed from then on: users would change lanes.
    sqlx::query(
        "insert into lane_numbers (lane) select n::smallint from generate_series(0, $1 - 1) n
         where not exists (select from lane_numbers)",
    )
    .bind(i32::from(lane_count.get()))
    .execute(pool)
    .await?;
    sqlx::query(
        "insert into follower_checkpoints (follower, lane, position)
         select follower, lane, 0 from lane_numbers, unnest(array['delivery', 'digests']) follower
         on conflict do nothing",
    )
    .execute(pool)
    .await?;
    // Needed before the first batch only. Later, somebody may hold the table, which is nobody's fault.
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

/// The projections that a migration emptied and that have to be filled from the log.
pub async fn projections_due(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select projection from projections_due order by projection")
        .fetch_all(pool)
        .await
}

/// Notes that a projection is filled.
pub async fn projection_filled(pool: &PgPool, projection: &str) -> sqlx::Result<()> {
    let sql = "delete from projections_due where projection = $1";
    sqlx::query(sql).bind(projection).execute(pool).await?;
    Ok(())
}

fn newest() -> i64 {
    MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
}

/// Refuses a schema that is older or newer than this program, and says which command helps.
/// Returns the number of lanes.
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
