//! The backfills that may still count something, as of one catalogue.

use std::collections::BTreeSet;
use std::sync::Mutex;

use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::catalogue::definition::BackfillRewards;
use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;

use super::rewards_from;
use crate::states::undecodable;

/// A backfill that may still count something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBackfill {
    /// The task.
    pub task: TaskId,
    /// The treatment of rewards that past actions earn.
    pub rewards: BackfillRewards,
}

/// All of them. Nearly always none, and then they cost a batch nothing.
#[derive(Debug, Default)]
pub struct OpenBackfills {
    open: Vec<OpenBackfill>,
    /// The lanes in which the boundary of each of them is known to be settled.
    bounded: Mutex<BTreeSet<Lane>>,
}

impl OpenBackfills {
    /// Reads those of the tasks of a catalogue. Read it after the catalogue: then none of its tasks is missed, and
    /// one that was published meanwhile is left out.
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

    /// One by its task.
    pub fn of(&self, task: &TaskId) -> Option<&OpenBackfill> {
        self.open.iter().find(|backfill| backfill.task == *task)
    }

    /// The tasks of all of them.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskId> {
        self.open.iter().map(|backfill| &backfill.task)
    }

    /// Those of some lanes in which the boundary may have to be settled.
    pub(crate) fn unbounded(&self, lanes: &BTreeSet<Lane>) -> Vec<Lane> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let bounded = self.bounded.lock().expect("nothing panics while it holds the lock");
        lanes.difference(&bounded).copied().collect()
    }

    /// Notes lanes whose boundaries are committed.
    pub(crate) fn note_bounded(&self, lanes: impl Iterator<Item = Lane>) {
        if !self.open.is_empty() {
            self.bounded.lock().expect("nothing panics while it holds the lock").extend(lanes);
        }
    }
}
