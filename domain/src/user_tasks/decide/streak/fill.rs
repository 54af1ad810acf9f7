//! Periods before the last step that are filled later, by a late action or a make-up. The run that
//! such a period joins is recomputed.

use jiff::Timestamp;

use super::{By, reach};
use crate::calendar::Period;
use crate::user_tasks::decide::ActionContext;
use crate::user_tasks::event::{Event, Protected, RecomputedPast};
use crate::user_tasks::gap::{FreezeAccount, StreakRules, Until};
use crate::user_tasks::state::{StreakState, Stretch};

/// Limit on the steps after a filled period that are recomputed. No look-back is as long; a
/// lateness may be, if periods are short.
const STEPS_BEHIND_MAX: i64 = 1_000;

/// Returns the events of filling a period before the last step; `None` if too little of that time
/// is remembered.
pub(super) fn fill(
    context: &ActionContext<'_>,
    rules: &StreakRules<'_>,
    streak: &StreakState,
    period: &Period,
    by: By,
) -> Option<Vec<Event>> {
    let first = streak.stretches.first()?;
    let split = streak.stretches.partition_point(|stretch| stretch.from < period.starts_at);
    let (earlier, later) = streak.stretches.split_at(split);
    let steps_behind: i64 = later.iter().map(|stretch| stretch.count).sum();
    if (split == 0 && first.from != streak.first_at) || steps_behind > STEPS_BEHIND_MAX {
        return None;
    }
    let mut account = rules.account();
    match by {
        By::Step => account.give_back(period.ends_at),
        By::MakeUp => drop(rules.tail(context.action.occurred_at, &mut account)),
    }
    let mut run = RecomputedRun {
        rules,
        account,
        stretches: earlier.to_vec(),
        protected: Vec::new(),
        steps: Vec::new(),
        filled: 0,
    };
    let only = Stretch {
        from: period.starts_at,
        last: period.clone(),
        count: 1,
        before: 0,
        cycle_from: period.starts_at,
    };
    // Two parts of one run stay joined by what lay between them.
    let was_joined = later.first().is_some_and(|next| next.before > 0);
    let joins = was_joined || run.joins(&only);
    run.add(&only, joins);
    run.begin_with_cycle(earlier);
    let mut later = later.iter();
    for next in later.by_ref() {
        if next.before == 0 && !run.joins(next) {
            run.stretches.push(next.clone());
            break;
        }
        run.add(next, true);
    }
    run.stretches.extend(later.cloned());
    Some(run.into_events(context, streak, period))
}

/// The run that a filled period joins, while it is recomputed.
struct RecomputedRun<'a> {
    rules: &'a StreakRules<'a>,
    account: FreezeAccount<'a>,
    /// The stretches recomputed so far, oldest first.
    stretches: Vec<Stretch>,
    protected: Vec<Protected>,
    /// The steps of the run in order, from the cycle of the filled period on.
    steps: Vec<Step>,
    /// The index of the filled period's step in `steps`.
    filled: usize,
}

struct Step {
    period: Period,
    /// The number of the step within its cycle.
    number: i64,
    /// The start of the first period of its cycle.
    cycle_from: Option<Timestamp>,
}

impl RecomputedRun<'_> {
    /// True if a stretch continues the last one.
    fn joins(&mut self, next: &Stretch) -> bool {
        let Some(last) = self.stretches.last() else { return false };
        let gap = self.rules.gap(&last.last, Until::Step(next.from), &mut self.account);
        self.protected.extend(gap.protected);
        gap.broke_at.is_none()
    }

    /// Puts the earlier steps of the filled period's cycle before it: milestones that a later part
    /// of the run was granted in their place may now belong to another cycle.
    fn begin_with_cycle(&mut self, earlier: &[Stretch]) {
        let Some(filled) = self.steps.first() else { return };
        let cycle_from = filled.cycle_from;
        if self.rules.is_one_cycle() || !(2..=STEPS_BEHIND_MAX).contains(&filled.number) {
            return;
        }
        let of_cycle = earlier.iter().filter(|stretch| stretch.last.ends_at > cycle_from);
        let steps = of_cycle.flat_map(|stretch| {
            // The cycle begins within the stretch or before it.
            let first = if stretch.from < cycle_from { 1 } else { stretch.before + 1 };
            let periods = self.rules.periods(stretch.from.max(cycle_from), &stretch.last);
            let step =
                |(position, period)| Step { period, number: self.rules.step(position), cycle_from };
            (first..).zip(periods).map(step)
        });
        let before: Vec<_> = steps.collect();
        self.filled = before.len();
        self.steps.splice(..0, before);
    }

    /// Adds a stretch of steps. If `joins`, it continues the run of the last one.
    fn add(&mut self, next: &Stretch, joins: bool) {
        let last = self.stretches.last_mut().filter(|_| joins);
        let before = last.as_ref().map_or(0, |last| last.total());
        let mut cycle_from = last.as_ref().map_or(next.from, |last| last.cycle_from);
        for (index, period) in (1..=next.count).zip(self.rules.periods(next.from, &next.last)) {
            let number = self.rules.step(before.saturating_add(index));
            if number == 1 {
                cycle_from = period.starts_at;
            }
            self.steps.push(Step { period, number, cycle_from });
        }
        match last.filter(|last| last.last.ends_at == next.from) {
            Some(last) => {
                last.last = next.last.clone();
                last.count += next.count;
                last.cycle_from = cycle_from;
            }
            None => self.stretches.push(Stretch { before, cycle_from, ..next.clone() }),
        }
    }

    fn into_events(
        self,
        context: &ActionContext<'_>,
        streak: &StreakState,
        period: &Period,
    ) -> Vec<Event> {
        let version = self.rules.version;
        let at = context.action.occurred_at;
        let last = self.stretches.last();
        let current = last.map_or(0, Stretch::total);
        let longest = self.stretches.iter().map(Stretch::total).max().unwrap_or(0);
        let advanced = Event::StreakAdvanced {
            task: version.definition.id.clone(),
            version: version.version,
            period: period.clone(),
            current,
            longest: streak.longest.max(longest),
            step: self.rules.step(current),
            at,
            freezes: self.account.exists().then(|| self.account.left()),
            fillable_from: self.rules.fillable_from(&streak.last, at),
            rejudged: Some(RecomputedPast {
                step: self.steps.get(self.filled).map_or(1, |step| step.number),
                stretches: self.stretches,
                freeze_changes: self.account.changes(),
            }),
            protected: self.protected,
        };
        let run_ends_at = self.steps.last().and_then(|step| step.period.ends_at);
        let cycle_ends_at = |index: usize| {
            let step = &self.steps[index];
            let next = self.steps[index..].iter().find(|other| other.cycle_from != step.cycle_from);
            next.map_or(run_ends_at, |next| next.cycle_from)
        };
        // No part of the run was granted the step within this cycle.
        let is_new = |index: &usize| {
            let (step, cycle_ends_at) = (&self.steps[*index], cycle_ends_at(*index));
            !streak.reached.iter().any(|reached| {
                reached.milestone.at == step.number
                    && (step.cycle_from..cycle_ends_at).contains(&reached.starts_at)
            })
        };
        let new = (0..self.steps.len()).filter(is_new).map(|index| &self.steps[index]);
        let reached = new.flat_map(|step| reach(context, version, &step.period, step.number));
        [advanced].into_iter().chain(reached).collect()
    }
}
