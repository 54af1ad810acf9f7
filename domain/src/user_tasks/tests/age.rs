//! The state stays small whatever a user's age: open periods, unsettled rewards, streaks.

use jiff::SignedDuration;

use super::sequences::zoo;
use super::*;

/// Limit on the state of a user with fourteen tasks: some hundred bytes for each task, with the
/// lines granted in the periods on screen, and some for each remembered change of zone.
const BYTES_MAX: usize = 14_000;

/// A day of a user who does all there is to do, and claims it in the evening.
fn live_a_day(number: i64, user_tasks: &mut Life<'_>) {
    let morning = at("01T06:00") + SignedDuration::from_hours(24 * number);
    let hour = |hour: i64| morning + SignedDuration::from_hours(hour);
    // A user who travels: a week here, a week there.
    if number % 7 == 0 {
        let zone = ["UTC", "Europe/Paris", "Asia/Tokyo"][usize::try_from(number / 7 % 3).unwrap()];
        user_tasks.does(&action("plaudit.user.updated", hour(0), &json!({ "zone": zone })));
    }
    // One day in ten is missed, and one gift comes a day late.
    if number % 10 != 9 {
        user_tasks.does(&action("user.signed_in", hour(1), &json!({})));
    }
    for gift in 2..8 {
        user_tasks.does(&action("gift.sent", hour(gift), &json!({ "coins": 7 })));
    }
    user_tasks.does(&action("gift.sent", hour(-20), &json!({ "coins": 1 })));
    for task in user_tasks.catalogue.tasks() {
        let claimed_at = hour(12);
        let (task, period, milestone) = (task.id.clone(), None, None);
        let claim = Command::ClaimRewards { user: user(), task, period, milestone, claimed_at };
        while user_tasks.does(&claim) {}
    }
}

struct Life<'c> {
    catalogue: &'c Catalogue,
    state: UserTasks,
    events: usize,
}

impl Life<'_> {
    /// Applies a command and delivers at once what it grants. Returns false if it was rejected.
    fn does(&mut self, command: &(impl Into<Input> + Clone)) -> bool {
        let Ok(decision) = decide(&self.state, command, self.catalogue) else { return false };
        for event in &decision.events {
            self.events += 1;
            evolve(&mut self.state, event);
            if let Event::MilestoneReached { rewards, mode: ClaimMode::Automatic, .. }
            | Event::RewardsClaimed { rewards, .. } = event
            {
                let start = Command::StartDeliveries { rewards: rewards.clone() };
                self.does(&start);
            }
        }
        true
    }
}

/// The size of the state that is read and written with every action. Claimable milestones and
/// grants are rows of their own.
fn size_of_state(state: &UserTasks) -> usize {
    let mut state = state.clone();
    state.grants.clear();
    for task in state.tasks.values_mut() {
        task.claimable.clear();
    }
    serde_json::to_string(&state).unwrap().len()
}

#[test]
fn the_state_stays_small_whatever_the_users_age() {
    let catalogue = catalogue(zoo());
    let mut life = Life { catalogue: &catalogue, state: UserTasks::default(), events: 0 };
    let mut sizes = Vec::new();
    for day in 0..366 {
        live_a_day(day, &mut life);
        sizes.push(size_of_state(&life.state));
    }
    assert!(life.events > 3_000, "something was done in that year: {} events", life.events);
    assert_eq!(life.state.tasks.len(), catalogue.tasks().len(), "with every task");
    // Changes of zone are remembered for 800 days, so all 53 of this year: some 40 bytes each.
    let largest = |days: std::ops::Range<usize>| *sizes[days].iter().max().unwrap();
    let (fifth_month, last_month) = (largest(122..153), largest(335..366));
    assert!(last_month <= fifth_month + 64 * 120, "{fifth_month} bytes, then {last_month}");
    assert!(largest(0..366) < BYTES_MAX, "{} bytes", largest(0..366));
}

#[test]
fn a_streak_remembers_no_more_of_its_past_than_can_be_filled() {
    let rules = json!({
        "cycle": 7, "grace_periods": 1, "freezes": { "initial": 1, "max": 2 },
        "make_up": { "look_back": 7, "on": "user.made_up_day" },
    });
    let objective = json!({ "on": ["user.signed_in"], "target": 1, "lateness_seconds": 7200 });
    let changes = json!({ "streak": rules, "objective": objective });
    let catalogue = catalogue([sign_in(&[1, 2, 3, 4, 5, 6, 7], changes)]);
    let mut life = Life { catalogue: &catalogue, state: UserTasks::default(), events: 0 };
    let mut sizes = Vec::new();
    for day in 0..366 {
        let now = at("01T06:00") + SignedDuration::from_hours(24 * day);
        if day % 30 == 0 {
            let (user, task, reason, by) = (user(), id("sign-in"), None, None);
            life.does(&Command::GrantFreezes { user, task, count: 2, reason, by, at: now });
        }
        // Every third day is missed; one of four of those is made up, some more break the streak.
        if day % 3 != 2 && day % 50 < 45 {
            life.does(&action("user.signed_in", now, &json!({})));
        } else if day % 12 == 2 {
            let missed = (now - SignedDuration::from_hours(48)).to_string();
            life.does(&action("user.made_up_day", now, &json!({ "period": missed[..10] })));
        }
        sizes.push(size_of_state(&life.state));
    }
    let largest = |days: std::ops::Range<usize>| *sizes[days].iter().max().unwrap();
    assert!(life.events > 500, "{} events", life.events);
    assert!(largest(0..366) < 6_000, "{} bytes", largest(0..366));
    assert!(largest(183..366) <= largest(0..183) + 500, "it grows: {sizes:?}");
}

/// A daily task that nothing unlocks, and that counts while it is locked.
fn locked_for_ever() -> [Value; 2] {
    let never = json!({ "objective": { "on": ["never"], "target": 1 } });
    [
        first_gift(never),
        daily_with(&[1], json!({ "requires": ["first-gift"], "while_locked": "count" })),
    ]
}

#[test]
fn rule_23_a_task_that_is_never_unlocked_withholds_a_bounded_number_of_periods() {
    let catalogue = catalogue(locked_for_ever());
    let mut life = Life { catalogue: &catalogue, state: UserTasks::default(), events: 0 };
    let day = |number: i64| at("01T06:00") + SignedDuration::from_hours(24 * number);
    for number in 0..512 {
        life.does(&action("gift.sent", day(number), &json!({})));
    }
    let full = size_of_state(&life.state);
    for number in 512..1_000 {
        let decision =
            decide(&life.state, &action("gift.sent", day(number), &json!({})), &catalogue).unwrap();
        let [Event::ActionNotCounted { reason, .. }] = &decision.events[..] else {
            panic!("{:?}", decision.events)
        };
        assert!(reason.starts_with("512 periods of the task are open or withhold"), "{reason}");
        decision.events.iter().for_each(|event| evolve(&mut life.state, event));
    }
    assert_eq!(life.state.tasks[&id("daily")].periods.len(), 512);
    assert!(size_of_state(&life.state) <= full && full < 200_000, "{full} bytes");
    // Unlocked at last, it releases them all and counts on.
    life.does(&action("never", day(1_000), &json!({})));
    life.does(&action("gift.sent", day(1_001), &json!({})));
    life.does(&action("gift.sent", day(1_002), &json!({})));
    let daily = &life.state.tasks[&id("daily")];
    assert!(daily.periods.len() <= 2, "{} periods", daily.periods.len());
    assert_eq!(daily.claimable.len(), 512 + 2);
}
