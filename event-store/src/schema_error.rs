//! The error of a database that can't be used as it is, or can't be found.

use plaudit_domain::lane::InvalidLaneCount;
use sqlx::migrate::MigrateError;

/// The reason why the database can't be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database was not migrated, or by an older program.
    #[error("the database has schema {found}, this program needs {needed}; run `plaudit migrate`")]
    TooOld {
        /// The version of the database; 0 if it has no schema.
        found: i64,
        /// The newest version that this program knows.
        needed: i64,
    },
    /// The database was migrated by a newer program.
    #[error(
        "the database has schema {found}, newer than {known}, the newest this program knows; run the newer plaudit that migrated it"
    )]
    TooNew {
        /// The version of the database.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// A migration emptied a projection, and `plaudit migrate` was stopped before it refilled it
    /// from the log.
    #[error("the projection {projection} is not filled from the log yet; run `plaudit migrate`")]
    ProjectionDue {
        /// The first such projection.
        projection: String,
    },
    /// The number of lanes is not valid.
    #[error(transparent)]
    Lanes(#[from] InvalidLaneCount),
    /// The address of the database is not valid.
    #[error(
        "`database.url` is not a PostgreSQL address such as postgres://user@host/database: {0}"
    )]
    Url(#[source] sqlx::Error),
    /// A migration failed and was rolled back.
    #[error("a migration failed: {0}")]
    Migration(#[from] MigrateError),
    /// The database failed.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}
