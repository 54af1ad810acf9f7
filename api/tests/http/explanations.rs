//! The reasons why tasks do not move, as a dry run gives them for an action and `why` for the
//! present.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::dry_runs::post_file;
use super::support::{Api, TASKS, action, operator, with_days_of_zone};

/// One task per reason; all but the first count gifts.
const STOPPED: &str = "
tasks:
  - { id: opener, kind: ordinary, objective: { on: team.formed, target: 1 } }
  - { id: capped, kind: periodic, every: day,
      objective: { on: gift.sent, measure: { sum: data.coins }, cap: { per_period: 50 }, target: 1000 } }
  - { id: locked, kind: periodic, every: day, requires: [ opener ],
      objective: { on: gift.sent, target: 5 } }
  - { id: counting, kind: periodic, every: day, requires: [ opener ], while_locked: count,
      objective: { on: gift.sent, target: 5 } }
  - { id: vips, kind: periodic, every: day, audience: { where: user.vip >= 2, percent: 100 },
      objective: { on: gift.sent },
      milestones: [ { at: 1, rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ] }, { at: 9 } ] }
  - { id: over, kind: ordinary, window: { until: 2020-01-01T00:00:00Z },
      objective: { on: gift.sent, target: 5 } }
  - { id: streak, kind: continuous, every: day, streak: {},
      objective: { on: gift.sent, target: 1 }, milestones: [ { at: 9 } ] }
";

/// Starts an API with a user whom each task stops for a different reason.
async fn started() -> Api {
    let api = Api::start().await;
    let published = post_file(&api, "/v1/tasks/publish", &with_days_of_zone(STOPPED)).await;
    assert_eq!(published.status, 200, "{}", published.text);
    let vip = |vip: i64| json!({ "attributes": { "vip": vip } });
    api.act("ann", "plaudit.user.updated", "1", vip(2)).await;
    api.act("ann", "gift.sent", "2", json!({ "coins": 60 })).await;
    api.act("ann", "plaudit.user.updated", "3", vip(1)).await;
    api
}

#[tokio::test]
async fn a_dry_run_names_cap_lock_audience_window_and_lateness() {
    let api = started().await;
    let now = action("ann", "gift.sent", "4", json!({ "coins": 5 }));
    let mut late = action("ann", "gift.sent", "5", json!({ "coins": 5 }));
    late["time"] = (Timestamp::now() - SignedDuration::from_hours(24)).to_string().into();
    let nothing = action("ann", "gift.sent", "6", json!({ "coins": 0 }));
    let input = json!({ "user": "ann", "actions": [now, late, nothing] });
    let tried = api.post(&operator(), "/v1/tasks/simulate", &input, &[]).await;
    assert_eq!(tried.status, 200, "{}", tried.text);
    let unmoved = |index: usize, task: &str| -> (String, String) {
        let unmoved = tried.body["actions"][index]["unmoved"].as_array().unwrap();
        let of_task = unmoved.iter().find(|unmoved| unmoved["task"] == task).unwrap();
        let text = |name: &str| of_task[name].as_str().unwrap().to_owned();
        (text("reason"), text("detail"))
    };
    let named = |reason: &str, detail: &str| (reason.to_owned(), detail.to_owned());
    assert_eq!(unmoved(0, "capped"), named("cap_used_up", "the cap of 50 per period is used up"));
    assert_eq!(unmoved(0, "locked"), named("locked", "locked by opener"));
    assert_eq!(
        unmoved(0, "vips"),
        named("outside_audience", "the user is outside the task's audience")
    );
    assert_eq!(
        unmoved(0, "over"),
        named("outside_window", "the action is outside the task's window")
    );
    let of_actions = tried.body["actions"][0]["unmoved"].as_array().unwrap();
    let vips = of_actions.iter().find(|unmoved| unmoved["task"] == "vips").unwrap();
    let saw = (&vips["where"], &vips["saw"]);
    assert_eq!(saw, (&json!("user.vip >= 2"), &json!({ "user.vip": 1 })));
    assert_eq!(unmoved(0, "streak").0, "completed");
    assert_eq!(unmoved(0, "opener").0, "not_subscribed");
    let (reason, detail) = unmoved(1, "capped");
    assert_eq!(reason, "too_late", "{}", tried.text);
    assert!(detail.contains("was closed by an action of"), "{detail}");
    let zero = named("nothing_to_credit", "there is nothing to credit: the measure is 0");
    assert_eq!(unmoved(2, "capped"), zero, "a cap that is used up does not hide it");
}

async fn why(api: &Api, task: &str) -> Value {
    let path = format!("/v1/tasks/{task}/why");
    let why = api.post(&operator(), &path, &json!({ "user": "ann" }), &[]).await;
    assert_eq!(why.status, 200, "{}", why.text);
    why.body
}

/// Returns the reason and detail of the only obstacle in a list.
fn reason_of(list: &Value) -> (&str, &str) {
    let [one] = &list.as_array().unwrap()[..] else { panic!("{list}") };
    (one["reason"].as_str().unwrap(), one["detail"].as_str().unwrap())
}

