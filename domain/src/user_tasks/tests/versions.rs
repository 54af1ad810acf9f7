//! Rules 9 and 10: new versions, pauses, retirement.

use super::*;

/// Version 1 with these milestones, and then version 2.
fn two_versions(first: &[i64], second: &[i64], on_new_version: &str) -> [Catalogue; 2] {
    let policy = json!({ "on_new_version": on_new_version });
    let versions = [daily_with(first, policy.clone()), daily_with(second, policy)];
    [catalogue([versions[0].clone()]), catalogue(versions)]
}

#[test]
fn rule_09_an_open_period_keeps_the_version_it_began_with() {
    let [before, after] = two_versions(&[3], &[2], "keep");
    let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&after);
    let kept = progressed("daily", day(29), [1, 2, 3], "29T12:00");
    past.when(&gift("29T12:00")).then(&[kept]);
    let next_day = by_version(2, progressed("daily", day(30), [1, 1, 2], "30T12:00"));
    past.when(&gift("30T12:00")).then(&[next_day]);
}

#[test]
fn rule_09_an_open_period_adopts_the_new_version_if_it_says_so() {
    let [before, after] = two_versions(&[3], &[5], "adopt");
    let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&after);
    let adopted = by_version(2, progressed("daily", day(29), [1, 2, 5], "29T12:00"));
    past.when(&gift("29T12:00")).then(&[adopted]);
}

#[test]
fn rule_09_adopt_if_easier_takes_no_higher_target() {
    let [before, harder] = two_versions(&[3], &[4], "adopt_if_easier");
    let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&harder);
    let kept = progressed("daily", day(29), [1, 2, 3], "29T12:00");
    past.when(&gift("29T12:00")).then(&[kept]);

    let [before, easier] = two_versions(&[3], &[2], "adopt_if_easier");
    let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&easier);
    let expected = [
        by_version(2, progressed("daily", day(29), [1, 2, 2], "29T12:00")),
        by_version(2, reached("daily", &day(29), 2, 20, "29T12:00")),
        by_version(2, completed("daily", &day(29), "29T12:00")),
    ];
    past.when(&gift("29T12:00")).then(&expected);
}

#[test]
fn rule_09_a_milestone_reached_under_one_version_is_not_reached_again_under_the_next() {
    let [before, after] = two_versions(&[1, 5], &[1, 2, 3], "adopt");
    let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&after);
    let expected = [
        by_version(2, progressed("daily", day(29), [1, 2, 3], "29T12:00")),
        by_version(2, reached("daily", &day(29), 2, 20, "29T12:00")),
    ];
    past.when(&gift("29T12:00")).then(&expected);
}

#[test]
fn rule_09_a_version_whose_last_milestone_was_already_reached_completes_with_the_next_action() {
    let [before, after] = two_versions(&[1, 5], &[1], "adopt");
    let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&after);
    let expected = [
        by_version(2, dropping(progressed("daily", day(29), [1, 1, 1], "29T12:00"), 1)),
        by_version(2, completed("daily", &day(29), "29T12:00")),
    ];
    past.when(&gift("29T12:00")).then(&expected);
}

#[test]
fn rule_09_completed_stays_completed() {
    let [before, after] = two_versions(&[1], &[5], "adopt");
    let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&after);
    let full = UnmovedReason::Completed("2026-03-29".to_owned());
    past.when(&gift("29T12:00")).then_nothing("daily", full);
}

#[test]
fn rule_09_what_is_paid_is_what_was_promised_when_it_was_reached() {
    let pays = |amount| {
        daily(json!({ "milestones": [{ "at": 1, "rewards": [coins(amount)] }],
            "objective": { "on": ["gift.sent"], "target": 1 }, "on_new_version": "adopt" }))
    };
    let (before, after) = (catalogue([pays(10)]), catalogue([pays(10), pays(99)]));
    let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&after);
    let rewards = rewards("daily", &day(29), 1, 10, "29T10:00");
    let (task, period, milestone, at) = (id("daily"), day(29), 1, at("29T12:00"));
    let claimed = Event::RewardsClaimed { task, version: 1, period, milestone, at, rewards };
    past.when(&claim("daily", "29T12:00")).then(&[claimed]);
}

#[test]
fn rule_09_a_kept_version_may_listen_to_other_actions_than_the_newest() {
    let other = json!({ "objective": { "on": ["other"], "target": 3 } });
    let (before, after) =
        (catalogue([daily(json!({}))]), catalogue([daily(json!({})), daily(other)]));
    let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&after);
    let kept = progressed("daily", day(29), [1, 2, 3], "29T12:00");
    past.when(&gift("29T12:00")).then(&[kept]);
    let other = action("other", at("29T12:00"), &json!({}));
    past.when(&other).then_nothing("daily", UnmovedReason::NotSubscribed(1));
}

