//! Rule 6: the amount beyond the target of a task that carries over goes into the next period.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::screen::{ScreenRequest, TaskScreenState, screen};

/// A daily sum of ten coins that carries over, with some fields of its objective changed.
fn carrying(objective: &Value) -> Value {
    carrying_task(objective, json!({}))
}

fn carrying_task(objective: &Value, changes: Value) -> Value {
    let mut task = daily(json!({
        "objective": { "on": ["gift.sent"], "measure": { "sum": ["coins"] }, "target": 10,
            "carry_over": true },
        "milestones": [{ "at": 4, "rewards": [] }, { "at": 10, "rewards": [coins(10)] }],
    }));
    let fields = task["objective"].as_object_mut().unwrap();
    fields.extend(objective.as_object().unwrap().clone());
    task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    task
}

fn gift_of(coins: i64, when: &str) -> Input {
    action("gift.sent", at(when), &json!({ "coins": coins }))
}

/// Progress with `came` carried over from the period before and `left` as its surplus.
fn carried(event: Event, came: i64, left: i64) -> Event {
    let mut event = event;
    let Event::ProgressRecorded { carried, surplus, .. } = &mut event else { panic!("{event:?}") };
    (*carried, *surplus) = (came, left);
    event
}

/// The milestone without a reward, at 4.
fn passed_four(period: &Period, when: &str) -> Event {
    let (task, version, period, milestone, at) = (id("daily"), 1, period.clone(), 4, at(when));
    let (mode, rewards) = (ClaimMode::Manual, vec![]);
    Event::MilestoneReached {
        task,
        version,
        period,
        milestone,
        at,
        mode,
        rewards,
        terms: ClaimTerms::default(),
        budgeted: None,
    }
}

fn newest(given: &Given<'_>) -> (String, i64, i64, i64) {
    let open = given.state.tasks[&id("daily")].periods.last().unwrap();
    (open.period.key.to_string(), open.progress, open.carried, open.surplus)
}