#[tokio::test]
async fn why_names_the_audience_also_while_something_can_be_claimed() {
    let api = started().await;
    let vips = why(&api, "vips").await;
    assert_eq!(vips["screen"]["state"], "claimable", "{vips}");
    let (reason, detail) = reason_of(&vips["obstacles"]);
    assert_eq!(reason, "not_in_audience");
    assert!(detail.contains("where: user.vip >= 2, percent: 100; user.vip = 1"), "{detail}");
    assert!(detail.contains("stays claimable"), "{detail}");
}

#[tokio::test]
async fn why_names_a_step_that_is_made_and_a_cap_that_is_used_up() {
    let api = started().await;
    let streak = why(&api, "streak").await;
    let period = &streak["screen"]["period"];
    let (key, ends) = (period["key"].as_str().unwrap(), period["ends_at"].as_str().unwrap());
    let step = format!("period {key} has its step; the next one begins at {ends}");
    assert_eq!(reason_of(&streak["obstacles"]), ("completed", step.as_str()));
    let capped = why(&api, "capped").await;
    let cap = format!(
        "the cap of 50 per period is used up in period {key}; the next one begins at {ends}"
    );
    assert_eq!(reason_of(&capped["obstacles"]), ("cap_used_up", cap.as_str()));
}

#[tokio::test]
async fn why_says_of_a_task_that_counts_while_it_is_locked_what_waits() {
    let api = started().await;
    let locked = why(&api, "locked").await;
    let detail = "locked until these are completed: opener";
    assert_eq!(reason_of(&locked["obstacles"]), ("locked", detail));
    assert_eq!(locked["delays"], json!([]));
    let counting = why(&api, "counting").await;
    assert_eq!(counting["obstacles"], json!([]), "its actions count");
    let detail = "actions count, and what they reach is granted once these are completed: opener";
    assert_eq!(reason_of(&counting["delays"]), ("locked", detail));
}

#[tokio::test]
async fn a_publication_warns_that_it_narrows_an_audience() {
    let api = Api::start().await;
    let vips = "category: newbie\n    audience: { where: has(user.vip) && user.vip >= 2 }\n";
    let narrowed = TASKS.replace("category: newbie\n", vips);
    let planned = post_file(&api, "/v1/tasks/plan", &narrowed).await;
    let published = post_file(&api, "/v1/tasks/publish", &narrowed).await;
    assert_eq!(published.status, 200, "{}", published.text);
    let warnings = &published.body["published"][0]["warnings"];
    assert_eq!((&warnings[0]["path"], warnings.as_array().unwrap().len()), (&json!("audience"), 1));
    assert_eq!(planned.body["tasks"][0]["warnings"], *warnings);
    assert_eq!(published.body["published"][1].get("warnings"), None, "it is unchanged");
}

#[tokio::test]
async fn an_action_from_the_future_is_said_to_be_parked_and_shown_as_if_released() {
    let api = started().await;
    let mut soon = action("ann", "gift.sent", "7", json!({ "coins": 5 }));
    soon["time"] = (Timestamp::now() + SignedDuration::from_hours(1)).to_string().into();
    let now = action("ann", "gift.sent", "8", json!({ "coins": 5 }));
    let input = json!({ "user": "ann", "actions": [now, soon] });
    let tried = api.post(&operator(), "/v1/tasks/simulate", &input, &[]).await;
    let [now, later] = &tried.body["actions"].as_array().unwrap()[..] else { panic!("{tried:?}") };
    assert_eq!(now["parked"], json!(null));
    let reason = later["parked"].as_str().unwrap();
    assert!(reason.starts_with("from the future"), "{reason}");
    assert!(!later["events"].as_array().unwrap().is_empty(), "{later}");
    let asked = json!({ "user": "ann", "action": soon });
    let why = api.post(&operator(), "/v1/tasks/counting/why", &asked, &[]).await;
    let verdict = &why.body["action"];
    assert!(verdict["parked"].as_str().unwrap().starts_with("from the future"), "{}", why.text);
    assert!(!verdict["events"].as_array().unwrap().is_empty(), "{}", why.text);
}

/// Dry runs and explanations use the clock by which the process decides.
#[tokio::test]
async fn dry_runs_and_explanations_use_the_clock_of_their_process() {
    let api = Api::in_utc().await.at("2026-03-18T12:00:00Z").await;
    let mut soon = action("ann", "gift.sent", "1", json!({ "coins": 5 }));
    soon["time"] = json!("2026-03-18T12:05:00.000001Z");
    let input = json!({ "user": "ann", "actions": [soon] });
    let tried = api.post(&operator(), "/v1/tasks/simulate", &input, &[]).await;
    assert!(tried.body["actions"][0]["parked"].is_string(), "{}", tried.text);
    let shown = &tried.body["tasks"];
    assert_eq!(shown, &json!([]), "the action is parked, so no task looks different");
    let asked = json!({ "user": "ann", "action": soon });
    let why = api.post(&operator(), "/v1/tasks/daily-gifts/why", &asked, &[]).await;
    assert_eq!(why.body["at"], "2026-03-18T12:00:00Z", "{}", why.text);
    assert!(why.body["action"]["parked"].is_string(), "{}", why.text);
}
