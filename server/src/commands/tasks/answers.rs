//! Tasks of the catalogue, as the database or a server answers.

use jiff::Timestamp;
use plaudit_domain::catalogue::definition::{Kind, TaskDefinition};
use plaudit_domain::catalogue::{CatalogueTask, Status};
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::TaskChange;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

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

/// A task, as far as an export needs it.
#[derive(Debug, Deserialize)]
pub struct TaskInForce {
    /// Its id.
    pub id: TaskId,
    /// Active, paused or retired.
    pub status: Status,
    /// The version in force.
    pub definition: TaskDefinition,
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

impl ListedTask {
    /// The entry of a task.
    pub fn of(task: &CatalogueTask) -> Self {
        let current = task.current();
        Self {
            id: task.id.clone(),
            status: task.status,
            version: current.version,
            kind: current.definition.kind,
            title: current.definition.text_in(None).title.clone(),
            published_at: current.published_at,
        }
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
