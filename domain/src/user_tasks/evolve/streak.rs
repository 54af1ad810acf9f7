//! The fold of streaks.

use jiff::Timestamp;

use super::super::event::{Event, Protection, RecomputedPast};
use super::super::state::{
    FreezeChange, FreezeState, ReachedMilestone, ReachedStep, RecordedGap, ReservedFreeze,
    StreakState, Stretch, TaskState,
};
use crate::calendar::Period;

/// Folds a step, or a period that was filled later.
pub(super) fn advance(task: &mut TaskState, event: &Event) {
    let Event::StreakAdvanced { period, current, longest, step, fillable_from, rejudged, .. } =
        event
    else {
        return;
    };
    if let Some(open) = task.periods.iter_mut().find(|p| p.period.key == period.key) {
        let step = rejudged.as_ref().map_or(*step, |past| past.step);
        open.withheld_step = open.withheld.then_some(step);
    }
    count_freezes(&mut task.freezes, event);
    let figures = Figures { current: *current, longest: *longest, step: *step };
    let mut streak = match task.streak.take() {
        Some(streak) => streak,
        None => Box::new(begin(period, figures)),
    };
    match rejudged {
        Some(past) => streak.replace_past(past),
        None => streak.go_on(period, figures, fillable_from.is_some()),
    }
    (streak.current, streak.longest, streak.step) = (*current, *longest, *step);
    streak.first_at = streak.first_at.min(period.starts_at);
    streak.forget(*fillable_from);
    // Uses of freezes between the first remembered step and a fillable period matter too.
    let first = streak.stretches.first().map_or(period.starts_at, |first| first.last.starts_at);
    let kept_from = fillable_from.map_or(first, |from| first.min(Some(from)));
    if let Some(freezes) = &mut task.freezes {
        freezes.changes.retain(|change| Some(change.at) >= kept_from);
        let is_open =
            |kept: &ReservedFreeze| kept.period != period.key && kept.ends_at > period.starts_at;
        freezes.reserved.retain(is_open);
    }
    task.streak = Some(streak);
}

#[derive(Clone, Copy)]
struct Figures {
    current: i64,
    longest: i64,
    step: i64,
}

fn begin(period: &Period, Figures { current, longest, step }: Figures) -> StreakState {
    StreakState {
        current,
        longest,
        step,
        last: period.clone(),
        cycle_from: period.starts_at,
        first_at: period.starts_at,
        reached: Vec::new(),
        stretches: Vec::new(),
        recorded: None,
    }
}

impl StreakState {
    /// Adds a step after the last one.
    fn go_on(&mut self, period: &Period, figures: Figures, is_remembered: bool) {
        let before = self.last_stretch();
        if figures.step == 1 {
            self.cycle_from = period.starts_at;
        }
        // Records about periods after this one stay.
        let is_later = |recorded: &RecordedGap| recorded.protected_until > period.ends_at;
        self.recorded = self
            .recorded
            .filter(is_later)
            .map(|recorded| RecordedGap { broken: false, ..recorded });
        if !is_remembered {
            self.stretches.clear();
        } else if before.last.key == period.key {
            // This is the user's first step, or the same fact again.
            if self.stretches.is_empty() {
                self.stretches.push(before);
            }
        } else {
            if self.stretches.is_empty() {
                self.stretches.push(before.clone());
            }
            let goes_on = before.last.ends_at == period.starts_at
                && before.total().saturating_add(1) == figures.current;
            match self.stretches.last_mut().filter(|_| goes_on) {
                Some(stretch) => {
                    stretch.last = period.clone();
                    stretch.count += 1;
                    stretch.cycle_from = self.cycle_from;
                }
                None => self.stretches.push(Stretch {
                    from: period.starts_at,
                    last: period.clone(),
                    count: 1,
                    before: figures.current - 1,
                    cycle_from: self.cycle_from,
                }),
            }
        }
        self.last = period.clone();
    }

    /// Replaces the past by the one that was recomputed.
    fn replace_past(&mut self, past: &RecomputedPast) {
        self.stretches.clone_from(&past.stretches);
        if let Some(last) = past.stretches.last() {
            self.last = last.last.clone();
            self.cycle_from = last.cycle_from;
        }
    }

