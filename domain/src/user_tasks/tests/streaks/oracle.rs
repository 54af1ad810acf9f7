//! The rules against a slow, obvious oracle that shares no code with them: it walks a list of
//! marked days from the first day again after each thing that happens.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::catalogue::Amnesty;
use crate::catalogue::definition::Pause;
use crate::screen::{ScreenRequest, screen};

/// The number of days on which things happen, from 2026-03-01 on.
const DAYS: i64 = 40;

#[derive(Debug, Clone)]
struct Setup {
    cycle: Option<i64>,
    grace: i64,
    initial: i64,
    max: i64,
    look_back: i64,
    /// Start and end, in hours since the first day began.
    pauses: Vec<(i64, i64)>,
    /// True if the pauses are declared as amnesties, which has the same effect.
    by_amnesty: bool,
    /// The number of sign-ins that make a day count.
    target: i64,
}

impl Setup {
    fn milestones(&self) -> Vec<i64> {
        (1..=self.cycle.unwrap_or(6)).filter(|at| at % 4 != 3).collect()
    }

    fn catalogue(&self, lateness_days: i64) -> Catalogue {
        let span = |(from, until): &(i64, i64)| Pause { from: hour(*from), until: hour(*until) };
        let spans: Vec<Pause> = self.pauses.iter().map(span).collect();
        let (pauses, amnesties) = if self.by_amnesty { (vec![], spans) } else { (spans, vec![]) };
        let mut rules = json!({
            "cycle": self.cycle, "grace_periods": self.grace, "pauses": pauses,
            "freezes": { "initial": self.initial, "max": self.max },
        });
        if self.look_back > 0 {
            rules["make_up"] = json!({ "look_back": self.look_back, "on": "user.made_up_day" });
        }
        let objective = json!({ "on": ["user.signed_in"], "target": self.target,
            "lateness_seconds": lateness_days * 86_400 });
        let changes = json!({ "streak": rules, "objective": objective });
        let mut tasks = tasks_in(Status::Active, [sign_in(&self.milestones(), changes)]);
        let declared = |span: Pause| Amnesty { span, declared_at: at("01T00:00") };
        tasks[0].amnesties = amnesties.into_iter().map(declared).collect();
        Catalogue::new(1, tasks).unwrap()
    }
}

pub(super) fn hour(hours: i64) -> Timestamp {
    at("01T00:00") + SignedDuration::from_hours(hours)
}

fn setups() -> impl Strategy<Value = Setup> {
    let cycles = prop_oneof![Just(None), (1..=7_i64).prop_map(Some)];
    let pause = (0..DAYS * 24, 1..120_i64).prop_map(|(from, hours)| (from, from + hours));
    let freezes = (0..=3_i64, 0..=3_i64).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let targets = prop_oneof![3 => Just(1_i64), 1 => Just(2_i64)];
    (cycles, 0..=2_i64, freezes, 0..=6_i64, vec(pause, 0..3), any::<bool>(), targets).prop_map(
        |(cycle, grace, (initial, max), look_back, pauses, by_amnesty, target)| Setup {
            cycle,
            grace,
            initial,
            max,
            look_back,
            pauses,
            by_amnesty,
            target,
        },
    )
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    SignIn,
    MakeUp { days_back: i64 },
    Grant { count: i64 },
    Look,
}

/// Things that happen, in order of time.
fn happenings() -> impl Strategy<Value = Vec<(i64, Happening)>> {
    let what = prop_oneof![
        8 => Just(Happening::SignIn),
        4 => (0..8_i64).prop_map(|days_back| Happening::MakeUp { days_back }),
        1 => (1..4_i64).prop_map(|count| Happening::Grant { count }),
        2 => Just(Happening::Look),
    ];
    vec((0..DAYS * 24, what), 0..60).prop_map(|mut list| {
        list.sort_by_key(|(hour, _)| *hour);
        list
    })
}

/// The slow oracle.
struct Oracle<'s> {
    setup: &'s Setup,
    steps: BTreeSet<i64>,
    /// The number of sign-ins by day.
    signs: BTreeMap<i64, i64>,
    /// The days for which a freeze was used.
    frozen: BTreeSet<i64>,
    /// Hour and number of freezes.
    grants: Vec<(i64, i64)>,
    longest: i64,
    /// Day and step.
    reached: Vec<(i64, i64)>,
}

