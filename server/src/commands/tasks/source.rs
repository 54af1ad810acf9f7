//! Access to the catalogue, in the database or through a server.

use std::time::Duration;

use jiff::Timestamp;
use plaudit_api::{PastLookup, Plan, PublishedTask, warnings_of};
use plaudit_audit::{Simulation, SimulationError, SimulationInput, Why, WhyError, WhyInput};
use plaudit_domain::catalogue::definition::{Kind, TaskDefinition};
use plaudit_domain::catalogue::{CatalogueTask, Status};
use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::LaneCount;
use plaudit_event_store::backfills::changes::{BackfillChange, BackfillChangeError, change};
use plaudit_event_store::backfills::{self, BackfillStatus};
use plaudit_event_store::catalogue_store::{
    self, AmnestyError, AmnestyScope, Author, CatalogueStore, DeclaredAmnesty, PublishError,
    Published, TaskChange,
};
use plaudit_event_store::{ExecuteError, pool};
use plaudit_task_file::LocatedTask;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgPool;

use super::http::{HttpCatalogue, HttpError};
use crate::config::{Config, ConfigError};
use crate::failure::Failure;
use crate::startup::NoAnswer;
use crate::{operator, startup};

/// Maximum number of backfills that are listed.
const BACKFILLS_MAX: i64 = 1_000;

/// The catalogue, in the database or behind a server.
pub enum CatalogueSource {
    /// In the database.
    Database(PgPool, LaneCount),
    /// Behind a server, without a connection to its database.
    Server(HttpCatalogue),
}

/// A task in a list.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListedTask {
    /// Its id.
    pub id: TaskId,
    /// Active, paused or retired.
    pub status: Status,
    /// The current version.
    pub version: u32,
    /// The kind of task.
    pub kind: Kind,
    /// The title in the default language.
    #[serde(skip_serializing)]
    pub title: String,
    /// Time of publication of the current version.
    pub published_at: Timestamp,
}

/// A task with all its versions.
#[derive(Debug, Deserialize)]
pub struct TaskHistory {
    /// Its id.
    #[serde(rename = "task")]
    pub id: TaskId,
    /// Active, paused or retired.
    pub status: Status,
    /// Oldest first.
    pub versions: Vec<PublishedVersion>,
    /// Changes with authors and reasons, oldest first.
    pub changes: Vec<TaskChange>,
}

/// A version as published.
#[derive(Debug, Deserialize)]
pub struct PublishedVersion {
    /// From 1.
    pub version: u32,
    /// The task.
    pub definition: TaskDefinition,
}