    /// Forgets what no later action can change: stretches that another one follows before
    /// `fillable_from`, and milestones of cycles that no remembered stretch is in.
    fn forget(&mut self, fillable_from: Option<Timestamp>) {
        let is_over = |next: &Stretch| fillable_from.is_some_and(|from| next.from <= Some(from));
        let first = self.stretches.iter().rposition(is_over).unwrap_or(0);
        self.stretches.drain(..first);
        // Finished cycles of the first stretch can't change, unless a period before it is filled.
        let is_whole = |stretch: &&Stretch| fillable_from.is_some_and(|f| Some(f) <= stretch.from);
        let begun = self.stretches.iter().filter(is_whole).map(|stretch| stretch.from);
        let cycles = self.stretches.iter().map(|stretch| stretch.cycle_from);
        let kept_from = cycles.chain(begun).chain([self.cycle_from]).min().flatten();
        self.reached.retain(|reached| reached.starts_at >= kept_from);
    }

    /// Remembers a milestone that a step reached.
    pub(super) fn reach(&mut self, period: &Period, milestone: ReachedMilestone) {
        let remembered =
            self.stretches.iter().flat_map(|stretch| [stretch.from, stretch.cycle_from]);
        if period.starts_at < remembered.chain([self.cycle_from]).min().flatten() {
            return; // released of an earlier cycle: it can be claimed, and that is all
        }
        let is_it = |r: &ReachedStep| {
            r.milestone.at == milestone.at && r.milestone.period == milestone.period
        };
        if !self.reached.iter().any(is_it) {
            self.reached.push(ReachedStep { starts_at: period.starts_at, milestone });
        }
    }
}

/// Stores the number of freezes left after a step, and their changes.
fn count_freezes(freezes: &mut Option<Box<FreezeState>>, event: &Event) {
    let Event::StreakAdvanced { freezes: Some(left), protected, rejudged, .. } = event else {
        return;
    };
    let freezes = freezes.get_or_insert_default();
    freezes.left = Some(*left);
    let granted = std::mem::take(&mut freezes.granted);
    match rejudged {
        Some(past) => freezes.changes.clone_from(&past.freeze_changes),
        None => {
            freezes.changes.extend(granted);
            let frozen = protected.iter().filter(|p| p.by == Protection::Freeze);
            for at in frozen.filter_map(|p| p.period.ends_at) {
                let used = FreezeChange { at, by: -1 };
                if !freezes.changes.contains(&used) {
                    freezes.changes.push(used);
                }
            }
            freezes.changes.sort_by_key(|change| change.at);
        }
    }
}

/// Marks a protected period as recorded. An amnesty may protect a period after a break was
/// recorded; the streak then goes on.
pub(super) fn protect(task: &mut TaskState, period: &Period) {
    if let Some(streak) = &mut task.streak {
        let recorded = streak.recorded.get_or_insert_default();
        if period.ends_at > recorded.protected_until {
            *recorded = RecordedGap { protected_until: period.ends_at, broken: false };
        }
    }
}

/// Marks the break of the streak as recorded. The streak is kept until the next step, because a
/// period may be filled.
pub(super) fn break_off(task: &mut TaskState) {
    if let Some(streak) = &mut task.streak {
        let recorded = streak.recorded.get_or_insert_with(RecordedGap::default);
        recorded.broken = true;
    }
}

/// Adds granted freezes.
pub(super) fn grant_freezes(task: &mut TaskState, count: i64, at: Timestamp) {
    let freezes = task.freezes.get_or_insert_default();
    let granted = FreezeChange { at, by: count };
    let is_known = freezes.granted.contains(&granted) || freezes.changes.contains(&granted);
    if count > 0 && !is_known {
        freezes.granted.push(granted);
        freezes.granted.sort_by_key(|change| change.at);
    }
}

/// Reserves a freeze for a period.
pub(super) fn reserve_freeze(task: &mut TaskState, period: &Period) {
    let freezes = task.freezes.get_or_insert_default();
    if !freezes.reserved.iter().any(|kept| kept.period == period.key) {
        let (key, ends_at) = (period.key.clone(), period.ends_at);
        freezes.reserved.push(ReservedFreeze { period: key, ends_at });
    }
}
