//! The command line as an operator meets it: what is printed, and how a command ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use plaudit_embedded::test_cluster;
use sqlx::{Connection, PgConnection};

/// Runs the program with these variables and no others of Plaudit.
fn plaudit(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(arguments, variables).output().unwrap()
}

fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plaudit"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PLAUDIT_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sample_tasks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/tasks.yaml")
}

fn scratch(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test_cluster::unique_name(name));
    std::fs::write(&path, content).unwrap();
    path
}

async fn migrated() -> String {
    let url = test_cluster::create_database("cli").await;
    let done = plaudit(&["migrate"], &[("PLAUDIT_DATABASE_URL", &url)]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    url
}

/// Rule 11: refused whole, with every error named by file, line and path.
#[test]
fn a_file_with_ten_errors_has_all_ten_named() {
    let file = scratch(
        "ten.yaml",
        "tasks:
  - id: Bad Id
    kind: ordinary
    objective: { on: a, target: 0 }
  - id: second
    kind: sometimes
    objective: { on: a, target: 1 }
  - id: third
    kind: periodic
    every: fortnight
    zone: Europe/Nowhere
    objective: { on: a, where: 'data.x >=', target: 1.5 }
    rewards: [ { line: l, kind: k, code: c, amount: -1 } ]
  - id: fourth
    kind: ordinary
    colour: red
    window: { from: yesterday }
    objective: { on: a, target: 1, lateness: P1M }
",
    );
    let refused = plaudit(&["tasks", "validate", file.to_str().unwrap()], &[]);
    assert_eq!(refused.status.code(), Some(1));
    let errors = text(&refused.stderr);
    let named: Vec<&str> =
        errors.lines().filter(|line| line.starts_with(file.to_str().unwrap())).collect();
    assert_eq!(named.len(), 11, "{errors}");
    for line in named {
        let place: Vec<&str> = line[file.to_str().unwrap().len()..].splitn(4, ':').collect();
        assert!(place[1].parse::<u32>().is_ok() && place[2].parse::<u32>().is_ok(), "{line}");
    }
    assert!(errors.contains("11 errors"), "{errors}");
}

#[test]
fn the_sample_tasks_are_valid_and_the_schema_is_json() {
    let sample = sample_tasks();
    let valid = plaudit(&["tasks", "validate", sample.to_str().unwrap()], &[]);
    assert!(valid.status.success(), "{}", text(&valid.stderr));
    let schema = plaudit(&["tasks", "schema"], &[]);
    assert!(serde_json::from_slice::<serde_json::Value>(&schema.stdout).is_ok());
    assert_eq!(plaudit(&["tasks", "validate"], &[]).status.code(), Some(2), "misuse");
}

#[test]
fn an_unknown_setting_is_named() {
    let refused = plaudit(&["config"], &[("PLAUDIT_KAFKA_GRUOP", "x")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("PLAUDIT_KAFKA_GRUOP"));
    let file = scratch("wrong.toml", "[http]\nlisten = \"127.0.0.1:1\"\nport = 1\n");
    let refused = plaudit(&["--config", file.to_str().unwrap(), "config"], &[]);
    assert!(text(&refused.stderr).contains("http.port"), "{}", text(&refused.stderr));
}

#[test]
fn a_database_that_is_down_is_named_with_host_and_port() {
    let variables = [
        ("PLAUDIT_DATABASE_URL", "postgres://me:hunter2@127.0.0.1:9/plaudit"),
        ("PLAUDIT_DATABASE_STARTUP_TIMEOUT", "PT1S"),
    ];
    let refused = plaudit(&["migrate"], &variables);
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    assert!(message.contains("127.0.0.1:9") && !message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn a_schema_of_another_version_is_refused_with_the_command_that_helps() {
    let url = test_cluster::create_database("cli").await;
    let list = || plaudit(&["tasks", "list"], &[("PLAUDIT_DATABASE_URL", &url)]);
    let old = text(&list().stderr);
    assert!(old.contains("plaudit migrate"), "{old}");
    assert!(plaudit(&["migrate"], &[("PLAUDIT_DATABASE_URL", &url)]).status.success());
    assert!(list().status.success());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', true, '', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    let newer = text(&list().stderr);
    assert!(newer.contains("newer"), "{newer}");
    let newer = plaudit(&["migrate"], &[("PLAUDIT_DATABASE_URL", &url)]);
    assert_eq!(newer.status.code(), Some(1), "{}", text(&newer.stderr));
}

/// Rules 9 and 10.
#[tokio::test]
async fn tasks_are_published_shown_and_retired() {
    let url = migrated().await;
    let run = |arguments: &[&str]| plaudit(arguments, &[("PLAUDIT_DATABASE_URL", &url)]);
    let sample = sample_tasks();
    let first = text(&run(&["tasks", "publish", sample.to_str().unwrap()]).stdout);
    assert!(first.contains("published  first-team  version 1"), "{first}");
    let again = text(&run(&["tasks", "publish", sample.to_str().unwrap()]).stdout);
    assert!(again.contains("unchanged  first-team  version 1"), "{again}");
    assert!(text(&run(&["tasks", "list"]).stdout).contains("6 tasks"));
    assert!(text(&run(&["tasks", "show", "first-team"]).stdout).contains("\"kind\": \"ordinary\""));
    assert!(run(&["tasks", "retire", "first-team"]).status.success());
    let reused = run(&["tasks", "publish", sample.to_str().unwrap()]);
    assert!(text(&reused.stderr).contains("retired"), "{}", text(&reused.stderr));
    let unknown = run(&["tasks", "show", "nothing"]);
    assert!(text(&unknown.stderr).contains("there is no task nothing"));
}

#[tokio::test]
async fn serving_ends_well_on_sigterm() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = migrated().await;
    let brokers = test_cluster::kafka_brokers().await;
    let topic = test_cluster::create_topic("cli", 2).await;
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    };
    let variables = [
        ("PLAUDIT_DATABASE_URL", url.as_str()),
        ("PLAUDIT_KAFKA_BROKERS", brokers.as_str()),
        ("PLAUDIT_KAFKA_TOPICS", topic.as_str()),
        ("PLAUDIT_KAFKA_GROUP", topic.as_str()),
        ("PLAUDIT_HTTP_LISTEN", address.as_str()),
        ("PLAUDIT_AUTH_HS256_SECRET", "0123456789abcdef0123456789abcdef"),
    ];
    let mut serving = command(&["serve"], &variables).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while reqwest::get(format!("http://{address}/readyz")).await.map_or(0, |r| r.status().as_u16())
        != 200
    {
        assert!(Instant::now() < deadline, "not ready within a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = plaudit(&["ingest", "status", "--format", "json"], &variables);
    assert!(status.status.success(), "{}", text(&status.stderr));
    let pid = nix::unistd::Pid::from_raw(serving.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || serving.wait().unwrap()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
}
