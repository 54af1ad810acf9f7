//! Rule 20: what a reader sees, and when.

mod states;
mod streaks;

use serde_json::{Value, json};

use super::*;
use crate::catalogue::Status;
use crate::user_tasks::tests::*;

/// Everything that is shown to this user.
#[track_caller]
fn see(past: &Given<'_>, now: &str) -> Vec<TaskScreen> {
    screen(&user(), &past.state, past.catalogue, at(now), &ScreenRequest::default())
}

/// The only task that is shown to this user.
#[track_caller]
fn see_one(past: &Given<'_>, now: &str) -> TaskScreen {
    let mut shown = see(past, now);
    assert_eq!(shown.len(), 1, "{shown:?}");
    shown.remove(0)
}

fn ids(shown: &[TaskScreen]) -> Vec<&str> {
    shown.iter().map(|task| task.id.as_str()).collect()
}

/// The example of the contract, as far as it can be without expiry and freezes.
#[test]
fn rule_20_a_task_reads_as_the_contract_shows_it() {
    let catalogue = catalogue([
        daily(json!({
            "id": "daily-gifts", "category": "daily", "order": 20, "zone": "user",
            "day_starts_at": "05:00", "navigate": "app://gifts",
            "text": { "en": { "title": "Gifts", "description": "Send some." } },
            "objective": { "on": ["gift.sent"], "measure": { "sum": ["coins"] }, "target": 1000 },
            "milestones": [
                { "at": 100, "rewards": [
                    { "line": "small", "kind": "currency", "code": "coin", "amount": 10 }] },
                { "at": 1000, "rewards": [
                    { "line": "big", "kind": "item", "code": "badge-gold", "amount": 1 }] },
            ],
        })),
        sign_in(&[7], json!({ "order": 30, "streak": { "cycle": 7 } })),
    ]);
    let gift = action("gift.sent", at("29T09:12"), &json!({ "coins": 130 }));
    let past = given(&catalogue, &[]).after(&[
        moves_to("Europe/Paris", "20T00:00"),
        signs_in("28T09:00"),
        gift,
    ]);
    let grant = "b24bdd4d-f1b0-508a-9b49-7430bd128e3a";
    let expected = json!([
        {
            "id": "daily-gifts", "version": 1, "kind": "periodic", "category": "daily", "order": 20,
            "title": "Gifts", "description": "Send some.", "navigate": "app://gifts",
            "state": "claimable", "locked_by": [],
            "period": { "key": "2026-03-29", "starts_at": "2026-03-29T03:00:00Z",
                        "ends_at": "2026-03-30T03:00:00Z" },
            "progress": 130, "target": 1000,
            "milestones": [
                { "at": 100, "reached_at": "2026-03-29T09:12:00Z", "rewards": [
                    { "grant": grant, "line": "small", "kind": "currency", "code": "coin",
                      "amount": 10, "state": "claimable", "claim_until": null }] },
                { "at": 1000, "reached_at": null, "rewards": [
                    { "line": "big", "kind": "item", "code": "badge-gold", "amount": 1 }] },
            ],
            "unclaimed_from_earlier_periods": [], "unclaimed_count": 0,
            "window": { "from": null, "until": null }, "meta": {},
        },
        {
            "id": "sign-in", "version": 1, "kind": "continuous", "category": null, "order": 30,
            "title": "Daily gifts", "description": "", "navigate": null,
            "state": "in_progress", "locked_by": [],
            "period": { "key": "2026-03-29", "starts_at": "2026-03-29T00:00:00Z",
                        "ends_at": "2026-03-30T00:00:00Z" },
            "progress": 1, "target": 7,
            "milestones": [{ "at": 7, "reached_at": null, "rewards": [
                { "line": "coins", "kind": "currency", "code": "coin", "amount": 70 }] }],
            "unclaimed_from_earlier_periods": [], "unclaimed_count": 0,
            "window": { "from": null, "until": null }, "meta": {},
            "streak": { "current": 1, "longest": 1, "freezes": 0, "at_risk": true },
        },
    ]);
    assert_eq!(serde_json::to_value(see(&past, "29T10:00")).unwrap(), expected);
}

#[test]
fn rule_20_a_user_nobody_has_heard_of_sees_every_task_at_0() {
    let catalogue = catalogue([daily(json!({})), first_gift(json!({})), sign_in(&[7], json!({}))]);
    let shown = see(&given(&catalogue, &[]), "29T12:00");
    assert_eq!(ids(&shown), ["daily", "first-gift", "sign-in"]);
    for task in shown {
        assert_eq!((task.state, task.progress), (TaskScreenState::Available, 0));
        assert!(task.milestones.iter().all(|m| m.reached_at.is_none()));
    }
}

