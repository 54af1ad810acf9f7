//! `plaudit tasks export`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use plaudit_domain::catalogue::Status;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::{CatalogueStore, PublishError};

use super::source::CatalogueSource;
use crate::failure::Failure;
use crate::output::{errln, outln};
use crate::startup;

/// Prints these tasks, or all that are not retired, as a task file. Facts that the file can't
/// express become comments in it, and lines of standard error.
pub async fn export(source: &CatalogueSource, ids: &[String]) -> Result<ExitCode, Failure> {
    let listed = source.list().await?.into_iter();
    let statuses: BTreeMap<_, _> = listed.map(|task| (task.id, task.status)).collect();
    let mut requested = Vec::with_capacity(ids.len());
    for id in ids {
        requested.push(id.parse::<TaskId>()?);
    }
    if ids.is_empty() {
        let offered = statuses.iter().filter(|(_, status)| **status != Status::Retired);
        requested.extend(offered.map(|(id, _)| id.clone()));
    }
    let definitions = in_force(source, &requested).await?;
    for remark in remarks(&definitions, &statuses) {
        errln!("{remark}");
        outln!("# {remark}");
    }
    outln!("{}", plaudit_task_file::to_yaml(&definitions).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Reads the current versions of these tasks.
async fn in_force(
    source: &CatalogueSource,
    ids: &[TaskId],
) -> Result<Vec<TaskDefinition>, Failure> {
    let mut definitions = Vec::with_capacity(ids.len());
    match source {
        CatalogueSource::Database(pool, _) => {
            let catalogue = startup::answer(CatalogueStore::default().newest(pool)).await?;
            for id in ids {
                let task =
                    catalogue.task(id).ok_or_else(|| PublishError::UnknownTask(id.clone()))?;
                definitions.push(task.current().definition.clone());
            }
        }
        CatalogueSource::Server(_) => {
            for id in ids {
                definitions.push(source.history(id).await?.current()?.definition.clone());
            }
        }
    }
    Ok(definitions)
}

/// Lists the differences between this installation and one where the file is published.
fn remarks(definitions: &[TaskDefinition], statuses: &BTreeMap<TaskId, Status>) -> Vec<String> {
    let exported: BTreeSet<&TaskId> = definitions.iter().map(|task| &task.id).collect();
    let mut remarks = Vec::new();
    for task in definitions {
        let id = &task.id;
        if statuses.get(id) == Some(&Status::Paused) {
            remarks.push(format!(
                "{id} is paused here; where it is new, it is active: pause it there too"
            ));
        }
        for needed in task.depends_on().filter(|needed| !exported.contains(needed)) {
            let retired = statuses.get(needed) == Some(&Status::Retired);
            let is = if retired {
                "is retired here and not in this file"
            } else {
                "is not in this file"
            };
            remarks.push(format!(
                "{id} needs {needed}, which {is}: the file is refused where {needed} was never published"
            ));
        }
        if let Some(backfill) = task.backfill {
            remarks.push(format!(
                "{id} counts past actions since {}; where it is new, it counts those of that installation, and is \
                 refused if that is more than 100 periods ago",
                backfill.from
            ));
        }
    }
    remarks
}