#[test]
fn rule_09_when_the_day_starts_elsewhere_the_next_period_begins_where_the_open_one_ends() {
    let at_hour = |hour| daily(json!({ "day_starts_at": hour }));
    let before = catalogue([at_hour("05:00")]);
    let cases = [
        // By the new rule 05:30 is still the 29th, and that key belongs to the open period.
        ("06:00", "30T05:30", period("2026-03-30", Some(at("30T05:00")), Some(at("31T06:00")))),
        // No hour is left over between the two periods, even if nothing happens in it.
        ("06:00", "30T07:00", period("2026-03-30", Some(at("30T05:00")), Some(at("31T06:00")))),
        // By the new rule 05:30 lies in a day that began before the open period ended.
        ("04:00", "30T05:30", period("2026-03-30", Some(at("30T05:00")), Some(at("31T04:00")))),
    ];
    for (hour, when, next) in cases {
        let after = catalogue([at_hour("05:00"), at_hour(hour)]);
        let past = given(&before, &[]).after(&[gift("29T10:00")]).under(&after);
        let counted = by_version(2, progressed("daily", next, [1, 1, 3], when));
        past.when(&gift(when)).then(&[counted]);
    }
}

#[test]
fn rule_09_a_late_action_lands_before_the_newest_period_not_in_it() {
    let at_hour = |hour| {
        let objective = json!({ "on": ["gift.sent"], "target": 3, "lateness_seconds": 86_400 });
        daily(json!({ "day_starts_at": hour, "objective": objective }))
    };
    let before = catalogue([at_hour("05:00")]);
    let after = catalogue([at_hour("05:00"), at_hour("00:00")]);
    let past = given(&before, &[]).after(&[gift("30T10:00")]).under(&after);
    // By the new rule 03:00 is the 30th; but the 30th is open already, and begins at 05:00.
    let cut = period("2026-03-29", Some(at("29T00:00")), Some(at("30T05:00")));
    let counted = by_version(2, progressed("daily", cut, [1, 1, 3], "30T03:00"));
    past.when(&gift("30T03:00")).then(&[closing(counted, "31T05:00")]);
}

#[test]
fn rule_10_a_paused_or_retired_task_moves_no_more_but_pays() {
    for status in [Status::Paused, Status::Retired] {
        let (active, stopped) = (catalogue([daily(json!({}))]), [daily(json!({}))]);
        let stopped = catalogue_in(status, stopped);
        let all = [gift("28T10:00"), gift("28T11:00"), gift("28T12:00")];
        let past = given(&active, &[]).after(&all).under(&stopped);
        past.when(&gift("29T12:00")).then_nothing("daily", UnmovedReason::NotActive);
        let rewards = rewards("daily", &day(28), 3, 10, "28T12:00");
        let (task, period, milestone, at) = (id("daily"), day(28), 3, at("29T12:00"));
        let claimed = Event::RewardsClaimed { task, version: 1, period, milestone, at, rewards };
        past.when(&claim("daily", "29T12:00")).then(&[claimed]);
    }
}

#[test]
fn rule_09_adopt_if_easier_compares_what_a_period_of_a_streak_needs() {
    let signs = |target: i64| {
        let objective = json!({ "on": ["user.signed_in"], "target": target });
        sign_in(&[7], json!({ "objective": objective, "on_new_version": "adopt_if_easier" }))
    };
    let (before, after) = (catalogue([signs(2)]), catalogue([signs(2), signs(5)]));
    let past = given(&before, &[]).after(&[signs_in("29T10:00")]).under(&after);
    let kept = progressed("sign-in", day(29), [1, 2, 2], "29T12:00");
    let events = decide(&past.state, &signs_in("29T12:00"), &after).unwrap().events;
    assert_eq!(events[0], kept);
}

/// Versions of the daily task with these targets, each with its policy for open periods.
fn versions(of: &[(i64, &str)]) -> Vec<Value> {
    let version = |(target, policy): &(i64, &str)| {
        daily_with(&[*target], json!({ "on_new_version": policy }))
    };
    of.iter().map(version).collect()
}

/// Asserts the version and target that apply to an action after the second and after the third
/// publication, whether or not the user did something between the two.
#[track_caller]
fn assert_applied(of: &[(i64, &str)], expected: (u32, i64)) {
    let all = versions(of);
    let [first, second, third] = [1, 2, 3].map(|count| catalogue(all[..count].to_vec()));
    let past = given(&first, &[]).after(&[gift("29T10:00")]);
    let idle = past.clone().under(&second).under(&third);
    let busy = past.under(&second).after(&[gift("29T11:00")]).under(&third);
    for past in [idle, busy] {
        let events = past.when(&gift("29T12:00")).events();
        let Event::ProgressRecorded { version, target, .. } = events[0] else {
            panic!("{events:?}")
        };
        assert_eq!((version, target), expected, "{of:?}");
    }
}

