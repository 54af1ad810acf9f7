//! Rule 23 for a whole process: one that can't do its work says so, and slow parts delay no others.

use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;
use plaudit_embedded::test_cluster;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::place::{Place, status_of, token};
use crate::program::{Running, command, eventually, migrated, sample_tasks, scratch};

/// A transaction that changes the columns of a table, and so locks it. Rolled back when it is
/// dropped.
async fn locked<'c>(
    table: &str,
    connection: &'c mut PgConnection,
) -> sqlx::Transaction<'c, sqlx::Postgres> {
    let mut holder = connection.begin().await.unwrap();
    let change = format!("alter table {table} add column of_a_test int");
    sqlx::query(&change).execute(&mut *holder).await.unwrap();
    holder
}

async fn ready(url: &str) {
    let readyz = format!("{url}/readyz");
    eventually("readiness", async || (status_of(&readyz).await == 200).then_some(())).await;
}

/// The database answers and no write waits, but clients get nothing but errors.
#[tokio::test]
async fn a_process_that_can_not_read_screens_is_not_ready() {
    let place = Place::prepare().await;
    let (_server, url) = place.serve(&["--roles", "api"]).await;
    ready(&url).await;
    let mut connection = PgConnection::connect(&place.database).await.unwrap();
    let holder = locked("task_view", &mut connection).await;
    let began = Instant::now();
    let why = eventually("503", async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.ok()?;
        (answer.status().as_u16() == 503).then_some(answer)?.text().await.ok()
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(why.contains("task screens can't be read"), "{why}");
    holder.rollback().await.unwrap();
    ready(&url).await;
}

/// An event of a type that only its user's batches read, and a process that delivers nothing.
#[tokio::test]
async fn a_user_with_an_unreadable_event_is_named_and_counted() {
    let place = Place::prepare().await;
    let (_server, url) = place.serve(&["--roles", "api,follow"]).await;
    ready(&url).await;
    let mut connection = PgConnection::connect(&place.database).await.unwrap();
    let damage = "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version,
                                      payload, metadata, position)
                  select lane, 'UserTasks', 'ann', 1, 'progress_recorded', '1.0', '{}', '{}', next_position
                  from lanes where lane = $1";
    let lane = Lane::of("ann", 64.try_into().unwrap());
    sqlx::query(damage).bind(lane.0).execute(&mut connection).await.unwrap();
    let warnings = eventually("a warning", async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.ok()?.text().await.ok()?;
        answer.contains("the log of user ann in lane").then_some(answer)
    })
    .await;
    assert_eq!(status_of(&format!("{url}/readyz")).await, 200, "{warnings}");
    let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.lines().any(|line| line == "plaudit_users_unreadable 1"), "{metrics}");
}

/// Many requests of an auditor hang. Rewards are still delivered, and clients served.
#[tokio::test]
async fn slow_requests_of_operators_keep_neither_delivery_nor_clients_waiting() {
    let mut place = Place::prepare().await;
    let rewards = test_cluster::create_topic("cli-rewards", 1).await;
    place.set("PLAUDIT_KAFKA_REWARDS_TOPIC", &rewards);
    let tasks = scratch(
        "automatic.yaml",
        "tasks:
- id: welcome
  kind: ordinary
  objective: { on: team.formed, target: 1 }
  rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ]
  claim: { mode: automatic }
",
    );
    for file in [sample_tasks(), tasks] {
        assert_eq!(place.run(&["tasks", "publish", file.to_str().unwrap()]).0, Some(0));
    }
    let (_server, url) = place.serve(&[]).await;
    ready(&url).await;
    let mut connection = PgConnection::connect(&place.database).await.unwrap();
    // Only the requests of this test read this table.
    let mut holder = locked("streak_amnesties", &mut connection).await;
    let asking: Vec<_> = (0..30).map(|_| tokio::spawn(ask_again_and_again(url.clone()))).collect();
    eventually("requests that hang", async || {
        let waiting = "select count(*) from pg_locks where not granted and relation = 'streak_amnesties'::regclass";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *holder).await.unwrap();
        (waiting > 1).then_some(())
    })
    .await;
    let client = reqwest::Client::new();
    let now = jiff::Timestamp::now().to_string();
    let sent = client.post(format!("{url}/v1/actions")).bearer_auth(token(&["producer"])).json(&json!({
        "specversion": "1.0", "source": "/cli", "id": "1", "type": "team.formed", "subject": "u1", "time": now
    }));
    assert_eq!(sent.send().await.unwrap().status().as_u16(), 200);
    for path in ["/readyz", "/v1/users/u1/tasks", "/v1/users/u1/rewards"] {
        let asked = client.get(format!("{url}{path}")).bearer_auth(token(&["operator"]));
        assert_eq!(asked.send().await.unwrap().status().as_u16(), 200, "{path}");
    }
    published(&rewards).await;
    assert_eq!(status_of(&format!("{url}/readyz")).await, 200);
    holder.rollback().await.unwrap();
    for asked in asking {
        asked.abort();
    }
}

