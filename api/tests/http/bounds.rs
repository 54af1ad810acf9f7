//! Limits: a database that does not answer, too many requests at once, and many waiting readers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Method;
use plaudit_api::auth::KeyOptions;
use plaudit_event_store::catalogue_store;
use plaudit_task_file::parse;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::JoinSet;

use super::support::{Answer, Api, SECRET, TASKS, action, client, operator, producer, request};

/// The time limit that clients are promised.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Locks a table in the transaction of another program, until the connection is dropped.
pub async fn holding(api: &Api, lock: &'static str) -> PgConnection {
    let mut connection =
        PgConnection::connect_with(api.pool.connect_options().as_ref()).await.unwrap();
    connection.execute("begin").await.unwrap();
    connection.execute(lock).await.unwrap();
    connection
}

#[track_caller]
fn is_refused_in_time(answer: &Answer, asked: Instant, what: &str) {
    assert!(asked.elapsed() < ANSWER_MAX, "{what}: {:?}", asked.elapsed());
    answer.is_problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "1", "{what}");
}

#[tokio::test]
async fn what_can_not_be_written_is_503_within_five_seconds() {
    let api = Api::start().await;
    let held = holding(&api, "lock table catalogue in access exclusive mode").await;
    let sent = action("u42", "gift.sent", "g1", json!({"coins": 10}));
    let (producer, client, nothing) = (producer(), client("u42"), json!({}));
    let asked = Instant::now();
    let (sent, claim, all) = tokio::join!(
        api.post(&producer, "/v1/actions", &sent, &[]),
        api.post(&client, "/v1/users/u42/tasks/first-team/claim", &nothing, &[]),
        api.post(&client, "/v1/users/u42/claims", &nothing, &[]),
    );
    is_refused_in_time(&sent, asked, "an action");
    is_refused_in_time(&claim, asked, "a claim");
    is_refused_in_time(&all, asked, "a claim of everything");
    held.close().await.unwrap();
    api.act("u42", "gift.sent", "g2", json!({"coins": 10})).await;
}

/// Another writer leaves its transaction open. Only the users of its lane wait.
#[tokio::test]
async fn a_held_lane_is_503_for_its_users_and_the_others_are_served() {
    let api = Api::start().await;
    let (producer, claimer, other) = (producer(), client("u42"), api.user_beside("u42"));
    let mut held = api.pool.begin().await.unwrap();
    let lock = "select pg_advisory_xact_lock(1347174741, $1)";
    sqlx::query(lock).bind(i32::from(api.lane_of("u42").0)).execute(&mut *held).await.unwrap();
    let (waiting, nothing) = (action("u42", "gift.sent", "g1", json!({"coins": 10})), json!({}));
    let asked = Instant::now();
    let served = async {
        for n in 0..5 {
            let sent = action(&other, "gift.sent", &format!("o{n}"), json!({"coins": 10}));
            let answer = api.post(&producer, "/v1/actions", &sent, &[]).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    };
    let (sent, claim, ()) = tokio::join!(
        api.post(&producer, "/v1/actions", &waiting, &[]),
        api.post(&claimer, "/v1/users/u42/claims", &nothing, &[]),
        served,
    );
    is_refused_in_time(&sent, asked, "an action");
    is_refused_in_time(&claim, asked, "a claim");
    held.rollback().await.unwrap();
    api.act("u42", "gift.sent", "g2", json!({"coins": 10})).await;
}

#[tokio::test]
async fn what_can_not_be_read_or_published_is_503_within_five_seconds() {
    let api = Api::start().await;
    let held = holding(
        &api,
        "lock table task_view, reward_state, catalogue, lane_numbers in access exclusive mode",
    )
    .await;
    for path in [
        "/v1/users/u42/tasks",
        "/v1/users/u42/tasks/first-team",
        "/v1/users/u42/rewards",
        "/v1/users/u42/tasks?at_least=0:1",
    ] {
        let path = path.replace("0:1", &format!("{}:1", api.lane_of("u42")));
        let asked = Instant::now();
        is_refused_in_time(&api.get(&operator(), &path).await, asked, &path);
    }
    let asked = Instant::now();
    let yaml = [("content-type", "application/yaml")];
    let publish =
        request(Method::POST, "/v1/tasks/publish", &operator(), &yaml, TASKS.to_owned().into());
    is_refused_in_time(&api.send(publish).await, asked, "a publication");
    held.close().await.unwrap();
}

#[tokio::test]
async fn requests_beyond_the_memory_for_them_are_refused_at_once() {
    let keys = KeyOptions { hs256_secret: Some(SECRET.to_owned()), ..KeyOptions::default() };
    // Enough for one body and its parsed form.
    let api = Api::with(keys, 128 * 1024, &[]).await;
    let held = holding(&api, "lock table catalogue in access exclusive mode").await;
    let sent = |id: &str| action("u42", "gift.sent", id, json!({"text": "x".repeat(40_000)}));
    let (producer, asked) = (producer(), Instant::now());
    let (one, two) = (sent("g1"), sent("g2"));
    let (first, second) = tokio::join!(api.post(&producer, "/v1/actions", &one, &[]), async {
        let second = api.post(&producer, "/v1/actions", &two, &[]).await;
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        second
    },);
    is_refused_in_time(&first, asked, "the one that waits");
    second.is_problem(503, "unavailable");
    held.close().await.unwrap();
    let accepted = async {
        while api.post(&producer, "/v1/actions", &sent("g4"), &[]).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), accepted).await.unwrap();
}

