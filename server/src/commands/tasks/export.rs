//! `plaudit tasks export`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use plaudit_domain::catalogue::Status;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::PublishError;

use super::answers::TaskInForce;
use super::source::CatalogueSource;
use crate::failure::Failure;
use crate::output::{errln, outln};

/// Prints these tasks, or all that are not retired, as a task file. All are read together, so that a
/// publication in between can't tear them apart. Facts that the file can't express become comments
/// in it, and lines of standard error.
pub async fn export(source: &CatalogueSource, ids: &[String]) -> Result<ExitCode, Failure> {
    let requested = ids.iter().map(|id| id.parse()).collect::<Result<Vec<TaskId>, _>>()?;
    let tasks = source.in_force().await?;
    let statuses: BTreeMap<_, _> =
        tasks.iter().map(|task| (task.id.clone(), task.status)).collect();
    let definitions = if requested.is_empty() {
        let offered = tasks.into_iter().filter(|task| task.status != Status::Retired);
        offered.map(|task| task.definition).collect()
    } else {
        picked(&tasks, &requested)?
    };
    for remark in remarks(&definitions, &statuses) {
        errln!("{remark}");
        outln!("# {remark}");
    }
    outln!("{}", plaudit_task_file::to_yaml(&definitions).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The definitions of these tasks, in this order.
fn picked(tasks: &[TaskInForce], ids: &[TaskId]) -> Result<Vec<TaskDefinition>, PublishError> {
    let definition = |id: &TaskId| {
        let task = tasks.iter().find(|task| task.id == *id);
        let task = task.ok_or_else(|| PublishError::UnknownTask(id.clone()))?;
        Ok(task.definition.clone())
    };
    ids.iter().map(definition).collect()
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
