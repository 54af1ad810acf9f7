//! Obstacles that stop a task whatever the action contains: they must agree with those that an
//! action meets.

use super::*;

fn stopped(past: &Given<'_>, task: &str, when: &str) -> Vec<Obstacle> {
    seen(past, task, when).obstacles
}

fn seen(past: &Given<'_>, task: &str, when: &str) -> Outlook {
    outlook(&user(), &past.state, past.catalogue.task(&id(task)).unwrap(), at(when))
}

#[test]
fn nothing_stops_a_task_that_the_next_action_moves() {
    let catalogue = catalogue([daily(json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    assert_eq!(seen(&past, "daily", "29T12:00"), Outlook::default());
}

#[test]
fn a_task_that_is_stopped_or_out_of_its_window_names_it() {
    let window = json!({ "window": { "until": at("20T00:00") } });
    let over = catalogue([daily(window)]);
    let until = crate::catalogue::definition::Window { from: None, until: Some(at("20T00:00")) };
    let outside = Obstacle::OutsideWindow(until);
    assert_eq!(stopped(&given(&over, &[]), "daily", "20T00:00"), [outside]);
    for (status, named) in
        [(Status::Paused, Obstacle::Paused), (Status::Retired, Obstacle::Retired)]
    {
        let stopped_for_all = catalogue_in(status, [daily(json!({}))]);
        assert_eq!(stopped(&given(&stopped_for_all, &[]), "daily", "29T12:00"), [named]);
    }
}

#[test]
fn a_user_outside_the_audience_is_stopped_although_something_is_claimable() {
    let vips = json!({ "audience": { "where": "user.vip >= 2" } });
    let catalogue = catalogue([daily_with(&[1, 3], vips)]);
    let becomes = |vip: i64, when| {
        action("plaudit.user.updated", at(when), &json!({ "attributes": { "vip": vip } }))
    };
    let vip = given(&catalogue, &[]).after(&[becomes(2, "29T09:00"), gift("29T10:00")]);
    assert_eq!(stopped(&vip, "daily", "29T12:00"), []);
    let left = vip.after(&[becomes(1, "29T11:00")]);
    let [Obstacle::OutsideAudience(audience)] = &stopped(&left, "daily", "29T12:00")[..] else {
        panic!("{:?}", stopped(&left, "daily", "29T12:00"));
    };
    assert_eq!(audience.filter.as_deref(), Some("user.vip >= 2"));
    left.when(&gift("29T12:00")).then_nothing("daily", UnmovedReason::OutsideAudience(1));
}

#[test]
fn a_period_that_is_a_step_of_a_streak_takes_no_more() {
    let catalogue = catalogue([sign_in(&[7], json!({}))]);
    let past = given(&catalogue, &[]).after(&[signs_in("28T10:00"), signs_in("29T10:00")]);
    assert_eq!(stopped(&past, "sign-in", "29T12:00"), [Obstacle::HasStep(day(29))]);
    let full = UnmovedReason::Completed("2026-03-29".to_owned());
    past.when(&signs_in("29T12:00")).then_nothing("sign-in", full);
    assert_eq!(stopped(&past, "sign-in", "30T00:00"), []);
}

#[test]
fn a_completed_period_takes_no_more_unless_it_carries_over() {
    let gifts = ["29T09:00", "29T10:00", "29T11:00"].map(gift);
    let plain = catalogue([daily(json!({}))]);
    let done = given(&plain, &[]).after(&gifts);
    assert_eq!(stopped(&done, "daily", "29T12:00"), [Obstacle::Completed(day(29))]);
    assert_eq!(stopped(&done, "daily", "30T00:00"), []);
    let objective = json!({ "on": ["gift.sent"], "target": 3, "carry_over": true });
    let carrying = catalogue([daily(json!({ "objective": objective }))]);
    let done = given(&carrying, &[]).after(&gifts);
    assert_eq!(stopped(&done, "daily", "29T12:00"), []);
}

#[test]
fn a_locked_task_is_stopped_unless_it_counts_meanwhile() {
    let prerequisite = || first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let skips = catalogue([prerequisite(), daily(json!({ "requires": ["first-gift"] }))]);
    let missing = vec![id("first-gift")];
    let locked = Obstacle::Locked(missing.clone());
    assert_eq!(stopped(&given(&skips, &[]), "daily", "29T12:00"), [locked]);
    let counting = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let counts = catalogue([prerequisite(), daily(counting)]);
    let expected = Outlook { withheld_by: missing, ..Outlook::default() };
    assert_eq!(seen(&given(&counts, &[]), "daily", "29T12:00"), expected);
    let past = given(&counts, &[]).after(&[gift("29T10:00")]);
    let counted = progressed("daily", day(29), [1, 2, 3], "29T12:00");
    past.when(&gift("29T12:00")).then(&[counted]);
}

#[test]
fn a_cap_that_is_used_up_stops_the_period_and_no_other() {
    let objective = json!({ "on": ["gift.sent"], "target": 3, "cap": { "per_period": 2 } });
    let catalogue = catalogue([daily(json!({ "objective": objective }))]);
    let one = given(&catalogue, &[]).after(&[gift("29T09:00")]);
    assert_eq!(stopped(&one, "daily", "29T12:00"), []);
    let two = one.after(&[gift("29T10:00")]);
    let used_up = Obstacle::CapUsedUp { cap: 2, period: day(29) };
    assert_eq!(stopped(&two, "daily", "29T12:00"), [used_up]);
    assert_eq!(stopped(&two, "daily", "30T00:00"), []);
}

#[test]
fn a_period_that_was_closed_by_a_later_action_is_too_late() {
    let catalogue = catalogue([daily(json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00"), gift("30T10:00")]);
    let closed = Obstacle::TooLate { period: day(29).key, watermark: at("30T10:00") };
    assert_eq!(stopped(&past, "daily", "29T12:00"), [closed]);
}
