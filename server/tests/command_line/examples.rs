//! The catalogues of `examples/`: each is valid, its picture is up to date, and it runs.

mod picture;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::{env, fs};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use plaudit_actions::cloud_events;
use plaudit_domain::action::Action;
use plaudit_domain::catalogue::{BudgetsUsed, Catalogue, CatalogueTask, Status, TaskVersion};
use plaudit_domain::ids::UserId;
use plaudit_domain::screen::{ScreenRequest, screen};
use plaudit_domain::user_tasks::{ActionInput, Event, Seed, UserTasks, decide_action, evolve};
use plaudit_embedded::{ScratchDir, test_cluster};
use serde_json::{Value, json};

use crate::program::{Running, command, eventually, plaudit, text};

/// Environment variable that has the pictures rewritten instead of compared.
const WRITE: &str = "WRITE_EXAMPLE_PICTURES";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// An example, with the result of its actions, decided one after the other.
struct Example {
    name: String,
    catalogue: Catalogue,
    states: BTreeMap<UserId, UserTasks>,
    grants: BTreeSet<Grant>,
    /// The time of the last action.
    now: Timestamp,
}

/// User, task, milestone and line.
type Grant = (String, String, i64, String);

impl Example {
    fn read(name: &str) -> Self {
        let read = |file: &str| fs::read_to_string(folder().join(name).join(file)).unwrap();
        let definitions = plaudit_task_file::parse(&read("tasks.yaml"));
        let definitions = definitions.unwrap_or_else(|errors| panic!("{name}: {}", errors[0]));
        let since = "2026-01-01T00:00:00Z".parse().unwrap();
        let tasks: Vec<_> = definitions
            .into_iter()
            .map(|definition| {
                let id = definition.id.clone();
                let versions = vec![TaskVersion::new(definition, 1, since).unwrap().into()];
                CatalogueTask {
                    id,
                    status: Status::Active,
                    status_since: since,
                    versions,
                    amnesties: vec![],
                }
            })
            .collect();
        let catalogue = Catalogue::new(1, tasks).unwrap();
        let actions: Vec<Action> = read("actions.jsonl")
            .lines()
            .map(|line| cloud_events::from_structured(line.as_bytes()).unwrap())
            .collect();
        let now = actions.iter().map(|action| action.occurred_at).max().unwrap();
        let (mut states, mut grants) = (BTreeMap::<UserId, UserTasks>::new(), BTreeSet::new());
        for action in actions {
            let state = states.entry(action.user.clone()).or_default();
            let user = action.user.to_string();
            let seed = Seed(action.identity().as_u64_pair().0);
            let input = ActionInput { action: &action, seed, credited: None };
            let decided = decide_action(state, input, &catalogue, &BudgetsUsed::default());
            for event in decided.events {
                if let Event::MilestoneReached { task, milestone, rewards, .. } = &event {
                    let line =
                        |line: &String| (user.clone(), task.to_string(), *milestone, line.clone());
                    grants.extend(rewards.iter().map(|reward| line(&reward.line)));
                }
                evolve(state, &event);
            }
        }
        Self { name: name.to_owned(), catalogue, states, grants, now }
    }

    /// The answer to `GET /v1/users/{user}/tasks` after the last action, for the first user.
    fn screen(&self) -> Value {
        let (user, state) = self.states.first_key_value().unwrap();
        let tasks = screen(user, state, &self.catalogue, self.now, &ScreenRequest::default());
        json!({"user": user, "now": self.now, "tasks": tasks})
    }
}

