//! Plans, dry runs, and the authors of changes to the catalogue.

use plaudit_api::{PastLookup, Plan};
use serde_json::{Value, json};

use super::support::{Api, TASKS, action, auditor, client, operator, request};

pub async fn post_file(api: &Api, path: &str, file: &str) -> super::support::Answer {
    let headers = [("content-type", "application/yaml")];
    let sent =
        request(axum::http::Method::POST, path, &operator(), &headers, file.to_owned().into());
    api.send(sent).await
}

#[tokio::test]
async fn a_plan_counts_users_by_what_would_happen_to_them() {
    let api = Api::start().await;
    api.act("ann", "gift.sent", "1", json!({"coins": 150})).await;
    api.act("bob", "gift.sent", "1", json!({"coins": 20})).await;
    api.act("eve", "gift.sent", "1", json!({"coins": 1000})).await;
    let kept = TASKS.replace("at: 1000", "at: 120");
    let answer = post_file(&api, "/v1/tasks/plan", &kept).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let tasks = answer.body["tasks"].as_array().unwrap();
    assert_eq!((&tasks[0]["change"], &tasks[0]["version"]), (&json!("unchanged"), &json!(1)));
    assert_eq!((&tasks[1]["change"], &tasks[1]["version"]), (&json!("changed"), &json!(2)));
    let changed: Vec<_> = tasks[1]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["path"].as_str().unwrap())
        .collect();
    assert!(changed.iter().any(|path| path.starts_with("milestones")), "{changed:?}");
    let users = |keep: u64, adopt: u64, enough: u64| {
        json!({"completed": 1, "keep_version": keep, "adopt_version": adopt,
            "adopt_at_target": enough, "begin_anew": 0})
    };
    assert_eq!(tasks[1]["users"], users(2, 0, 0));
    let adopted = format!("{kept}    on_new_version: adopt\n");
    let answer = post_file(&api, "/v1/tasks/plan", &adopted).await;
    assert_eq!(answer.body["tasks"][1]["users"], users(0, 2, 1), "{}", answer.text);
    let conflicting = TASKS.replace("order: 10", "requires: [ nothing ]");
    let refused = post_file(&api, "/v1/tasks/plan", &conflicting).await;
    refused.is_problem(400, "bad-input");
    assert_eq!(refused.body["errors"][0]["pointer"], "/tasks/0/requires/0");
    assert_eq!(api.get(&auditor(), "/v1/tasks/daily-gifts").await.body["version"], 1);
    // By then the users who began with version 1 have adopted 2, and 3 is harder than 2.
    assert_eq!(post_file(&api, "/v1/tasks/publish", &adopted).await.status, 200);
    let easier_than_the_first = TASKS.replace("at: 1000", "at: 500");
    let third = format!("{easier_than_the_first}    on_new_version: adopt_if_easier\n");
    let answer = post_file(&api, "/v1/tasks/plan", &third).await;
    assert_eq!(answer.body["tasks"][1]["users"], users(2, 0, 0), "{}", answer.text);
}

/// The warnings take all of their own time, 2 s, because the fields of recent actions can't be read.
#[tokio::test]
async fn a_plan_counts_users_even_if_its_warnings_take_long() {
    let api = Api::start().await;
    api.act("ann", "gift.sent", "1", json!({"coins": 150})).await;
    let file = TASKS.replace("at: 1000", "at: 120");
    let tasks = plaudit_task_file::parse_located(&file).unwrap().tasks;
    let located: Vec<_> = tasks.iter().collect();
    let mut held = api.pool.begin().await.unwrap();
    sqlx::query("lock table action_fields").execute(&mut *held).await.unwrap();
    let (catalogue, past) = (api.executor.catalogue(), PastLookup::none("this test has no Kafka"));
    let limit = std::time::Duration::from_secs(2);
    let plan = Plan::of(&located, catalogue, &api.pool, &past, limit).await.unwrap();
    assert!(plan.tasks[1].users.is_some(), "{plan:?}");
    held.rollback().await.unwrap();
}

