//! Rules 1 to 4: periods, lateness, windows.

use super::*;

#[test]
fn rule_02_the_first_counted_action_opens_its_period_and_stores_its_bounds() {
    let catalogue = catalogue([daily(json!({}))]);
    let first = progressed("daily", day(29), [1, 1, 3], "29T12:00");
    given(&catalogue, &[]).when(&gift("29T12:00")).then(&[first]);
}

#[test]
fn rule_02_the_next_period_starts_over() {
    let catalogue = catalogue([daily(json!({}))]);
    let yesterday = progressed("daily", day(28), [1, 2, 3], "28T12:00");
    let today = progressed("daily", day(29), [1, 1, 3], "29T00:00");
    given(&catalogue, &[yesterday]).when(&gift("29T00:00")).then(&[today]);
}

#[test]
fn rule_01_a_day_may_begin_at_another_hour() {
    let catalogue = catalogue([daily(json!({ "day_starts_at": "05:00" }))]);
    let shifted = period("2026-03-28", Some(at("28T05:00")), Some(at("29T05:00")));
    let counted = progressed("daily", shifted, [1, 1, 3], "29T04:59");
    given(&catalogue, &[]).when(&gift("29T04:59")).then(&[counted]);
}

#[test]
fn rule_01_a_task_of_a_fixed_zone_follows_it_wherever_the_user_is() {
    let catalogue = catalogue([daily(json!({ "zone": { "fixed": "Asia/Shanghai" } }))]);
    let there = period("2026-03-30", Some(at("29T16:00")), Some(at("30T16:00")));
    let counted = progressed("daily", there, [1, 1, 3], "29T20:00");
    let past = given(&catalogue, &[]).after(&[moves_to("America/New_York", "29T00:00")]);
    past.when(&gift("29T20:00")).then(&[counted]);
}

#[test]
fn rule_04_windows_are_half_open() {
    let window = json!({ "from": at("10T00:00"), "until": at("20T00:00") });
    let catalogue = catalogue([daily(json!({ "window": window }))]);
    let outside = UnmovedReason::OutsideWindow;
    let just_before = action("gift.sent", at("10T00:00") - micro(), &json!({}));
    given(&catalogue, &[]).when(&just_before).then_nothing("daily", outside.clone());
    let first = progressed("daily", day(10), [1, 1, 3], "10T00:00");
    given(&catalogue, &[]).when(&gift("10T00:00")).then(&[first]);
    let last = action("gift.sent", at("20T00:00") - micro(), &json!({}));
    assert_eq!(given(&catalogue, &[]).when(&last).outcome.unwrap().events.len(), 1);
    given(&catalogue, &[]).when(&gift("20T00:00")).then_nothing("daily", outside);
}

#[test]
fn rule_04_a_window_does_not_cut_the_periods_it_begins_and_ends_in() {
    let window = json!({ "from": at("10T12:00"), "until": at("20T12:00") });
    let catalogue = catalogue([daily(json!({ "window": window }))]);
    let first = progressed("daily", day(10), [1, 1, 3], "10T13:00");
    given(&catalogue, &[]).when(&gift("10T13:00")).then(&[first]);
}

#[test]
fn rule_03_an_action_of_a_closed_period_is_too_late() {
    let catalogue = catalogue([daily(json!({}))]);
    let past = [progressed("daily", day(29), [1, 1, 3], "29T00:00")];
    let (task, period) = (id("daily"), day(28).key);
    let (watermark, at) = (at("29T00:00"), at("28T23:59"));
    let late = Event::ActionTooLate { task, version: 1, period, watermark, at };
    given(&catalogue, &past).when(&gift("28T23:59")).then(&[late]);
}

#[test]
fn rule_03_within_its_lateness_an_action_counts_for_the_period_it_occurred_in() {
    let lateness = json!({ "on": ["gift.sent"], "target": 3, "lateness_seconds": 7200 });
    let catalogue = catalogue([daily(json!({ "objective": lateness }))]);
    let past = [
        closing(progressed("daily", day(28), [1, 1, 3], "28T12:00"), "29T02:00"),
        closing(progressed("daily", day(29), [1, 1, 3], "29T01:59"), "30T02:00"),
    ];
    let counted = closing(progressed("daily", day(28), [1, 2, 3], "28T23:59"), "29T02:00");
    given(&catalogue, &past).when(&gift("28T23:59")).then(&[counted]);
    let closed = given(&catalogue, &past).after(&[gift("29T02:00")]);
    let events = closed.when(&gift("28T23:59")).outcome.unwrap().events;
    assert!(matches!(events[..], [Event::ActionTooLate { .. }]), "{events:?}");
}