/// The names of the folders with a task file.
fn names() -> Vec<String> {
    let folders = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let with_tasks = folders.filter(|folder| folder.path().join("tasks.yaml").exists());
    let mut names: Vec<String> =
        with_tasks.map(|folder| folder.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `WRITE_EXAMPLE_PICTURES=1 cargo test -p plaudit pictures` rewrites them.
#[test]
fn the_pictures_of_the_examples_show_their_screens() {
    for name in names() {
        let drawn = picture::of(&Example::read(&name).screen());
        let path = folder().join(&name).join("screen.svg");
        if env::var_os(WRITE).is_some() {
            fs::write(&path, &drawn).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == drawn,
            "{} is not of this screen; {WRITE}=1 draws it again",
            path.display()
        );
    }
}

#[test]
fn every_example_has_a_page_and_ids_of_its_own() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    let samples = plaudit_task_file::parse(include_str!("../../../samples/tasks.yaml")).unwrap();
    let mut ids: BTreeSet<_> = samples.into_iter().map(|task| task.id).collect();
    let names = names();
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let page = fs::read_to_string(folder().join(&name).join("README.md")).unwrap();
        assert!(page.contains("(screen.svg)"), "{name} has no picture");
        assert!(page.contains(&format!("--example {name}")), "{name} does not say how it is run");
        assert!(index.contains(&format!("({name}/README.md)")), "examples/README.md misses {name}");
        for task in Example::read(&name).catalogue.tasks() {
            assert!(page.contains(task.id.as_str()), "{name}/README.md does not name {}", task.id);
            assert!(ids.insert(task.id.clone()), "two tasks are called {}", task.id);
        }
        let file = folder().join(&name).join("tasks.yaml");
        let valid = plaudit(&["tasks", "validate", file.to_str().unwrap()], &[]);
        assert!(valid.status.success(), "{}", text(&valid.stderr));
        // A missing field does not match, as these conditions intend.
        let is_unwanted =
            |line: &&str| line.starts_with("warning: ") && !line.contains("without `has(");
        let said = text(&valid.stdout);
        assert!(!said.lines().any(|line| is_unwanted(&line)), "{said}");
        assert_eq!(text(&valid.stderr), "");
    }
}

#[test]
fn an_example_that_is_not_there_is_misuse() {
    let refused = plaudit(&["dev", "--example", "nothing"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(names().iter().all(|name| said.contains(name)), "{said}");
}

/// The grants of the users of a running program.
async fn earned(described: &Value) -> BTreeSet<Grant> {
    let (url, token) = (described["url"].as_str().unwrap(), &described["tokens"]["operator"]);
    let mut grants = BTreeSet::new();
    for user in described["users"].as_array().unwrap() {
        let user = user.as_str().unwrap();
        let path = format!("{url}/v1/users/{user}/rewards?limit=1000");
        let request = reqwest::Client::new().get(path).bearer_auth(token.as_str().unwrap());
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        for reward in answer["rewards"].as_array().unwrap() {
            let of = |field: &str| reward[field].as_str().unwrap().to_owned();
            let milestone = reward["milestone"].as_i64().unwrap();
            grants.insert((user.to_owned(), of("task"), milestone, of("line")));
        }
    }
    grants
}

#[tokio::test]
async fn every_example_runs_and_pays_what_its_rules_say() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let brokers = test_cluster::kafka_brokers().await;
    for name in names() {
        let example = Example::read(&name);
        let scratch = ScratchDir::create("example").unwrap();
        let dir = scratch.path().join("plaudit");
        let mut running = Running::start(dev_with(&example, &dir, &brokers).await);
        running.line_with("Ready.").await;
        let described = fs::read(dir.join("dev.json")).unwrap();
        let described: Value = serde_json::from_slice(&described).unwrap();
        let users: Vec<_> = example.states.keys().map(ToString::to_string).collect();
        assert_eq!(described["users"], json!(users), "{name}");
        eventually(&format!("all rewards of {name}"), async || {
            (earned(&described).await.len() >= example.grants.len()).then_some(())
        })
        .await;
        assert_eq!(earned(&described).await, example.grants, "{name}");
        let said = running.said().join("\n");
        let first = &users[0];
        let tasks = example.catalogue.tasks();
        let is_tried = |task: &CatalogueTask| {
            said.contains(&format!("/v1/users/{first}/tasks/{}/claim", task.id))
        };
        assert!(tasks.iter().any(is_tried), "{said}");
        assert_eq!(running.end(Signal::SIGINT).await.code(), Some(0), "{said}");
    }
}

/// `plaudit dev --example`, with a database and a topic of its own.
async fn dev_with(example: &Example, dir: &Path, brokers: &str) -> Process {
    let url = test_cluster::create_database("example").await;
    let topic = test_cluster::unique_name("actions");
    let topics = format!("kafka.topics={topic}");
    let rewards = format!("kafka.rewards_topic={topic}-rewards");
    let group = format!("kafka.group={topic}");
    let dir = dir.to_str().unwrap();
    let arguments = ["dev", "--example", &example.name, "--listen", "127.0.0.1:0", "--dir", dir];
    let services = ["--database", &url, "--kafka", brokers];
    let settings = ["--set", &topics, "--set", &rewards, "--set", &group];
    command(&[&arguments[..], &services, &settings].concat(), &[])
}
