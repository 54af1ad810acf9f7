//! A server, as an operator sees it from the command line.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use plaudit_event_store::{pool, sources};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::place::{Place, get, status_of, token};
use crate::program::{
    Running, command, eventually, plaudit, sample_sources, sample_tasks, scratch, text,
};
use crate::sources::produce;

/// The commands of the catalogue print the same over HTTP, without the database, as with it.
fn the_catalogue_by_http_and_by_the_database(place: &Place, url: &str, sample: &str) {
    let operator = token(&["operator"]);
    let far = |arguments: &[&str]| {
        let all = [arguments, &["--url", url, "--token", &operator]].concat();
        let done = plaudit(&all, &[]);
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {}", text(&done.stderr));
        text(&done.stdout)
    };
    assert_eq!(far(&["tasks", "list"]), place.run(&["tasks", "list"]).1);
    assert_eq!(far(&["tasks", "export"]), place.run(&["tasks", "export"]).1);
    assert!(far(&["tasks", "plan", sample]).contains("0 versions"));
    assert!(far(&["tasks", "publish", sample, "--reason", "é & so"]).contains("unchanged"));
    let paused = far(&["tasks", "pause", "first-team", "--reason", "far"]);
    assert!(paused.starts_with("first-team is paused\nwarning: "), "{paused}");
    assert!(far(&["tasks", "history", "first-team"]).contains("paused  by cli: far"));
    assert_eq!(far(&["tasks", "resume", "first-team"]), "first-team is active\n");
    let tried = scratch("far.json", r#"{"type": "team.formed"}"#);
    let tried = far(&["tasks", "simulate", "--user", "u9", "--actions", tried.to_str().unwrap()]);
    assert!(tried.contains("progress_recorded"), "{tried}");
    let small = scratch("far-why.json", r#"{"type": "gift.sent"}"#);
    let why = far(&["tasks", "why", "u9", "first-team", "--action", small.to_str().unwrap()]);
    assert!(why.contains("first-team of u9: available, 0 of 1"), "{why}");
    assert!(why.contains("the action would not move it: it does not listen to gift.sent"), "{why}");
}

#[tokio::test]
async fn the_command_line_reports_what_a_server_did_as_http_does() {
    let place = Place::prepare().await;
    let sample = sample_tasks();
    assert_eq!(place.run(&["tasks", "publish", sample.to_str().unwrap()]).0, Some(0));
    let (mut server, url) = place.serve(&[]).await;
    eventually("readiness", async || {
        (status_of(&format!("{url}/readyz")).await == 200).then_some(())
    })
    .await;
    let now = jiff::Timestamp::now().to_string();
    let action = |id: &str| json!({"specversion": "1.0", "source": "/cli", "id": id, "type": "team.formed", "subject": "u1", "time": now});
    let sent = reqwest::Client::new()
        .post(format!("{url}/v1/actions"))
        .bearer_auth(token(&["producer"]))
        .json(&json!([action("1"), {"type": "first"}, {"type": "second"}]))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status().as_u16(), 200);

    let status = place.ingest_status(Some(0)).await;
    assert_eq!(status["topics"][0]["state"], "fine");
    let shown = place.run(&["ingest", "status"]).1;
    assert!(shown.starts_with(&format!("{}  fine\n", place.topic)), "{shown}");
    assert!(shown.lines().last().unwrap().starts_with("total: 1 topic, "), "{shown}");

    let history = place.json(&["audit", "history", "u1"]);
    assert_eq!(history, get(format!("{url}/v1/audit/users/u1/history?limit=1000")).await);
    assert!(history["events"].as_array().is_some_and(|events| events.len() >= 3), "{history}");
    let last = history["events"].as_array().unwrap().last().unwrap()["sequence"].to_string();
    assert!(place.run(&["audit", "history", "u1"]).1.contains("progress_recorded"));
    for at in ["0", "2", &last, "999999"] {
        let then = place.json(&["audit", "state", "u1", "--at", at]);
        let answer = get(format!("{url}/v1/audit/users/u1/state?at={at}")).await;
        assert!(then == answer, "at {at}:\n{then}\n{answer}");
    }
    let later = place.json(&["audit", "state", "u1", "--at", "2999-01-01T00:00:00Z"]);
    assert!(later["at"].as_str().unwrap() < "2999", "the future is not known: {later}");
    for bad in ["-1", "yesterday"] {
        let (code, _, error) = place.run(&["audit", "state", "u1", "--at", bad]);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("--at"), "{error}");
    }

    let first = place.json(&["parked", "list", "--limit", "1"]);
    let id = first["parked"][0]["id"].as_str().unwrap();
    assert_eq!(first["next"].as_str(), Some(id));
    let rest = place.json(&["parked", "list", "--after", id]);
    assert_eq!((rest["parked"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(first, get(format!("{url}/v1/parked?limit=1")).await);
    assert!(place.run(&["parked", "list"]).1.contains("`specversion` is missing"));
    assert_eq!(place.json(&["parked", "show", id]), first["parked"][0]);
    assert!(place.run(&["parked", "show", id]).1.contains("{\"type\":\""));
    assert_eq!(place.run(&["parked", "list", "--limit", "1001"]).0, Some(2));
    let unknown = "00000000-0000-0000-0000-000000000000";
    assert_eq!(place.run(&["parked", "show", unknown]).0, Some(1));

    let release = place.run(&["parked", "release", id]);
    assert_eq!(release.0, Some(1));
    assert!(release.2.contains("`specversion` is missing"), "{}", release.2);
    assert_eq!(place.run(&["parked", "discard", id]).0, Some(2), "a reason is required");
    let discarded = place.json(&["parked", "discard", id, "--reason", "a test"]);
    assert_eq!(discarded["resolution"], "discarded");
    assert!(place.run(&["parked", "show", id]).1.contains("discarded   by os:"));
    let other = get(format!("{url}/v1/parked")).await;
    assert_eq!(other["parked"].as_array().unwrap().len(), 1);

    // The record names no user, so no history holds the decision about it.
    let operations = place.json(&["audit", "operations"]);
    assert_eq!(operations, get(format!("{url}/v1/audit/operations")).await);
    let last = &operations["operations"][0];
    assert_eq!(
        (&last["operation"], &last["subject"], &last["reason"]),
        (&json!("parked.discard"), &json!(id), &json!("a test"))
    );

    the_catalogue_by_http_and_by_the_database(&place, &url, sample.to_str().unwrap());

    // The server continues the chain.
    eventually("the digests", async || {
        let found = place.json(&["audit", "verify", "u1"]);
        (found["covered"] == found["events"] && found["intact"] == true).then_some(())
    })
    .await;
    let grant = get(format!("{url}/v1/users/u1/rewards")).await["rewards"][0]["grant"].clone();
    let grant = grant.as_str().unwrap();
    assert_eq!(
        place.json(&["audit", "explain", grant]),
        get(format!("{url}/v1/audit/grants/{grant}")).await
    );
    assert!(
        place.run(&["audit", "explain", grant]).1.contains("command     team.formed 1 from /cli")
    );

    let projections = place.json(&["projections", "list"]);
    let names: Vec<_> =
        projections["projections"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
    assert_eq!(names, ["task_view", "reward_state"]);
    assert!(place.run(&["projections", "list"]).1.contains("task_view"));

    let (code, _, error) = place.accept(&[]).await;
    assert_eq!(code, Some(1), "a healthy topic");
    assert!(error.contains("Nothing was changed"), "{error}");
    assert_eq!(server.end(Signal::SIGTERM).await.code(), Some(0));
}

/// Reading a healthy topic again would count old actions twice.
#[tokio::test]
async fn a_topic_is_accepted_again_only_if_it_was_recreated() {
    let mut place = Place::prepare().await;
    let pool = pool::connect(&place.database, 4).unwrap();
    let topic = place.topic.clone();
    let incarnation = async || sources::incarnation(&pool, &topic).await.unwrap();

    let (code, _, error) = place.accept(&[]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("--even-if-it-looks-the-same"), "{error}");
    assert_eq!(place.run(&["ingest", "accept-new-topic", "other"]).0, Some(1));
    assert_eq!(incarnation().await, 0);
    let (code, _, error) = place.accept(&["--even-if-it-looks-the-same"]).await;
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(incarnation().await, 1);

    // The topic is empty but was read up to 5: it is another topic under the same name.
    sources::note_applied(&pool, &topic, 1, [(0, 5)]).await.unwrap();
    let status = place.ingest_status(Some(1)).await;
    assert_eq!(status["topics"][0]["state"], "recreated");
    let (code, said, error) = place.accept(&[]).await;
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("incarnation 2"), "{said}");
    let operations = place.json(&["audit", "operations"])["operations"].clone();
    assert_eq!(operations.as_array().unwrap().len(), 2, "{operations}");
    assert_eq!(operations[0]["operation"], "ingest.accept-new-topic");
    assert_eq!(operations[0]["subject"], json!(topic));
    assert_eq!(operations[0]["reason"], "no reason given");
    assert!(operations[0]["operator"].as_str().unwrap().starts_with("os:"), "{operations}");

    place.set("PLAUDIT_KAFKA_BROKERS", "127.0.0.1:9");
    let (code, _, error) = place.run(&["ingest", "accept-new-topic", &topic]);
    assert_eq!(code, Some(1));
    assert!(error.contains("can't find out") && error.contains("127.0.0.1:9"), "{error}");
    assert_eq!(incarnation().await, 2);
}

#[tokio::test]
async fn every_process_tells_its_supervisor_how_it_is() {
    let place = Place::prepare().await;
    let (mut server, url) = place.serve(&["--roles", "ingest"]).await;
    for (path, expected) in [("/livez", 200), ("/metrics", 200), ("/v1/tasks", 404)] {
        assert_eq!(status_of(&format!("{url}{path}")).await, expected, "{path}");
    }
    eventually("readiness", async || {
        (status_of(&format!("{url}/readyz")).await == 200).then_some(())
    })
    .await;
    assert_eq!(server.end(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn rule_23_a_server_ends_within_ten_seconds_whatever_hangs() {
    let place = Place::prepare().await;
    let (mut server, url) = place.serve(&[]).await;
    eventually("readiness", async || {
        (status_of(&format!("{url}/readyz")).await == 200).then_some(())
    })
    .await;
    let mut holder = sqlx::PgConnection::connect(&place.database).await.unwrap();
    let hold = "begin; lock table catalogue, user_view in access exclusive mode";
    sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
    let now = jiff::Timestamp::now().to_string();
    let action = json!({"specversion": "1.0", "source": "/cli", "id": "1", "type": "team.formed", "subject": "u1", "time": now});
    let asked = Instant::now();
    let refused = reqwest::Client::new()
        .post(format!("{url}/v1/actions"))
        .bearer_auth(token(&["producer"]))
        .json(&action)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status().as_u16(), 503);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let mut half = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    std::io::Write::write_all(&mut half, b"GET /livez HTTP/1.1\r\nhost: ").unwrap();
    let stopped = Instant::now();
    let ended = server.end(Signal::SIGTERM).await;
    assert_eq!(ended.code(), Some(0), "{}", server.said().join("\n"));
    // The limit allows half a second for the signal to arrive and the process to end.
    let limit = Duration::from_millis(10_500);
    assert!(stopped.elapsed() < limit, "{:?}:\n{}", stopped.elapsed(), server.said().join("\n"));
}

/// Records that wait for a lane are read again after the next start.
#[tokio::test]
async fn a_server_ends_well_while_its_lanes_are_held() {
    let place = Place::prepare().await;
    assert_eq!(place.run(&["tasks", "publish", sample_tasks().to_str().unwrap()]).0, Some(0));
    let (mut server, url) = place.serve(&[]).await;
    eventually("readiness", async || {
        (status_of(&format!("{url}/readyz")).await == 200).then_some(())
    })
    .await;
    let mut holder = sqlx::PgConnection::connect(&place.database).await.unwrap();
    let hold = "begin; select pg_advisory_xact_lock(1347174741, lane) from lane_numbers";
    sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
    let now = jiff::Timestamp::now().to_string();
    let action = json!({"specversion": "1.0", "source": "/cli", "id": "1", "type": "team.formed", "subject": "u1", "time": now});
    produce(&place, action.to_string().as_bytes()).await;
    eventually("the held lane is named", async || {
        let metrics = reqwest::get(format!("{url}/metrics")).await.ok()?.text().await.ok()?;
        metrics.contains("\nplaudit_lanes_busy 1\n").then_some(())
    })
    .await;
    let stopped = Instant::now();
    let ended = server.end(Signal::SIGTERM).await;
    assert_eq!(ended.code(), Some(0), "{}", server.said().join("\n"));
    assert!(stopped.elapsed() < Duration::from_millis(10_500), "{:?}", stopped.elapsed());
}

#[tokio::test]
async fn a_server_whose_keys_were_never_fetched_is_not_ready() {
    let mut place = Place::prepare().await;
    // This server accepts connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/keys", silent.local_addr().unwrap());
    place.set("PLAUDIT_AUTH_JWKS", &address);
    let (mut server, url) = place.serve(&["--roles", "api"]).await;
    eventually("the keys are named", async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.text().await.ok()?;
        (status == 503 && body.contains(&address)).then_some(())
    })
    .await;
    assert_eq!(server.end(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn a_server_that_is_stopped_while_it_starts_ends_well() {
    let mut place = Place::prepare().await;
    place.set("PLAUDIT_DATABASE_URL", "postgres://me@127.0.0.1:9/plaudit");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Running::start(command(&["serve"], &place.variables()));
        server.line_with("does not answer yet").await;
        assert_eq!(server.end(signal).await.code(), Some(0), "{signal}");
    }
}

/// Without keys nothing could be served, so nothing is read either.
#[tokio::test]
async fn a_server_without_keys_does_not_start() {
    let mut place = Place::prepare().await;
    place.set("PLAUDIT_AUTH_HS256_SECRET", "");
    let (code, _, error) = place.run(&["serve"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("PLAUDIT_AUTH_HS256_SECRET"), "{error}");
}

#[test]
fn source_files_are_checked_and_tried() {
    let sample = sample_sources();
    let checked = plaudit(&["sources", "check", sample.to_str().unwrap()], &[]);
    assert_eq!(text(&checked.stdout), "1 source file is valid\n", "{}", text(&checked.stderr));
    let bad = scratch(
        "sources.yaml",
        "sources:\n  - topic: t\n    when: value.x >\n    action: { id: value.id }\n",
    );
    let refused = plaudit(&["sources", "check", bad.to_str().unwrap()], &[]);
    assert_eq!(refused.status.code(), Some(1));
    let errors = text(&refused.stderr);
    assert!(errors.contains(bad.to_str().unwrap()) && errors.contains("when"), "{errors}");

    let record = json!({"topic": "game.teams.v2", "key": null, "headers": {}, "timestamp": "2026-11-24T03:00:00Z",
        "value": {"kind": "formed", "event_id": "e1", "team_id": "t1", "member_ids": ["ann", "bob"], "at": "2026-11-24T02:59:58Z"}});
    let record = scratch("record.json", &record.to_string());
    let tried = plaudit(
        &["sources", "try", sample.to_str().unwrap(), "--record", record.to_str().unwrap()],
        &[],
    );
    let said = text(&tried.stdout);
    assert!(tried.status.success(), "{}", text(&tried.stderr));
    for user in ["ann", "bob"] {
        assert!(said.contains(&format!("team.formed of user {user}")), "{said}");
    }
    let unfit =
        json!({"topic": "game.teams.v2", "value": {"kind": "formed", "member_ids": ["ann"]}});
    let record = scratch("unfit.json", &unfit.to_string());
    let tried = plaudit(
        &["sources", "try", sample.to_str().unwrap(), "--record", record.to_str().unwrap()],
        &[],
    );
    assert_eq!(tried.status.code(), Some(1));
    assert!(text(&tried.stdout).contains("parked: "), "{}", text(&tried.stdout));
}
