//! Restoring a streak by hand: an operator fills a missed period.

use super::{make_up, period_of};
use crate::calendar::PeriodKey;
use crate::catalogue::Catalogue;
use crate::ids::TaskId;
use crate::user_tasks::decide::correct::progress::Author;
use crate::user_tasks::decide::{ActionContext, Rejection};
use crate::user_tasks::event::Event;
use crate::user_tasks::gap::StreakRules;
use crate::user_tasks::place::place;

/// Returns the events of a missed period that an operator fills. Like a make-up it joins runs and
/// grants no step again, but the task needs no `make_up`, and there is no look-back.
pub(in crate::user_tasks::decide) fn restore(
    context: &ActionContext<'_>,
    (task, key): (&TaskId, &PeriodKey),
    author: Author<'_>,
    catalogue: &Catalogue,
) -> Result<Vec<Event>, Rejection> {
    let unknown = || Rejection::UnknownTask { task: task.clone() };
    let task = catalogue.task(task).ok_or_else(unknown)?;
    let past = context.state.tasks.get(&task.id);
    let zones = &context.state.zones;
    let place = place(task, past, zones, context.action.occurred_at);
    if !place.version.definition.kind.shape().counts_streaks {
        return Err(Rejection::NoStreak { task: task.id.clone() });
    }
    let unknown = || Rejection::UnknownPeriod { task: task.id.clone(), period: key.to_string() };
    let period = period_of(task, &place, past, zones, key).ok_or_else(unknown)?;
    let refused = |reason| Rejection::NotCorrectable { task: task.id.clone(), reason };
    let rules = StreakRules::new(&place, past, zones);
    let named = format!("period {}", period.key);
    make_up::check_missed(context, &rules, &place, &period, &named).map_err(refused)?;
    let forgotten = || {
        refused(format!(
            "the steps around {named} are no longer remembered, because the task takes no make-up \
             of it; grant what is missing by hand"
        ))
    };
    make_up::filled(context, task, past, &place, &period, Some(author)).ok_or_else(forgotten)
}