#[test]
fn rule_09_each_publication_decides_whether_open_periods_follow_it() {
    assert_applied(&[(9, "keep"), (8, "adopt"), (7, "keep")], (2, 8));
    assert_applied(&[(9, "keep"), (8, "keep"), (7, "adopt")], (3, 7));
    assert_applied(&[(9, "keep"), (8, "adopt"), (7, "adopt")], (3, 7));
    assert_applied(&[(9, "keep"), (8, "keep"), (7, "keep")], (1, 9));
    assert_applied(&[(9, "keep"), (6, "adopt_if_easier"), (8, "adopt_if_easier")], (2, 6));
    assert_applied(&[(9, "keep"), (10, "adopt_if_easier"), (8, "adopt_if_easier")], (3, 8));
}

/// An objective with a target in each of two versions, the actions before the second one, and an
/// action that is credited nothing.
struct Lowered {
    measure: Value,
    targets: [i64; 2],
    before: Vec<Input>,
    next: Input,
}

fn gift_of(field: &str, value: Value, when: &str) -> Input {
    action("gift.sent", at(when), &json!({ field: value }))
}

fn lowered() -> Vec<Lowered> {
    let level = |value: i64, when| gift_of("level", json!(value), when);
    let room = |value: &str, when| gift_of("room", json!(value), when);
    let rooms = || vec![room("a", "25T10:00"), room("b", "25T11:00"), room("c", "25T12:00")];
    let days = || vec![gift("23T10:00"), gift("24T10:00"), gift("25T10:00")];
    let max = json!({ "measure": { "max": ["level"] } });
    let latest = json!({ "measure": { "latest": ["level"] } });
    let of_value = |measure: &Value, cap: Value| json!({ "measure": measure, "cap": cap });
    let (sum, most) = (json!({ "sum": ["level"] }), json!({ "per_period": 450 }));
    let case = |measure, targets, before, next| Lowered { measure, targets, before, next };
    vec![
        case(max, [500, 400], vec![level(450, "25T10:00")], level(420, "25T11:00")),
        case(latest, [500, 400], vec![level(450, "25T10:00")], level(420, "25T09:00")),
        case(
            of_value(&sum, json!({})),
            [500, 400],
            vec![level(450, "25T10:00")],
            level(0, "25T11:00"),
        ),
        case(of_value(&sum, most), [500, 400], vec![level(450, "25T10:00")], level(9, "25T11:00")),
        case(
            json!({ "cap": { "per_period": 2 } }),
            [3, 2],
            vec![gift("25T10:00"), gift("25T11:00")],
            gift("25T12:00"),
        ),
        case(
            json!({ "measure": { "distinct": ["room"] } }),
            [5, 3],
            rooms(),
            room("a", "25T13:00"),
        ),
        case(json!({ "measure": "days" }), [5, 3], days(), gift("25T13:00")),
    ]
}

#[test]
fn rule_09_a_lower_target_completes_with_the_next_action_whatever_is_measured() {
    for Lowered { measure, targets, before, next } in lowered() {
        let version = |target: i64, policy: &str| {
            let mut objective = json!({ "on": ["gift.sent"], "target": target });
            objective.as_object_mut().unwrap().extend(measure.as_object().unwrap().clone());
            daily(json!({ "every": "week", "objective": objective, "on_new_version": policy,
                "milestones": [{ "at": target, "rewards": [coins(10)] }] }))
        };
        let [first, adopting] = [version(targets[0], "keep"), version(targets[1], "adopt")];
        let keeping = version(targets[1], "keep");
        let before_it = catalogue([first.clone()]);
        let (adopts, keeps) = (catalogue([first.clone(), adopting]), catalogue([first, keeping]));
        let past = given(&before_it, &[]).after(&before);
        let stands = past.state.tasks[&id("daily")].periods[0].progress;
        assert!(stands >= targets[1] && stands < targets[0], "{measure}: {stands}");
        let kept = past.clone().under(&keeps).when(&next).events();
        assert!(
            !kept.iter().any(|event| matches!(event, Event::TaskCompleted { .. })),
            "{measure}"
        );
        let past = past.under(&adopts);
        let decided = decide(&past.state, &next, &adopts).unwrap();
        let names: Vec<_> = decided.events.iter().map(|event| event.schema().0).collect();
        assert_eq!(
            names,
            ["progress_recorded", "milestone_reached", "task_completed"],
            "{measure}"
        );
        assert_eq!(decided.unmoved, [], "{measure}");
        let Event::ProgressRecorded { version: 2, credited: 0, progress, target, .. } =
            &decided.events[0]
        else {
            panic!("{measure}: {decided:?}");
        };
        assert_eq!([*progress, *target], [targets[1]; 2], "{measure}");
        past.when(&next).then(&decided.events);
        let full = UnmovedReason::Completed("2026-W13".to_owned());
        past.after(std::slice::from_ref(&next)).when(&gift("26T10:00")).then_nothing("daily", full);
    }
}

