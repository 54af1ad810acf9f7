//! An author's content for readers: texts with placeholders, titles of lines, and `meta`.

use std::sync::Arc;

use plaudit_domain::action::{Action, Parts};
use plaudit_domain::catalogue::{BudgetsUsed, Catalogue, CatalogueTask, Status, TaskVersion};
use plaudit_domain::screen::{ScreenRequest, screen};
use plaudit_domain::user_tasks::{ActionInput, Seed, UserTasks, decide_action, evolve};
use serde_json::{Map, Value, json};

fn catalogue() -> Catalogue {
    let definition = json!({
        "id": "gifts", "kind": "periodic", "every": "day", "default_locale": "en",
        "text": {
            "en": { "title": "{progress} of {target} gifts", "description": "For {amount} coins, {name}." },
            "zh": { "title": "送出{target}个礼物" },
        },
        "objective": { "on": ["gift.sent"], "target": 3 },
        "milestones": [
            { "at": 1, "meta": { "glow": true }, "rewards": [
                { "line": "small", "kind": "currency", "code": "coin", "amount": 5,
                  "title": { "en": "{amount} coins at {target}" }, "meta": { "icon": [1, null] } }] },
            { "at": 3, "rewards": [{ "line": "big", "kind": "item", "code": "badge", "amount": 20 }] },
        ],
        "meta": { "colour": "red" },
    });
    let published_at = "2026-01-01T00:00:00Z".parse().unwrap();
    let definition = serde_json::from_value(definition).unwrap();
    let version = Arc::new(TaskVersion::new(definition, 1, published_at).unwrap());
    let id = version.definition.id.clone();
    let (status, status_since) = (Status::Active, published_at);
    let task =
        CatalogueTask { id, status, status_since, versions: vec![version], amnesties: vec![] };
    Catalogue::new(1, vec![task]).unwrap()
}

/// The screen of a user with one gift, on that day.
fn see(locale: Option<&str>) -> Value {
    see_at("2026-03-29T10:00:00Z", locale)
}

fn see_at(now: &str, locale: Option<&str>) -> Value {
    let catalogue = catalogue();
    let (source, id, kind, time) = ("/test", "1", "gift.sent", "2026-03-29T09:00:00Z");
    let parts = Parts { user: "u", source, id, kind, time, data: Map::new() };
    let action = Action::new(parts).unwrap();
    let mut state = UserTasks::default();
    let input = ActionInput { action: &action, seed: Seed(1), credited: None };
    let used = BudgetsUsed::default();
    for event in decide_action(&state, input, &catalogue, &used).events {
        evolve(&mut state, &event);
    }
    let request = ScreenRequest { locale, ..ScreenRequest::default() };
    let now = now.parse().unwrap();
    let shown = screen(&"u".parse().unwrap(), &state, &catalogue, now, &request);
    serde_json::to_value(&shown[0]).unwrap()
}

#[test]
fn rule_20_placeholders_are_filled_in() {
    let shown = see(None);
    assert_eq!(shown["title"], "1 of 3 gifts");
    assert_eq!(shown["description"], "For 20 coins, {name}.");
    assert_eq!(shown["milestones"][0]["rewards"][0]["title"], "5 coins at 1");
    assert_eq!(see(Some("zh-Hant"))["title"], "送出3个礼物");
    assert_eq!(see(Some("zh"))["milestones"][0]["rewards"][0]["title"], "5 coins at 1");
}

#[test]
fn rule_20_meta_is_shown_as_given() {
    let shown = see(None);
    assert_eq!(shown["meta"], json!({ "colour": "red" }));
    let [reached, promised] = &shown["milestones"].as_array().unwrap()[..] else { panic!() };
    assert_eq!(reached["meta"], json!({ "glow": true }));
    assert_eq!(reached["rewards"][0]["meta"], json!({ "icon": [1, null] }));
    let has = |value: &Value, field: &str| value.get(field).is_some();
    assert!(!has(promised, "meta"), "an empty one is left out");
    assert!(!has(&promised["rewards"][0], "meta") && !has(&promised["rewards"][0], "title"));
}

#[test]
fn rule_20_an_unclaimed_milestone_of_an_earlier_period_shows_its_meta_and_titles() {
    let shown = see_at("2026-03-30T10:00:00Z", None);
    let earlier = &shown["unclaimed_from_earlier_periods"][0];
    assert_eq!((&earlier["period"]["key"], &earlier["at"]), (&json!("2026-03-29"), &json!(1)));
    assert_eq!(earlier["meta"], json!({ "glow": true }));
    let line = &earlier["rewards"][0];
    assert_eq!(line["title"], "5 coins at 1");
    assert_eq!(line["meta"], json!({ "icon": [1, null] }));
}