#[test]
fn rule_06_the_surplus_of_the_completing_action_opens_the_next_period() {
    let catalogue = catalogue([carrying(&json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift_of(2, "29T10:00")]);
    let completing = [
        carried(progressed("daily", day(29), [13, 10, 10], "29T12:00"), 0, 5),
        passed_four(&day(29), "29T12:00"),
        reached("daily", &day(29), 10, 10, "29T12:00"),
        completed("daily", &day(29), "29T12:00"),
    ];
    past.when(&gift_of(13, "29T12:00")).then(&completing);
    let past = past.after(&[gift_of(13, "29T12:00")]);
    let opening = [
        carried(progressed("daily", day(30), [1, 6, 10], "30T12:00"), 5, 0),
        passed_four(&day(30), "30T12:00"),
    ];
    past.when(&gift_of(1, "30T12:00")).then(&opening);
}

#[test]
fn rule_06_a_completed_period_goes_on_taking_what_is_carried_over() {
    let catalogue = catalogue([carrying(&json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift_of(10, "29T10:00")]);
    let more = carried(progressed("daily", day(29), [3, 10, 10], "29T12:00"), 0, 3);
    past.when(&gift_of(3, "29T12:00")).then(&[more]);
    let past = past.after(&[gift_of(3, "29T12:00"), gift_of(4, "29T13:00")]);
    assert_eq!(newest(&past), ("2026-03-29".to_owned(), 10, 0, 7));
    let past = past.after(&[gift_of(1, "30T12:00")]);
    assert_eq!(newest(&past), ("2026-03-30".to_owned(), 8, 7, 0));
}

#[test]
fn rule_06_a_count_carries_over_what_is_done_beyond_the_target() {
    let catalogue = catalogue([carrying(&json!({ "measure": "count" }))]);
    let gifts: Vec<_> = (0..13).map(|minute| gift(&format!("29T12:{minute:02}"))).collect();
    let past = given(&catalogue, &[]).after(&gifts).after(&[gift("30T12:00")]);
    assert_eq!(newest(&past), ("2026-03-30".to_owned(), 4, 3, 0));
}

#[test]
fn rule_06_a_surplus_beyond_a_whole_target_goes_from_period_to_period() {
    let catalogue = catalogue([carrying(&json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift_of(35, "27T12:00")]);
    let second_day = [
        carried(progressed("daily", day(28), [1, 10, 10], "28T12:00"), 25, 16),
        passed_four(&day(28), "28T12:00"),
        reached("daily", &day(28), 10, 10, "28T12:00"),
        completed("daily", &day(28), "28T12:00"),
    ];
    past.when(&gift_of(1, "28T12:00")).then(&second_day);
    let past = past.after(&[gift_of(1, "28T12:00"), gift_of(1, "29T12:00")]);
    assert_eq!(newest(&past), ("2026-03-29".to_owned(), 10, 16, 7));
    let past = past.after(&[gift_of(1, "30T12:00")]);
    assert_eq!(newest(&past), ("2026-03-30".to_owned(), 8, 7, 0));
}

#[test]
fn rule_06_a_period_without_an_action_ends_what_is_carried_over() {
    let catalogue = catalogue([carrying(&json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift_of(25, "27T12:00"), gift_of(1, "29T12:00")]);
    assert_eq!(newest(&past), ("2026-03-29".to_owned(), 1, 0, 0));
}

#[test]
fn rule_20_what_is_carried_over_shows_before_the_first_action_of_the_period() {
    let catalogue = catalogue([carrying(&json!({}))]);
    let shown = |given: &Given<'_>, when| {
        let request = ScreenRequest::default();
        let shown = screen(&user(), &given.state, given.catalogue, at(when), &request).remove(0);
        let reached = shown.milestones.iter().filter(|m| m.reached_at.is_some()).count();
        (shown.period.key.to_string(), shown.progress, shown.state, reached)
    };
    let past = given(&catalogue, &[]).after(&[gift_of(15, "28T12:00"), claim("daily", "28T13:00")]);
    let key = |day: &str| format!("2026-03-{day}");
    assert_eq!(shown(&past, "28T14:00"), (key("28"), 10, TaskScreenState::Claimed, 2));
    // The milestone at 4 is reached by the first action.
    assert_eq!(shown(&past, "29T14:00"), (key("29"), 5, TaskScreenState::InProgress, 0));
    assert_eq!(shown(&past, "30T14:00"), (key("30"), 0, TaskScreenState::Available, 0));
    let past = past.after(&[gift_of(5, "29T15:00")]);
    assert_eq!(shown(&past, "29T16:00"), (key("29"), 10, TaskScreenState::Claimable, 2));
    let much = given(&catalogue, &[]).after(&[gift_of(99, "28T12:00"), claim("daily", "28T13:00")]);
    assert_eq!(shown(&much, "29T14:00"), (key("29"), 10, TaskScreenState::InProgress, 0));
}

#[test]
fn rule_08_the_cap_of_a_period_bounds_what_it_is_credited_itself() {
    let catalogue = catalogue([carrying(&json!({ "cap": { "per_period": 14, "per_action": 9 } }))]);
    let past = given(&catalogue, &[]).after(&[gift_of(50, "28T12:00"), gift_of(50, "28T13:00")]);
    assert_eq!(newest(&past), ("2026-03-28".to_owned(), 10, 0, 4));
    past.when(&gift_of(1, "28T14:00")).then_nothing("daily", UnmovedReason::CapUsedUp(14));
    let past = past.after(&[gift_of(50, "29T12:00"), gift_of(50, "29T13:00")]);
    assert_eq!(newest(&past), ("2026-03-29".to_owned(), 10, 4, 8));
}

#[test]
fn rule_06_what_comes_after_the_next_period_has_begun_is_not_carried_over() {
    let catalogue = catalogue([carrying(&json!({ "lateness_seconds": 86_400 }))]);
    let past = given(&catalogue, &[]).after(&[gift_of(15, "28T12:00"), gift_of(1, "29T10:00")]);
    let full = UnmovedReason::Completed("2026-03-28".to_owned());
    past.when(&gift_of(3, "28T13:00")).then_nothing("daily", full);
    // A period that is completed late drops its surplus.
    let past = given(&catalogue, &[]).after(&[gift_of(5, "28T12:00"), gift_of(1, "29T10:00")]);
    let late = [
        closing(dropping(progressed("daily", day(28), [9, 10, 10], "28T13:00"), 4), "30T00:00"),
        reached("daily", &day(28), 10, 10, "28T13:00"),
        completed("daily", &day(28), "28T13:00"),
    ];
    past.when(&gift_of(9, "28T13:00")).then(&late);
}

#[test]
fn rule_06_a_closed_period_still_carries_over_into_the_one_after_it() {
    let catalogue = catalogue([carrying(&json!({ "lateness_seconds": 86_400 }))]);
    // The 29th closes the 27th, before anything of the 28th arrives.
    let past = given(&catalogue, &[]).after(&[gift_of(15, "27T12:00"), gift_of(1, "29T10:00")]);
    assert_eq!(past.state.tasks[&id("daily")].closed.as_ref().unwrap().surplus, 5);
    let past = past.after(&[gift_of(1, "28T12:00")]);
    let of_day = |given: &Given<'_>, key: &str| {
        let task = &given.state.tasks[&id("daily")];
        task.periods.iter().find(|p| p.period.key.as_str() == key).unwrap().progress
    };
    assert_eq!((of_day(&past, "2026-03-28"), of_day(&past, "2026-03-29")), (6, 1));
}

#[test]
fn rule_06_a_surplus_beyond_64_bits_is_refused() {
    let catalogue = catalogue([carrying(&json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift_of(i64::MAX, "29T12:00")]);
    let (task, version, at) = (id("daily"), 1, at("29T13:00"));
    let reason = "the sum is beyond 64 bits".to_owned();
    let refused = Event::ActionNotCounted { task, version, reason, at };
    past.when(&gift_of(1, "29T13:00")).then(&[refused]);
}

#[test]
fn rule_07_a_locked_task_withholds_its_milestones_and_not_its_surplus() {
    let prerequisite = first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let locked = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let catalogue = catalogue([prerequisite, carrying_task(&json!({}), locked)]);
    let past = given(&catalogue, &[]).after(&[gift_of(12, "28T12:00")]);
    let more = withheld(carried(progressed("daily", day(28), [3, 10, 10], "28T13:00"), 0, 5));
    past.when(&gift_of(3, "28T13:00")).then(&[more]);
    let past = past.after(&[gift_of(3, "28T13:00"), gift_of(1, "29T10:00")]);
    let unlocking = action("other", at("29T11:00"), &json!({}));
    let events = decide(&past.state, &unlocking, &catalogue).unwrap().events;
    let of_daily: Vec<_> = events.iter().filter(|e| e.task() == Some(&id("daily"))).collect();
    let expected = [
        passed_four(&day(28), "29T11:00"),
        reached("daily", &day(28), 10, 10, "29T11:00"),
        completed("daily", &day(28), "29T11:00"),
        passed_four(&day(29), "29T11:00"),
    ];
    assert_eq!(of_daily, expected.iter().collect::<Vec<_>>());
}

#[test]
fn rule_09_a_version_that_does_not_carry_over_takes_no_surplus() {
    let before = catalogue([carrying(&json!({}))]);
    let drops = carrying(&json!({ "carry_over": false }));
    let after = catalogue([carrying(&json!({})), drops]);
    let past = given(&before, &[]).after(&[gift_of(15, "28T12:00")]).under(&after);
    // The open period keeps its version.
    let past = past.after(&[gift_of(1, "28T13:00")]);
    assert_eq!(newest(&past), ("2026-03-28".to_owned(), 10, 0, 6));
    let past = past.after(&[gift_of(1, "29T12:00")]);
    assert_eq!(newest(&past), ("2026-03-29".to_owned(), 1, 0, 0));
}

proptest! {
    #[test]
    fn rule_06_carrying_over_agrees_with_an_oracle(
        amounts in vec((0..6_i64, 0..30_i64), 0..40), per_period in proptest::option::of(10..40_i64),
    ) {
        let catalogue = catalogue([carrying(&json!({ "cap": { "per_period": per_period } }))]);
        let (mut state, mut all) = (UserTasks::default(), Vec::new());
        let mut by_day = amounts;
        by_day.sort_by_key(|(day, _)| *day);
        for (minute, (day, amount)) in (0_i64..).zip(&by_day) {
            let when = at("05T00:00") + jiff::SignedDuration::from_mins(day * 24 * 60 + minute);
            let command = action("gift.sent", when, &json!({ "coins": amount }));
            let decided = decide(&state, &command, &catalogue).unwrap().events;
            decided.iter().for_each(|event| evolve(&mut state, event));
            all.extend(decided);
        }
        prop_assert_eq!(&fold(&all), &state);
        prop_assert_eq!(&fold(all.iter().flat_map(|e| [e, e])), &state);
        let mut surplus = 0;
        for day in 0..6 {
            let sent: i64 = by_day.iter().filter(|(of, _)| *of == day).map(|(_, amount)| amount).sum();
            let total = if sent == 0 { 0 } else { surplus + sent.min(per_period.unwrap_or(i64::MAX)) };
            surplus = (total - 10).max(0);
            let key = format!("2026-03-{:02}", 5 + day);
            let shown = all.iter().rev().find_map(|event| match event {
                Event::ProgressRecorded { period, progress, surplus, .. } if period.key.as_str() == key =>
                    Some((*progress, *surplus)),
                _ => None,
            });
            prop_assert_eq!(shown.unwrap_or((0, 0)), (total.min(10), surplus), "{}", key);
        }
    }
}
