//! The missed periods of a streak: which of them were protected, and which one broke it.
//!
//! The rules, the screen and the sweep all use it, so that they can't disagree. Periods are decided
//! one by one, each in this order: a pause or an amnesty, a freeze, grace, then broken. The walk is
//! bounded however much time has passed: it takes one step for each freeze, each period of grace,
//! each pause and each amnesty.

use std::ops::ControlFlow;

use jiff::{SignedDuration, Timestamp};

use super::event::{Protected, Protection};
use super::place::{Place, fit_after};
use super::state::{FreezeChange, FreezeState, StreakState, TaskState};
use crate::calendar::{Period, Zones};
use crate::catalogue::definition::{FreezeUse, Freezes, Pause};
use crate::catalogue::{Amnesty, TaskVersion};

/// The rules and the past that decide about a user's streak.
pub(crate) struct StreakRules<'a> {
    pub version: &'a TaskVersion,
    pub past: Option<&'a TaskState>,
    zones: &'a Zones,
    grace_periods: i64,
    pub freezes: Freezes,
    pauses: &'a [Pause],
    amnesties: &'a [Amnesty],
    pub lateness: SignedDuration,
    cycle: Option<i64>,
    look_back: i64,
}

/// The end of a walk over missed periods.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// The start of a step's period. The step decides at once about the periods before it.
    Step(Option<Timestamp>),
    /// The moment of the request: only periods whose lateness is over by then count as missed.
    Due(Timestamp),
}

/// The missed periods in a row after a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The protected ones, oldest first.
    pub protected: Vec<Protected>,
    /// The time at which the first unprotected one was decided; `None`: there is none.
    pub broke_at: Option<Timestamp>,
}

impl<'a> StreakRules<'a> {
    pub fn new(place: &Place<'a>, past: Option<&'a TaskState>, zones: &'a Zones) -> Self {
        let version: &TaskVersion = place.version;
        let streak = version.definition.streak.as_ref();
        let lateness_seconds = version.definition.objective.lateness_seconds;
        Self {
            version,
            past,
            zones,
            grace_periods: streak.map_or(0, |streak| streak.grace_periods),
            freezes: streak.map_or_else(Freezes::default, |streak| streak.freezes),
            pauses: streak.map_or(&[], |streak| &streak.pauses),
            amnesties: place.amnesties,
            lateness: SignedDuration::from_secs(lateness_seconds),
            cycle: streak.and_then(|streak| streak.cycle),
            look_back: streak
                .and_then(|r| r.make_up.as_ref())
                .map_or(0, |make_up| make_up.look_back),
        }
    }