impl Oracle<'_> {
    fn freezes_at(&self, hours: i64) -> i64 {
        let granted = self.grants.iter().filter(|(at, _)| *at < hours).map(|(_, count)| count);
        let used = self.frozen.iter().filter(|day| (**day + 1) * 24 <= hours).count();
        self.setup.initial + granted.sum::<i64>() - i64::try_from(used).unwrap()
    }

    fn is_paused(&self, day: i64) -> bool {
        let mut hours = day * 24..(day + 1) * 24;
        hours.any(|hour| {
            self.setup.pauses.iter().any(|(from, until)| (from..until).contains(&&hour))
        })
    }

    /// The runs of steps up to an hour, and whether the last one can still go on.
    fn runs(&mut self, until: i64) -> (Vec<Vec<i64>>, bool) {
        let mut runs: Vec<Vec<i64>> = Vec::new();
        let (mut is_alive, mut grace) = (false, 0);
        for day in 0..=until / 24 {
            if self.steps.contains(&day) {
                if !is_alive {
                    runs.push(Vec::new());
                }
                runs.last_mut().unwrap().push(day);
                (is_alive, grace) = (true, self.setup.grace);
            } else if is_alive && (day + 1) * 24 <= until && !self.is_paused(day) {
                // The freeze must have come in time, and no other day may have used it.
                let later = (day + 1) * 24..=until.max((day + 1) * 24);
                let is_free = |oracle: &Self| later.clone().all(|hour| oracle.freezes_at(hour) > 0);
                if self.frozen.contains(&day) || (self.setup.max > 0 && is_free(self)) {
                    self.frozen.insert(day);
                } else if grace > 0 {
                    grace -= 1;
                } else {
                    is_alive = false;
                }
            }
        }
        for run in &runs {
            self.longest = self.longest.max(i64::try_from(run.len()).unwrap());
        }
        (runs, is_alive)
    }

    fn step(&mut self, day: i64, now: i64) {
        if !self.steps.insert(day) {
            return;
        }
        let (runs, _) = self.runs(now);
        let run = runs.into_iter().find(|run| run.contains(&day)).unwrap();
        let length = usize::try_from(self.setup.cycle.unwrap_or(i64::MAX)).unwrap_or(usize::MAX);
        for cycle in run.chunks(length).filter(|cycle| cycle.last() >= Some(&day)) {
            let days = cycle[0]..=*cycle.last().unwrap();
            for (step, of) in (1..).zip(cycle) {
                let granted = self.reached.iter().any(|(on, s)| *s == step && days.contains(on));
                if self.setup.milestones().contains(&step) && !granted {
                    self.reached.push((*of, step));
                }
            }
        }
    }

    fn happens(&mut self, hours: i64, what: Happening) {
        self.runs(hours);
        let today = hours / 24;
        match what {
            Happening::SignIn => {
                let signs = self.signs.entry(today).or_default();
                *signs += 1;
                if *signs == self.setup.target {
                    self.step(today, hours);
                }
            }
            Happening::MakeUp { days_back } => {
                let day = today - days_back;
                let first = self.steps.first().copied();
                let is_taken = (1..=self.setup.look_back).contains(&days_back)
                    && first.is_some_and(|first| first < day);
                if is_taken {
                    self.step(day, hours);
                }
            }
            Happening::Grant { count } => {
                let room = self.setup.max - self.freezes_at(hours + 1);
                self.grants.push((hours, count.min(room).max(0)));
            }
            Happening::Look => {}
        }
    }
}

fn command(hours: i64, what: Happening) -> Option<Input> {
    let now = hour(hours);
    Some(match what {
        Happening::SignIn => action("user.signed_in", now, &json!({})),
        Happening::MakeUp { days_back } => {
            let day = hour(hours - days_back * 24).to_string();
            action("user.made_up_day", now, &json!({ "period": day[..10] }))
        }
        Happening::Grant { count } => {
            let (user, task, reason, by) = (user(), id("sign-in"), None, None);
            Command::GrantFreezes { user, task, count, reason, by, at: now }.into()
        }
        Happening::Look => return None,
    })
}

