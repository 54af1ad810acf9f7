//! The catalogue in the database. It is published atomically; each batch reads its identity in its
//! own transaction and is decided with that version.

mod amnesties;
mod changes;
mod fit;
mod publish;
mod reach;
mod unmatched_types;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use chrono::{DateTime, Utc};
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::catalogue::{Catalogue, CatalogueTask, Status, TaskVersion};
use plaudit_domain::ids::TaskId;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow as _, PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::backfills::OpenBackfills;
use crate::batch::{Incoming, Item};
use crate::error::ExecuteError;
use crate::off_the_runtime::off_the_runtime;
use crate::{catalogue_revision, instant};

pub use crate::author::Author;
pub use amnesties::{AmnestyError, AmnestyScope, DeclaredAmnesty, amnesties, declare_amnesty};
pub use changes::{TaskChange, TaskChangeKind, changes_of};
pub use fit::{CatalogueConflict, check_fit, with_drafts};
pub use publish::{PublishError, Published, publish, roll_back, set_status};
pub use reach::{UsersReached, users_reached};
use unmatched_types::UnmatchedTypes;

/// The catalogue as last read by this process.
#[derive(Debug, Default)]
pub struct CatalogueStore {
    cached: RwLock<Arc<Cached>>,
    /// Compiled versions. They stay here if the reader that needed them is cancelled, so the next
    /// reader has less to compile. Locked while compiling, so that no version is compiled twice.
    compiled: Arc<tokio::sync::Mutex<Versions>>,
    unmatched: UnmatchedTypes,
}

/// Compiled versions, by task and number.
type Versions = HashMap<(TaskId, u32), Arc<TaskVersion>>;

#[derive(Debug, Default)]
struct Cached {
    /// `None` until the catalogue has been read.
    identity: Option<Uuid>,
    in_force: InForce,
}

/// The catalogue in force, with the open backfills.
#[derive(Debug, Clone, Default)]
pub(crate) struct InForce {
    pub catalogue: Arc<Catalogue>,
    pub backfills: Arc<OpenBackfills>,
}

impl CatalogueStore {
    /// The catalogue that this process last read.
    pub fn current(&self) -> Arc<Catalogue> {
        Arc::clone(&self.cached().in_force.catalogue)
    }

    /// Counts the actions among these items that no task listens to, according to the catalogue
    /// last read.
    pub fn count_unmatched(&self, items: &[Item<Incoming>]) {
        let known = self.cached();
        if known.identity.is_none() {
            return; // A process that has read nothing yet can't tell.
        }
        for item in items {
            if let Incoming::Action(action) = &item.work {
                self.unmatched.count(action, &known.in_force.catalogue);
            }
        }
    }

    /// Returns the catalogue with this identity if it is the one last read.
    pub fn known_as(&self, identity: Uuid) -> Option<Arc<Catalogue>> {
        self.in_force_as(identity).map(|in_force| in_force.catalogue)
    }

    fn in_force_as(&self, identity: Uuid) -> Option<InForce> {
        let known = self.cached();
        (known.identity == Some(identity)).then(|| known.in_force.clone())
    }

    /// Returns the catalogue with this identity, and reads it if needed. The revision is not enough
    /// as a key: after a restore the same number may mean other tasks.
    pub async fn of_identity(
        &self,
        identity: Uuid,
        connection: &mut PgConnection,
    ) -> Result<Arc<Catalogue>, ExecuteError> {
        Ok(self.in_force(identity, connection).await?.catalogue)
    }

    /// Like [`Self::of_identity`], with the open backfills.
    pub(crate) async fn in_force(
        &self,
        identity: Uuid,
        connection: &mut PgConnection,
    ) -> Result<InForce, ExecuteError> {
        if let Some(known) = self.in_force_as(identity) {
            return Ok(known);
        }
        let rows = rows(connection).await?;
        let mut compiled = Arc::clone(&self.compiled).lock_owned().await;
        // A separate task, which continues if the batch is cancelled at its time limit. So a
        // catalogue that takes longer to compile than a batch may run is still compiled once.
        let compiling = tokio::task::spawn_blocking(move || compile(&rows, &mut compiled));
        let compiled = compiling.await.map_err(|e| unreadable(&e))??;
        let (read_as, catalogue) = compiled.finish(connection).await?;
        let backfills = OpenBackfills::read(&catalogue, connection).await?;
        let in_force = InForce { catalogue: Arc::new(catalogue), backfills: Arc::new(backfills) };
        let read = Cached { identity: Some(read_as), in_force: in_force.clone() };
        *self.cached.write().expect("nothing panics while it holds the lock") = Arc::new(read);
        Ok(in_force)
    }