#[test]
fn rule_09_a_milestone_that_a_version_adds_below_the_progress_is_reached_once() {
    let version = |milestones: &[i64]| {
        let pays = |at: &i64| json!({ "at": at, "rewards": [coins(10)] });
        daily(json!({ "on_new_version": "adopt",
            "objective": { "on": ["gift.sent"], "measure": { "max": ["level"] }, "target": 500 },
            "milestones": milestones.iter().map(pays).collect::<Value>() }))
    };
    let before = catalogue([version(&[500])]);
    let after = catalogue([version(&[500]), version(&[300, 500])]);
    let level = |value: i64, when| gift_of("level", json!(value), when);
    let past = given(&before, &[]).after(&[level(450, "29T10:00")]).under(&after);
    let expected = [
        by_version(2, progressed("daily", day(29), [0, 450, 500], "29T11:00")),
        by_version(2, reached("daily", &day(29), 300, 10, "29T11:00")),
    ];
    past.when(&level(420, "29T11:00")).then(&expected);
    let not_higher = UnmovedReason::NotHigher { value: 420, highest: 450 };
    let past = past.after(&[level(420, "29T11:00")]);
    past.when(&level(420, "29T12:00")).then_nothing("daily", not_higher);
}

#[test]
fn rule_09_an_action_of_a_type_that_only_an_earlier_version_counts_completes_too() {
    let version = |on: &str, target: i64| {
        let objective = json!({ "on": [on], "target": target });
        daily(json!({ "objective": objective, "milestones": [{ "at": target }],
            "on_new_version": "adopt" }))
    };
    let before = catalogue([version("gift.sent", 3)]);
    let after = catalogue([version("gift.sent", 3), version("other", 2)]);
    let past = given(&before, &[]).after(&[gift("29T10:00"), gift("29T11:00")]).under(&after);
    let completes = |event: &Event| matches!(event, Event::TaskCompleted { version: 2, .. });
    assert!(past.when(&gift("29T12:00")).events().iter().any(completes));
}

#[test]
fn rule_09_a_lower_target_completes_nothing_while_the_task_is_locked_or_beyond_its_window() {
    let version = |target: i64, changes: Value| {
        let objective =
            json!({ "on": ["gift.sent"], "measure": { "max": ["level"] }, "target": target });
        let mut task = daily(json!({ "objective": objective, "on_new_version": "adopt",
            "milestones": [{ "at": target, "rewards": [coins(10)] }] }));
        task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        task
    };
    let unlocks = first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let level = |value: i64, when| gift_of("level", json!(value), when);
    let first = catalogue([version(500, json!({}))]);
    let past = given(&first, &[]).after(&[level(450, "29T10:00")]);
    let under = |changes: Value| {
        catalogue([unlocks.clone(), version(500, json!({})), version(400, changes)])
    };
    let skips = under(json!({ "requires": ["first-gift"] }));
    let locked = UnmovedReason::Locked(vec![id("first-gift")]);
    past.clone().under(&skips).when(&level(420, "29T11:00")).then_nothing("daily", locked);
    let over = under(json!({ "window": { "until": "2026-03-29T11:00:00Z" } }));
    let outside = UnmovedReason::OutsideWindow;
    past.clone().under(&over).when(&level(420, "29T11:00")).then_nothing("daily", outside);
    // The period counts while locked: it is completed, and withheld until the prerequisite is
    // completed.
    let counts = under(json!({ "requires": ["first-gift"], "while_locked": "count" }));
    let past = past.under(&counts);
    let counted = by_version(2, progressed("daily", day(29), [0, 400, 400], "29T11:00"));
    past.when(&level(420, "29T11:00")).then(&[withheld(counted)]);
    let past = past.after(&[level(420, "29T11:00")]);
    let unlocked = past.when(&action("other", at("29T12:00"), &json!({}))).events();
    assert!(unlocked.contains(&by_version(2, reached("daily", &day(29), 400, 10, "29T12:00"))));
}
