//! Server-sent events.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::support::{Api, client, now, operator, producer, request, token};

/// An open stream, read event by event.
struct Stream {
    body: axum::body::BodyDataStream,
    read: String,
}

/// One event as received.
#[derive(Debug)]
struct Message {
    event: String,
    data: Value,
    id: Option<String>,
}

impl Stream {
    async fn open(api: &Api, token: &str, user: &str, last: Option<&str>) -> Self {
        let last: Vec<_> = last.into_iter().map(|id| ("last-event-id", id)).collect();
        let path = format!("/v1/users/{user}/stream");
        let sent = request(Method::GET, &path, token, &last, Body::empty());
        let answer = api.router.clone().oneshot(sent).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body().into_data_stream(), read: String::new() }
    }

    /// Returns the next block; `None` if the stream has ended.
    async fn next(&mut self) -> Option<Message> {
        let found = async {
            loop {
                if let Some((block, rest)) = self.read.split_once("\n\n") {
                    let (block, rest) = (block.to_owned(), rest.to_owned());
                    self.read = rest;
                    let field = |name: &str| {
                        let line = block.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")));
                        line.map(str::to_owned)
                    };
                    let data = field("data").and_then(|data| serde_json::from_str(&data).ok());
                    let (event, data) =
                        (field("event").unwrap_or_default(), data.unwrap_or(Value::Null));
                    return Some(Message { event, data, id: field("id") });
                }
                let chunk = self.body.next().await?.unwrap();
                self.read.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(30), found).await.expect("a message within 30 s")
    }
}

#[tokio::test]
async fn a_stream_tells_tasks_and_rewards_and_resumes_without_a_gap() {
    let api = Api::start().await;
    let mut stream = Stream::open(&api, &client("u42"), "u42", None).await;
    let opening = stream.next().await.unwrap();
    let begin = opening.id.unwrap();
    assert!(begin.contains(':'), "{begin}");
    api.act("other", "gift.sent", "g1", json!({"coins": 1})).await;
    api.act("u42", "gift.sent", "g1", json!({"coins": 150})).await;
    let task = stream.next().await.unwrap();
    assert_eq!((task.event.as_str(), &task.data["id"]), ("task", &json!("daily-gifts")));
    assert_eq!((&task.data["progress"], &task.data["user"]), (&json!(150), &json!("u42")));
    assert_eq!(task.id, None, "only the last message of what belongs together has an id");
    let reward = stream.next().await.unwrap();
    assert_eq!((reward.event.as_str(), &reward.data["line"]), ("reward", &json!("small")));
    assert_eq!(reward.data["state"], "claimable");
    assert_eq!(reward.id.as_deref(), reward.data["position"].as_str());
    drop(stream);

    // A client that resumes gets what happened while it was away.
    api.post(&client("u42"), "/v1/users/u42/tasks/daily-gifts/claim", &json!({}), &[]).await;
    let mut resumed = Stream::open(&api, &client("u42"), "u42", reward.id.as_deref()).await;
    assert_eq!(resumed.next().await.unwrap().id, reward.id);
    assert_eq!(resumed.next().await.unwrap().data["id"], "daily-gifts");
    let claimed = resumed.next().await.unwrap();
    assert_eq!((claimed.event.as_str(), &claimed.data["state"]), ("reward", &json!("claimed")));
    let mut whole = Stream::open(&api, &operator(), "u42", Some(&begin)).await;
    whole.next().await.unwrap();
    assert_eq!(whole.next().await.unwrap().event, "task", "from the beginning on");
    api.streams_stop.cancel();
    assert!(resumed.next().await.is_none() && whole.next().await.is_some());
}

/// The stream's query is running when its connection falls silent, so that its answer never comes.
#[tokio::test]
async fn a_connection_that_falls_silent_does_not_silence_a_stream() {
    let (api, proxy, direct) = Api::over_proxy().await;
    let mut stream = Stream::open(&api, &client("u42"), "u42", None).await;
    stream.next().await.unwrap();
    let mut locked = direct.begin().await.unwrap();
    sqlx::query("lock table task_view in access exclusive mode")
        .execute(&mut *locked)
        .await
        .unwrap();
    // Stock postgres-es appends events without updating the read models.
    sqlx::query(
        "insert into cqrs_events values ('UserTasks', 'u42', 1, 'task_completed', '1.0', $1, '{}')",
    )
    .bind(json!({"type": "task_completed", "task": "daily-gifts", "version": 1,
                     "period": "2026-03-29", "at": "2026-03-29T09:12:00Z"}))
    .execute(&direct)
    .await
    .unwrap();
    // A stream reads from the database only while its client reads from it.
    let sent = tokio::spawn(async move {
        loop {
            let message = stream.next().await.unwrap();
            if message.event == "task" {
                return message;
            }
        }
    });
    let is_reading = async {
        let waiting = "select count(*) from pg_locks
                       where not granted and relation = 'task_view'::regclass";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *locked).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_reading).await.unwrap();
    proxy.freeze();
    locked.rollback().await.unwrap();
    let sent = tokio::time::timeout(Duration::from_secs(60), sent).await.unwrap().unwrap();
    assert_eq!(sent.data["id"], "daily-gifts");
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_is_the_users_own() {
    let api = Api::start().await;
    let expiring = token(json!({"sub": "u42", "roles": ["client"], "exp": now() + 2}));
    let mut stream = Stream::open(&api, &expiring, "u42", None).await;
    assert!(stream.next().await.unwrap().id.is_some());
    assert!(stream.next().await.is_none(), "the token has expired");
    let path = "/v1/users/u42/stream";
    api.get(&client("other"), path).await.is_problem(403, "forbidden");
    api.get(&producer(), path).await.is_problem(403, "forbidden");
    for wrong in ["x", "7000:1", "1"] {
        let answer = api.get_with(&client("u42"), path, &[("last-event-id", wrong)]).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["parameter"], "Last-Event-ID");
    }
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_streams() {
    let api = Api::start().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(Stream::open(&api, &client("u42"), "u42", None).await);
    }
    let refused = api.get(&client("u42"), "/v1/users/u42/stream").await;
    refused.is_problem(503, "unavailable");
    assert_eq!(refused.header("retry-after"), "1");
    open.pop();
    Stream::open(&api, &client("u42"), "u42", None).await;
}
