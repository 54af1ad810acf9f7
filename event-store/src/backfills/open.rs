//! Backfills that may still count actions, for one version of the catalogue.

use std::collections::BTreeSet;
use std::sync::Mutex;

use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::catalogue::definition::BackfillRewards;
use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;

use super::rewards_from;
use crate::states::undecodable;

/// A backfill that may still count actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBackfill {
    /// The task.
    pub task: TaskId,
    /// The treatment of rewards that past actions earn.
    pub rewards: BackfillRewards,
}

/// All open backfills. The list is nearly always empty and then costs a batch nothing.
#[derive(Debug, Default)]
pub struct OpenBackfills {
    open: Vec<OpenBackfill>,
    /// Lanes whose boundary is known to be stored for all of these backfills.
    bounded: Mutex<BTreeSet<Lane>>,
}

impl OpenBackfills {
    /// Reads the open backfills of the tasks in a catalogue. Must follow the read of the catalogue:
    /// then no task of it is missed, and a task published in between is left out.
    pub(crate) async fn read(
        catalogue: &Catalogue,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Self> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select task_id, rewards from backfills where state in ('running', 'paused') order by task_id",
        )
        .fetch_all(connection)
        .await?;
        let mut open = Vec::with_capacity(rows.len());
        for (task, rewards) in rows {
            let task: TaskId = task.try_into().map_err(undecodable)?;
            if catalogue.task(&task).is_some() {
                open.push(OpenBackfill { task, rewards: rewards_from(&rewards)? });
            }
        }
        Ok(Self { open, bounded: Mutex::default() })
    }

    /// Finds the open backfill of a task.
    pub fn of(&self, task: &TaskId) -> Option<&OpenBackfill> {
        self.open.iter().find(|backfill| backfill.task == *task)
    }

    /// The tasks with an open backfill.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskId> {
        self.open.iter().map(|backfill| &backfill.task)
    }

    /// Returns those of the lanes whose boundary may not be stored yet.
    pub(crate) fn unbounded(&self, lanes: &BTreeSet<Lane>) -> Vec<Lane> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let bounded = self.bounded.lock().expect("nothing panics while it holds the lock");
        lanes.difference(&bounded).copied().collect()
    }

    /// Marks lanes as bounded once their boundaries are committed.
    pub(crate) fn note_bounded(&self, lanes: impl Iterator<Item = Lane>) {
        if !self.open.is_empty() {
            self.bounded.lock().expect("nothing panics while it holds the lock").extend(lanes);
        }
    }
}
