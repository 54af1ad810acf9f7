//! Rule 13 for every cadence, with reserved freezes and a user who changes the zone: the facts do
//! not depend on who looks, or when.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::oracle::{apply, hour, sweep};
use super::*;
use crate::calendar::PeriodKey;

/// The number of periods over which things happen.
const PERIODS: i64 = 14;

/// The cadence of the task, and the usual length of its period in hours.
const CADENCES: [(&str, i64); 5] =
    [("day", 24), ("week", 168), ("month", 730), ("0 5 * * MON", 168), ("30 2 */2 * *", 48)];

#[derive(Debug, Clone)]
struct Setup {
    every: (&'static str, i64),
    zone: &'static str,
    grace: i64,
    initial: i64,
    max: i64,
    is_manual: bool,
    look_back: i64,
    /// In periods.
    lateness: i64,
    /// The time of the user's change of zone, and the new zone.
    moves: Option<(i64, &'static str)>,
}

impl Setup {
    fn catalogue(&self) -> Catalogue {
        let (every, hours) = self.every;
        let every = if every.contains(' ') { json!({ "cron": every }) } else { json!(every) };
        let used = if self.is_manual { "manual" } else { "automatic" };
        let mut rules = json!({
            "grace_periods": self.grace,
            "freezes": { "initial": self.initial, "max": self.max, "use": used },
        });
        if self.look_back > 0 {
            rules["make_up"] = json!({ "look_back": self.look_back, "on": "user.made_up_day" });
        }
        let objective = json!({ "on": ["user.signed_in"], "target": 1,
            "lateness_seconds": self.lateness * hours * 3_600 });
        let zone = if self.zone == "user" { json!("user") } else { json!({ "fixed": self.zone }) };
        let changes =
            json!({ "every": every, "zone": zone, "streak": rules, "objective": objective });
        catalogue([sign_in(&[1, 2, 4], changes)])
    }

    /// An instant, by the share of all periods that has passed.
    fn time(&self, permille: i64) -> Timestamp {
        hour(permille * PERIODS * self.every.1 / 1_000)
    }
}

fn setups() -> impl Strategy<Value = Setup> {
    let zones =
        || proptest::sample::select(&["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Apia"][..]);
    let every = proptest::sample::select(&CADENCES[..]);
    let zone = prop_oneof![1 => zones(), 3 => Just("user")];
    let freezes = (0..=3_i64, 0..=3_i64).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let moves = option::of((0..1_000_i64, zones()));
    let rules = (0..=2_i64, freezes, any::<bool>(), 0..=4_i64, 0..3_i64);
    (every, zone, rules, moves).prop_map(|(every, zone, rules, moves)| {
        let (grace, (initial, max), is_manual, look_back, lateness) = rules;
        Setup { every, zone, grace, initial, max, is_manual, look_back, lateness, moves }
    })
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    SignIn,
    MakeUp { periods_back: i64 },
    Grant { count: i64 },
    Wish { periods_ahead: i64 },
    Move { to: &'static str },
    Look,
}

/// Things that happen, in order of time, in thousandths of all periods.
fn happenings() -> impl Strategy<Value = Vec<(i64, Happening)>> {
    let what = prop_oneof![
        8 => Just(Happening::SignIn),
        3 => (0..6_i64).prop_map(|periods_back| Happening::MakeUp { periods_back }),
        1 => (1..4_i64).prop_map(|count| Happening::Grant { count }),
        3 => (-2..4_i64).prop_map(|periods_ahead| Happening::Wish { periods_ahead }),
        3 => Just(Happening::Look),
    ];
    vec((0..1_000_i64, what), 0..40)
}

/// The key of the period that lies `hours` from `now`.
fn key_near(given: &Given<'_>, now: Timestamp, hours: i64) -> PeriodKey {
    let at = now + jiff::SignedDuration::from_hours(hours);
    given.catalogue.tasks()[0].current().period_at(at, &given.state.zones).key
}

fn input(setup: &Setup, given: &Given<'_>, now: Timestamp, what: Happening) -> Option<Input> {
    let length = setup.every.1;
    Some(match what {
        Happening::SignIn => action("user.signed_in", now, &json!({})),
        Happening::MakeUp { periods_back } => {
            let period = key_near(given, now, -periods_back * length);
            action("user.made_up_day", now, &json!({ "period": period }))
        }
        Happening::Grant { count } => {
            let (user, task, reason, by) = (user(), id("sign-in"), None, None);
            Command::ByHand(HandCommand::GrantFreezes { user, task, count, reason, by, at: now })
                .into()
        }
        Happening::Wish { periods_ahead } => {
            let period = key_near(given, now, periods_ahead * length);
            action("plaudit.streak.freeze", now, &json!({ "task": "sign-in", "period": period }))
        }
        Happening::Move { to } => action("plaudit.user.updated", now, &json!({ "zone": to })),
        Happening::Look => return None,
    })
}

/// Lets all of it happen, with or without the looks.
fn live(setup: &Setup, list: &[(i64, Happening)], looks: bool) -> (UserTasks, Vec<Event>) {
    let catalogue = setup.catalogue();
    let mut given = given(&catalogue, &[]);
    let mut log = Vec::new();
    for (permille, what) in list {
        let now = setup.time(*permille);
        let events = match input(setup, &given, now, *what) {
            Some(input) => decide(&given.state, &input, &catalogue).unwrap().events,
            None if looks => sweep(&given, now),
            None => vec![],
        };
        apply(&mut given, &events, &mut log);
    }
    let due_at_the_end = sweep(&given, setup.time(1_300));
    apply(&mut given, &due_at_the_end, &mut log);
    (given.state, log)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rule_13_whoever_looks_when_the_facts_are_the_same_for_every_cadence(
        setup in setups(), mut list in happenings(),
    ) {
        list.extend(setup.moves.map(|(permille, to)| (permille, Happening::Move { to })));
        list.sort_by_key(|(permille, _)| *permille);
        let (looked_at, with_looks) = live(&setup, &list, true);
        let (left_alone, without) = live(&setup, &list, false);
        let of_streak = |log: &[Event]| -> Vec<Event> {
            // An update of the user touches no task, so nothing that is due is recorded before it.
            let is_of_streak = |e: &&Event| {
                !matches!(
                    e,
                    Event::ProgressRecorded { .. }
                        | Event::ActionNotCounted { .. }
                        | Event::UserUpdated { .. }
                )
            };
            log.iter().filter(is_of_streak).cloned().collect()
        };
        prop_assert_eq!(of_streak(&with_looks), of_streak(&without));
        prop_assert_eq!(looked_at, left_alone);
    }
}
