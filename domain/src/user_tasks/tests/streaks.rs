//! Rules 12 and 13: continuous tasks.

mod amnesties;
mod cadences;
mod freezes;
mod lateness;
mod looks;
mod make_up;
mod oracle;
mod protection;
mod restore;
mod steps;

use super::*;
use crate::user_tasks::decide::streak::{SWEPT_AFTER, settle, swept_at};

fn stepped(period: Period, [current, longest, step]: [i64; 3], when: &str) -> Event {
    let (task, at) = (id("sign-in"), at(when));
    Event::StreakAdvanced {
        task,
        version: 1,
        period,
        current,
        longest,
        step,
        at,
        freezes: None,
        protected: vec![],
        fillable_from: None,
        rejudged: None,
    }
}

/// The same step, with freezes left and these missed days protected.
fn after_missing(mut event: Event, left: Option<i64>, days: &[(u8, Protection)]) -> Event {
    let Event::StreakAdvanced { freezes, protected, .. } = &mut event else { panic!("{event:?}") };
    *freezes = left;
    *protected = days.iter().map(|(of, by)| Protected { period: day(*of), by: *by }).collect();
    event
}

fn broken(length: i64, last: &Period, when: &str) -> Event {
    let (task, last, at) = (id("sign-in"), last.key.clone(), at(when));
    Event::StreakBroken { task, version: 1, length, last, at }
}

fn protected(period: Period, by: Protection, when: &str) -> Event {
    Event::StreakProtected { task: id("sign-in"), version: 1, period, by, at: at(when) }
}

fn signed_in(period: Period, when: &str) -> Event {
    progressed("sign-in", period, [1, 1, 1], when)
}

/// Signs in once on each of these days.
fn on_days(days: impl IntoIterator<Item = u8>) -> Vec<Input> {
    days.into_iter().map(|day| signs_in(&format!("{day:02}T09:00"))).collect()
}

/// A streak with these rules that pays at these lengths.
fn streak(milestones: &[i64], rules: Value) -> Catalogue {
    catalogue([sign_in(milestones, json!({ "streak": rules }))])
}

/// The user makes up a day.
fn makes_up(day: u8, when: &str) -> Input {
    let data = json!({ "period": format!("2026-03-{day:02}") });
    action("user.made_up_day", at(when), &data)
}

fn grants_freezes(count: i64, when: &str) -> Input {
    let (user, task, at) = (user(), id("sign-in"), at(when));
    let (reason, by) = (Some("an outage".to_owned()), Some("ops".to_owned()));
    Command::ByHand(HandCommand::GrantFreezes { user, task, count, reason, by, at }).into()
}

impl When {
    /// Asserts the events in short form: `10: 2 of 3` is the step of the 10th, by which the streak
    /// is 2 long and the longest one 3.
    #[track_caller]
    fn then_recorded(self, expected: &[&str]) {
        let events = self.outcome.unwrap().events;
        let recorded: Vec<_> = events.iter().filter_map(summary).collect();
        assert_eq!(recorded, expected);
        check_folding_twice(&self.state, &events);
    }
}

/// The short form of an event about a streak; `None` for progress within a period.
fn summary(event: &Event) -> Option<String> {
    let day_of = |key: &crate::calendar::PeriodKey| key.as_str()[8..].to_owned();
    Some(match event {
        Event::StreakAdvanced { period, current, longest, .. } => {
            format!("{}: {current} of {longest}", day_of(&period.key))
        }
        Event::StreakProtected { period, by, .. } => {
            format!("{}: {}", day_of(&period.key), serde_json::to_value(by).unwrap().as_str()?)
        }
        Event::StreakBroken { length, last, .. } => format!("broken: {length} to {}", day_of(last)),
        Event::PeriodMadeUp { period, .. } => format!("{}: made up", day_of(&period.key)),
        Event::MilestoneReached { period, milestone, .. } => {
            format!("{}: reaches {milestone}", day_of(&period.key))
        }
        Event::TaskCompleted { period, .. } => format!("{}: completes", day_of(period)),
        Event::FreezesGranted { count, dropped, freezes, .. } => {
            format!("granted {count}, dropped {dropped}, now {freezes}")
        }
        Event::FreezeReserved { period, .. } => format!("{}: reserved", day_of(&period.key)),
        Event::ActionNotCounted { reason, .. } => reason.clone(),
        Event::ActionTooLate { .. } => "too late".to_owned(),
        // The event is not about streaks.
        _ => return None,
    })
}

/// `current`, `longest`, freezes left and whether the streak is at risk, as shown.
fn shown(past: &Given<'_>, now: &str) -> (i64, i64, i64, bool) {
    use crate::screen::{ScreenRequest, screen};
    let shown = screen(&user(), &past.state, past.catalogue, at(now), &ScreenRequest::default());
    let streak = shown[0].streak.unwrap();
    (streak.current, streak.longest, streak.freezes, streak.at_risk)
}