pub(super) fn apply(given: &mut Given<'_>, events: &[Event], log: &mut Vec<Event>) {
    for event in events {
        evolve(&mut given.state, event);
        log.push(event.clone());
    }
}

/// The events of a sweep at `now`. It finds the user exactly when there is something to record,
/// and not again before there is more.
pub(super) fn sweep(given: &Given<'_>, now: Timestamp) -> Vec<Event> {
    let task = &given.catalogue.tasks()[0];
    let as_of = now + SWEPT_AFTER;
    let events = decide(&given.state, &Command::Settle { as_of }, given.catalogue).unwrap().events;
    let found = |state: &UserTasks| swept_at(state, task).is_some_and(|at| at <= as_of);
    assert_eq!(found(&given.state), !events.is_empty(), "{events:?}");
    let mut state = given.state.clone();
    events.iter().for_each(|event| evolve(&mut state, event));
    assert!(!found(&state), "{:?} as of {as_of}", swept_at(&state, task));
    events
}

/// Lets all of it happen. The looks happen only if `looks` is true.
fn live(catalogue: &Catalogue, list: &[(i64, Happening)], looks: bool) -> (UserTasks, Vec<Event>) {
    let mut given = given(catalogue, &[]);
    let mut log = Vec::new();
    for (hours, what) in list {
        let events = match command(*hours, *what) {
            Some(command) => decide(&given.state, &command, catalogue).unwrap().events,
            None if looks => sweep(&given, hour(*hours)),
            None => vec![],
        };
        apply(&mut given, &events, &mut log);
    }
    let due_at_the_end = sweep(&given, hour(DAYS * 24));
    apply(&mut given, &due_at_the_end, &mut log);
    (given.state, log)
}

