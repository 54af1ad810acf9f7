//! The catalogue in the database: published atomically, judged by the revision that each batch
//! reads in its own transaction.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use chrono::{DateTime, Utc};
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::catalogue::{Catalogue, CatalogueTask, DependencyCycle, Status, TaskVersion};
use plaudit_domain::ids::TaskId;
use sqlx::types::Json;
use sqlx::{FromRow as _, PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::error::ExecuteError;
use crate::instant;

/// The catalogue as this process last read it.
#[derive(Debug, Default)]
pub struct CatalogueStore {
    cached: RwLock<Arc<Cached>>,
}

#[derive(Debug, Default)]
struct Cached {
    /// `None` until a catalogue was read.
    identity: Option<Uuid>,
    catalogue: Arc<Catalogue>,
}

impl CatalogueStore {
    /// What this process last read.
    pub fn current(&self) -> Arc<Catalogue> {
        Arc::clone(&self.cached().catalogue)
    }

    /// The catalogue of this identity, if it is the one that this process read last.
    pub fn known_as(&self, identity: Uuid) -> Option<Arc<Catalogue>> {
        let known = self.cached();
        (known.identity == Some(identity)).then(|| Arc::clone(&known.catalogue))
    }

    /// The catalogue of this identity, read if it is not here. A revision alone does not tell: after a restore
    /// the same number may mean other tasks.
    pub async fn of_identity(
        &self,
        identity: Uuid,
        connection: &mut PgConnection,
    ) -> Result<Arc<Catalogue>, ExecuteError> {
        if let Some(known) = self.known_as(identity) {
            return Ok(known);
        }
        let known = self.cached();
        let (read_as, catalogue) = read(&known.catalogue, connection).await?;
        let catalogue = Arc::new(catalogue);
        let read = Cached { identity: Some(read_as), catalogue: Arc::clone(&catalogue) };
        *self.cached.write().expect("nothing panics while it holds the lock") = Arc::new(read);
        Ok(catalogue)
    }

    /// The newest catalogue.
    pub async fn newest(&self, pool: &PgPool) -> Result<Arc<Catalogue>, ExecuteError> {
        let mut connection = pool.acquire().await?;
        let identity: Uuid = sqlx::query_scalar("select identity from catalogue")
            .fetch_one(&mut *connection)
            .await?;
        self.of_identity(identity, &mut connection).await
    }

    fn cached(&self) -> Arc<Cached> {
        Arc::clone(&self.cached.read().expect("nothing panics while it holds the lock"))
    }
}

/// A version, with its task.
#[derive(sqlx::FromRow)]
struct VersionColumns {
    task_id: String,
    status: String,
    changed_at: DateTime<Utc>,
    version: i32,
    definition: Json<TaskDefinition>,
    published_at: DateTime<Utc>,
}

/// Reads the catalogue with its identity. A version that is known and reads the same is not compiled again.
async fn read(
    known: &Catalogue,
    connection: &mut PgConnection,
) -> Result<(Uuid, Catalogue), ExecuteError> {
    let unreadable =
        |e: &dyn std::fmt::Display| ExecuteError::Unreadable(format!("the catalogue: {e}"));
    // One statement, so that a publication is seen whole or not at all.
    let rows = sqlx::query(
        "select c.identity, c.revision, v.*
         from catalogue c
         left join (
             select t.task_id, t.status, t.changed_at, v.version, v.definition, v.published_at
             from tasks t join task_versions v using (task_id)
         ) v on true
         order by v.task_id, v.version",
    )
    .fetch_all(&mut *connection)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let (identity, revision): (Uuid, i64) = (first.try_get(0)?, first.try_get(1)?);
    let mut tasks: Vec<CatalogueTask> = Vec::new();
    for row in &rows {
        if row.try_get::<Option<&str>, _>("task_id")?.is_none() {
            continue; // the only row of an empty catalogue
        }
        let VersionColumns { task_id: id, status, changed_at, version, definition, published_at } =
            VersionColumns::from_row(row)?;
        let Json(definition) = definition;
        let id: TaskId = id.parse().map_err(|e| unreadable(&e))?;
        let number = u32::try_from(version).map_err(|e| unreadable(&e))?;
        let same = known.version(&id, number).filter(|known| known.definition == definition);
        let version = match same {
            Some(known) => Arc::clone(known),
            None => {
                let at = instant::from_sql(published_at);
                Arc::new(TaskVersion::new(definition, number, at).map_err(|e| unreadable(&e))?)
            }
        };
        match tasks.last_mut().filter(|task| task.id == id) {
            Some(task) => task.versions.push(version),
            None => {
                let status =
                    status_from(&status).ok_or_else(|| unreadable(&format!("status {status}")))?;
                let status_since = instant::from_sql(changed_at);
                tasks.push(CatalogueTask { id, status, status_since, versions: vec![version] });
            }
        }
    }
    let catalogue = Catalogue::new(revision, tasks).map_err(|e| unreadable(&e))?;
    Ok((identity, catalogue))
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

/// What a publication did to one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The task.
    pub task: TaskId,
    /// The version in force.
    pub version: u32,
    /// Whether it is new; false: the definition was in force already.
    pub changed: bool,
}

/// Why nothing was published, or a task's status did not change.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The definitions do not fit the catalogue. All reasons are named.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Unfit(Vec<Unfit>),
    /// There is no such task.
    #[error("there is no task {0}; `plaudit tasks list` names those there are")]
    UnknownTask(TaskId),
    /// The task is retired for good.
    #[error("task {0} is retired; a retired task never returns, and its id is never used again")]
    Retired(TaskId),
    /// The database.
    #[error(transparent)]
    Store(#[from] ExecuteError),
}

/// Why one definition does not fit the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{task}: {reason}")]
pub struct Unfit {
    /// The task.
    pub task: TaskId,
    /// Its field, such as `kind` or `requires[1]`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl From<sqlx::Error> for PublishError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Publishes definitions, all or none. A definition that is in force already makes no version.
/// Tasks that are not named stay as they are.
pub async fn publish(
    pool: &PgPool,
    definitions: &[TaskDefinition],
    published_by: &str,
) -> Result<Vec<Published>, PublishError> {
    let mut tx = pool.begin().await?;
    // Publications wait for each other; batches only read the row.
    sqlx::query("select revision from catalogue for update").execute(&mut *tx).await?;
    let (_, known) = read(&Catalogue::default(), &mut tx).await?;
    check_fit(&known, definitions).map_err(PublishError::Unfit)?;
    let mut published = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let before = known.task(&definition.id);
        if let Some(task) = before.filter(|task| task.current().definition == *definition) {
            let version = task.current().version;
            published.push(Published { task: definition.id.clone(), version, changed: false });
            continue;
        }
        let version = before.map_or(1, |task| task.current().version + 1);
        sqlx::query("insert into tasks (task_id) values ($1) on conflict (task_id) do nothing")
            .bind(definition.id.as_str())
            .execute(&mut *tx)
            .await?;
        sqlx::query("insert into task_versions (task_id, version, definition, published_by) values ($1, $2, $3, $4)")
            .bind(definition.id.as_str())
            .bind(i64::from(version))
            .bind(Json(definition))
            .bind(published_by)
            .execute(&mut *tx)
            .await?;
        published.push(Published { task: definition.id.clone(), version, changed: true });
    }
    if published.iter().any(|p| p.changed) {
        sqlx::query("update catalogue set revision = revision + 1, identity = gen_random_uuid()")
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(published)
}

/// What can only be judged against what is there: kinds, retired ids, prerequisites, cycles,
/// and how many tasks one action touches.
pub fn check_fit(known: &Catalogue, definitions: &[TaskDefinition]) -> Result<(), Vec<Unfit>> {
    let mut faults = Vec::new();
    let named: HashMap<_, _> = definitions.iter().map(|d| (&d.id, d)).collect();
    for definition in definitions {
        let mut refuse = |field: String, reason: String| {
            faults.push(Unfit { task: definition.id.clone(), field, reason });
        };
        if let Some(task) = known.task(&definition.id) {
            if task.status == Status::Retired {
                let reason = "the task is retired; ids are never reused";
                refuse("id".to_owned(), reason.to_owned());
            }
            if task.current().definition.kind != definition.kind {
                let reason = "the kind of a task never changes; give the new task an id of its own";
                refuse("kind".to_owned(), reason.to_owned());
            }
        }
        for (field, ids) in dependencies(definition) {
            for (index, needed) in ids.iter().enumerate() {
                if known.task(needed).is_none() && !named.contains_key(needed) {
                    let reason = format!(
                        "`{field}` names {needed}, which is neither published nor in these files"
                    );
                    refuse(format!("{field}[{index}]"), reason);
                }
            }
        }
    }
    if faults.is_empty() {
        faults = check_together(known, definitions, &named);
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// The fields in which a definition names other tasks.
fn dependencies(definition: &TaskDefinition) -> [(&'static str, &[TaskId]); 2] {
    [
        ("requires", &definition.requires),
        ("objective.completions_of", &definition.objective.completions_of),
    ]
}

/// Whether the catalogue as it would be can be used.
fn check_together(
    known: &Catalogue,
    definitions: &[TaskDefinition],
    named: &HashMap<&TaskId, &TaskDefinition>,
) -> Vec<Unfit> {
    let untouched = known.tasks().iter().filter(|task| !named.contains_key(&task.id));
    let mut after: Vec<CatalogueTask> = untouched
        .map(|t| CatalogueTask {
            id: t.id.clone(),
            status: t.status,
            status_since: t.status_since,
            versions: t.versions.clone(),
        })
        .collect();
    let mut faults = Vec::new();
    for definition in definitions {
        let id = definition.id.clone();
        match TaskVersion::new(definition.clone(), 1, jiff::Timestamp::UNIX_EPOCH) {
            Ok(version) => after.push(CatalogueTask {
                id,
                status: Status::Active,
                status_since: jiff::Timestamp::UNIX_EPOCH,
                versions: vec![Arc::new(version)],
            }),
            Err(broken) => {
                let (field, reason) = (String::new(), broken.to_string());
                faults.push(Unfit { task: id, field, reason });
            }
        }
    }
    match Catalogue::new(0, after) {
        Err(cycle) => faults.extend(closing(&cycle, named)),
        Ok(after) => faults.extend(after.check_touched().err().and_then(|many| {
            // What was published before touched fewer, so one of these definitions is too many.
            let listens = |d: &&TaskDefinition| d.listens_to().any(|kind| *kind == many.action);
            let task = definitions.iter().find(listens).or(definitions.first())?.id.clone();
            Some(Unfit { task, field: "objective.on".to_owned(), reason: many.to_string() })
        })),
    }
    faults
}

/// The entry of one of these definitions that closes a cycle: what was published before had none.
fn closing(cycle: &DependencyCycle, named: &HashMap<&TaskId, &TaskDefinition>) -> Option<Unfit> {
    let next = cycle.tasks.iter().skip(1).chain(cycle.tasks.first());
    let entries = cycle.tasks.iter().zip(next).filter_map(|(task, next)| {
        let fields = dependencies(named.get(task)?);
        let (field, index) = fields
            .iter()
            .find_map(|(field, ids)| Some((field, ids.iter().position(|id| id == next)?)))?;
        Some((task.clone(), format!("{field}[{index}]")))
    });
    let (task, field) = entries.last()?;
    Some(Unfit { task, field, reason: cycle.to_string() })
}

/// Pauses, resumes or retires a task.
pub async fn set_status(pool: &PgPool, task: &TaskId, status: Status) -> Result<(), PublishError> {
    let mut tx = pool.begin().await?;
    sqlx::query("select revision from catalogue for update").execute(&mut *tx).await?;
    let before: Option<String> = sqlx::query_scalar("select status from tasks where task_id = $1")
        .bind(task.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    match before.as_deref().and_then(status_from) {
        None => return Err(PublishError::UnknownTask(task.clone())),
        Some(Status::Retired) if status != Status::Retired => {
            return Err(PublishError::Retired(task.clone()));
        }
        Some(before) if before == status => return Ok(()),
        Some(_) => {}
    }
    sqlx::query("update tasks set status = $1, changed_at = now() where task_id = $2")
        .bind(status_text(status))
        .bind(task.as_str())
        .execute(&mut *tx)
        .await?;
    sqlx::query("update catalogue set revision = revision + 1, identity = gen_random_uuid()")
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}
