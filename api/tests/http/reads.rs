//! Reads of users' tasks and rewards, and their positions.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Api, action, client, producer};

const TASKS: &str = "/v1/users/u42/tasks";

/// Rule 20.
#[tokio::test]
async fn a_user_nobody_has_heard_of_sees_every_task_at_zero() {
    let api = Api::start().await;
    let answer = api.get(&client("u42"), TASKS).await;
    assert_eq!(answer.status, 200);
    let tasks = answer.body["tasks"].as_array().unwrap();
    assert_eq!(
        tasks.iter().map(|t| t["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["first-team", "daily-gifts"]
    );
    assert!(tasks.iter().all(|t| t["progress"] == 0 && t["state"] == "available"));
    assert_eq!(answer.body["user"], "u42");
    assert_eq!(answer.body["position"], answer.header("plaudit-position"));
    assert_eq!(answer.header("content-type"), "application/json");
}

/// Rule 20.
#[tokio::test]
async fn a_screen_shows_a_day_until_its_last_microsecond() {
    let api = Api::in_utc().await;
    let late = api.at("2026-03-18T23:59:59.999999Z").await;
    let mut gift = action("u42", "gift.sent", "g1", json!({"coins": 100}));
    gift["time"] = json!("2026-03-18T23:59:59.999999Z");
    let sent = late.post(&producer(), "/v1/actions", &gift, &[]).await;
    assert_eq!(sent.body["outcomes"][0]["outcome"], "accepted", "{}", sent.text);
    let next = api.at("2026-03-19T00:00:00Z").await;
    for (api, day, progress) in [(&late, "2026-03-18", 100), (&next, "2026-03-19", 0)] {
        let shown = api.get(&client("u42"), "/v1/users/u42/tasks/daily-gifts").await;
        let (period, counted) = (&shown.body["period"]["key"], &shown.body["progress"]);
        assert_eq!((period, counted), (&json!(day), &json!(progress)), "{}", shown.text);
    }
    let path = "/v1/users/u42/tasks/daily-gifts/claim";
    let receipt = next.post(&client("u42"), path, &serde_json::Value::Null, &[]).await;
    let (period, at) = (&receipt.body["period"], &receipt.body["claimed_at"]);
    let expected = (&json!("2026-03-18"), &json!("2026-03-19T00:00:00Z"));
    assert_eq!((period, at), expected, "{}", receipt.text);
}

#[tokio::test]
async fn a_screen_is_narrowed_and_put_into_the_readers_language() {
    let api = Api::start().await;
    let token = client("u42");
    let ids = async |query: &str| {
        let answer = api.get(&token, &format!("{TASKS}?{query}")).await;
        let tasks = answer.body["tasks"].as_array().unwrap().clone();
        tasks.into_iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("category=daily").await, ["daily-gifts"]);
    assert_eq!(ids("category=none").await, [""; 0]);
    assert_eq!(ids("state=claimable").await, [""; 0]);
    api.act("u42", "team.formed", "t1", json!({})).await;
    assert_eq!(ids("state=claimable").await, ["first-team"]);
    let title = async |query: &str, headers: &[(&str, &str)]| {
        let answer = api.get_with(&token, &format!("{TASKS}/first-team{query}"), headers).await;
        answer.body["title"].as_str().unwrap().to_owned()
    };
    assert_eq!(title("?locale=zh-Hant-TW", &[]).await, "首次组队");
    assert_eq!(title("?locale=xx", &[]).await, "Form your first team");
    assert_eq!(title("", &[("accept-language", "zh-CN,zh;q=0.9,en;q=0.8")]).await, "首次组队");
    assert_eq!(title("?locale=en", &[("accept-language", "zh")]).await, "Form your first team");
    assert_eq!(title("", &[]).await, "Form your first team");
}

/// Rule 20.
#[tokio::test]
async fn one_task_is_shown_alone_or_not_found() {
    let api = Api::start().await;
    let answer = api.get(&client("u42"), "/v1/users/u42/tasks/daily-gifts").await;
    assert_eq!((&answer.body["id"], &answer.body["target"]), (&json!("daily-gifts"), &json!(1000)));
    assert_eq!(answer.body["position"], answer.header("plaudit-position"));
    for unknown in ["nothing", "NOT%20AN%20ID", "x%00"] {
        api.get(&client("u42"), &format!("{TASKS}/{unknown}"))
            .await
            .is_problem(404, "unknown-task");
    }
}

#[tokio::test]
async fn rule_19_a_read_shows_at_least_what_a_write_answered() {
    let api = Api::start().await;
    let position = api.act("u42", "gift.sent", "g1", json!({"coins": 130})).await;
    let token = client("u42");
    for headers in [vec![], vec![("prefer", "wait=2")]] {
        let answer = api.get_with(&token, &format!("{TASKS}?at_least={position}"), &headers).await;
        assert_eq!(answer.body["tasks"][1]["progress"], 130);
        let by_header = [("plaudit-position", position.as_str())];
        assert_eq!(api.get_with(&token, TASKS, &by_header).await.status, 200);
    }
    let (lane, number) = position.split_once(':').unwrap();
    let ahead = format!("{lane}:{}", number.parse::<i64>().unwrap() + 1);
    let path = format!("{TASKS}?at_least={ahead}");
    let asked = Instant::now();
    let answer = api.get_with(&token, &path, &[("prefer", "wait=5")]).await;
    answer.is_problem(503, "position-not-reached");
    assert!(asked.elapsed() >= Duration::from_secs(5));
    let asked = Instant::now();
    let answer = api.get(&token, &path).await;
    answer.is_problem(503, "position-not-reached");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(asked.elapsed() < Duration::from_secs(4), "it was not asked to wait");
    let waiting = api.get_with(&token, &path, &[("prefer", "wait=10")]);
    let (waited, _) = tokio::join!(waiting, api.act("u42", "gift.sent", "g2", json!({"coins": 1})));
    assert_eq!((waited.status.as_u16(), &waited.body["tasks"][1]["progress"]), (200, &json!(131)));
}

/// A position belongs to one lane, so a position of another lane would never be reached.
#[tokio::test]
async fn rule_19_a_position_of_another_lane_or_shape_is_refused() {
    let api = Api::start().await;
    let other = api.act(&api.user_beside("u42"), "gift.sent", "g1", json!({"coins": 1})).await;
    for (position, headers) in
        [(other.as_str(), vec![]), ("x", vec![]), ("1:", vec![]), ("", vec![])]
    {
        let answer =
            api.get_with(&client("u42"), &format!("{TASKS}?at_least={position}"), &headers).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["parameter"], "at_least");
    }
    let answer = api.get_with(&client("u42"), TASKS, &[("plaudit-position", &other)]).await;
    assert_eq!(answer.body["errors"][0]["parameter"], "Plaudit-Position");
}

#[tokio::test]
async fn an_etag_depends_on_what_is_shown_only() {
    let api = Api::start().await;
    let token = client("u42");
    let first = api.get(&token, TASKS).await;
    let tag = first.header("etag").to_owned();
    assert!(!tag.is_empty());
    for header in [tag.clone(), "*".to_owned(), format!("\"x\", {tag}")] {
        let answer = api.get_with(&token, TASKS, &[("if-none-match", &header)]).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""));
        assert_eq!(answer.header("etag"), tag);
    }
    // Another user of the lane moves the position, but changes nothing in the answer.
    let lane = |user: &str| plaudit_domain::lane::Lane::of(user, api.executor.lane_count());
    let neighbour = (0..1_000).map(|n| format!("n{n}")).find(|n| lane(n) == lane("u42")).unwrap();
    api.act(&neighbour, "gift.sent", "g1", json!({"coins": 1})).await;
    let answer = api.get_with(&token, TASKS, &[("if-none-match", &tag)]).await;
    assert_eq!(answer.status, 304);
    assert_ne!(answer.header("plaudit-position"), first.header("plaudit-position"));
    api.act("u42", "gift.sent", "g1", json!({"coins": 1})).await;
    let answer = api.get_with(&token, TASKS, &[("if-none-match", &tag)]).await;
    assert_eq!(answer.status, 200);
    assert_ne!(answer.header("etag"), tag);
}