/// Repeats a request that hangs. The server gives up after some seconds.
async fn ask_again_and_again(url: String) {
    let client = reqwest::Client::new();
    loop {
        let asked = client.get(format!("{url}/v1/streaks/amnesties"));
        let _ = asked.bearer_auth(token(&["auditor"])).send().await;
    }
}

/// The connection falls silent while a command waits for an answer.
#[tokio::test]
async fn a_command_whose_connection_falls_silent_ends_with_an_error_that_names_the_setting() {
    let database = migrated().await;
    let mut holder = PgConnection::connect(&database).await.unwrap();
    let lock =
        "begin; lock table parked, reward_state, source_files, catalogue in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    tokio::join!(
        ends_when_frozen(&database, "parked", &["parked", "list"]),
        ends_when_frozen(&database, "reward_state", &["rewards", "list"]),
        ends_when_frozen(&database, "source_files", &["sources", "list"]),
        ends_when_frozen(&database, "catalogue", &["tasks", "why", "u1", "first-team"]),
    );
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
}

/// Freezes a command's connection once it waits for a table.
async fn ends_when_frozen(database: &str, table: &str, arguments: &[&str]) {
    let (proxy, through) = test_cluster::fault_proxy(database).await;
    let mut running = Running::start(command(arguments, &[("PLAUDIT_DATABASE_URL", &through)]));
    let mut looking = PgConnection::connect(database).await.unwrap();
    let waiting =
        "select count(*) from pg_locks where not granted and relation = $1::text::regclass
        and database = (select oid from pg_database where datname = current_database())";
    eventually("the command waits for a table", async || {
        let waiting = sqlx::query_scalar(waiting).bind(table).fetch_one(&mut looking).await;
        (waiting.unwrap_or(0_i64) > 0).then_some(())
    })
    .await;
    proxy.freeze();
    assert_eq!(running.ended().await.code(), Some(1), "{arguments:?}");
    eventually("an error that names the setting", async || {
        let said = running.said().join("\n");
        (said.contains("did not answer within 30 s") && said.contains("`database.url`"))
            .then_some(())
    })
    .await;
}

/// All connections fall silent at once, and later no new one can be made.
#[tokio::test]
async fn a_database_that_falls_silent_is_answered_in_time_and_named_by_readyz() {
    let mut place = Place::prepare().await;
    assert_eq!(place.run(&["tasks", "publish", sample_tasks().to_str().unwrap()]).0, Some(0));
    let (proxy, through) = test_cluster::fault_proxy(&place.database).await;
    place.set("PLAUDIT_DATABASE_URL", &through);
    let (_server, url) = place.serve(&["--roles", "api"]).await;
    ready(&url).await;
    assert_eq!(sent(&url, "1").await, (200, None));
    proxy.freeze();
    let (status, retry_after) = sent(&url, "2").await;
    assert!(status == 200 || retry_after.is_some(), "{status}");
    eventually("writes over new connections", async || {
        (sent(&url, "3").await.0 == 200).then_some(())
    })
    .await;
    ready(&url).await;

    proxy.freeze();
    drop(proxy);
    assert_eq!(sent(&url, "4").await, (503, Some("1".to_owned())));
    // Without further requests, too.
    let why = eventually("503", async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.ok()?;
        (answer.status().as_u16() == 503).then_some(answer)?.text().await.ok()
    })
    .await;
    assert!(why.contains("reasons"), "{why}");
}

/// Sends an action. Returns the status and `Retry-After` of the answer. The server answers within
/// 5 s; twice that leaves time for the client on a loaded machine.
async fn sent(url: &str, id: &str) -> (u16, Option<String>) {
    let action = json!({
        "specversion": "1.0", "source": "/cli", "id": id, "type": "team.formed", "subject": "u1",
        "time": jiff::Timestamp::now().to_string()
    });
    let request = reqwest::Client::new().post(format!("{url}/v1/actions"));
    let asked = Instant::now();
    let answer = request.bearer_auth(token(&["producer"])).json(&action).send().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let retry_after =
        answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), retry_after)
}

#[tokio::test]
async fn too_few_connections_are_refused_with_the_number_that_is_needed() {
    let mut place = Place::prepare().await;
    place.set("PLAUDIT_DATABASE_CONNECTIONS_MAX", "8");
    place.set("PLAUDIT_INGEST_WORKERS", "4");
    let (code, _, error) = place.run(&["serve"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("`database.connections_max` is 8"), "{error}");
    assert!(error.contains("at least 11 are needed"), "{error}");
}

/// Waits until something is in the topic.
async fn published(topic: &str) {
    let brokers = test_cluster::kafka_brokers().await;
    let consumer: BaseConsumer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    eventually("a published reward", async || {
        let (_, end) = consumer.fetch_watermarks(topic, 0, Duration::from_secs(5)).ok()?;
        (end > 0).then_some(())
    })
    .await;
}
