//! (f) A dead webhook endpoint beside a live one: the effect on users of the live one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use rdkafka::producer::{BaseRecord, Producer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Outcome;
use super::kafka;
use super::place::Place;

/// Actions per second. They alternate between the two endpoints, and each grants one reward.
const RATE: u64 = 400;
const WARM_UP: Duration = Duration::from_secs(5);
/// Time limit for the last samples.
const LAST_MAX: Duration = Duration::from_secs(30);

/// The time at which each user acted, and the time until the live endpoint received the reward.
#[derive(Default)]
struct Times {
    sent: HashMap<String, Instant>,
    took: Vec<(Instant, Duration)>,
}

type Shared = Arc<Mutex<Times>>;

/// Measures with two live endpoints, and then with one of them dead.
pub async fn run(place: &Place, seconds: u64) -> Outcome<()> {
    let both = measure(place, "both_alive", false, seconds).await?;
    let one = measure(place, "one_dead", true, seconds).await?;
    for (what, (p50, p99)) in [("two live endpoints", both), ("one live, one dead", one)] {
        println!("(f) from the action to the webhook, {what:<19} p50 {p50:.1} ms, p99 {p99:.1} ms");
    }
    println!("    ratio of the medians                        {:>9.2}", one.0 / both.0);
    Ok(())
}

/// Returns the median and the 99th percentile of the live endpoint, in milliseconds.
async fn measure(place: &Place, name: &str, is_dead: bool, seconds: u64) -> Outcome<(f64, f64)> {
    let name = format!("bench_{name}");
    let database = place.database(&name, TASKS).await?;
    let rewards = format!("{name}_rewards");
    for topic in [&name, &rewards] {
        place.kafka.create_topic(topic, 16).await?;
    }
    let times = Shared::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let other = move || async move {
        if is_dead {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        StatusCode::NO_CONTENT
    };
    let app = Router::new().route("/live", post(live)).route("/other", post(other));
    let serving =
        tokio::spawn(axum::serve(listener, app.with_state(Arc::clone(&times))).into_future());
    let settings = [
        ("PLAUDIT_KAFKA_REWARDS_TOPIC", rewards),
        ("PLAUDIT_REWARDS_CHANNELS", channels(&address.to_string())),
    ];
    let mut child =
        place.serve_with(&database, &name, "ingest,deliver", "127.0.0.1:0", &settings)?;
    let (brokers, sent) = (place.kafka.brokers(), Arc::clone(&times));
    let time = WARM_UP + Duration::from_secs(seconds);
    let begun = Instant::now();
    tokio::task::spawn_blocking(move || steady(&brokers, &name, time, &sent)).await??;
    let waits = Instant::now();
    while !lock(&times).sent.is_empty() && waits.elapsed() < LAST_MAX {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child.kill().await?;
    serving.abort();
    database.finish(place).await?;
    let times = lock(&times);
    if !times.sent.is_empty() {
        return Err(format!("{} lines never came to the live endpoint", times.sent.len()).into());
    }
    let counted = times.took.iter().filter(|(sent, _)| *sent >= begun + WARM_UP);
    let mut took: Vec<f64> = counted.map(|(_, took)| took.as_secs_f64() * 1000.0).collect();
    took.sort_by(f64::total_cmp);
    let at =
        |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)));
    Ok((at(50).copied().unwrap_or_default(), at(99).copied().unwrap_or_default()))
}

const TASKS: &str = "
tasks:
  - id: live
    kind: ordinary
    objective: { on: bench.live, target: 1 }
    claim: { mode: automatic }
    rewards: [ { line: coins, kind: live, code: coin, amount: 1 } ]
  - id: other
    kind: ordinary
    objective: { on: bench.other, target: 1 }
    claim: { mode: automatic }
    rewards: [ { line: coins, kind: other, code: coin, amount: 1 } ]
";

fn channels(address: &str) -> String {
    let webhook = |name: &str| {
        json!({ "name": name, "type": "webhook", "url": format!("http://{address}/{name}"),
            "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "grants": [{ "kind": name }],
            "concurrency": 64, "timeout": "PT2S", "allow_private": true })
    };
    let kafka = json!({ "name": "kafka", "type": "kafka", "ack": "none" });
    json!([webhook("live"), webhook("other"), kafka]).to_string()
}

fn lock(times: &Shared) -> std::sync::MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn live(State(times): State<Shared>, body: String) -> StatusCode {
    let event: Value = serde_json::from_str(&body).unwrap_or_default();
    let mut times = lock(&times);
    if let Some(sent) = event["subject"].as_str().and_then(|user| times.sent.remove(user)) {
        times.took.push((sent, sent.elapsed()));
    }
    StatusCode::NO_CONTENT
}

/// Produces at a fixed rate, each action with a new user.
fn steady(brokers: &str, topic: &str, time: Duration, times: &Shared) -> Outcome<()> {
    let producer = kafka::producer(brokers)?;
    let (started, mut sent) = (Instant::now(), 0);
    while started.elapsed() < time {
        let due = RATE * u64::try_from(started.elapsed().as_millis())? / 1000;
        let now = jiff::Timestamp::now().to_string();
        while sent < due {
            let kind = if sent % 2 == 0 { "bench.live" } else { "bench.other" };
            let user = kafka::user_id(sent);
            if sent % 2 == 0 {
                lock(times).sent.insert(user.clone(), Instant::now());
            }
            let body = kafka::action(sent, kind, &user, &now, 10);
            producer
                .send(BaseRecord::to(topic).key(&user).payload(&body))
                .map_err(|(error, _)| error)?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    producer.flush(Duration::from_secs(30))?;
    Ok(())
}