#[test]
fn rule_03_within_its_lateness_an_action_opens_a_period_before_the_newest() {
    let lateness = json!({ "on": ["gift.sent"], "target": 3, "lateness_seconds": 7200 });
    let catalogue = catalogue([daily(json!({ "objective": lateness }))]);
    let past = given(&catalogue, &[]).after(&[gift("29T01:00")]);
    let counted = closing(progressed("daily", day(28), [1, 1, 3], "28T23:59"), "29T02:00");
    past.when(&gift("28T23:59")).then(&[counted]);
}

#[test]
fn rule_03_only_actions_that_the_task_counted_close_periods() {
    let objective = json!({ "on": ["gift.sent"], "target": 3, "where": "data.coins > 0" });
    let catalogue = catalogue([
        daily(json!({ "objective": objective })),
        daily(json!({ "id": "other", "objective": { "on": ["other"], "target": 9 } })),
    ]);
    let coins = |when, coins: i64| action("gift.sent", at(when), &json!({ "coins": coins }));
    let past = given(&catalogue, &[]).after(&[
        coins("28T12:00", 1),
        coins("29T12:00", 0),
        action("other", at("29T13:00"), &json!({})),
        moves_to("Europe/Paris", "29T14:00"),
    ]);
    let counted = progressed("daily", day(28), [1, 2, 3], "28T23:00");
    past.when(&coins("28T23:00", 1)).then(&[counted]);
}

#[test]
fn rule_03_a_task_that_is_done_once_is_never_too_late() {
    let version = |until| {
        let milestones = json!([{ "at": 9, "rewards": [coins(100)] }]);
        let objective = json!({ "on": ["gift.sent"], "target": 9 });
        let window = json!({ "until": at(until) });
        let changes = json!({ "milestones": milestones, "objective": objective, "window": window });
        let mut task = first_gift(changes);
        task["on_new_version"] = json!("adopt");
        task
    };
    let short = catalogue([version("10T00:00")]);
    let longer = catalogue([version("10T00:00"), version("20T00:00")]);
    let past =
        given(&short, &[]).after(&[gift("09T00:00")]).under(&longer).after(&[gift("15T00:00")]);
    let window = period("once", None, Some(at("20T00:00")));
    let counted = by_version(2, progressed("first-gift", window, [1, 3, 9], "05T00:00"));
    past.when(&gift("05T00:00")).then(&[counted]);
}

#[test]
fn rule_03_a_closed_period_stays_closed_under_a_more_lenient_version() {
    let version = |hour, lateness_seconds: i64| {
        let objective =
            json!({ "on": ["gift.sent"], "target": 3, "lateness_seconds": lateness_seconds });
        daily(json!({ "objective": objective, "day_starts_at": hour }))
    };
    let before = catalogue([version("00:00", 0)]);
    let after = catalogue([version("00:00", 0), version("05:00", 172_800)]);
    let past = given(&before, &[]).after(&[gift("27T12:00"), gift("29T12:00")]).under(&after);
    for when in ["26T12:00", "27T13:00", "27T23:59"] {
        let events = past.when(&gift(when)).outcome.unwrap().events;
        assert!(matches!(events[..], [Event::ActionTooLate { .. }]), "{when}: {events:?}");
    }
    // By the new rule this is still the 27th.
    let whole = period("2026-03-28", Some(at("28T00:00")), Some(at("29T00:00")));
    let counted = by_version(2, progressed("daily", whole, [1, 1, 3], "28T03:00"));
    past.when(&gift("28T03:00")).then(&[closing(counted, "31T00:00")]);
}

#[test]
fn rule_03_too_late_comes_before_completed() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("28T12:00"), gift("29T12:00")]);
    let events = past.when(&gift("28T13:00")).outcome.unwrap().events;
    assert!(matches!(events[..], [Event::ActionTooLate { .. }]), "{events:?}");
}

fn micro() -> jiff::SignedDuration {
    jiff::SignedDuration::from_micros(1)
}