#[test]
fn rule_20_tasks_come_by_order_then_by_id() {
    let task = |id: &str, order: i64, requires: &[&str]| {
        daily(json!({ "id": id, "order": order, "requires": requires }))
    };
    let catalogue =
        catalogue([task("c", 1, &["z"]), task("b", 2, &[]), task("a", 2, &[]), task("z", 9, &[])]);
    assert_eq!(ids(&see(&given(&catalogue, &[]), "29T12:00")), ["c", "a", "b", "z"]);
}

#[test]
fn rule_20_a_reader_may_ask_for_a_category_a_state_or_a_task() {
    let catalogue = catalogue([
        daily(json!({ "id": "a", "category": "daily" })),
        daily(json!({ "id": "b", "category": "newbie" })),
        daily(json!({ "id": "c", "objective": { "on": ["other"], "target": 3 } })),
    ]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    let ask = |request: ScreenRequest<'_>| {
        let shown = screen(&user(), &past.state, &catalogue, at("29T12:00"), &request);
        ids(&shown).join(" ")
    };
    let all = ScreenRequest::default();
    assert_eq!(ask(ScreenRequest { category: Some("newbie"), ..all }), "b");
    assert_eq!(ask(ScreenRequest { category: Some("unknown"), ..all }), "");
    assert_eq!(ask(ScreenRequest { state: Some(TaskScreenState::InProgress), ..all }), "a b");
    assert_eq!(ask(ScreenRequest { state: Some(TaskScreenState::Available), ..all }), "c");
    assert_eq!(ask(ScreenRequest { task: Some(&id("b")), ..all }), "b");
    assert_eq!(ask(ScreenRequest { task: Some(&id("unknown")), ..all }), "");
}

#[test]
fn rule_20_a_state_is_asked_for_as_it_is_shown() {
    let all =
        ["locked", "available", "in_progress", "claimable", "completed", "claimed", "expired"];
    for name in all {
        let state: TaskScreenState = name.parse().unwrap();
        assert_eq!(serde_json::to_value(state).unwrap(), name);
    }
    for bad in ["", "Locked", "in-progress", "failed"] {
        assert!(bad.parse::<TaskScreenState>().is_err(), "{bad}");
    }
}

#[test]
fn rule_20_text_is_in_the_readers_language_or_the_default_one() {
    let text = json!({ "en": { "title": "Gifts" }, "zh": { "title": "礼物" } });
    let catalogue = catalogue([daily(json!({ "text": text }))]);
    for (locale, title) in [
        (None, "Gifts"),
        (Some("zh"), "礼物"),
        (Some("zh-Hant-TW"), "礼物"),
        (Some("ZH"), "礼物"),
        (Some("fr"), "Gifts"),
        (Some(""), "Gifts"),
    ] {
        let request = ScreenRequest { locale, ..ScreenRequest::default() };
        let shown = screen(&user(), &UserTasks::default(), &catalogue, at("29T12:00"), &request);
        assert_eq!(shown[0].title, title, "{locale:?}");
    }
}

#[test]
fn rule_09_an_open_period_is_shown_as_the_version_it_goes_by() {
    let version = |title: &str, target: i64, policy: &str| {
        let changes = json!({ "text": { "en": { "title": title } }, "on_new_version": policy });
        daily_with(&[1, target], changes)
    };
    for (policy, title, target) in [("keep", "Old", 5), ("adopt", "New", 9)] {
        let before = catalogue([version("Old", 5, policy)]);
        let after = catalogue([version("Old", 5, policy), version("New", 9, policy)]);
        let mut past = given(&before, &[]).after(&[gift("29T10:00")]);
        past.catalogue = &after;
        let today = see_one(&past, "29T12:00");
        assert_eq!((today.title.as_str(), today.target, today.progress), (title, target, 1));
        let tomorrow = see_one(&past, "30T12:00");
        assert_eq!((tomorrow.title.as_str(), tomorrow.target, tomorrow.progress), ("New", 9, 0));
    }
}

#[test]
fn rule_09_rewards_are_shown_as_promised_when_they_were_reached() {
    let version = |amount: i64, at: i64| {
        let milestones = json!([
            { "at": at, "rewards": [coins(amount)] }, { "at": 9, "rewards": [coins(amount)] },
        ]);
        let objective = json!({ "on": ["gift.sent"], "target": 9 });
        daily(json!({
            "milestones": milestones, "objective": objective, "on_new_version": "adopt"
        }))
    };
    let before = catalogue([version(10, 1)]);
    let after = catalogue([version(10, 1), version(99, 2)]);
    let mut past = given(&before, &[]).after(&[gift("29T10:00")]);
    past.catalogue = &after;
    let amounts = |task: &TaskScreen| -> Value {
        task.milestones
            .iter()
            .map(|m| {
                json!([m.at, m.reached_at.is_some(), m.rewards[0].pays.as_ref().unwrap().amount])
            })
            .collect()
    };
    // The milestone of the first version is gone from the second, but not what it granted.
    let shown = see_one(&past, "29T12:00");
    assert_eq!(amounts(&shown), json!([[1, true, 10], [2, false, 99], [9, false, 99]]));
    let earlier = &see_one(&past, "30T12:00").unclaimed_from_earlier_periods[0];
    assert_eq!((earlier.at, earlier.rewards[0].pays.as_ref().unwrap().amount), (1, 10));
}

