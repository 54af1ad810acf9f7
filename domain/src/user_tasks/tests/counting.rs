//! Rules 5 to 8: the amount that is credited.

use super::*;

/// A daily sum of `data.coins`.
fn sum(target: i64, changes: &Value) -> Value {
    let mut objective =
        json!({ "on": ["gift.sent"], "measure": { "sum": ["coins"] }, "target": target });
    objective.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    daily(json!({
        "objective": objective, "milestones": [{ "at": target, "rewards": [coins(10)] }]
    }))
}

fn gift_of(coins: &Value, when: &str) -> Input {
    action("gift.sent", at(when), &json!({ "coins": coins }))
}

fn not_counted(reason: &str, when: &str) -> Event {
    let (task, reason, at) = (id("daily"), reason.to_owned(), at(when));
    Event::ActionNotCounted { task, version: 1, reason, at }
}

#[test]
fn rule_08_count_adds_one_for_each_action() {
    let catalogue = catalogue([daily(json!({}))]);
    let past = [progressed("daily", day(29), [1, 1, 3], "29T11:00")];
    let counted = progressed("daily", day(29), [1, 2, 3], "29T12:00");
    given(&catalogue, &past).when(&gift("29T12:00")).then(&[counted]);
}

#[test]
fn rule_08_sum_adds_the_field() {
    let catalogue = catalogue([sum(1000, &json!({}))]);
    let past = [progressed("daily", day(29), [100, 100, 1000], "29T11:00")];
    let counted = progressed("daily", day(29), [50, 150, 1000], "29T12:00");
    given(&catalogue, &past).when(&gift_of(&json!(50), "29T12:00")).then(&[counted]);
}

#[test]
fn rule_08_a_sum_may_name_a_field_inside_a_field() {
    let path = json!({ "measure": { "sum": ["gift", "coins"] } });
    let catalogue = catalogue([sum(1000, &path)]);
    let nested = action("gift.sent", at("29T12:00"), &json!({ "gift": { "coins": 7 } }));
    let counted = progressed("daily", day(29), [7, 7, 1000], "29T12:00");
    given(&catalogue, &[]).when(&nested).then(&[counted]);
    let flat = not_counted("data.gift.coins is missing", "29T12:00");
    given(&catalogue, &[]).when(&gift_of(&json!(7), "29T12:00")).then(&[flat]);
}

#[test]
fn rule_06_a_number_with_a_zero_fraction_is_an_integer() {
    let catalogue = catalogue([sum(1000, &json!({}))]);
    let counted = progressed("daily", day(29), [5, 5, 1000], "29T12:00");
    given(&catalogue, &[]).when(&gift_of(&json!(5.0), "29T12:00")).then(&[counted]);
}

#[test]
fn rule_06_a_measure_that_cannot_be_taken_moves_nothing_and_says_why() {
    let catalogue = catalogue([sum(1000, &json!({}))]);
    let cases = [
        (json!(1.5), "data.coins is not an integer"),
        (json!("5"), "data.coins is not an integer"),
        (json!(null), "data.coins is not an integer"),
        (json!(true), "data.coins is not an integer"),
        (json!(-1), "data.coins is negative"),
        (json!(-1.0), "data.coins is negative"),
        (json!(9_223_372_036_854_775_808_u64), "data.coins is beyond 64 bits"),
        (json!(9.3e18), "data.coins is beyond 64 bits"),
        (json!(1e300), "data.coins is beyond 64 bits"),
        // 9007199254740993.0 is read as this number: its last digit is lost.
        (
            json!(9_007_199_254_740_992.0),
            "data.coins was sent with a fraction or an exponent and is not exact beyond 2^53; send it as \
             a plain integer",
        ),
    ];
    for (coins, reason) in cases {
        let refused = not_counted(reason, "29T12:00");
        given(&catalogue, &[]).when(&gift_of(&coins, "29T12:00")).then(&[refused]);
    }
    let missing = not_counted("data.coins is missing", "29T12:00");
    given(&catalogue, &[]).when(&gift("29T12:00")).then(&[missing]);
}

#[test]
fn rule_06_a_measure_that_one_task_cannot_take_does_not_hold_up_the_others() {
    let catalogue = catalogue([sum(1000, &json!({})), daily_with(&[9], json!({ "id": "other" }))]);
    let refused = not_counted("data.coins is missing", "29T12:00");
    let counted = progressed("other", day(29), [1, 1, 9], "29T12:00");
    given(&catalogue, &[]).when(&gift("29T12:00")).then(&[refused, counted]);
}