/// Error of the catalogue.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Error of the catalogue in the database.
    #[error(transparent)]
    Catalogue(#[from] PublishError),
    /// Error of the server.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Error of an amnesty in the database.
    #[error(transparent)]
    Amnesty(#[from] AmnestyError),
    /// Error of a backfill in the database.
    #[error(transparent)]
    Backfill(#[from] BackfillChangeError),
    /// Error of a dry run.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// Error of an explanation.
    #[error(transparent)]
    Why(#[from] WhyError),
    /// The database did not answer in time.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

impl From<ExecuteError> for SourceError {
    fn from(error: ExecuteError) -> Self {
        Self::Catalogue(error.into())
    }
}

impl From<sqlx::Error> for SourceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Catalogue(error.into())
    }
}

impl TaskHistory {
    /// The current version.
    pub fn current(&self) -> Result<&PublishedVersion, Failure> {
        let none = || Failure::new(format!("task {} has no version", self.id));
        self.versions.last().ok_or_else(none)
    }

    /// A version by its number.
    pub fn version(&self, number: u32) -> Result<&PublishedVersion, Failure> {
        let found = self.versions.iter().find(|version| version.version == number);
        let last = self.current()?.version;
        let missing = || {
            let id = &self.id;
            Failure::new(format!("task {id} has no version {number}, only 1 to {last}"))
        };
        found.ok_or_else(missing)
    }
}

impl CatalogueSource {
    /// Opens the server at `url`, or else the configured database. The configuration is read only
    /// for the latter.
    pub async fn open(
        url: Option<&str>,
        token: Option<&str>,
        config: &dyn Fn() -> Result<Config, ConfigError>,
    ) -> Result<Self, Failure> {
        if let (Some(url), Some(token)) = (url, token) {
            return Ok(Self::Server(HttpCatalogue::new(url, token)?));
        }
        let (pool, lane_count) = startup::checked_database(&config()?).await?;
        Ok(Self::Database(pool, lane_count))
    }

    /// All tasks.
    pub async fn list(&self) -> Result<Vec<ListedTask>, SourceError> {
        match self {
            Self::Server(server) => Ok(server.list().await?),
            Self::Database(pool, _) => {
                let catalogue = in_time(CatalogueStore::default().newest(pool)).await?;
                let mut tasks: Vec<_> = catalogue.tasks().iter().map(listed).collect();
                // The order is the same as over HTTP.
                tasks.sort_by(|a, b| a.id.cmp(&b.id));
                Ok(tasks)
            }
        }
    }

    /// One task.
    pub async fn history(&self, id: &TaskId) -> Result<TaskHistory, SourceError> {
        let pool = match self {
            Self::Server(server) => return Ok(server.history(id).await?),
            Self::Database(pool, _) => pool,
        };
        let catalogue = in_time(CatalogueStore::default().newest(pool)).await?;
        let task = catalogue.task(id).ok_or_else(|| PublishError::UnknownTask(id.clone()))?;
        let versions = task.versions.iter().map(|version| PublishedVersion {
            version: version.version,
            definition: version.definition.clone(),
        });
        let (status, versions) = (task.status, versions.collect());
        let changes = in_time(catalogue_store::changes_of(pool, id)).await?;
        Ok(TaskHistory { id: id.clone(), status, versions, changes })
    }

    /// Publishes tasks, all or none, with the same warnings as a plan.
    pub async fn publish(
        &self,
        tasks: &[&LocatedTask],
        reason: Option<String>,
    ) -> Result<Vec<PublishedTask>, SourceError> {
        let definitions: Vec<_> = tasks.iter().map(|task| task.definition.clone()).collect();
        match self {
            Self::Server(server) => Ok(server.publish(&definitions, reason.as_deref()).await?),
            Self::Database(pool, _) => {
                let catalogue = CatalogueStore::default();
                let in_force = in_time(catalogue.newest(pool)).await?;
                let warnings = warnings_of(tasks, &in_force, pool).await;
                let publishing = catalogue_store::publish(pool, &definitions, author(reason));
                let published = in_time(publishing).await?;
                Ok(PublishedTask::of_all(published, warnings))
            }
        }
    }

    /// Plans a publication. A server counts users only for as long as a request may take.
    pub async fn plan(
        &self,
        tasks: &[&LocatedTask],
        past: &PastLookup,
        counting_max: Duration,
    ) -> Result<Plan, SourceError> {
        match self {
            Self::Server(server) => {
                let definitions: Vec<_> = tasks.iter().map(|t| t.definition.clone()).collect();
                Ok(server.plan(&definitions).await?)
            }
            Self::Database(pool, _) => {
                let catalogue = CatalogueStore::default();
                let planning = Plan::of(tasks, &catalogue, pool, past, counting_max);
                let limit = counting_max + pool::ANSWER_MAX;
                Ok(startup::answer_within(limit, planning).await??)
            }
        }
    }

    /// Publishes an earlier version again.
    pub async fn roll_back(
        &self,
        id: &TaskId,
        version: u32,
        reason: Option<String>,
    ) -> Result<Published, Failure> {
        let server = match self {
            Self::Server(server) => server,
            Self::Database(pool, _) => {
                let rolling_back = catalogue_store::roll_back(pool, id, version, author(reason));
                return Ok(in_time(rolling_back).await?);
            }
        };
        let task = self.history(id).await?;
        let definition = task.version(version)?.definition.clone();
        let published = server.publish(&[definition], reason.as_deref()).await?;
        let published = published.into_iter().next();
        let PublishedTask { task, version, changed, .. } =
            published.ok_or_else(|| Failure::new("the server published nothing"))?;
        Ok(Published { task, version, changed })
    }

    /// The tasks that require a task or count its completions, retired ones left out.
    pub async fn needed_by(&self, id: &TaskId) -> Result<Vec<TaskId>, SourceError> {
        match self {
            Self::Server(server) => Ok(server.needed_by(id).await?),
            Self::Database(pool, _) => {
                let catalogue = in_time(CatalogueStore::default().newest(pool)).await?;
                Ok(catalogue.needed_by(id).cloned().collect())
            }
        }
    }

    /// Pauses, resumes or retires a task. Returns the tasks that need it, none if it is active.
    pub async fn set_status(
        &self,
        id: &TaskId,
        status: Status,
        reason: Option<String>,
    ) -> Result<Vec<TaskId>, SourceError> {
        match self {
            Self::Server(server) => Ok(server.set_status(id, status, reason).await?),
            Self::Database(pool, _) => {
                let author = author(Some(operator::or_none_given(reason)));
                in_time(catalogue_store::set_status(pool, id, status, author)).await?;
                if status == Status::Active { Ok(vec![]) } else { self.needed_by(id).await }
            }
        }
    }

    /// Declares that no streak breaks over a span of time.
    pub async fn declare_amnesty(
        &self,
        scope: AmnestyScope,
        reason: &str,
    ) -> Result<DeclaredAmnesty, SourceError> {
        match self {
            Self::Server(server) => Ok(server.declare_amnesty(&scope, reason).await?),
            Self::Database(pool, _) => {
                let by = operator::name();
                in_time(catalogue_store::declare_amnesty(pool, scope, &by, reason)).await
            }
        }
    }

    /// All backfills, without their partitions.
    pub async fn backfills(&self) -> Result<Vec<BackfillStatus>, SourceError> {
        match self {
            Self::Server(server) => Ok(server.backfills().await?),
            Self::Database(pool, _) => in_time(backfills::list(pool, BACKFILLS_MAX)).await,
        }
    }

    /// The backfill of a task.
    pub async fn backfill(&self, id: &TaskId) -> Result<BackfillStatus, SourceError> {
        match self {
            Self::Server(server) => Ok(server.backfill(id).await?),
            Self::Database(pool, _) => {
                let found = in_time(backfills::find(pool, id)).await?;
                Ok(found.ok_or_else(|| BackfillChangeError::Unknown(id.clone()))?)
            }
        }
    }

    /// All amnesties, the oldest declaration first.
    pub async fn amnesties(&self) -> Result<Vec<DeclaredAmnesty>, SourceError> {
        match self {
            Self::Server(server) => Ok(server.amnesties().await?),
            Self::Database(pool, _) => in_time(catalogue_store::amnesties(pool)).await,
        }
    }

    /// Pauses, resumes, cancels or releases the backfill of a task.
    pub async fn change_backfill(
        &self,
        id: &TaskId,
        requested: BackfillChange,
        reason: Option<String>,
    ) -> Result<BackfillStatus, SourceError> {
        match self {
            Self::Server(server) => Ok(server.change_backfill(id, requested, reason).await?),
            Self::Database(pool, _) => {
                let author = author(Some(operator::or_none_given(reason)));
                in_time(change(pool, id, requested, &author)).await?;
                self.backfill(id).await
            }
        }
    }

    /// Makes a dry run; the answer is JSON.
    pub async fn simulate(
        &self,
        input: SimulationInput,
        sent: Value,
    ) -> Result<Value, SourceError> {
        match self {
            Self::Server(server) => Ok(server.simulate(&sent).await?),
            Self::Database(pool, lane_count) => {
                let catalogue = CatalogueStore::default();
                let preparing = Simulation::prepare(input, *lane_count, &catalogue, pool);
                let simulated = in_time(preparing).await?.run()?;
                let json = serde_json::to_value(&simulated);
                Ok(json.map_err(|e| ExecuteError::Unreadable(e.to_string()))?)
            }
        }
    }

    /// Explains why a task does not move for a user; the answer is JSON.
    pub async fn why(&self, input: WhyInput, sent: Value) -> Result<Value, SourceError> {
        match self {
            Self::Server(server) => Ok(server.why(&input.task, &sent).await?),
            Self::Database(pool, lane_count) => {
                let catalogue = CatalogueStore::default();
                let preparing = Why::prepare(input, *lane_count, &catalogue, pool);
                let why = in_time(preparing).await?.run()?;
                let json = serde_json::to_value(&why);
                Ok(json.map_err(|e| ExecuteError::Unreadable(e.to_string()))?)
            }
        }
    }
}

/// Waits for an answer of the database, at most [`pool::ANSWER_MAX`].
async fn in_time<T, E>(asked: impl Future<Output = Result<T, E>>) -> Result<T, SourceError>
where
    SourceError: From<E>,
{
    Ok(startup::answer_within(pool::ANSWER_MAX, asked).await??)
}

fn author(reason: Option<String>) -> Author {
    Author { by: operator::name(), reason }
}

fn listed(task: &CatalogueTask) -> ListedTask {
    let current = task.current();
    ListedTask {
        id: task.id.clone(),
        status: task.status,
        version: current.version,
        kind: current.definition.kind,
        title: current.definition.text_in(None).title.clone(),
        published_at: current.published_at,
    }
}