    /// Reads the newest catalogue.
    pub async fn newest(&self, pool: &PgPool) -> Result<Arc<Catalogue>, ExecuteError> {
        let mut connection = pool.acquire().await?;
        let identity = catalogue_revision::identity(&mut connection).await?;
        self.of_identity(identity, &mut connection).await
    }

    fn cached(&self) -> Arc<Cached> {
        Arc::clone(&self.cached.read().expect("nothing panics while it holds the lock"))
    }
}

/// A version, with columns of its task.
#[derive(sqlx::FromRow)]
struct VersionColumns {
    task_id: String,
    status: String,
    changed_at: DateTime<Utc>,
    version: i32,
    definition: Json<TaskDefinition>,
    published_at: DateTime<Utc>,
}

/// A catalogue before the amnesties are added.
struct Compiled {
    identity: Uuid,
    revision: i64,
    tasks: Vec<CatalogueTask>,
}

impl Compiled {
    async fn finish(
        mut self,
        connection: &mut PgConnection,
    ) -> Result<(Uuid, Catalogue), ExecuteError> {
        amnesties::add_amnesties(&mut self.tasks, connection).await?;
        let catalogue = Catalogue::new(self.revision, self.tasks).map_err(|e| unreadable(&e))?;
        Ok((self.identity, catalogue))
    }
}

/// Reads the catalogue with its identity, and compiles all of it.
async fn read(connection: &mut PgConnection) -> Result<(Uuid, Catalogue), ExecuteError> {
    let rows = rows(connection).await?;
    let compiled = off_the_runtime(|| compile(&rows, &mut Versions::default()))?;
    compiled.finish(connection).await
}

/// The rows of the catalogue: each version, with its task and the catalogue's identity and revision.
async fn rows(connection: &mut PgConnection) -> Result<Vec<PgRow>, ExecuteError> {
    // One statement, so that a publication is visible completely or not at all.
    let rows =
        sqlx::query(include_str!("catalogue_store/load.sql")).fetch_all(&mut *connection).await?;
    Ok(rows)
}

fn unreadable(error: &dyn std::fmt::Display) -> ExecuteError {
    ExecuteError::Unreadable(format!("the catalogue: {error}"))
}

/// Compiles rows ordered by task and version. Skips a version whose compiled form is known and has
/// the same definition. Each version is added to `known` as soon as it is compiled; compiling a
/// pattern may take a tenth of a second.
fn compile(rows: &[PgRow], known: &mut Versions) -> Result<Compiled, ExecuteError> {
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let (identity, revision): (Uuid, i64) = (first.try_get(0)?, first.try_get(1)?);
    let mut tasks: Vec<CatalogueTask> = Vec::new();
    for row in rows {
        if row.try_get::<Option<&str>, _>("task_id")?.is_none() {
            continue; // the only row of an empty catalogue
        }
        let VersionColumns { task_id: id, status, changed_at, version, definition, published_at } =
            VersionColumns::from_row(row)?;
        let Json(definition) = definition;
        let id: TaskId = id.parse().map_err(|e| unreadable(&e))?;
        let number = u32::try_from(version).map_err(|e| unreadable(&e))?;
        let place = (id.clone(), number);
        let at = instant::from_sql(published_at);
        let earlier = tasks.last().filter(|task| task.id == id);
        let first_at = earlier.map_or(at, |task| task.versions[0].published_at);
        // After a restore, the same number may mean another version.
        let same = known
            .get(&place)
            .filter(|known| known.definition == definition && known.published_at == at);
        let version = match same {
            Some(known) => Arc::clone(known),
            None => {
                let version = TaskVersion::new(definition, number, at);
                let version = version.map_err(|e| unreadable(&e))?.of_task_since(first_at);
                let version = Arc::new(version);
                known.insert(place, Arc::clone(&version));
                version
            }
        };
        match tasks.last_mut().filter(|task| task.id == id) {
            Some(task) => task.versions.push(version),
            None => {
                let status =
                    status_from(&status).ok_or_else(|| unreadable(&format!("status {status}")))?;
                let status_since = instant::from_sql(changed_at);
                tasks.push(CatalogueTask {
                    id,
                    status,
                    status_since,
                    versions: vec![version],
                    amnesties: vec![],
                });
            }
        }
    }
    // After a restore there may be fewer versions.
    let numbers: HashMap<&TaskId, usize> =
        tasks.iter().map(|task| (&task.id, task.versions.len())).collect();
    known.retain(|(id, number), _| {
        numbers.get(id).is_some_and(|count| usize::try_from(*number).is_ok_and(|n| n <= *count))
    });
    Ok(Compiled { identity, revision, tasks })
}

fn status_from(text: &str) -> Option<Status> {
    match text {
        "active" => Some(Status::Active),
        "paused" => Some(Status::Paused),
        "retired" => Some(Status::Retired),
        _ => None,
    }
}

fn status_text(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Paused => "paused",
        Status::Retired => "retired",
    }
}
