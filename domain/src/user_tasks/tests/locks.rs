//! Rule 7: prerequisites, and one action for several tasks.

use super::*;

fn locked(changes: Value) -> Value {
    let mut changes = changes;
    changes["requires"] = json!(["first-gift"]);
    daily(changes)
}

#[test]
fn rule_07_one_action_advances_several_tasks_prerequisites_first_then_by_order_and_id() {
    // By order and id alone, `a` would come first.
    let catalogue = catalogue([
        daily_with(&[9], json!({ "id": "c", "order": 1 })),
        daily_with(&[9], json!({ "id": "b", "order": 2 })),
        daily_with(&[9], json!({ "id": "a", "order": 0, "requires": ["first-gift"] })),
        first_gift(json!({ "order": 3 })),
    ]);
    let expected = [
        progressed("c", day(29), [1, 1, 9], "29T12:00"),
        progressed("b", day(29), [1, 1, 9], "29T12:00"),
        progressed("first-gift", once(), [1, 1, 1], "29T12:00"),
        reached("first-gift", &once(), 1, 100, "29T12:00"),
        completed("first-gift", &once(), "29T12:00"),
        progressed("a", day(29), [1, 1, 9], "29T12:00"),
    ];
    given(&catalogue, &[]).when(&gift("29T12:00")).then(&expected);
}

#[test]
fn rule_07_a_locked_task_skips_what_happens_unless_it_says_otherwise() {
    let prerequisite = first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let catalogue = catalogue([prerequisite, locked(json!({}))]);
    let locked_by = UnmovedReason::Locked(vec![id("first-gift")]);
    given(&catalogue, &[]).when(&gift("29T12:00")).then_nothing("daily", locked_by);
}

#[test]
fn rule_07_a_prerequisite_that_nobody_knows_locks() {
    let catalogue = catalogue([locked(json!({}))]);
    let locked_by = UnmovedReason::Locked(vec![id("first-gift")]);
    given(&catalogue, &[]).when(&gift("29T12:00")).then_nothing("daily", locked_by);
}

#[test]
fn rule_07_a_prerequisite_completed_in_any_period_unlocks_for_good() {
    let catalogue = catalogue([
        daily_with(&[1], json!({ "id": "first-gift" })),
        locked(json!({ "objective": { "on": ["other"], "target": 3 } })),
    ]);
    let past = given(&catalogue, &[]).after(&[gift("10T12:00")]);
    let counted = progressed("daily", day(29), [1, 1, 3], "29T12:00");
    past.when(&action("other", at("29T12:00"), &json!({}))).then(&[counted]);
}

/// Gifts count while `first-gift`, which counts another type of action, is missing.
fn counting_while_locked(milestones: &[i64]) -> Catalogue {
    let prerequisite = first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let locked = json!({ "requires": ["first-gift"], "while_locked": "count" });
    catalogue([prerequisite, daily_with(milestones, locked)])
}

fn unlocks(when: &str) -> Input {
    action("other", at(when), &json!({}))
}

fn unlocked(when: &str) -> [Event; 3] {
    [
        progressed("first-gift", once(), [1, 1, 1], when),
        reached("first-gift", &once(), 1, 100, when),
        completed("first-gift", &once(), when),
    ]
}

#[test]
fn rule_07_a_locked_task_that_counts_withholds_what_it_reaches() {
    let catalogue = counting_while_locked(&[1, 2]);
    let first = withheld(progressed("daily", day(28), [1, 1, 2], "28T12:00"));
    given(&catalogue, &[]).when(&gift("28T12:00")).then(&[first]);
}

#[test]
fn rule_07_the_unlocking_action_releases_it_under_its_own_periods_with_its_own_time() {
    let catalogue = counting_while_locked(&[1, 2]);
    let past = given(&catalogue, &[]).after(&[
        gift("27T12:00"),
        gift("28T12:00"),
        gift("28T13:00"),
        gift("29T12:00"),
    ]);
    let [a, b, c] = unlocked("30T09:00");
    let expected = [
        a,
        b,
        c,
        reached("daily", &day(27), 1, 10, "30T09:00"),
        reached("daily", &day(28), 1, 10, "30T09:00"),
        reached("daily", &day(28), 2, 20, "30T09:00"),
        completed("daily", &day(28), "30T09:00"),
        reached("daily", &day(29), 1, 10, "30T09:00"),
    ];
    past.when(&unlocks("30T09:00")).then(&expected);
}

#[test]
fn rule_07_what_was_released_is_not_released_again() {
    let catalogue = counting_while_locked(&[1, 2]);
    let past = given(&catalogue, &[]).after(&[gift("28T12:00"), unlocks("28T13:00")]);
    let expected = [
        progressed("daily", day(28), [1, 2, 2], "28T14:00"),
        reached("daily", &day(28), 2, 20, "28T14:00"),
        completed("daily", &day(28), "28T14:00"),
    ];
    past.when(&gift("28T14:00")).then(&expected);
    past.when(&unlocks("28T14:00"))
        .then_nothing("first-gift", UnmovedReason::Completed("once".into()));
}

#[test]
fn rule_07_the_unlocking_action_counts_itself_and_releases_the_periods_before() {
    let prerequisite = first_gift(json!({
        "objective": { "on": ["gift.sent"], "target": 2 },
        "milestones": [{ "at": 2, "rewards": [coins(100)] }],
    }));
    let task = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let catalogue = catalogue([prerequisite, daily_with(&[1, 2], task)]);
    let past = given(&catalogue, &[]).after(&[gift("28T12:00")]);
    let expected = [
        progressed("first-gift", once(), [1, 2, 2], "29T12:00"),
        reached("first-gift", &once(), 2, 100, "29T12:00"),
        completed("first-gift", &once(), "29T12:00"),
        progressed("daily", day(29), [1, 1, 2], "29T12:00"),
        reached("daily", &day(29), 1, 10, "29T12:00"),
        reached("daily", &day(28), 1, 10, "29T12:00"),
    ];
    past.when(&gift("29T12:00")).then(&expected);
}

