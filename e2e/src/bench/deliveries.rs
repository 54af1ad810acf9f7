//! (f) Deliveries to Kafka while actions are applied, and the cost of grants that are never
//! delivered.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Outcome;
use super::kafka;
use super::place::{Database, Place};

/// Actions per user. Each of them reaches the next milestone.
const MILESTONES: u64 = 50;
const PARTITIONS: i32 = 16;
/// Time limit for the last deliveries.
const DELIVERED_MAX: Duration = Duration::from_secs(900);
/// The channel of the backlog. Nothing listens at its endpoint.
const DEAD: &str = "dead";

/// The load of one run.
#[derive(Debug, Clone, Copy)]
struct Load {
    name: &'static str,
    records: u64,
    /// True if the program delivers while it applies actions.
    delivers: bool,
    /// Undelivered grants: half of them sent but not confirmed, half not sent.
    backlog: u64,
}

/// The rates of a run, per second.
struct Run {
    actions: f64,
    /// Deliveries per second, from the first tenth until the last one is on the topic.
    deliveries: f64,
}

/// Measures the runs and prints a line per figure.
pub async fn run(place: &Place, records: u64, backlog: u64) -> Outcome<()> {
    let alone = Load { name: "alone", records, delivers: false, backlog: 0 };
    let alone = flow(place, alone).await?;
    println!("(f) actions that each grant a line, alone       {:>9.0} actions/s", alone.actions);
    let beside = Load { name: "beside", records, delivers: true, backlog: 0 };
    let beside = flow(place, beside).await?;
    println!("    beside deliveries to Kafka                  {:>9.0} actions/s", beside.actions);
    println!("    these deliveries                            {:>9.0} a second", beside.deliveries);
    println!(
        "    ratio of actions                            {:>9.2}",
        beside.actions / alone.actions
    );
    let behind = Load { name: "backlog", records, delivers: true, backlog };
    let behind = flow(place, behind).await?;
    println!("    with {backlog:>9} undelivered grants         {:>9.0} actions/s", behind.actions);
    println!(
        "    ratio to none                               {:>9.2}",
        behind.actions / beside.actions
    );
    Ok(())
}

async fn flow(place: &Place, load: Load) -> Outcome<Run> {
    let (name, records) = (format!("bench_{}", load.name), load.records);
    let rewards = format!("{name}_rewards");
    let database = place.database(&name, &tasks()).await?;
    for topic in [&name, &rewards] {
        place.kafka.create_topic(topic, PARTITIONS).await?;
    }
    add_undelivered(&database, load.backlog).await?;
    let (brokers, topic) = (place.kafka.brokers(), name.clone());
    let users = (records / MILESTONES).max(1);
    tokio::task::spawn_blocking(move || kafka::fill_in_turn(&brokers, &topic, records, users))
        .await??;
    let roles = if load.delivers { "ingest,deliver" } else { "ingest" };
    let settings = [
        ("PLAUDIT_KAFKA_REWARDS_TOPIC", rewards.clone()),
        ("PLAUDIT_REWARDS_CHANNELS", channels()),
    ];
    let mut child = place.serve_with(&database, &name, roles, "127.0.0.1:0", &settings)?;
    let delivered =
        async { if load.delivers { delivered(place, &rewards, records).await } else { Ok(0.0) } };
    let (actions, deliveries) = tokio::try_join!(database.rate(&name, records), delivered)?;
    child.kill().await?;
    database.finish(place).await?;
    Ok(Run { actions, deliveries })
}

/// Returns the rate at which grants reach the topic, from the first tenth to the last.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
async fn delivered(place: &Place, rewards: &str, records: u64) -> Outcome<f64> {
    let deadline = Instant::now() + DELIVERED_MAX;
    let mut begun = None;
    loop {
        let (brokers, topic) = (place.kafka.brokers(), rewards.to_owned());
        let counting =
            tokio::task::spawn_blocking(move || kafka::records(&brokers, &topic, PARTITIONS));
        let (count, now) = (counting.await??, Instant::now());
        if begun.is_none() && count >= records / 10 {
            begun = Some((now, count));
        }
        if count >= records {
            let (at, from) = begun.unwrap_or((now, count));
            return Ok((count - from) as f64 / now.duration_since(at).as_secs_f64());
        }
        if now > deadline {
            return Err(format!("only {count} of {records} grants are on the topic").into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Returns tasks in which every action reaches a milestone whose reward is granted without a claim.
fn tasks() -> String {
    let mut yaml = "tasks:\n  - id: gifts\n    kind: periodic\n    every: day\n    objective: { on: gift.sent }\n    claim: { mode: automatic }\n    milestones:\n".to_owned();
    for at in 1..=MILESTONES {
        let _ = writeln!(
            yaml,
            "      - {{ at: {at}, rewards: [ {{ line: coins, kind: currency, code: coin, amount: 1 }} ] }}"
        );
    }
    yaml
}

fn channels() -> String {
    json!([
        { "name": "kafka", "type": "kafka", "ack": "none" },
        { "name": DEAD, "type": "webhook", "url": "http://127.0.0.1:9/pay",
          "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "grants": [{ "kind": DEAD }],
          "allow_private": true },
    ])
    .to_string()
}

/// Adds undelivered grants of other users: sent but never confirmed, or waiting for a dead
/// endpoint.
async fn add_undelivered(database: &Database, count: u64) -> Outcome<()> {
    let lanes = i64::from(database.lane_count.get());
    let both = "from (
            select n, (n % $2)::smallint lane, 'undelivered-' || n user_id, md5('undelivered' || n)::uuid grant_id
            from generate_series(1, $1) n
        ) o";
    let rows = format!(
        "insert into reward_state
             (lane, user_id, task_id, period_key, milestone, line, grant_id, kind, code, amount, state,
              granted_at, granted_position, ordinal, version)
         select lane, user_id, 'gifts', 'once', 1, 'coins', grant_id, 'dead', 'coin', 1, 'delivering',
                now(), -n, 0, 1 {both}"
    );
    let queued = format!(
        "insert into deliveries
             (lane, grant_id, channel, pays, user_id, position, ordinal, reward, state, due_at, give_up_at)
         select lane, grant_id, case n % 2 when 0 then 'dead' else 'kafka' end, true, user_id, -n, 0,
                json_build_object('grant', grant_id, 'task', 'gifts', 'version', 1, 'period', 'once',
                    'milestone', 1, 'line', 'coins', 'kind', 'dead', 'code', 'coin', 'amount', 1,
                    'reached_at', '2026-01-01T00:00:00Z'),
                case n % 2 when 0 then 'waiting' else 'sent' end, now(), now() + interval '3 days' {both}"
    );
    for sql in [rows, queued] {
        sqlx::query(&sql).bind(i64::try_from(count)?).bind(lanes).execute(&database.pool).await?;
    }
    // Autovacuum leaves tables in this state after a while.
    for table in ["reward_state", "deliveries"] {
        sqlx::query(&format!("vacuum analyze {table}")).execute(&database.pool).await?;
    }
    Ok(())
}
