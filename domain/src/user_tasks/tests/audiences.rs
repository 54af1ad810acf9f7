//! Audiences: evaluated with the attributes of the moment, on each action and each read.

use serde_json::Map;

use super::*;
use crate::screen::{ScreenRequest, TaskScreenState, screen, state_of_task};

const VIP: &str = "user.vip >= 2";

fn for_vips(changes: Value) -> Value {
    let mut task = daily_with(&[1, 3], json!({ "audience": { "where": VIP } }));
    task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    task
}

fn becomes(vip: i64, when: &str) -> Input {
    action("plaudit.user.updated", at(when), &json!({ "attributes": { "vip": vip } }))
}

/// The ids and states of the tasks on the screen.
fn shown(given: &Given<'_>, when: &str) -> Vec<(String, TaskScreenState)> {
    let request = ScreenRequest::default();
    let shown = screen(&user(), &given.state, given.catalogue, at(when), &request);
    shown.into_iter().map(|task| (task.id.to_string(), task.state)).collect()
}

#[test]
fn outside_its_audience_a_task_neither_counts_nor_shows() {
    let catalogue = catalogue([for_vips(json!({}))]);
    let nobody = given(&catalogue, &[]);
    nobody.when(&gift("29T12:00")).then_nothing("daily", UnmovedReason::OutsideAudience(1));
    assert_eq!(shown(&nobody, "29T12:00"), []);
    let vip = given(&catalogue, &[]).after(&[becomes(2, "29T10:00")]);
    assert_eq!(shown(&vip, "29T12:00"), [("daily".to_owned(), TaskScreenState::Available)]);
    let counted = progressed("daily", day(29), [1, 1, 3], "29T12:00");
    let events = decide(&vip.state, &gift("29T12:00"), &catalogue).unwrap().events;
    assert_eq!(events[0], counted);
}

#[test]
fn a_user_who_leaves_the_audience_keeps_what_can_be_claimed_and_comes_back_to_the_rest() {
    let catalogue = catalogue([for_vips(json!({}))]);
    let past = given(&catalogue, &[]).after(&[
        becomes(2, "29T10:00"),
        gift("29T11:00"),
        becomes(1, "29T11:30"),
    ]);
    let reason = UnmovedReason::OutsideAudience(1);
    past.when(&gift("29T12:00")).then_nothing("daily", reason);
    assert_eq!(shown(&past, "29T12:00"), [("daily".to_owned(), TaskScreenState::Claimable)]);
    let past = past.after(&[claim("daily", "29T12:30")]);
    assert_eq!(shown(&past, "29T13:00"), []);
    let state = state_of_task(&user(), &past.state, &catalogue, at("29T13:00"), &id("daily"));
    assert_eq!(state, Some(TaskScreenState::InProgress), "reported to a claim of nothing");
    let past = past.after(&[becomes(5, "29T14:00")]);
    let counted = progressed("daily", day(29), [1, 2, 3], "29T15:00");
    past.when(&gift("29T15:00")).then(&[counted]);
}

#[test]
fn an_action_that_changes_an_attribute_is_decided_with_its_new_value() {
    let objective = json!({ "on": ["plaudit.user.updated"], "target": 3 });
    let catalogue = catalogue([for_vips(json!({ "objective": objective }))]);
    let count = |vip| {
        let events = decide(&UserTasks::default(), &becomes(vip, "29T12:00"), &catalogue);
        events.unwrap().events.iter().filter(|e| e.task().is_some()).count()
    };
    assert_eq!((count(1), count(2)), (0, 2), "progress and the milestone at 1");
}

#[test]
fn a_prerequisite_that_the_user_does_not_have_locks() {
    let catalogue = catalogue([
        for_vips(json!({ "id": "first-gift" })),
        daily_with(&[1], json!({ "id": "behind", "requires": ["first-gift"] })),
    ]);
    let past = given(&catalogue, &[]);
    past.when(&gift("29T12:00"))
        .then_nothing("behind", UnmovedReason::Locked(vec![id("first-gift")]));
    assert_eq!(shown(&past, "29T12:00"), [("behind".to_owned(), TaskScreenState::Locked)]);
}

#[test]
fn a_composite_counts_the_tasks_that_the_user_has_and_has_an_audience_of_its_own() {
    let chest = |audience: Value| {
        daily(json!({
            "id": "chest", "audience": audience, "milestones": [{ "at": 2 }],
            "objective": { "completions_of": ["for-vips", "for-all"], "target": 2 },
        }))
    };
    let tasks = |audience: Value| {
        catalogue([
            daily_with(&[1], json!({ "id": "for-vips", "audience": { "where": VIP } })),
            daily_with(&[1], json!({ "id": "for-all" })),
            chest(audience),
        ])
    };
    let progress = |catalogue: &Catalogue, vip| {
        let past = given(catalogue, &[]).after(&[becomes(vip, "29T10:00"), gift("29T12:00")]);
        past.state.tasks.get(&id("chest")).map_or(0, |chest| chest.periods[0].progress)
    };
    let (everybody, vips) = (tasks(json!({})), tasks(json!({ "where": "user.vip == 3" })));
    assert_eq!((progress(&everybody, 1), progress(&everybody, 2)), (1, 2));
    assert_eq!((progress(&vips, 2), progress(&vips, 3)), (0, 2));
}