#[test]
fn rule_06_overflow_is_refused_not_wrapped() {
    let catalogue = catalogue([sum(i64::MAX, &json!({}))]);
    let past = [progressed("daily", day(29), [1, 1, i64::MAX], "29T11:00")];
    let refused = not_counted("the sum is beyond 64 bits", "29T12:00");
    given(&catalogue, &past).when(&gift_of(&json!(i64::MAX), "29T12:00")).then(&[refused]);
    let last = [
        progressed("daily", day(29), [i64::MAX - 1, i64::MAX, i64::MAX], "29T12:00"),
        reached("daily", &day(29), i64::MAX, 10, "29T12:00"),
        completed("daily", &day(29), "29T12:00"),
    ];
    given(&catalogue, &past).when(&gift_of(&json!(i64::MAX - 1), "29T12:00")).then(&last);
}

#[test]
fn rule_06_surplus_beyond_the_target_is_dropped() {
    let catalogue = catalogue([sum(1000, &json!({}))]);
    let past = [progressed("daily", day(29), [900, 900, 1000], "29T11:00")];
    let expected = [
        dropping(progressed("daily", day(29), [250, 1000, 1000], "29T12:00"), 150),
        reached("daily", &day(29), 1000, 10, "29T12:00"),
        completed("daily", &day(29), "29T12:00"),
    ];
    given(&catalogue, &past).when(&gift_of(&json!(250), "29T12:00")).then(&expected);
    let next_day = progressed("daily", day(30), [1, 1, 1000], "30T12:00");
    given(&catalogue, &expected).when(&gift_of(&json!(1), "30T12:00")).then(&[next_day]);
}

#[test]
fn rule_08_per_action_clips_the_value_and_per_period_the_sum() {
    let cap = json!({ "cap": { "per_action": 500, "per_period": 800 } });
    let catalogue = catalogue([sum(1000, &cap)]);
    let clipped = progressed("daily", day(29), [500, 500, 1000], "29T11:00");
    let large = gift_of(&json!(600), "29T11:00");
    given(&catalogue, &[]).when(&large).then(std::slice::from_ref(&clipped));
    let rest = progressed("daily", day(29), [300, 800, 1000], "29T12:00");
    let past = given(&catalogue, &[clipped]);
    past.when(&gift_of(&json!(400), "29T12:00")).then(&[rest]);
    let full = past.after(&[gift_of(&json!(400), "29T12:00")]);
    let used_up = UnmovedReason::CapUsedUp(800);
    assert_eq!(used_up.to_string(), "the cap of 800 per period is used up");
    full.when(&gift_of(&json!(1), "29T13:00")).then_nothing("daily", used_up);
    let zero = gift_of(&json!(0), "29T13:00");
    full.when(&zero).then_nothing("daily", UnmovedReason::NothingToCredit);
}

#[test]
fn rule_08_what_credits_nothing_is_no_fact() {
    let catalogue = catalogue([sum(1000, &json!({}))]);
    let zero = gift_of(&json!(0), "29T12:00");
    given(&catalogue, &[]).when(&zero).then_nothing("daily", UnmovedReason::NothingToCredit);
}

#[test]
fn rule_08_a_where_that_is_false_is_no_match() {
    let catalogue = catalogue([sum(1000, &json!({ "where": "data.coins >= 10" }))]);
    let small = gift_of(&json!(9), "29T12:00");
    given(&catalogue, &[]).when(&small).then_nothing("daily", UnmovedReason::FilteredOut(1));
    let counted = progressed("daily", day(29), [10, 10, 1000], "29T12:00");
    given(&catalogue, &[]).when(&gift_of(&json!(10), "29T12:00")).then(&[counted]);
}

#[test]
fn rule_08_a_where_that_cannot_be_evaluated_is_no_match() {
    let catalogue = catalogue([sum(1000, &json!({ "where": "data.coins >= 10" }))]);
    let reason = |action: &Input| {
        let mut decision = given(&catalogue, &[]).when(action).outcome.unwrap();
        assert_eq!(decision.events, []);
        decision.unmoved.remove(0).reason
    };
    let missing = reason(&gift("29T12:00"));
    assert!(matches!(missing, UnmovedReason::FieldMissing(1, _)), "{missing:?}");
    let wrong = reason(&gift_of(&json!("ten"), "29T12:00"));
    assert!(matches!(wrong, UnmovedReason::FilterFailed(1, _)), "{wrong:?}");
}