/// A zero in a list takes two bytes as text, and some forty once parsed.
#[tokio::test]
async fn actions_are_charged_for_what_they_take_when_they_are_parsed() {
    let keys = KeyOptions { hs256_secret: Some(SECRET.to_owned()), ..KeyOptions::default() };
    let api = Api::with(keys, 2 * 1024 * 1024, &[]).await;
    let held = holding(&api, "lock table catalogue in access exclusive mode").await;
    let sent = |id: &str| action("u42", "gift.sent", id, json!({"players": vec![0; 31_000]}));
    let (producer, asked) = (producer(), Instant::now());
    let (one, two) = (sent("g1"), sent("g2"));
    let (first, second) = tokio::join!(api.post(&producer, "/v1/actions", &one, &[]), async {
        let second = api.post(&producer, "/v1/actions", &two, &[]).await;
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        second
    });
    is_refused_in_time(&first, asked, "the one that waits");
    second.is_problem(503, "unavailable");
    held.close().await.unwrap();
    let accepted = async {
        // A request that does not fit as a whole is applied portion by portion.
        let many: Vec<_> = (3..8).map(|n| sent(&format!("g{n}"))).collect();
        loop {
            let answer = api.post(&producer, "/v1/actions", &json!(many), &[]).await;
            if answer.status == 200 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let accepted = tokio::time::timeout(Duration::from_secs(30), accepted).await.unwrap();
    let outcomes = accepted.body["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), 5);
    for (outcome, n) in outcomes.iter().zip(3..) {
        assert_eq!(outcome["id"], format!("g{n}"), "in the order sent");
        assert!(["accepted", "duplicate"].contains(&outcome["outcome"].as_str().unwrap()));
    }
}

/// Has one runtime thread, so that a screen computed on it would block everything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn dear_audiences_hold_up_nobody_who_does_not_read_them() {
    const READERS: usize = 8;
    let api = Arc::new(Api::start().await);
    let task = |n: usize| {
        let mut task = serde_json::to_value(parse(TASKS).unwrap().remove(0)).unwrap();
        task["id"] = format!("dear-{n}").into();
        task["requires"] = json!([]);
        let dear = "user.l.exists(a, user.l.exists(b, a + b == -1))";
        task["audience"] = json!({ "where": dear });
        serde_json::from_value(task).unwrap()
    };
    let tasks: Vec<_> = (0..30).map(task).collect();
    catalogue_store::publish(&api.pool, &tasks, "test").await.unwrap();
    let attributes = json!({ "attributes": { "l": vec![0; 2_000] } });
    api.act("u42", "plaudit.user.updated", "a1", attributes).await;

    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let api = Arc::clone(&api);
        readers.spawn(async move { api.get(&client("u42"), "/v1/users/u42/tasks").await });
    }
    let mut longest = Duration::ZERO;
    let mut read = 0;
    while read < READERS {
        let (asked, asking) = (Instant::now(), Arc::clone(&api));
        let live = tokio::spawn(async move { asking.get("", "/livez").await }).await.unwrap();
        assert_eq!(live.status, 200);
        longest = longest.max(asked.elapsed());
        while let Some(answer) = readers.try_join_next() {
            assert_eq!(answer.unwrap().status, 200);
            read += 1;
        }
    }
    assert!(longest < Duration::from_secs(2), "/livez was answered after {longest:?}");
}

#[tokio::test]
async fn many_readers_that_wait_cost_the_database_what_one_costs() {
    const READERS: usize = 300;
    let api = Api::start().await;
    let position = api.act("u42", "gift.sent", "g1", json!({"coins": 10})).await;
    let (lane, number) = position.split_once(':').unwrap();
    let next = format!("{lane}:{}", number.parse::<i64>().unwrap() + 1);
    let path = format!("/v1/users/u42/tasks/daily-gifts?at_least={next}");
    let token = client("u42");
    let read = async |_| api.get_with(&token, &path, &[("prefer", "wait=10")]).await;
    let readers = futures::future::join_all((0..READERS).map(read));
    let writer = async {
        let rate = transactions_per_second(&api).await;
        api.act("u42", "gift.sent", "g2", json!({"coins": 10})).await;
        (rate, Instant::now())
    };
    let (answers, (rate, written_at)) = tokio::join!(readers, writer);
    assert!(written_at.elapsed() < Duration::from_secs(3), "{:?}", written_at.elapsed());
    for answer in answers {
        assert_eq!((answer.status.as_u16(), &answer.body["progress"]), (200, &json!(20)));
    }
    // Readers that queried the database themselves would cause some thousand transactions a second.
    assert!(rate < 500.0, "{rate} transactions a second");
}

/// Returns the transactions per second of this database, measured between two reports of its
/// sessions. The first report only starts the measurement.
async fn transactions_per_second(api: &Api) -> f64 {
    let mut reports = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while reports.len() < 3 {
        assert!(Instant::now() < deadline, "the sessions report nothing: {reports:?}");
        let count = transactions(api).await;
        let is_new = reports.last().is_none_or(|(_, last)| *last != count);
        // Sessions report at most once a second; an earlier change belongs to the same report.
        let is_next = reports
            .last()
            .is_none_or(|(at, _): &(Instant, i64)| at.elapsed() >= Duration::from_secs(1));
        if is_new && is_next {
            reports.push((Instant::now(), count));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ((from, before), (until, after)) = (reports[1], reports[2]);
    #[expect(clippy::cast_precision_loss, reason = "a count of transactions within some seconds")]
    let count = (after - before) as f64;
    count / until.duration_since(from).as_secs_f64()
}

/// Returns the number of all transactions of this database that its sessions have reported.
async fn transactions(api: &Api) -> i64 {
    let counted = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
    sqlx::query_scalar(counted).fetch_one(&api.pool).await.unwrap()
}