#[test]
fn what_was_withheld_waits_until_the_user_is_in_the_audience_again() {
    let locked = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let catalogue = catalogue([
        first_gift(json!({ "objective": { "on": ["other"], "target": 1 } })),
        for_vips(locked),
    ]);
    let unlocks = action("other", at("29T12:00"), &json!({}));
    let past = given(&catalogue, &[]).after(&[
        becomes(2, "28T10:00"),
        gift("28T11:00"),
        becomes(1, "28T12:00"),
        unlocks,
    ]);
    assert_eq!(past.state.tasks[&id("daily")].claimable, []);
    let past = past.after(&[becomes(2, "30T10:00")]);
    let expected = [
        progressed("daily", day(30), [1, 1, 3], "30T11:00"),
        reached("daily", &day(30), 1, 10, "30T11:00"),
        reached("daily", &day(28), 1, 10, "30T11:00"),
    ];
    past.when(&gift("30T11:00")).then(&expected);
}

#[test]
fn an_open_period_goes_by_the_audience_of_its_version() {
    let before = catalogue([daily_with(&[3], json!({}))]);
    let after = catalogue([daily_with(&[3], json!({})), for_vips(json!({}))]);
    let past = given(&before, &[]).after(&[gift("29T11:00")]).under(&after);
    let counted = progressed("daily", day(29), [1, 2, 3], "29T12:00");
    past.when(&gift("29T12:00")).then(&[counted]);
    past.when(&gift("30T12:00")).then_nothing("daily", UnmovedReason::OutsideAudience(2));
}

/// The same users have the task on each action and on each read, whatever else they do.
#[test]
fn a_share_of_the_users_is_always_the_same_and_no_larger_than_it_says() {
    let catalogue =
        catalogue([daily_with(&[9], json!({ "audience": { "share_of_10000": 2_500 } }))]);
    let mut counted = 0;
    for number in 0..4_000 {
        let user: UserId = format!("user-{number}").parse().unwrap();
        let (source, id, kind, time) = ("/test", "g", "gift.sent", "2026-03-29T12:00:00Z");
        let parts = Parts { user: user.as_str(), source, id, kind, time, data: Map::new() };
        let action = Action::new(parts).unwrap();
        let command = Input::RecordAction { action, seed: Seed(1) };
        let state = UserTasks::default();
        let is_counted = !decide(&state, &command, &catalogue).unwrap().events.is_empty();
        let shown =
            screen(&user, &state, &catalogue, at("29T12:00"), &ScreenRequest::default()).len();
        assert_eq!(shown, usize::from(is_counted), "{user}");
        counted += shown;
    }
    // Five standard deviations of a fair draw.
    assert!(counted.abs_diff(1_000) < 137, "{counted} of 4000");
}

/// Sign-ins of VIPs, with make-ups and requests for freezes.
fn sign_in_of_vips() -> Catalogue {
    let rules = json!({ "freezes": { "initial": 1, "max": 1, "use": "manual" },
        "make_up": { "look_back": 3, "on": "user.made_up_day" } });
    catalogue([sign_in(&[1, 2, 3], json!({ "streak": rules, "audience": { "where": VIP } }))])
}

#[test]
fn outside_the_audience_of_a_streak_nothing_is_a_step_or_a_made_up_one() {
    let catalogue = sign_in_of_vips();
    let makes_up = |when| action("user.made_up_day", at(when), &json!({ "period": "2026-03-02" }));
    let vip = given(&catalogue, &[]).after(&[
        becomes(2, "01T08:00"),
        signs_in("01T09:00"),
        signs_in("03T09:00"),
    ]);
    let left = vip.clone().after(&[becomes(1, "03T10:00")]);
    left.when(&signs_in("04T09:00")).then_nothing("sign-in", UnmovedReason::OutsideAudience(1));
    left.when(&makes_up("03T12:00")).then_nothing("sign-in", UnmovedReason::OutsideAudience(1));
    // Even an action that could not be counted leaves no trace.
    let unnamed = action("user.made_up_day", at("03T12:00"), &json!({}));
    left.when(&unnamed).then_nothing("sign-in", UnmovedReason::OutsideAudience(1));
    let back = left.after(&[becomes(2, "03T13:00")]);
    let made_up = |event: &Event| matches!(event, Event::PeriodMadeUp { .. });
    assert!(back.when(&makes_up("03T14:00")).events().iter().any(made_up));
}

#[test]
fn outside_the_audience_of_a_streak_no_freeze_is_kept() {
    let catalogue = sign_in_of_vips();
    let wish = |task: &str| {
        let data = json!({ "task": task, "period": "2026-03-02" });
        action("plaudit.streak.freeze", at("01T12:00"), &data)
    };
    let vip = given(&catalogue, &[]).after(&[becomes(2, "01T08:00"), signs_in("01T09:00")]);
    let left = vip.clone().after(&[becomes(1, "01T10:00")]);
    left.when(&wish("sign-in")).then_nothing("sign-in", UnmovedReason::OutsideAudience(1));
    left.when(&wish("another")).then_nothing("sign-in", UnmovedReason::OtherTask);
    let kept = vip.when(&wish("sign-in")).events();
    assert!(matches!(kept[..], [Event::FreezeReserved { .. }]), "{kept:?}");
}