/// The version was published before expressions were checked as strictly as now.
#[test]
fn a_stored_where_that_no_longer_compiles_stops_its_own_task_only() {
    let broken = sum(1000, &json!({ "where": "data.coins + 1" }));
    let catalogue = catalogue([broken, daily_with(&[9], json!({ "id": "other" }))]);
    let decision = given(&catalogue, &[]).when(&gift("29T12:00")).outcome.unwrap();
    assert_eq!(decision.events, [progressed("other", day(29), [1, 1, 9], "29T12:00")]);
    let reason = &decision.unmoved[0].reason;
    assert!(matches!(reason, UnmovedReason::FilterFailed(1, _)), "{reason:?}");
}

#[test]
fn rule_08_a_where_sees_what_the_user_became_by_the_same_action() {
    let objective = json!({
        "on": ["plaudit.user.updated"], "target": 3, "where": "user.level >= 2"
    });
    let catalogue = catalogue([daily(json!({ "objective": objective }))]);
    let update = json!({ "attributes": { "level": 2 } });
    let attributes = update["attributes"].as_object().unwrap().clone();
    let expected = [
        Event::UserUpdated { at: at("29T12:00"), zone: None, attributes, refused: None },
        progressed("daily", day(29), [1, 1, 3], "29T12:00"),
    ];
    let update = action("plaudit.user.updated", at("29T12:00"), &update);
    given(&catalogue, &[]).when(&update).then(&expected);
}

#[test]
fn rule_08_every_milestone_passed_is_reached_in_order() {
    let tiers = json!([
        { "at": 100, "rewards": [coins(10)] },
        { "at": 200, "rewards": [] },
        { "at": 1000, "rewards": [coins(50)] },
    ]);
    let mut task = sum(1000, &json!({}));
    task["milestones"] = tiers;
    let catalogue = catalogue([task]);
    let Event::MilestoneReached { task, version, period, at, mode, terms, .. } =
        reached("daily", &day(29), 200, 0, "29T12:00")
    else {
        unreachable!()
    };
    let (milestone, rewards) = (200, vec![]);
    let bare = Event::MilestoneReached {
        task,
        version,
        period,
        milestone,
        at,
        mode,
        rewards,
        terms,
        budgeted: None,
    };
    let expected = [
        dropping(progressed("daily", day(29), [1500, 1000, 1000], "29T12:00"), 500),
        reached("daily", &day(29), 100, 10, "29T12:00"),
        bare,
        reached("daily", &day(29), 1000, 50, "29T12:00"),
        completed("daily", &day(29), "29T12:00"),
    ];
    given(&catalogue, &[]).when(&gift_of(&json!(1500), "29T12:00")).then(&expected);
}

#[test]
fn rule_08_a_completed_period_takes_no_more() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("29T11:00")]);
    let full = UnmovedReason::Completed("2026-03-29".to_owned());
    past.when(&gift("29T12:00")).then_nothing("daily", full);
}

#[test]
fn rule_08_an_action_of_another_type_concerns_nobody() {
    let catalogue = catalogue([daily(json!({}))]);
    given(&catalogue, &[]).when(&signs_in("29T12:00")).then(&[]);
}

#[test]
fn attributes_beyond_their_bound_are_refused_with_the_reason_and_the_zone_still_holds() {
    let catalogue = catalogue([daily(json!({}))]);
    let long = "x".repeat(10_000);
    let reported = |name: &str, zone: &str| {
        let data = json!({ "zone": zone, "attributes": { name: long } });
        action("plaudit.user.updated", at("28T12:00"), &data)
    };
    let past = given(&catalogue, &[]).after(&[reported("a", "UTC"), reported("b", "Europe/Paris")]);
    assert_eq!(past.state.attributes.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(past.state.zones.current(), "Europe/Paris");
    let events = decide(&past.state, &reported("c", "UTC"), &catalogue).unwrap().events;
    let [Event::UserUpdated { refused: Some(reason), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(reason.contains("16384"), "{reason}");
}