#[tokio::test]
async fn a_dry_run_shows_events_and_why_tasks_do_not_move() {
    let api = Api::start().await;
    api.act("ann", "gift.sent", "1", json!({"coins": 90})).await;
    let file = TASKS.replace(
        "objective: { on: gift.sent,",
        "objective: { on: gift.sent, where: data.coins >= 5 && user.vip > 1,",
    );
    let small = action("ann", "gift.sent", "2", json!({"coins": 20}));
    let seen = action("ann", "gift.sent", "1", json!({"coins": 90}));
    let input = json!({"user": "ann", "actions": [small, seen]});
    let in_force = api.post(&operator(), "/v1/tasks/simulate", &input, &[]).await;
    assert_eq!(in_force.status, 200, "{}", in_force.text);
    let actions = in_force.body["actions"].as_array().unwrap();
    let kinds: Vec<_> =
        actions[0]["events"].as_array().unwrap().iter().map(|e| e["type"].clone()).collect();
    assert_eq!(kinds, [json!("progress_recorded"), json!("milestone_reached")]);
    assert_eq!(actions[0]["events"][0]["progress"], 110);
    let unmoved: Vec<_> = actions[0]["unmoved"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| (u["task"].clone(), u["reason"].clone()))
        .collect();
    assert_eq!(unmoved, [(json!("first-team"), json!("not_subscribed"))]);
    assert_eq!((&actions[1]["duplicate"], &actions[1]["events"]), (&json!(true), &json!([])));
    let changed = &in_force.body["tasks"][0];
    assert_eq!(
        (&changed["task"], &changed["before"]["progress"], &changed["after"]["progress"]),
        (&json!("daily-gifts"), &json!(90), &json!(110))
    );

    // Uses a draft, for a user without a history.
    let input =
        json!({"file": file, "actions": [action("new", "gift.sent", "1", json!({"coins": 3}))]});
    let drafted = api.post(&operator(), "/v1/tasks/simulate", &input, &[]).await;
    let unmoved = &drafted.body["actions"][0]["unmoved"];
    let gifts: Vec<&Value> =
        unmoved.as_array().unwrap().iter().filter(|u| u["task"] == "daily-gifts").collect();
    assert_eq!(gifts[0]["reason"], "filtered_out", "{}", drafted.text);
    assert_eq!(gifts[0]["saw"], json!({"data.coins": 3, "user.vip": null}));
    // Nothing was written.
    let screen = api.get(&client("ann"), "/v1/users/ann/tasks/daily-gifts").await;
    assert_eq!((&screen.body["progress"], &screen.body["version"]), (&json!(90), &json!(1)));

    for (bad, pointer) in [
        (json!({}), ""),
        (json!({"user": ""}), "/user"),
        (json!({"actions": [{}]}), "/actions/0"),
        (
            json!({"user": "bob", "actions": [action("ann", "gift.sent", "2", json!({}))]}),
            "/actions/0/subject",
        ),
        (json!({"user": "bob", "file": TASKS.replace("ordinary", "odd")}), "/file/tasks/0/kind"),
        (json!({"users": 1, "user": "a"}), "/users"),
    ] {
        let refused = api.post(&operator(), "/v1/tasks/simulate", &bad, &[]).await;
        refused.is_problem(400, "bad-input");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.text);
    }
}

