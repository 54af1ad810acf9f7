//! The schema's version, and how connections are set up.

use std::str::FromStr;
use std::time::Duration;

use plaudit_domain::lane::{InvalidLaneCount, LaneCount};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgPool};

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
    /// The number of lanes.
    #[error(transparent)]
    Lanes(#[from] InvalidLaneCount),
    /// The address of the database.
    #[error("`database.url` is no PostgreSQL address such as postgres://user@host/database: {0}")]
    Url(#[source] sqlx::Error),
    /// A migration failed; what it did was rolled back.
    #[error("a migration failed: {0}")]
    Migration(#[from] MigrateError),
    /// The database.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Opens connections for the batch and for reads. Does not wait for the database to be there.
pub fn connect(url: &str, connections_max: u32) -> Result<PgPool, SchemaError> {
    // The driver takes any scheme, and would try for long what can't be right.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        let scheme = "it begins with neither postgres:// nor postgresql://";
        return Err(SchemaError::Url(sqlx::Error::Configuration(scheme.into())));
    }
    let options =
        PgConnectOptions::from_str(url).map_err(SchemaError::Url)?.application_name("plaudit");
    // Statements come with arrays whose length the planner does not know: probing the key is right
    // for every length, and a plan made once is right for every batch.
    let options = options.options([
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("jit", "off"),
        ("lock_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "60s"),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(5))
        // A connection that was used a moment ago is there; asking each time would double the round
        // trips of a read. One that rested is asked, so that a restarted database is noticed.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > RESTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options))
}

/// How long a connection may rest before it is asked whether it is still there.
const RESTED: Duration = Duration::from_millis(500);

/// Brings the database to this version, and makes its lanes if it is new.
pub async fn migrate(pool: &PgPool, lane_count: LaneCount) -> Result<(), SchemaError> {
    MIGRATIONS.run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => SchemaError::TooNew { found, known: newest() },
        other => SchemaError::Migration(other),
    })?;
    // Their number is fixed from then on: users would change lanes.
    sqlx::query(
        "insert into lanes (lane) select n::smallint from generate_series(0, $1 - 1) n
         where not exists (select from lanes)",
    )
    .bind(i32::from(lane_count.get()))
    .execute(pool)
    .await?;
    sqlx::query(
        "insert into follower_checkpoints (follower, lane, position) select 'delivery', lane, 0 from lanes
         on conflict do nothing",
    )
    .execute(pool)
    .await?;
    prepare_seen_generations(pool).await?;
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
            let lanes: i64 =
                sqlx::query_scalar("select count(*) from lanes").fetch_one(pool).await?;
            Ok(LaneCount::try_from(lanes)?)
        }
    }
}

/// Makes the partitions of `seen_actions` for the running generation, the one before and the next, and
/// drops those that nobody looks into any more. Returns the generation that runs.
///
/// Asks for no lock if there is nothing to do, and gives up soon if somebody holds the table.
pub(crate) async fn prepare_seen_generations(pool: &PgPool) -> sqlx::Result<i32> {
    let mut tx = pool.begin().await?;
    // Several processes may come here at once.
    tx.execute(sqlx::raw_sql(
        "set local lock_timeout = '2s';
         select pg_advisory_xact_lock(hashtext('plaudit seen_actions'))",
    ))
    .await?;
    let generation: i32 =
        sqlx::query_scalar("select floor(extract(epoch from clock_timestamp()) / $1::bigint)::int")
            .bind(crate::lanes::GENERATION_SECONDS)
            .fetch_one(&mut *tx)
            .await?;
    let existing: Vec<(String, i32)> = sqlx::query_as(
        "select c.relname::text, substring(c.relname from '[0-9]+$')::int
         from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = 'seen_actions'::regclass",
    )
    .fetch_all(&mut *tx)
    .await?;
    for wanted in [generation - 1, generation, generation + 1] {
        if existing.iter().any(|(_, known)| *known == wanted) {
            continue;
        }
        // Made apart and then attached: batches go on meanwhile.
        let sql = format!(
            "create table seen_actions_{wanted} (like seen_actions including all);
             alter table seen_actions attach partition seen_actions_{wanted} for values in ({wanted})"
        );
        tx.execute(sqlx::raw_sql(&sql)).await?;
    }
    for (table, _) in existing.iter().filter(|(_, known)| *known < generation - 1) {
        tx.execute(sqlx::raw_sql(&format!("drop table {table}"))).await?;
    }
    tx.commit().await?;
    Ok(generation)
}