    /// The streak as of the user's last step.
    pub fn streak(&self) -> Option<&'a StreakState> {
        self.past.and_then(|past| past.streak.as_deref())
    }

    /// Opens an account of the user's freezes, from which a walk takes.
    pub fn account(&self) -> FreezeAccount<'a> {
        let state = self.past.and_then(|past| past.freezes.as_deref());
        FreezeAccount { freezes: self.freezes, state, used: Vec::new(), returned: None }
    }

    /// The periods missed since the last step, as of a moment; `None` without a streak.
    pub fn tail(&self, as_of: Timestamp, account: &mut FreezeAccount<'_>) -> Option<Gap> {
        Some(self.gap(&self.streak()?.last, Until::Due(as_of), account))
    }

    /// The missed periods after the period of a step.
    pub fn gap(&self, after: &Period, until: Until, account: &mut FreezeAccount<'_>) -> Gap {
        let mut protected = Vec::new();
        let broke_at = self.walk(after, until, account, |found| {
            protected.push(found);
            ControlFlow::Continue(())
        });
        Gap { protected, broke_at }
    }

    /// The time of the next decision that no event records yet, by the rules of now and if the user
    /// does nothing more; `None` without a streak, and once its break is recorded.
    pub fn next_decision(&self) -> Option<Timestamp> {
        let streak = self.streak()?;
        let recorded = streak.recorded.unwrap_or_default();
        let (mut account, mut next) = (self.account(), None);
        let broke_at =
            self.walk(&streak.last, Until::Due(Timestamp::MAX), &mut account, |protected| {
                let ends_at = protected.period.ends_at;
                if ends_at <= recorded.protected_until {
                    return ControlFlow::Continue(());
                }
                next = ends_at.map(|end| self.decided_at(end));
                ControlFlow::Break(())
            });
        next.or(broke_at.filter(|_| !recorded.broken))
    }

    /// Walks the missed periods after the period of a step until `protects` breaks off. Returns the
    /// time at which the first unprotected one was decided.
    fn walk(
        &self,
        after: &Period,
        until: Until,
        account: &mut FreezeAccount<'_>,
        mut protects: impl FnMut(Protected) -> ControlFlow<()>,
    ) -> Option<Timestamp> {
        let mut grace = self.grace_periods;
        let mut cursor = after.clone();
        while let Some(missed) = self.missed(&cursor, until) {
            let (by, last) = if let Some(pause_ends_at) = self.pause_over(&missed) {
                let last = self.last_before(pause_ends_at, &missed);
                (Protection::Pause, self.cut(last, until)?)
            } else if account.take(&missed) {
                (Protection::Freeze, missed.clone())
            } else if grace > 0 {
                grace -= 1;
                (Protection::Grace, missed.clone())
            } else {
                return missed.ends_at.map(|end| self.decided_at(end));
            };
            let period = Period { ends_at: last.ends_at, ..missed };
            if protects(Protected { period, by }).is_break() {
                return None;
            }
            cursor = last;
        }
        None
    }

    /// Returns the period after another one, if it is missed.
    fn missed(&self, after: &Period, until: Until) -> Option<Period> {
        if let Until::Step(start) = until
            && after.ends_at >= start
        {
            return None;
        }
        self.cut(self.following(after)?, until)
    }

    /// Cuts a period at the end of the walk; `None` if the period is not due.
    fn cut(&self, mut period: Period, until: Until) -> Option<Period> {
        let ends_at = period.ends_at?;
        match until {
            Until::Step(start) => period.ends_at = period.ends_at.min(start),
            Until::Due(as_of) if self.decided_at(ends_at) > as_of => return None,
            Until::Due(_) => {}
        }
        Some(period)
    }

    /// The time at which a period that ended is decided to be missed.
    pub fn decided_at(&self, ends_at: Timestamp) -> Timestamp {
        ends_at.checked_add(self.lateness).unwrap_or(Timestamp::MAX)
    }

    /// The end of the last pause or amnesty that touches a period.
    fn pause_over(&self, period: &Period) -> Option<Timestamp> {
        let touches = |pause: &&Pause| {
            period.ends_at.is_none_or(|end| pause.from < end)
                && period.starts_at.is_none_or(|start| start < pause.until)
        };
        let amnesties = self.amnesties.iter().map(|amnesty| &amnesty.span);
        self.pauses.iter().chain(amnesties).filter(touches).map(|pause| pause.until).max()
    }

    /// The last of the periods from `first` on that begin before `end`. Found without walking them,
    /// however many there are.
    fn last_before(&self, end: Timestamp, first: &Period) -> Period {
        if first.ends_at.is_none_or(|first_ends_at| end <= first_ends_at) {
            return first.clone();
        }
        let last = self.period_at(end - SignedDuration::from_micros(1));
        if last.starts_at > first.starts_at { last } else { first.clone() }
    }

    /// The period that contains an instant, by the calendar alone.
    fn period_at(&self, at: Timestamp) -> Period {
        self.version.period_at(at, self.zones)
    }

    /// The period right after another one; `None` after the last period.
    pub fn following(&self, period: &Period) -> Option<Period> {
        let end = period.ends_at?;
        let stored = self.past.and_then(|past| past.period_at(end)).map(|open| &open.period);
        let next = match stored {
            Some(stored) if stored.starts_at == Some(end) => stored.clone(),
            _ => fit_after(end, &period.key, end, |at| self.period_at(at)),
        };
        next.ends_at.is_none_or(|next_end| end < next_end).then_some(next)
    }

    /// The periods of a stretch of steps.
    pub fn periods(&self, from: Option<Timestamp>, last: &Period) -> impl Iterator<Item = Period> {
        let first = match from {
            Some(start) if from != last.starts_at => {
                Some(Period { starts_at: from, ..self.period_at(start) })
            }
            _ => Some(last.clone()),
        };
        let next = move |period: &Period| {
            let next = (period.starts_at < last.starts_at).then(|| self.following(period))??;
            // The bounds of the last period were fixed when it opened.
            Some(if next.starts_at >= last.starts_at { last.clone() } else { next })
        };
        std::iter::successors(first, next)
    }

    /// True if steps are numbered without end.
    pub fn is_one_cycle(&self) -> bool {
        self.cycle.is_none()
    }

    /// The number within its cycle of the n-th step of a run, from 1.
    pub fn step(&self, position: i64) -> i64 {
        self.cycle.map_or(position, |cycle| (position - 1) % cycle.max(1) + 1)
    }

    /// True if a period before the last step can still be filled.
    pub fn is_fillable(&self) -> bool {
        self.look_back > 0 || !self.lateness.is_zero() || self.version.past_periods().is_some()
    }

    /// The instant before which no period can be filled any more, after an action at `at` that is a
    /// step in `period`; `None` if no period can be filled.
    pub fn fillable_from(&self, period: &Period, at: Timestamp) -> Option<Timestamp> {
        if !self.is_fillable() {
            return None;
        }
        let mut from = period.starts_at?;
        if let Ok(open_from) = at.checked_sub(self.lateness) {
            from = self.period_at(open_from).starts_at.map_or(from, |start| start.min(from));
        }
        if let Some(past) = self.version.past_periods().filter(|past| at < past.open_until) {
            from = self.period_at(past.from).starts_at.map_or(from, |start| start.min(from));
        }
        for _ in 0..self.look_back {
            let before = from.checked_sub(SignedDuration::from_micros(1)).ok()?;
            from = self.period_at(before).starts_at.filter(|start| *start < from)?;
        }
        Some(from)
    }
}