#[test]
fn rule_07_a_release_unlocks_in_turn() {
    let prerequisite = first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let middle = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let last = json!({ "id": "last", "requires": ["daily"], "while_locked": "count" });
    let catalogue = catalogue([prerequisite, daily_with(&[1], middle), daily_with(&[1], last)]);
    let past = given(&catalogue, &[]).after(&[gift("28T12:00")]);
    let [a, b, c] = unlocked("29T09:00");
    let expected = [
        a,
        b,
        c,
        reached("daily", &day(28), 1, 10, "29T09:00"),
        completed("daily", &day(28), "29T09:00"),
        reached("last", &day(28), 1, 10, "29T09:00"),
        completed("last", &day(28), "29T09:00"),
    ];
    past.when(&unlocks("29T09:00")).then(&expected);
}

#[test]
fn rule_07_steps_of_a_locked_streak_are_released_under_their_own_periods() {
    let prerequisite = first_gift(json!({}));
    let streak = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let catalogue = catalogue([prerequisite, sign_in(&[1, 2], streak)]);
    let past = given(&catalogue, &[]).after(&[
        signs_in("25T09:00"),
        signs_in("27T09:00"),
        signs_in("28T09:00"),
    ]);
    let expected = [
        progressed("first-gift", once(), [1, 1, 1], "28T12:00"),
        reached("first-gift", &once(), 1, 100, "28T12:00"),
        completed("first-gift", &once(), "28T12:00"),
        reached("sign-in", &day(25), 1, 10, "28T12:00"),
        reached("sign-in", &day(27), 1, 10, "28T12:00"),
        reached("sign-in", &day(28), 2, 20, "28T12:00"),
        completed("sign-in", &day(28), "28T12:00"),
    ];
    past.when(&gift("28T12:00")).then(&expected);
    let shown = past.after(&[gift("28T12:00")]).state;
    let streak = shown.tasks[&id("sign-in")].streak.as_ref().unwrap();
    let of_this_run: Vec<_> =
        streak.reached.iter().map(|r| (r.milestone.at, r.milestone.period.as_str())).collect();
    assert_eq!(of_this_run, [(1, "2026-03-27"), (2, "2026-03-28")]);
}

#[test]
fn rule_07_what_a_kept_version_withheld_is_released_though_the_newest_requires_nothing() {
    let needs_other = || first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let first = daily_with(&[1], json!({ "requires": ["first-gift"], "while_locked": "count" }));
    let before = catalogue([needs_other(), first.clone()]);
    let after = catalogue([needs_other(), first, daily_with(&[1], json!({}))]);
    let past = given(&before, &[]).after(&[gift("28T12:00")]).under(&after);
    let [a, b, c] = unlocked("28T13:00");
    let expected = [
        a,
        b,
        c,
        reached("daily", &day(28), 1, 10, "28T13:00"),
        completed("daily", &day(28), "28T13:00"),
    ];
    past.when(&unlocks("28T13:00")).then(&expected);
}

#[test]
fn rule_07_a_locked_streak_beyond_its_last_milestone_withholds_no_more() {
    let prerequisite = first_gift(json!({}));
    let streak = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let catalogue = catalogue([prerequisite, sign_in(&[2], streak)]);
    let sign_ins: Vec<_> = (1..=20).map(|day| signs_in(&format!("{day:02}T09:00"))).collect();
    let past = given(&catalogue, &[]).after(&sign_ins);
    let periods = |given: &Given<'_>| given.state.tasks[&id("sign-in")].periods.len();
    assert_eq!(periods(&past), 2, "the second day, which withholds its milestone, and the last");
    let released = past.after(&[gift("20T12:00")]);
    assert_eq!(periods(&released), 1);
    assert!(released.state.tasks[&id("sign-in")].completed_at.is_some());
}

/// The prerequisite is completed while the task that waits for it is stopped.
#[test]
fn rule_10_what_is_withheld_waits_until_a_paused_task_is_resumed_and_is_never_earned_of_a_retired_one()
 {
    let prerequisite = || first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let locked = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let waits = || daily_with(&[1, 3], locked.clone());
    let in_status = |status| {
        let mut tasks = tasks_in(Status::Active, [prerequisite()]);
        tasks.extend(tasks_in(status, [waits()]));
        Catalogue::new(1, tasks).unwrap()
    };
    let active = in_status(Status::Active);
    let past = given(&active, &[]).after(&[gift("28T11:00")]);
    let expected = [
        progressed("daily", day(29), [1, 1, 3], "29T13:00"),
        reached("daily", &day(29), 1, 10, "29T13:00"),
        reached("daily", &day(28), 1, 10, "29T13:00"),
    ];
    for status in [Status::Paused, Status::Retired] {
        let stopped = in_status(status);
        let past = past.clone().under(&stopped);
        past.when(&unlocks("28T12:00")).then(&unlocked("28T12:00"));
        let past = past.after(&[unlocks("28T12:00")]);
        past.when(&gift("29T12:00")).then_nothing("daily", UnmovedReason::NotActive);
        if status == Status::Paused {
            past.under(&active).when(&gift("29T13:00")).then(&expected);
        }
    }
}
