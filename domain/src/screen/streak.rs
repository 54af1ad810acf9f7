//! A streak as shown: as of now, whether or not its end has been recorded as an event.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use super::Standing;
use crate::calendar::Period;
use crate::user_tasks::gap::{StreakRules, Until};
use crate::user_tasks::{ReachedMilestone, StreakState};

/// A streak as of the moment of the read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StreakScreen {
    /// Steps in a row; 0 once the streak broke.
    pub current: i64,
    /// The longest streak so far.
    pub longest: i64,
    /// Freezes left.
    pub freezes: i64,
    /// True if there is a streak and the current period has no step yet.
    pub at_risk: bool,
}

/// A streak that did not break.
struct Alive {
    current: i64,
    /// The beginning of the running cycle.
    cycle_from: Option<Timestamp>,
}

impl Standing<'_> {
    /// A streak that a missed period broke is over, whether or not an event has recorded that yet.
    pub(crate) fn of_streak(rules: &StreakRules<'_>, shown: &Period, now: Timestamp) -> Self {
        let streak = rules.streak();
        let mut account = rules.account();
        // A reader whose clock is behind the producer's looks at a period before the last step.
        let gap = rules.tail(now, &mut account).unwrap_or_default();
        let alive = streak.filter(|_| gap.broke_at.is_none()).map(|s| alive(rules, s, now));
        let step = alive.as_ref().map_or(0, |alive| rules.step(alive.current));
        let last_at = rules.version.definition.last_at();
        let current = alive.as_ref().map_or(0, |alive| alive.current);
        let has_step = |streak: &StreakState| {
            shown.starts_at < streak.last.starts_at || streak.has_step(shown)
        };
        Self {
            progress: step.min(last_at),
            // A milestone that is withheld, because a prerequisite is missing, completes nothing.
            finished: step >= last_at && rules.past.is_some_and(|past| past.completed_at.is_some()),
            reached: alive
                .zip(streak)
                .map_or(Cow::Borrowed(&[]), |(alive, streak)| reached(streak, alive.cycle_from)),
            streak: Some(StreakScreen {
                current,
                longest: streak.map_or(0, |streak| streak.longest).max(current),
                freezes: account.left(),
                at_risk: current > 0 && !streak.is_some_and(has_step),
            }),
        }
    }
}

/// The figures of an unbroken streak. A missed period before the last step does not separate it
/// from the run before, as long as late actions can still fill the period.
fn alive(rules: &StreakRules<'_>, streak: &StreakState, now: Timestamp) -> Alive {
    let known = Alive { current: streak.current, cycle_from: streak.cycle_from };
    let [.., before, last] = &streak.stretches[..] else { return known };
    if last.before > 0 {
        return known;
    }
    let gap = rules.gap(&before.last, Until::Step(last.from), &mut rules.account());
    if gap.broke_at.is_none_or(|broke_at| broke_at <= now) {
        return known;
    }
    let current = before.total().saturating_add(last.count);
    let mut cycle_from = before.cycle_from;
    for (index, period) in (1..=last.count).zip(rules.periods(last.from, &last.last)) {
        if rules.step(before.total().saturating_add(index)) == 1 {
            cycle_from = period.starts_at;
        }
    }
    Alive { current, cycle_from }
}

/// The milestones reached in the running cycle. If runs were joined, a step may have been granted
/// twice; the first grant is shown.
fn reached(
    streak: &StreakState,
    cycle_from: Option<Timestamp>,
) -> Cow<'static, [ReachedMilestone]> {
    let mut shown: Vec<ReachedMilestone> = Vec::new();
    for reached in streak.reached.iter().filter(|reached| reached.starts_at >= cycle_from) {
        if !shown.iter().any(|earlier| earlier.at == reached.milestone.at) {
            shown.push(reached.milestone.clone());
        }
    }
    Cow::Owned(shown)
}