#[tokio::test]
async fn rewards_are_listed_oldest_first_page_by_page() {
    let api = Api::start().await;
    let token = client("u42");
    api.act("u42", "team.formed", "t1", json!({})).await;
    api.act("u42", "gift.sent", "g1", json!({"coins": 1000})).await;
    let all = api.get(&token, "/v1/users/u42/rewards").await;
    let lines = |body: &serde_json::Value| {
        let rewards = body["rewards"].as_array().unwrap();
        rewards.iter().map(|r| r["line"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&all.body), ["coins", "small", "big"]);
    assert_eq!((&all.body["next"], &all.body["user"]), (&json!(null), &json!("u42")));
    let first = &all.body["rewards"][0];
    assert_eq!(
        (&first["task"], &first["period"], &first["milestone"]),
        (&json!("first-team"), &json!("once"), &json!(1))
    );
    assert_eq!(
        (&first["state"], &first["amount"], &first["claim_until"]),
        (&json!("claimable"), &json!(100), &json!(null))
    );
    assert!(first["granted_at"].is_string() && first["grant"].is_string());
    let mut seen = vec![];
    let mut path = "/v1/users/u42/rewards?limit=2".to_owned();
    loop {
        let page = api.get(&token, &path).await;
        seen.extend(lines(&page.body));
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/v1/users/u42/rewards?limit=2&after={next}");
    }
    assert_eq!(seen, ["coins", "small", "big"]);
    api.post(&token, "/v1/users/u42/tasks/first-team/claim", &json!({}), &[]).await;
    assert_eq!(
        lines(&api.get(&token, "/v1/users/u42/rewards?state=claimed").await.body),
        ["coins"]
    );
    assert_eq!(lines(&api.get(&token, "/v1/users/u42/rewards?state=failed").await.body), [""; 0]);
}