/// Rule 3: an action from the future blocks no one.
#[tokio::test]
async fn a_dry_run_decides_the_actions_after_a_parked_one_without_it() {
    let api = Api::start().await;
    let mut early = action("ann", "gift.sent", "1", json!({"coins": 90}));
    let in_two_days = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    early["time"] = json!(in_two_days.to_string());
    let next = action("ann", "gift.sent", "2", json!({"coins": 20}));
    let input = json!({"actions": [early, early, next]});
    let tried = api.post(&operator(), "/v1/tasks/simulate", &input, &[]).await;
    assert_eq!(tried.status, 200, "{}", tried.text);
    let actions = tried.body["actions"].as_array().unwrap();
    let progress = |index: usize| -> Value {
        let events = actions[index]["events"].as_array().unwrap();
        let recorded = events.iter().find(|event| event["type"] == "progress_recorded");
        recorded.unwrap_or_else(|| panic!("{}", tried.text))["progress"].clone()
    };
    for (index, parked) in actions[..2].iter().enumerate() {
        assert!(parked["parked"].is_string(), "{}", tried.text);
        assert_eq!((&parked["duplicate"], progress(index)), (&json!(false), json!(90)));
    }
    assert_eq!((&actions[2]["parked"], progress(2)), (&json!(null), json!(20)));
    let changed = &tried.body["tasks"][0];
    let shown = (&changed["task"], &changed["after"]["progress"]);
    assert_eq!(shown, (&json!("daily-gifts"), &json!(20)), "{}", tried.text);
}

#[tokio::test]
async fn a_plan_warns_of_questionable_tasks_given_the_catalogue() {
    let api = Api::start().await;
    let lowered = TASKS.replace("code: coin, amount: 100 }", "code: coin, amount: 90 }");
    let new = "  - { id: new, kind: ordinary, requires: [ daily-gifts ], objective: { on: x, target: 1, where: data.n > 1 } }\n";
    let path = "/v1/tasks/daily-gifts/pause";
    api.post(&operator(), path, &Value::Null, &[]).await;
    let answer = post_file(&api, "/v1/tasks/plan", &format!("{lowered}{new}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let warnings = |task: usize| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let warnings = answer.body["tasks"][task]["warnings"].as_array().unwrap().iter();
        warnings.map(|w| (text(&w["path"]), text(&w["message"]))).collect()
    };
    let first = warnings(0);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first[0].0, "rewards[0].amount", "as the file has it");
    assert!(first[0].1.starts_with("is lower than the 100"), "{first:?}");
    assert_eq!(warnings(1), []);
    let paths: Vec<_> = warnings(2).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["requires[0]", "objective.where"]);

    let seen = "insert into action_fields (action_type, field, first_seen_on, last_seen_on)
        select 'x', field, now(), now() from unnest(array['', 'm']) field";
    sqlx::query(seen).execute(&api.pool).await.unwrap();
    let published = post_file(&api, "/v1/tasks/publish", new_file(new).as_str()).await;
    let warnings = published.body["published"][0]["warnings"].as_array().unwrap().clone();
    let paths: Vec<_> = warnings.iter().map(|warning| warning["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["requires[0]", "objective.where", "objective.where"], "{warnings:?}");
    let unseen = warnings[1]["message"].as_str().unwrap();
    assert!(unseen.starts_with("no action of type x had data.n since"), "{unseen}");
    let shown = api.get(&auditor(), "/v1/tasks/daily-gifts").await;
    assert_eq!(shown.body["needed_by"], json!(["new"]));
    let path = "/v1/tasks/daily-gifts/retire";
    let retired = api.post(&operator(), path, &Value::Null, &[]).await;
    assert_eq!(retired.body["needed_by"], json!(["new"]), "{}", retired.text);
}

fn new_file(task: &str) -> String {
    format!("tasks:\n{task}")
}

/// Rule 9: explanations use the version that is applied.
#[tokio::test]
async fn an_open_period_is_explained_by_the_version_it_goes_by() {
    let api = Api::start().await;
    let version = |more: &str, window: &str| {
        let on = format!("objective: {{ on: gift.sent, where: data.coins >= {more},");
        TASKS.replace("objective: { on: gift.sent,", &format!("{window}\n    {on}"))
    };
    post_file(&api, "/v1/tasks/publish", &version("100", "")).await;
    api.act("ann", "gift.sent", "1", json!({"coins": 150})).await;
    let passed = "window: { until: 2020-01-01T00:00:00Z }";
    post_file(&api, "/v1/tasks/publish", &version("5", passed)).await;

    let small = action("ann", "gift.sent", "2", json!({"coins": 20}));
    let input = json!({"user": "ann", "actions": [small]});
    let tried = api.post(&operator(), "/v1/tasks/simulate", &input, &[]).await;
    let unmoved = tried.body["actions"][0]["unmoved"].as_array().unwrap();
    let gifts = unmoved.iter().find(|unmoved| unmoved["task"] == "daily-gifts").unwrap();
    assert_eq!(
        (&gifts["reason"], &gifts["where"]),
        (&json!("filtered_out"), &json!("data.coins >= 100"))
    );

    let path = "/v1/tasks/daily-gifts/why";
    let why = api.post(&operator(), path, &json!({"user": "ann", "action": small}), &[]).await;
    assert_eq!(why.status, 200, "{}", why.text);
    assert_eq!(why.body["obstacles"], json!([]), "the window of its version is open");
    assert_eq!(why.body["action"]["unmoved"]["where"], "data.coins >= 100");
    assert_eq!(
        (&why.body["screen"]["version"], &why.body["screen"]["progress"]),
        (&json!(2), &json!(150))
    );
    let new = api.post(&operator(), path, &json!({"user": "new"}), &[]).await;
    assert_eq!(new.body["obstacles"][0]["reason"], "outside_window", "{}", new.text);
    assert_eq!((&new.body["action"], &new.body["screen"]), (&json!(null), &json!(null)));

    api.post(&auditor(), path, &json!({"user": "ann"}), &[]).await.is_problem(403, "forbidden");
    for (bad, pointer) in [
        (json!({}), "/user"),
        (json!({"user": ""}), "/user"),
        (json!({"user": "ann", "action": {}}), "/action"),
        (json!({"user": "bob", "action": small}), "/action/subject"),
        (json!({"user": "ann", "task": "x"}), "/task"),
    ] {
        let refused = api.post(&operator(), path, &bad, &[]).await;
        refused.is_problem(400, "bad-input");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.text);
    }
}

