//! The tasks, users and actions that `plaudit dev` starts with: the everyday samples, or an
//! example.

use jiff::Timestamp;
use rdkafka::ClientConfig;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::examples::Example;
use super::traffic;
use crate::failure::Failure;

/// The sample tasks.
const SAMPLE_TASKS: &str = include_str!("../../../samples/tasks.yaml");

/// The tasks and traffic that `plaudit dev` starts with.
#[derive(Debug)]
pub struct Sample {
    /// A task file.
    pub tasks: &'static str,
    /// The users, the one to look at first.
    pub users: Vec<String>,
    /// An action of the first user, to be sent by hand.
    pub action: Value,
    /// The task to claim afterwards.
    pub claimable: &'static str,
    /// Actions that are sent once; `None` for endless traffic.
    actions: Option<Vec<Value>>,
}

impl Sample {
    /// The sample of an example; without one the everyday samples.
    pub fn of(example: Option<&'static Example>) -> Result<Self, Failure> {
        match example {
            None => Ok(Self::everyday()),
            Some(example) => Self::of_example(example),
        }
    }

    fn everyday() -> Self {
        let users = traffic::USERS.map(str::to_owned).to_vec();
        let action = json!({"specversion": "1.0", "source": "/me", "type": "team.formed",
            "subject": users[0], "data": {}});
        let action = with_new_id(action);
        Self { tasks: SAMPLE_TASKS, users, action, claimable: "first-team", actions: None }
    }

    fn of_example(example: &'static Example) -> Result<Self, Failure> {
        let actions = example.actions(Timestamp::now())?;
        let mut users: Vec<String> = Vec::new();
        for user in actions.iter().filter_map(|action| action["subject"].as_str()) {
            if !users.iter().any(|known| known == user) {
                users.push(user.to_owned());
            }
        }
        users.sort();
        let of_first =
            |action: &&Value| users.first().is_some_and(|user| action["subject"] == **user);
        let last = actions.iter().rfind(of_first).cloned().unwrap_or_default();
        Ok(Self {
            tasks: example.tasks,
            users,
            action: with_new_id(last),
            claimable: example.claimable,
            actions: Some(actions),
        })
    }

    /// Starts to send the actions.
    pub fn start(
        &self,
        client: &mut ClientConfig,
        topic: String,
        stop: CancellationToken,
    ) -> Result<JoinHandle<()>, Failure> {
        match &self.actions {
            None => traffic::start(client, topic, stop),
            Some(actions) => traffic::play(client, topic, actions.clone()),
        }
    }
}

/// Gives an action a new id and the current time. Under a known id it would be a repeat and change
/// nothing.
fn with_new_id(mut action: Value) -> Value {
    action["id"] = Uuid::new_v4().to_string().into();
    action["time"] = Timestamp::now().to_string().into();
    action
}