/// A user's freezes while missed periods are decided.
pub(crate) struct FreezeAccount<'a> {
    freezes: Freezes,
    state: Option<&'a FreezeState>,
    /// The ends of the periods that a freeze protects by this walk.
    used: Vec<Timestamp>,
    /// The end of a period whose freeze was given back.
    returned: Option<Timestamp>,
}

impl FreezeAccount<'_> {
    /// True if the task has freezes, or the user has a record of some.
    pub fn exists(&self) -> bool {
        self.freezes.max > 0 || self.state.is_some()
    }

    /// The number left, at most the task's `max`.
    pub fn left(&self) -> i64 {
        self.counted().clamp(0, self.freezes.max)
    }

    /// The sum of all known grants and uses.
    fn counted(&self) -> i64 {
        let total = self.state.map_or(self.freezes.initial, |s| s.total(self.freezes.initial));
        let used = i64::try_from(self.used.len()).unwrap_or(i64::MAX);
        let returned = i64::from(self.returned.is_some());
        total - used + returned
    }

    /// Gives back the freeze that was used for a period, if there is one.
    pub fn give_back(&mut self, ends_at: Option<Timestamp>) {
        self.returned = ends_at.filter(|end| self.was_used(*end));
    }

    /// Recent grants and uses, oldest first.
    pub fn changes(&self) -> Vec<FreezeChange> {
        let known =
            self.state.into_iter().flat_map(|state| state.changes.iter().chain(&state.granted));
        let used = self.used.iter().map(|at| FreezeChange { at: *at, by: -1 });
        let is_returned = |c: &FreezeChange| c.by < 0 && Some(c.at) == self.returned;
        let mut changes: Vec<_> = known.copied().filter(|c| !is_returned(c)).chain(used).collect();
        changes.sort_by_key(|change| change.at);
        changes
    }

    /// Uses a freeze for a missed period. Returns true if the period is protected by one, also by
    /// an earlier use. A freeze is available only if it was granted before the period ended and no
    /// later period has used it.
    fn take(&mut self, missed: &Period) -> bool {
        let Some(end) = missed.ends_at else { return false };
        if self.was_used(end) {
            return true;
        }
        let is_usable = || match self.freezes.used {
            FreezeUse::Automatic => true,
            FreezeUse::Manual => self.is_reserved(missed),
        };
        let is_available = self.freezes.max > 0 && is_usable() && self.least_since(end) > 0;
        if is_available {
            self.used.push(end);
        }
        is_available
    }

    fn was_used(&self, end: Timestamp) -> bool {
        let known = self.state.into_iter().flat_map(|state| &state.changes);
        let mut uses = known.filter(|change| change.by < 0).map(|change| change.at);
        self.returned != Some(end) && (uses.any(|at| at == end) || self.used.contains(&end))
    }

    /// True if a freeze is reserved for this period.
    pub fn is_reserved(&self, period: &Period) -> bool {
        self.state.is_some_and(|state| state.reserved.iter().any(|kept| kept.period == period.key))
    }

    /// The lowest number of freezes at any time from the end of a period on.
    fn least_since(&self, end: Timestamp) -> i64 {
        let mut left = self.counted();
        let mut least = left;
        let is_later = |c: &&FreezeChange| c.at > end || (c.by > 0 && c.at == end);
        for change in self.changes().iter().rev().take_while(|c| c.at >= end).filter(is_later) {
            left -= change.by;
            least = least.min(left);
        }
        least
    }
}
