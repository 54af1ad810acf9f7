//! Source files: published, tried on a live topic, and decoded by a schema registry.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use nix::sys::signal::Signal;
use plaudit_embedded::test_cluster;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::net::TcpListener;

use crate::place::{Place, status_of};
use crate::program::{eventually, sample_tasks};

/// Makes a new folder.
fn folder() -> PathBuf {
    let name = test_cluster::unique_name("sources");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Writes a source file that maps records of a topic to teams that users have formed.
fn teams(folder: &Path, topic: &str, format: &str, user: &str) -> String {
    let action = json!({"id": "value.id", "source": "'/teams'", "type": "'team.formed'", "user": user,
        "time": "timestamp(value.at)"});
    let entry = json!({"topic": topic, "format": format, "action": action});
    let file = folder.join("teams.yaml");
    std::fs::write(&file, json!({ "sources": [entry] }).to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

pub async fn produce(place: &Place, value: &[u8]) {
    let brokers = test_cluster::kafka_brokers().await;
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let record: FutureRecord<'_, (), _> =
        FutureRecord::to(&place.topic).payload(value).partition(0);
    producer.send(record, Duration::from_secs(60)).await.unwrap();
}

fn team(id: &str, user: &str) -> Value {
    json!({"id": id, "user": user, "at": "2026-03-29T01:30:00Z"})
}

async fn until_user_has_events(place: &Place, user: &str) {
    eventually(&format!("events of {user}"), async || {
        let history = place.run(&["audit", "history", user, "--format", "json"]).1;
        history.contains("progress_recorded").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_file_is_in_force_within_two_seconds_and_keeps_its_history() {
    let mut place = Place::prepare().await;
    place.set("PLAUDIT_SOURCES", folder().to_str().unwrap());
    assert_eq!(place.run(&["tasks", "publish", sample_tasks().to_str().unwrap()]).0, Some(0));
    let (mut server, _) = place.serve(&[]).await;
    let drafts = folder();

    let file = teams(&drafts, &place.topic, "json", "value.user");
    let (code, said, error) = place.run(&["sources", "publish", &file, "--reason", "new teams"]);
    let published_at = Instant::now();
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("teams.yaml  version 1\n") && said.contains("within 2 s"), "{said}");
    server.line_with("published source files are in force").await;
    assert!(published_at.elapsed() < Duration::from_secs(2), "{:?}", published_at.elapsed());
    produce(&place, team("t1", "ann").to_string().as_bytes()).await;
    until_user_has_events(&place, "ann").await;

    assert!(place.run(&["sources", "publish", &file]).1.contains("unchanged, version 1"));
    let file = teams(&drafts, &place.topic, "json", "'the-' + value.user");
    assert!(place.run(&["sources", "publish", &file]).1.contains("teams.yaml  version 2\n"));
    eventually("the second version in force", async || {
        server.said().iter().any(|line| line.contains("teams.yaml 2")).then_some(())
    })
    .await;
    produce(&place, team("t2", "ben").to_string().as_bytes()).await;
    until_user_has_events(&place, "the-ben").await;

    std::fs::write(&file, "sources: 5").unwrap();
    let (code, _, error) = place.run(&["sources", "publish", &file]);
    assert_eq!(code, Some(1));
    assert!(error.contains("sources: must be a list") && error.contains("nothing was"), "{error}");
    let history = place.run(&["sources", "history", "teams.yaml"]).1;
    let lines: Vec<&str> = history.lines().collect();
    assert!(
        lines[0].starts_with("1  published ") && lines[0].ends_with(": new teams"),
        "{history}"
    );
    assert!(lines.len() == 2 && lines[1].contains(" by os:"), "{history}");
    let first = place.run(&["sources", "export", "teams.yaml", "1"]).1;
    assert!(first.contains("\"user\":\"value.user\""), "{first}");
    let withdrawn = place.run(&["sources", "withdraw", "teams.yaml", "--reason", "back"]);
    assert!(withdrawn.1.contains("withdrawn with version 3"), "{withdrawn:?}");
    assert_eq!(place.run(&["sources", "export", "teams.yaml"]).0, Some(1));
    let missing = place.run(&["sources", "diff", "teams.yaml", "1", "7"]);
    assert!(missing.2.contains("has no version 7, only 1 to 3"), "{missing:?}");
    let back = place.run(&["sources", "rollback", "teams.yaml", "--to", "3"]);
    assert!(back.0 == Some(1) && back.2.contains("version 3 withdrew teams.yaml"), "{back:?}");
    let reason = ["--reason", "t2 was wrong"];
    let back =
        place.run(&[&["sources", "rollback", "teams.yaml", "--to", "1"], &reason[..]].concat());
    assert!(back.0 == Some(0) && back.1.contains("teams.yaml  version 4\n"), "{back:?}");
    assert_eq!(place.run(&["sources", "export", "teams.yaml"]).1, first);
    let history = place.run(&["sources", "history", "teams.yaml"]).1;
    assert!(history.lines().last().unwrap().ends_with(": t2 was wrong"), "{history}");
    let again = place.run(&["sources", "rollback", "teams.yaml", "--to", "1"]);
    assert!(again.1.contains("unchanged, version 4"), "{again:?}");
    let diff = place.run(&["sources", "diff", "teams.yaml", "1", "2"]).1;
    let lines: Vec<&str> = diff.lines().collect();
    assert_eq!(lines[..2], ["--- teams.yaml version 1", "+++ teams.yaml version 2"], "{diff}");
    assert!(lines.iter().any(|line| line.starts_with("+{") && line.contains("the-")), "{diff}");
    assert_eq!(lines.last(), Some(&"1 added, 1 removed"), "{diff}");
    let same = place.run(&["sources", "diff", "teams.yaml", "1", "4"]).1;
    assert_eq!(same, "0 added, 0 removed\n");
    let withdrawn = place.json(&["sources", "diff", "teams.yaml", "2", "3"]);
    assert!(withdrawn["diff"].as_str().unwrap().contains("\n-{"), "{withdrawn}");
    assert_eq!(place.run(&["sources", "withdraw", "teams.yaml"]).0, Some(0));
    assert_eq!(place.json(&["sources", "list"])["published"], json!([]));
    assert_eq!(place.run(&["sources", "history", "other.yaml"]).0, Some(1));
    assert_eq!(server.end(Signal::SIGTERM).await.code(), Some(0));
}

/// The connection falls silent during a look at the database: the answer never comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_does_not_hide_a_published_file() {
    let mut place = Place::prepare().await;
    place.set("PLAUDIT_SOURCES", folder().to_str().unwrap());
    let (proxy, through) = test_cluster::fault_proxy(&place.database).await;
    let direct = place.database.clone();
    place.set("PLAUDIT_DATABASE_URL", &through);
    let (mut server, _) = place.serve(&["--roles", "api"]).await;
    place.set("PLAUDIT_DATABASE_URL", &direct);
    let mut locking = sqlx::PgConnection::connect(&direct).await.unwrap();
    let lock = "begin; lock table source_files in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut locking).await.unwrap();
    eventually("the server waits for the table", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks where not granted and relation = 'source_files'::regclass",
        )
        .fetch_one(&mut locking)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    proxy.freeze();
    sqlx::raw_sql("rollback").execute(&mut locking).await.unwrap();
    let file = teams(&folder(), &place.topic, "json", "value.user");
    let (code, _, error) = place.run(&["sources", "publish", &file, "--reason", "new teams"]);
    assert_eq!(code, Some(0), "{error}");
    server.line_with("published source files are in force").await;
    assert_eq!(server.end(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn the_last_records_of_a_topic_are_tried_before_a_file_is_published() {
    let place = Place::prepare().await;
    let file = teams(&folder(), &place.topic, "json", "value.user");
    let tried = async |arguments: &[&str]| {
        let all = [&["sources", "try"], arguments, &["--topic", &place.topic]].concat();
        eventually("an answer of the broker", async || {
            Some(place.run(&all)).filter(|(_, _, error)| error.is_empty())
        })
        .await
    };
    produce(&place, team("t1", "ann").to_string().as_bytes()).await;
    let (code, said, _) = tried(&[&file]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("team.formed of user ann") && said.contains("1 record, 0 would"),
        "{said}"
    );
    // By the current files the record must be a CloudEvent, which it is not.
    let (code, said, _) = tried(&[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("CloudEvent: parked: `specversion` is missing"), "{said}");
    produce(&place, br#"{"id":"t2"}"#).await;
    let (code, said, _) = tried(&[&file, "--last", "1"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("1 record, 1 would be parked") && !said.contains("ann"), "{said}");
    assert_eq!(place.run(&["sources", "try", &file]).0, Some(2), "neither record nor topic");
}

/// A team as an Avro record of schema 1: the texts `id`, `user` and `at`.
fn avro_team(id: &str, user: &str) -> Vec<u8> {
    let texts = [id, user, "2026-03-29T01:30:00Z"];
    let texts = texts.iter().flat_map(|text| {
        let length = u8::try_from(text.len() * 2).unwrap(); // zigzag
        [&[length], text.as_bytes()].concat()
    });
    [0, 0, 0, 0, 1].into_iter().chain(texts).collect()
}

/// A registry that knows schema 1.
async fn start_registry(address: &str) {
    let fields: Vec<Value> =
        ["id", "user", "at"].iter().map(|name| json!({"name": name, "type": "string"})).collect();
    let schema = json!({"type": "record", "name": "Team", "fields": fields}).to_string();
    let answer = json!({ "schema": schema }).to_string();
    let router = Router::new()
        .route("/schemas/ids/1", get(async move || answer.clone()))
        .route("/subjects", get(async || "[]"));
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
}

#[tokio::test(flavor = "multi_thread")]
async fn records_wait_for_a_registry_that_is_down_and_park_what_it_does_not_know() {
    let mut place = Place::prepare().await;
    let sources = folder();
    teams(&sources, &place.topic, "avro", "value.user");
    place.set("PLAUDIT_SOURCES", sources.to_str().unwrap());
    assert_eq!(place.run(&["tasks", "publish", sample_tasks().to_str().unwrap()]).0, Some(0));
    let (code, _, error) = place.run(&["serve"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("`schema_registry`"), "{error}");

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    place.set("PLAUDIT_SCHEMA_REGISTRY", &format!("http://{address}"));
    let (mut server, url) = place.serve(&[]).await;
    produce(&place, &avro_team("t1", "ann")).await;
    eventually("the registry in /readyz", async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.ok()?;
        let (status, body) = (answer.status().as_u16(), answer.text().await.ok()?);
        (status == 503 && body.contains(&format!("http://{address}"))).then_some(())
    })
    .await;

    start_registry(&address).await;
    until_user_has_events(&place, "ann").await;
    eventually("readiness", async || {
        (status_of(&format!("{url}/readyz")).await == 200).then_some(())
    })
    .await;
    assert_eq!(place.json(&["parked", "list"])["parked"], json!([]));

    let mut unknown = avro_team("t2", "ann");
    unknown[4] = 9;
    produce(&place, &unknown).await;
    produce(&place, &avro_team("t3", "ben")).await;
    until_user_has_events(&place, "ben").await;
    let parked = place.json(&["parked", "list"])["parked"].clone();
    let reason = parked[0]["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("schema 9 of http://{address}")), "{reason}");
    assert_eq!(server.end(Signal::SIGTERM).await.code(), Some(0));
}