proptest! {
    #[test]
    fn rule_12_streaks_match_a_slow_oracle(setup in setups(), list in happenings()) {
        let catalogue = setup.catalogue(0);
        let mut oracle = Oracle {
            setup: &setup, steps: BTreeSet::new(), signs: BTreeMap::new(), frozen: BTreeSet::new(), grants: vec![],
            longest: 0, reached: vec![],
        };
        let mut given = given(&catalogue, &[]);
        let mut log = Vec::new();
        for (hours, what) in list {
            let events = match command(hours, what) {
                Some(command) => decide(&given.state, &command, &catalogue).unwrap().events,
                None => sweep(&given, hour(hours)),
            };
            apply(&mut given, &events, &mut log);
            oracle.happens(hours, what);
            let (runs, is_alive) = oracle.runs(hours);
            let current = runs.last().filter(|_| is_alive).map_or(0, Vec::len);
            let shown = &screen(&user(), &given.state, &catalogue, hour(hours), &ScreenRequest::default())[0];
            let streak = shown.streak.unwrap();
            let stepped = oracle.steps.contains(&(hours / 24));
            let expected = (i64::try_from(current).unwrap(), oracle.longest, oracle.freezes_at(hours + 1),
                current > 0 && !stepped);
            prop_assert_eq!((streak.current, streak.longest, streak.freezes, streak.at_risk), expected,
                "hour {}", hours);
            let mut reached: Vec<_> = log.iter().filter_map(|event| match event {
                Event::MilestoneReached { period, milestone, .. } => {
                    let since = period.starts_at.unwrap().duration_since(hour(0));
                    Some((since.as_hours() / 24, *milestone))
                }
                _ => None,
            }).collect();
            reached.sort_unstable();
            let mut by_oracle = oracle.reached.clone();
            by_oracle.sort_unstable();
            prop_assert_eq!(reached, by_oracle, "hour {}", hours);
        }
    }

    #[test]
    fn rule_13_sweeps_do_not_change_what_is_recorded_of_a_streak(
        setup in setups(), list in happenings(), lateness_days in 0..3_i64,
    ) {
        let catalogue = setup.catalogue(lateness_days);
        let (looked_at, with_looks) = live(&catalogue, &list, true);
        let (left_alone, without) = live(&catalogue, &list, false);
        let of_streak = |log: &[Event]| -> Vec<Event> {
            let is_of_streak = |e: &&Event| {
                !matches!(e, Event::ProgressRecorded { .. } | Event::ActionNotCounted { .. })
            };
            log.iter().filter(is_of_streak).cloned().collect()
        };
        prop_assert_eq!(of_streak(&with_looks), of_streak(&without));
        prop_assert_eq!(looked_at, left_alone);
    }

    /// A sweep goes by its own clock, and may look at days of which actions are still to arrive.
    #[test]
    fn rule_13_a_look_changes_nothing_of_what_late_actions_do(
        setup in setups(), list in happenings().prop_shuffle(), lateness_days in 0..60_i64,
    ) {
        let catalogue = setup.catalogue(lateness_days);
        let (mut looked_at, with_looks) = live(&catalogue, &list, true);
        let (mut left_alone, without) = live(&catalogue, &list, false);
        let decided = |log: &[Event]| -> Vec<Event> {
            let is_decided = |e: &&Event| {
                !matches!(e, Event::StreakProtected { .. } | Event::StreakBroken { .. })
            };
            log.iter().filter(is_decided).cloned().collect()
        };
        prop_assert_eq!(decided(&with_looks), decided(&without));
        for state in [&mut looked_at, &mut left_alone] {
            for streak in state.tasks.values_mut().filter_map(|task| task.streak.as_mut()) {
                streak.recorded = None;
            }
        }
        // A look leaves nothing behind but the record of it, also in a task that nothing else
        // touched.
        prop_assert_eq!(looked_at, left_alone);
    }

    #[test]
    fn rule_13_a_fold_of_the_facts_is_the_state(setup in setups(), list in happenings()) {
        let catalogue = setup.catalogue(0);
        let (state, log) = live(&catalogue, &list, true);
        prop_assert_eq!(&fold(&log), &state);
        prop_assert_eq!(&fold(log.iter().flat_map(|event| [event, event])), &state);
        let json = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(&serde_json::from_str::<UserTasks>(&json).unwrap(), &state);
    }

    #[test]
    fn rule_03_days_that_arrive_in_any_order_make_the_same_streak(
        setup in setups(), days in Just((0..12_i64).collect::<Vec<_>>()).prop_shuffle(), count in 0..12_usize,
    ) {
        let setup = Setup { initial: 0, max: 0, look_back: 0, target: 1, ..setup };
        let catalogue = setup.catalogue(366);
        let days = &days[..count];
        let given = given(&catalogue, &[]);
        let arrived: Vec<_> =
            days.iter().map(|day| action("user.signed_in", hour(day * 24 + 9), &json!({}))).collect();
        let out_of_order = given.after(&arrived);
        let mut oracle = Oracle {
            setup: &setup, steps: days.iter().copied().collect(), signs: BTreeMap::new(), frozen: BTreeSet::new(), grants: vec![],
            longest: 0, reached: vec![],
        };
        let now = (DAYS + 366) * 24;
        let (runs, is_alive) = oracle.runs(now);
        let current = runs.last().filter(|_| is_alive).map_or(0, Vec::len);
        let shown = &screen(&user(), &out_of_order.state, &catalogue, hour(now), &ScreenRequest::default())[0];
        let streak = shown.streak.unwrap();
        prop_assert_eq!((streak.current, streak.longest), (i64::try_from(current).unwrap(), oracle.longest));
        // Whatever the order, every step of every run is granted in its cycle.
        let granted: BTreeMap<(i64, i64), usize> = out_of_order.state.tasks.get(&id("sign-in")).map_or_else(
            BTreeMap::new,
            |task| task.claimable.iter().fold(BTreeMap::new(), |mut granted, c| {
                let since = c.period.starts_at.unwrap().duration_since(hour(0));
                *granted.entry((since.as_hours() / 24, c.at)).or_default() += 1;
                granted
            }),
        );
        prop_assert!(granted.values().all(|count| *count == 1));
        let length = usize::try_from(setup.cycle.unwrap_or(i64::MAX)).unwrap_or(usize::MAX);
        for cycle in runs.iter().flat_map(|run| run.chunks(length)) {
            let within = cycle[0]..=*cycle.last().unwrap();
            for step in (1..).take(cycle.len()).filter(|step| setup.milestones().contains(step)) {
                prop_assert!(granted.keys().any(|(day, at)| *at == step && within.contains(day)),
                    "step {} of the cycle from {}", step, cycle[0]);
            }
        }
    }
}