#[test]
fn rule_04_tasks_outside_their_window_are_left_out_unless_something_is_claimable() {
    let window = json!({ "from": at("10T00:00"), "until": at("20T00:00") });
    let catalogue = catalogue([daily_with(&[1], json!({ "window": window }))]);
    let nobody = given(&catalogue, &[]);
    assert!(see(&nobody, "09T23:59").is_empty());
    assert_eq!(see(&nobody, "10T00:00").len(), 1);
    assert!(see(&nobody, "20T00:00").is_empty());
    let past = given(&catalogue, &[]).after(&[gift("19T10:00")]);
    assert_eq!(see_one(&past, "25T00:00").state, TaskScreenState::Claimable);
    let past = past.after(&[claim("daily", "25T00:00")]);
    assert!(see(&past, "25T00:00").is_empty());
}

#[test]
fn rule_04_a_task_that_is_done_once_shows_its_window_as_its_period() {
    let window = json!({ "from": at("10T00:00"), "until": at("20T00:00") });
    let catalogue = catalogue([first_gift(json!({ "window": window }))]);
    let window = period("once", Some(at("10T00:00")), Some(at("20T00:00")));
    assert_eq!(see_one(&given(&catalogue, &[]), "12T00:00").period, window);
    let past = given(&catalogue, &[]).after(&[gift("11T10:00")]);
    assert_eq!(see_one(&past, "12T00:00").period, window);
}

#[test]
fn rule_10_a_retired_task_is_left_out_unless_something_is_claimable_and_a_paused_one_is_shown() {
    let active = catalogue([daily_with(&[1], json!({}))]);
    let nobody = given(&active, &[]);
    let past = given(&active, &[]).after(&[gift("29T10:00")]);
    for (status, shown_to_nobody) in [(Status::Retired, 0), (Status::Paused, 1)] {
        let stopped = catalogue_in(status, [daily_with(&[1], json!({}))]);
        let shown = |past: &Given<'_>| {
            screen(&user(), &past.state, &stopped, at("30T12:00"), &ScreenRequest::default())
        };
        assert_eq!(shown(&nobody).len(), shown_to_nobody);
        assert_eq!(shown(&past)[0].state, TaskScreenState::Claimable);
    }
}

#[test]
fn a_task_is_shown_as_of_a_time_before_it_was_retired() {
    let retired = catalogue_in(Status::Retired, [daily_with(&[2], json!({}))]);
    let mut tasks = vec![];
    for task in retired.tasks() {
        let (id, versions) = (task.id.clone(), task.versions.clone());
        let status_since = at("20T00:00");
        tasks.push(CatalogueTask {
            id,
            status: Status::Retired,
            status_since,
            versions,
            amnesties: vec![],
        });
    }
    let catalogue = Catalogue::new(2, tasks).unwrap();
    let shown = |when: &str| see(&given(&catalogue.as_of(at(when)), &[]), when).len();
    assert_eq!((shown("19T23:59"), shown("20T00:00"), shown("29T10:00")), (1, 0, 0));
}

#[test]
fn rule_20_a_task_that_is_left_out_still_has_a_state() {
    let window = json!({ "window": { "until": at("20T00:00") } });
    let over = catalogue([daily_with(&[2], window)]);
    let retired = catalogue_in(Status::Retired, [daily_with(&[2], json!({}))]);
    for catalogue in [over, retired] {
        let state = |task: &str| {
            let nobody = given(&catalogue, &[]);
            assert!(see(&nobody, "29T10:00").is_empty());
            state_of_task(&user(), &nobody.state, &catalogue, at("29T10:00"), &id(task))
        };
        assert_eq!(state("daily"), Some(TaskScreenState::Available));
        assert_eq!(state("unknown"), None);
    }
}

#[test]
fn rule_02_the_period_shown_is_the_one_the_next_action_would_be_credited_to() {
    let catalogue = catalogue([daily_with(&[9], json!({ "zone": "user" }))]);
    let past = given(&catalogue, &[]).after(&[
        moves_to("Asia/Tokyo", "10T00:00"),
        gift("20T10:00"),
        moves_to("America/New_York", "20T12:00"),
    ]);
    for when in ["20T12:00", "20T15:00", "21T12:00", "22T03:59", "22T04:00", "25T00:00"] {
        let shown = see_one(&past, when).period;
        let after = Given { catalogue: &catalogue, state: past.state.clone() }.after(&[gift(when)]);
        let credited = after.state.tasks[&id("daily")].periods.last().unwrap().period.clone();
        assert_eq!(shown, credited, "{when}");
    }
}
