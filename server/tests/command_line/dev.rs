//! `plaudit dev`: everything runs on this machine, and nothing is left running.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use plaudit_embedded::{ScratchDir, test_cluster};
use serde_json::Value;

use crate::program::{Running, command, eventually, gone, plaudit, text};

fn dev(dir: &Path) -> Running {
    let dir = dir.to_str().unwrap();
    Running::start(command(&["dev", "--quiet", "--listen", "127.0.0.1:0", "--dir", dir], &[]))
}

/// The content of `dev.json`, once everything is ready.
async fn described(running: &mut Running, dir: &Path) -> Value {
    running.line_with("Ready.").await;
    serde_json::from_slice(&std::fs::read(dir.join("dev.json")).unwrap()).unwrap()
}

/// The state of the first sample user's first task.
async fn state_of_first_team(described: &Value) -> String {
    let url = format!("{}/v1/users/ann/tasks/first-team", described["url"].as_str().unwrap());
    let token = described["tokens"]["client"].as_str().unwrap();
    let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.json::<Value>().await.unwrap()["state"].as_str().unwrap().to_owned()
}

/// Sends the request of a `curl` line, after a shell has expanded it. `curl` itself need not be
/// installed.
async fn as_copied(line: &str) -> Value {
    let printed = line.replace("; curl ", "; printf '%s\n' ");
    let printed = Command::new("sh").args(["-c", printed.trim()]).output().unwrap();
    let printed = text(&printed.stdout);
    let words: Vec<&str> = printed.lines().collect();
    let token = words.iter().find_map(|word| word.strip_prefix("Authorization: Bearer ")).unwrap();
    let url = *words.last().unwrap();
    let client = reqwest::Client::new();
    let request = if words.contains(&"POST") { client.post(url) } else { client.get(url) };
    let answer = request.bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{line}");
    answer.json().await.unwrap()
}

#[tokio::test]
async fn dev_shows_all_of_it_and_finds_its_data_again() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let scratch = ScratchDir::create("dev").unwrap();
    let dir = scratch.path().join("plaudit");
    let mut first = dev(&dir);
    let announced = described(&mut first, &dir).await;

    let said = first.said();
    let line = |begin: &str| {
        let found = said.iter().find(|line| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("no line begins with {begin}:\n{}", said.join("\n"))).clone()
    };
    assert_eq!(line("API "), format!("API {}", announced["url"].as_str().unwrap()));
    assert!(line("API http://127.0.0.1:") != "API http://127.0.0.1:0", "the port it has");
    let brokers = announced["brokers"].as_str().unwrap();
    assert!(brokers.starts_with("127.0.0.1:"));
    assert_eq!(line("Kafka "), format!("Kafka {brokers} topic plaudit.actions"));
    for role in ["client", "producer", "auditor", "operator"] {
        let token = announced["tokens"][role].as_str().unwrap();
        assert!(token.starts_with("eyJ"));
        assert_eq!(line(&format!("Token {role} ")), format!("Token {role} {token}"));
    }
    assert!(!said.iter().any(|line| line.contains('\u{1b}')), "no colours without a terminal");

    // The page to open.
    let page = line("Open ").replace("Open ", "");
    let page = reqwest::get(page).await.unwrap().text().await.unwrap();
    assert!(page.contains("<h1>Plaudit</h1>") && page.contains("ready"), "{page}");

    // The three commands to copy: Kafka's own producer, the screen, the claim.
    assert_eq!(state_of_first_team(&announced).await, "available");
    let produce = line("  echo '");
    let produced = Command::new("sh").args(["-c", produce.trim()]).output().unwrap();
    assert!(produced.status.success(), "{produce}\n{}", text(&produced.stderr));
    eventually("the action on the screen", async || {
        (state_of_first_team(&announced).await == "claimable").then_some(())
    })
    .await;
    let line_with = |part: &str| said.iter().find(|line| line.contains(part)).unwrap();
    assert_eq!(as_copied(line_with("curl -s -H")).await["user"], "ann");
    let receipt = as_copied(line_with("curl -s -X POST")).await;
    assert_eq!(receipt["rewards"][0]["state"], "claimed", "{receipt}");

    let started = first.descendants();
    assert!(started.len() >= 4, "two servers, each with its watchdog: {started:?}");
    assert_eq!(first.end(Signal::SIGINT).await.code(), Some(0), "{}", first.said().join("\n"));
    gone(started).await;

    let mut second = dev(&dir);
    let announced = described(&mut second, &dir).await;
    assert_eq!(state_of_first_team(&announced).await, "claimed");
    let started = second.descendants();
    assert_eq!(second.end(Signal::SIGTERM).await.code(), Some(0));
    gone(started).await;
}

#[tokio::test]
async fn dev_that_is_stopped_while_it_starts_leaves_nothing_running() {
    let scratch = ScratchDir::create("dev").unwrap();
    for service in ["PostgreSQL", "Kafka"] {
        let mut starting = dev(&scratch.path().join("plaudit"));
        starting.line_with(service).await;
        let started = starting.descendants();
        assert_eq!(starting.end(Signal::SIGINT).await.code(), Some(0), "while {service} starts");
        gone(started).await;
    }
}

#[test]
fn dev_says_when_its_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let scratch = ScratchDir::create("dev").unwrap();
    let dir = scratch.path().join("plaudit");
    let refused = plaudit(&["dev", "--listen", &address, "--dir", dir.to_str().unwrap()], &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains(&address) && said.contains("another"), "{said}");
    assert!(!dir.exists(), "before anything else was done");
}

#[tokio::test]
async fn dev_names_the_broker_that_does_not_answer() {
    let url = test_cluster::create_database("dev").await;
    let scratch = ScratchDir::create("dev").unwrap();
    let dir = scratch.path().join("plaudit");
    let begin = ["dev", "--database", &url, "--kafka", "127.0.0.1:9"];
    let end = ["--listen", "127.0.0.1:0", "--dir", dir.to_str().unwrap()];
    let refused = plaudit(&[&begin[..], &end[..]].concat(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("127.0.0.1:9") && said.contains("plaudit.actions"), "{said}");
}
