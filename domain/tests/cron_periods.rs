//! Rule 2 with cron: an action counts for the turn in which it occurred, and a user who moves
//! neither repeats nor shortens the open turn.

use std::sync::Arc;

use plaudit_domain::action::{Action, Parts};
use plaudit_domain::catalogue::{BudgetsUsed, Catalogue, CatalogueTask, Status, TaskVersion};
use plaudit_domain::user_tasks::{ActionInput, Event, Seed, UserTasks, decide_action, evolve};
use serde_json::json;

fn weekly() -> Catalogue {
    let definition = json!({
        "id": "weekly", "kind": "periodic", "every": { "cron": "0 5 * * MON" }, "zone": "user",
        "text": { "en": { "title": "Weekly" } }, "default_locale": "en",
        "objective": { "on": ["gift.sent"], "target": 9 }, "milestones": [{ "at": 9 }],
    });
    let definition = serde_json::from_value(definition).unwrap();
    let published_at = "2026-01-01T00:00:00Z".parse().unwrap();
    let version = Arc::new(TaskVersion::new(definition, 1, published_at).unwrap());
    let id = version.definition.id.clone();
    let (status, status_since) = (Status::Active, published_at);
    let task =
        CatalogueTask { id, status, status_since, versions: vec![version], amnesties: vec![] };
    Catalogue::new(1, vec![task]).unwrap()
}

/// The periods that actions of these types at these times were counted in, and the progress.
fn counted(actions: &[(&str, &str)]) -> Vec<String> {
    let catalogue = weekly();
    let mut state = UserTasks::default();
    let mut counted = Vec::new();
    for (kind, time) in actions {
        let (kind, data) = match kind.strip_prefix("moves to ") {
            Some(zone) => ("plaudit.user.updated", json!({ "zone": zone })),
            None => (*kind, json!({})),
        };
        let data = data.as_object().unwrap().clone();
        let parts = Parts { user: "u", source: "/test", id: time, kind, time, data };
        let action = Action::new(parts).unwrap();
        let input = ActionInput { action: &action, seed: Seed(1), credited: None };
        let used = BudgetsUsed::default();
        for event in decide_action(&state, input, &catalogue, &used).events {
            if let Event::ProgressRecorded { period, progress, .. } = &event {
                let end = period.ends_at.unwrap();
                counted.push(format!("{} until {end}: {progress}", period.key));
            }
            evolve(&mut state, &event);
        }
    }
    counted
}

#[test]
fn rule_03_an_action_counts_for_the_turn_in_which_it_occurred() {
    let gifts = [
        ("gift.sent", "2026-07-06T04:59:59Z"),
        ("gift.sent", "2026-07-06T05:00:00Z"),
        ("gift.sent", "2026-07-13T04:59:59Z"),
        ("gift.sent", "2026-07-13T05:00:00Z"),
    ];
    assert_eq!(
        counted(&gifts),
        [
            "2026-06-29T05:00:00Z until 2026-07-06T05:00:00Z: 1",
            "2026-07-06T05:00:00Z until 2026-07-13T05:00:00Z: 1",
            "2026-07-06T05:00:00Z until 2026-07-13T05:00:00Z: 2",
            "2026-07-13T05:00:00Z until 2026-07-20T05:00:00Z: 1",
        ]
    );
}

#[test]
fn rule_02_a_user_who_moves_keeps_the_open_turn_of_cron() {
    let actions = [
        ("moves to Europe/Paris", "2026-07-01T00:00:00Z"),
        ("gift.sent", "2026-07-10T11:00:00Z"),
        ("moves to America/New_York", "2026-07-10T12:00:00Z"),
        ("gift.sent", "2026-07-13T02:59:59Z"),
        ("gift.sent", "2026-07-13T03:00:00Z"),
        ("gift.sent", "2026-07-13T09:00:00Z"),
    ];
    assert_eq!(
        counted(&actions),
        [
            "2026-07-06T03:00:00Z until 2026-07-13T03:00:00Z: 1",
            "2026-07-06T03:00:00Z until 2026-07-13T03:00:00Z: 2",
            // The tick that New York had before the 13th, 03:00Z.
            "2026-07-06T09:00:00Z until 2026-07-13T09:00:00Z: 1",
            "2026-07-13T09:00:00Z until 2026-07-20T09:00:00Z: 1",
        ]
    );
}
