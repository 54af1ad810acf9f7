//! Continuous tasks: periods in a row.

use super::Judgement;
use super::progress::{completed, milestone_reached};
use crate::calendar::Period;
use crate::catalogue::TaskVersion;
use crate::user_tasks::event::Event;
use crate::user_tasks::state::TaskState;

/// The facts of a period that counts: whether the streak broke before it, how long it is now, and
/// what that reaches. At most one step per period: a completed period takes no more actions.
pub(super) fn step(
    judgement: &Judgement<'_>,
    version: &TaskVersion,
    past: Option<&TaskState>,
    period: &Period,
) -> Vec<Event> {
    let definition = &version.definition;
    let task = definition.id.clone();
    let at = judgement.action.occurred_at;
    let before = past.and_then(|past| past.streak.as_ref());
    // A period before the last step was judged as missed, or lies before the streak began.
    if before.is_some_and(|streak| period.starts_at < streak.last.starts_at) {
        return vec![];
    }
    let mut events = Vec::new();
    let going_on = before.filter(|streak| streak.current > 0 && streak.reaches(period));
    if let (None, Some(streak)) = (going_on, before.filter(|streak| streak.current > 0)) {
        // It broke when the first missed period ended, whenever that is noticed.
        let missed = streak.last.ends_at.map(|end| version.period_at(end, &judgement.state.zones));
        events.push(Event::StreakBroken {
            task: task.clone(),
            version: version.version,
            length: streak.current,
            last: streak.last.key.clone(),
            at: missed.and_then(|missed| missed.ends_at).unwrap_or(at),
        });
    }
    let current = going_on.map_or(0, |streak| streak.current) + 1;
    let longest = before.map_or(0, |streak| streak.longest).max(current);
    let cycle = definition.streak.as_ref().and_then(|rules| rules.cycle);
    let step = cycle.map_or(current, |cycle| (current - 1) % cycle + 1);
    events.push(Event::StreakAdvanced {
        task,
        version: version.version,
        period: period.clone(),
        current,
        longest,
        step,
        at,
    });
    events.extend(reach(judgement, version, period, step));
    // The last milestone may have moved below where the streak already was. What is locked is not
    // completed by every further step, but by what is released.
    if step > definition.last_at()
        && past.is_none_or(|past| past.completed_at.is_none())
        && judgement.locked_by(&definition.requires).is_empty()
    {
        events.push(completed(judgement, version, period));
    }
    events
}

/// What the step that `period` is reaches.
pub(super) fn reach(
    judgement: &Judgement<'_>,
    version: &TaskVersion,
    period: &Period,
    step: i64,
) -> Vec<Event> {
    let definition = &version.definition;
    let mut events = Vec::new();
    if definition.milestones.iter().any(|m| m.at == step) {
        events.push(milestone_reached(judgement, version, period, step));
    }
    if step == definition.last_at() {
        events.push(completed(judgement, version, period));
    }
    events
}
