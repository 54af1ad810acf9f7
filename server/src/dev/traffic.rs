//! Sample traffic: endless actions of a few users for the sample tasks, or the actions of an
//! example, once.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::failure::Failure;
use crate::output::errln;

/// The sample users.
pub const USERS: [&str; 3] = ["ann", "bob", "chen"];

/// The pause between two actions.
const EVERY: Duration = Duration::from_millis(700);

/// Publishes sample actions until `stop` is cancelled.
pub fn start(
    client: &mut ClientConfig,
    topic: String,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let producer = producer(client, "5000")?;
    Ok(tokio::spawn(async move {
        for turn in 0.. {
            let (user, body) = action(turn);
            let body = body.to_string();
            let record = FutureRecord::to(&topic).key(user).payload(&body);
            // Lost sample traffic does no harm; the server itself reports a broker that is gone.
            let _ = producer.send(record, Duration::from_secs(1)).await;
            if tokio::time::timeout(EVERY, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }))
}

/// Publishes these actions, one after the other.
pub fn play(
    client: &mut ClientConfig,
    topic: String,
    actions: Vec<Value>,
) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let producer = producer(client, "30000")?;
    Ok(tokio::spawn(async move {
        for action in actions {
            let (user, body) = (action["subject"].as_str().unwrap_or_default(), action.to_string());
            let record = FutureRecord::to(&topic).key(user).payload(&body);
            if let Err((error, _)) = producer.send(record, Duration::from_secs(1)).await {
                errln!("an action of the example was not published: {error}");
            }
        }
    }))
}

fn producer(client: &mut ClientConfig, timeout_ms: &str) -> Result<FutureProducer, Failure> {
    client.set("partitioner", "murmur2_random").set("message.timeout.ms", timeout_ms);
    Ok(client.create()?)
}

/// The action of a turn: first all users arrive, then they send gifts, and a team forms now and
/// then.
fn action(turn: usize) -> (&'static str, Value) {
    let user = USERS[turn % USERS.len()];
    let zones = ["Europe/Paris", "America/New_York", "Asia/Shanghai"];
    let (kind, data) = match turn / USERS.len() {
        0 => ("plaudit.user.updated", json!({"zone": zones[turn % zones.len()]})),
        1 => ("user.signed_in", json!({})),
        round if round % 20 == 2 => {
            ("team.formed", json!({"team": format!("t{round}"), "size": 4}))
        }
        round => ("gift.sent", json!({"coins": 10 + (turn * 7 + round) % 60, "room": "r7"})),
    };
    let event = json!({
        "specversion": "1.0", "source": "/sample", "id": Uuid::now_v7(), "type": kind, "subject": user,
        "time": jiff::Timestamp::now().to_string(), "data": data,
    });
    (user, event)
}
