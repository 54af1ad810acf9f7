//! Make-ups: a missed period is filled later.

use super::*;

fn with_make_up(milestones: &[i64], look_back: i64, mut rules: Value) -> Catalogue {
    rules["make_up"] = json!({ "look_back": look_back, "on": "user.made_up_day" });
    streak(milestones, rules)
}

#[test]
fn rule_12_a_make_up_joins_the_runs_and_grants_what_is_newly_reached() {
    let catalogue = with_make_up(&[1, 2, 3, 4, 7], 3, json!({}));
    let past = given(&catalogue, &[]).after(&on_days([1, 2, 4]));
    past.when(&makes_up(3, "04T12:00")).then_recorded(&[
        "03: made up",
        "03: 4 of 4",
        "03: reaches 3",
        "04: reaches 4",
    ]);
    let past = past.after(&[makes_up(3, "04T12:00")]);
    assert_eq!(shown(&past, "04T13:00"), (4, 4, 0, false));
    past.when(&signs_in("05T09:00")).then_recorded(&["05: 5 of 5"]);
    let granted = &past.state.tasks[&id("sign-in")].claimable;
    let third = granted.iter().find(|c| c.at == 3).unwrap();
    assert_eq!((third.period.key.as_str(), third.reached_at), ("2026-03-03", at("04T12:00")));
}

#[test]
fn rule_12_a_make_up_after_the_last_step_revives_a_broken_streak() {
    let catalogue = with_make_up(&[1, 2, 3], 3, json!({}));
    let past = given(&catalogue, &[]).after(&on_days([1]));
    assert_eq!(shown(&past, "03T12:00"), (0, 1, 0, false));
    past.when(&makes_up(2, "03T12:00")).then_recorded(&[
        "broken: 1 to 01",
        "02: made up",
        "02: 2 of 2",
        "02: reaches 2",
    ]);
    let past = past.after(&[makes_up(2, "03T12:00")]);
    assert_eq!(shown(&past, "03T13:00"), (2, 2, 0, true));
    past.when(&signs_in("03T14:00")).then_recorded(&[
        "03: 3 of 3",
        "03: reaches 3",
        "03: completes",
    ]);
}

#[test]
fn rule_12_a_make_up_that_joins_nothing_is_a_run_of_its_own() {
    let catalogue = with_make_up(&[1, 2, 3], 3, json!({}));
    let past = given(&catalogue, &[]).after(&on_days([1, 5]));
    past.when(&makes_up(3, "05T12:00")).then_recorded(&[
        "03: made up",
        "03: 1 of 1",
        "03: reaches 1",
    ]);
    let past = past.after(&[makes_up(3, "05T12:00")]);
    past.when(&makes_up(4, "05T13:00")).then_recorded(&[
        "04: made up",
        "04: 3 of 3",
        "04: reaches 2",
        "05: reaches 3",
        "05: completes",
    ]);
    let past = past.after(&[makes_up(4, "05T13:00")]);
    past.when(&makes_up(2, "05T14:00")).then_recorded(&["02: made up", "02: 5 of 5"]);
}

#[test]
fn rule_12_a_make_up_grants_no_step_again_that_either_part_was_granted_in_the_cycle() {
    let catalogue = with_make_up(&[1, 2, 3, 4, 5, 6, 7], 3, json!({ "cycle": 7 }));
    let past = given(&catalogue, &[]).after(&on_days([1, 2, 3, 4, 5, 7, 8]));
    // The steps of the 7th and 8th were 1 and 2 of their own run; now they are 7, and 1 of the next
    // cycle.
    past.when(&makes_up(6, "08T12:00")).then_recorded(&[
        "06: made up",
        "06: 8 of 8",
        "06: reaches 6",
        "07: reaches 7",
        "07: completes",
        "08: reaches 1",
    ]);
    let past = past.after(&[makes_up(6, "08T12:00")]);
    past.when(&signs_in("09T09:00")).then_recorded(&["09: 9 of 9"]);
    let past = past.after(&on_days([9]));
    past.when(&signs_in("10T09:00")).then_recorded(&["10: 10 of 10", "10: reaches 3"]);
}

#[test]
fn rule_12_where_runs_were_joined_the_first_grant_of_a_step_is_shown() {
    let catalogue = with_make_up(&[1, 2, 3], 3, json!({}));
    let past = given(&catalogue, &[]).after(&on_days([1, 3])).after(&[makes_up(2, "03T12:00")]);
    let task = {
        use crate::screen::{ScreenRequest, screen};
        let request = ScreenRequest::default();
        screen(&user(), &past.state, &catalogue, at("03T13:00"), &request).remove(0)
    };
    let reached: Vec<_> = task.milestones.iter().map(|m| (m.at, m.reached_at)).collect();
    let noon = Some(at("03T12:00"));
    assert_eq!(reached, [(1, Some(at("01T09:00"))), (2, noon), (3, noon)]);
    let beside: Vec<_> = task.unclaimed_from_earlier_periods.iter().map(|u| u.at).collect();
    assert_eq!(beside, [1], "that of the run that was joined");
    assert_eq!((task.progress, task.target), (3, 3));
}

#[test]
fn rule_12_a_make_up_gives_no_freeze_back() {
    let rules = json!({ "freezes": { "initial": 1, "max": 1 } });
    let catalogue = with_make_up(&[7], 3, rules);
    let past = given(&catalogue, &[]).after(&on_days([1, 3]));
    assert_eq!(shown(&past, "03T12:00"), (2, 2, 0, false));
    let past = past.after(&[makes_up(2, "03T12:00")]);
    assert_eq!(shown(&past, "03T13:00"), (3, 3, 0, false));
}