/// Rule 24.
#[tokio::test]
async fn the_history_of_a_task_names_the_author_and_reason_of_each_change() {
    let api = Api::start().await;
    let changed = TASKS.replace("Form your first team", "Found a team");
    post_file(&api, "/v1/tasks/publish?reason=clearer", &changed).await;
    let post = async |verb: &str, body: Value| {
        api.post(&operator(), &format!("/v1/tasks/first-team/{verb}"), &body, &[]).await
    };
    let paused = post("pause", json!({"reason": "broken"})).await;
    assert_eq!(paused.body, json!({"task": "first-team", "status": "paused"}));
    assert_eq!(post("resume", Value::Null).await.body["status"], "active");
    assert_eq!(post("retire", json!({})).await.body["status"], "retired");
    post("resume", Value::Null).await.is_problem(409, "task-retired");
    api.post(&operator(), "/v1/tasks/nothing/pause", &Value::Null, &[])
        .await
        .is_problem(404, "unknown-task");
    api.post(&auditor(), "/v1/tasks/first-team/pause", &Value::Null, &[])
        .await
        .is_problem(403, "forbidden");
    let history = api.get(&auditor(), "/v1/tasks/first-team/versions").await;
    let shown: Vec<_> = history.body["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            (
                c["change"].as_str().unwrap(),
                c["version"].as_u64(),
                c["by"].as_str().unwrap(),
                c["reason"].as_str(),
            )
        })
        .collect();
    let expected = [
        ("published", Some(1), "test", None),
        ("published", Some(2), "ops", Some("clearer")),
        ("paused", None, "ops", Some("broken")),
        ("resumed", None, "ops", Some("no reason given")),
        ("retired", None, "ops", Some("no reason given")),
    ];
    assert_eq!(shown, expected);
}