#[test]
fn rule_12_a_recomputed_run_may_use_freezes_that_were_there_at_that_time() {
    let catalogue = with_make_up(&[7], 5, json!({ "freezes": { "max": 1 } }));
    // The 2nd broke the streak; the freeze came on the 3rd, which it can protect.
    let before = given(&catalogue, &[]).after(&on_days([1]));
    let past = before.after(&[grants_freezes(1, "03T12:00")]).after(&on_days([4]));
    assert_eq!(shown(&past, "04T12:00"), (1, 1, 1, false));
    past.when(&makes_up(2, "04T12:00")).then_recorded(&["02: made up", "02: 3 of 3"]);
    let past = past.after(&[makes_up(2, "04T12:00")]);
    assert_eq!(shown(&past, "04T13:00"), (3, 3, 0, false));
    // A freeze that came on the 4th can't.
    let before = given(&catalogue, &[]).after(&on_days([1]));
    let past = before.after(&[grants_freezes(1, "04T08:00")]).after(&on_days([4]));
    let past = past.after(&[makes_up(2, "04T12:00")]);
    assert_eq!(shown(&past, "04T13:00"), (1, 2, 1, false));
}

#[test]
fn rule_12_grace_is_restored_by_a_made_up_step() {
    let catalogue = with_make_up(&[7], 5, json!({ "grace_periods": 1 }));
    let past = given(&catalogue, &[]).after(&on_days([1, 4]));
    assert_eq!(shown(&past, "04T12:00"), (1, 1, 0, false));
    past.when(&makes_up(2, "04T12:00")).then_recorded(&["02: made up", "02: 3 of 3"]);
    past.when(&makes_up(3, "04T12:00")).then_recorded(&["03: made up", "03: 3 of 3"]);
}

#[test]
fn rule_12_a_make_up_that_can_not_be_taken_moves_nothing_and_says_why() {
    let catalogue = with_make_up(&[7], 2, json!({}));
    let nobody = given(&catalogue, &[]);
    nobody
        .when(&makes_up(1, "02T12:00"))
        .then_recorded(&["there is no step yet that a made-up one could join"]);
    let past = nobody.after(&on_days([5, 9]));
    past.when(&makes_up(9, "09T12:00")).then_recorded(&["data.period: 2026-03-09 has not ended"]);
    past.when(&makes_up(10, "09T12:00")).then_recorded(&["data.period: 2026-03-10 has not ended"]);
    past.when(&makes_up(6, "09T12:00"))
        .then_recorded(&["data.period: 2026-03-06 lies more than 2 periods back"]);
    past.when(&makes_up(7, "09T12:00")).then_recorded(&["07: made up", "07: 1 of 1"]);
    past.when(&makes_up(5, "06T12:00")).then_recorded(&["too late"]);
    let past = given(&catalogue, &[]).after(&on_days([5]));
    past.when(&makes_up(5, "06T12:00")).then_recorded(&["data.period: 2026-03-05 was not missed"]);
    past.when(&makes_up(4, "06T12:00"))
        .then_recorded(&["data.period: 2026-03-04 lies before the user's first step"]);
    let named = |data: Value| past.when(&action("user.made_up_day", at("06T12:00"), &data));
    named(json!({})).then_recorded(&["data.period is missing"]);
    named(json!({ "period": 5 })).then_recorded(&["data.period is not a text"]);
    named(json!({ "period": "yesterday" }))
        .then_recorded(&["data.period: \"yesterday\" is not a period of this task"]);
}

#[test]
fn rule_12_a_made_up_period_is_made_up_once() {
    let catalogue = with_make_up(&[7], 3, json!({}));
    let past = given(&catalogue, &[]).after(&on_days([1, 3])).after(&[makes_up(2, "03T12:00")]);
    past.when(&makes_up(2, "03T13:00")).then_recorded(&["data.period: 2026-03-02 was not missed"]);
}

#[test]
fn a_locked_task_takes_no_make_up() {
    let rules = json!({ "make_up": { "look_back": 3, "on": "user.made_up_day" } });
    let locked = json!({ "streak": rules, "requires": ["first-gift"], "while_locked": "count" });
    let catalogue = catalogue([first_gift(json!({})), sign_in(&[7], locked)]);
    let past = given(&catalogue, &[]).after(&on_days([1, 3]));
    past.when(&makes_up(2, "03T12:00")).then_recorded(&["the task is locked by first-gift"]);
}

#[test]
fn one_type_of_action_may_be_both_step_and_make_up() {
    let rules = json!({ "make_up": { "look_back": 3, "on": "user.signed_in" } });
    let catalogue = streak(&[7], rules);
    let past = given(&catalogue, &[]).after(&on_days([1, 3]));
    let fills = action("user.signed_in", at("03T12:00"), &json!({ "period": "2026-03-02" }));
    past.when(&fills).then_recorded(&["02: made up", "02: 3 of 3"]);
}

/// The step of the 14th began at 05:00, by the hour of the later version; the earlier version
/// applies to the make-up.
#[test]
fn rule_12_a_period_is_filled_once_although_days_begin_at_another_hour_by_now() {
    let rules = json!({ "make_up": { "look_back": 4, "on": "user.made_up_day" } });
    let objective = json!({ "on": ["user.signed_in"], "target": 1, "lateness_seconds": 100_000 });
    let before = sign_in(&[7], json!({ "streak": rules, "objective": objective }));
    let mut later = before.clone();
    later["day_starts_at"] = json!("05:00");
    let (before, after) = (catalogue([before.clone()]), catalogue([before, later]));
    let past = given(&before, &[]).after(&[signs_in("05T00:00"), signs_in("15T00:00")]);
    let past = past.under(&after).after(&[signs_in("14T05:00")]);
    past.when(&makes_up(14, "15T00:00")).then_recorded(&["data.period: 2026-03-14 was not missed"]);
}
