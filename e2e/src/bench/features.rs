//! (g) The cost per action of single features of a task, compared with a task without them.

use super::Outcome;
use super::kafka;
use super::place::{ONE_TASK, Place};

/// The most values that a period of `distinct` remembers.
const DISTINCT_MAX: u64 = 10_000;

/// Name, description and task of each feature. Every action moves the task.
const PARTS: [(&str, &str, &str); 2] = [
    (
        "where",
        "a `where`",
        "tasks: [ { id: gifts, kind: periodic, every: day, objective: { on: gift.sent, where: data.coins >= 10 && data.room == 'r7', measure: { sum: data.coins }, target: 1000000000000 }, rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ] } ]",
    ),
    (
        "audience",
        "an audience",
        "tasks: [ { id: gifts, kind: periodic, every: day, objective: { on: gift.sent, measure: { sum: data.coins }, target: 1000000000000 }, audience: { where: user.id != 'nobody', percent: 100, salt: bench }, rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ] } ]",
    ),
];

/// Each user ends with as many values as a period can remember.
const DISTINCT: &str = "tasks: [ { id: gifts, kind: periodic, every: day, objective: { on: gift.sent, measure: { distinct: data.coins }, target: 10000 }, rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ] } ]";

/// Measures each feature and prints the ratio to a plain task with as many users.
pub async fn run(place: &Place, records: u64) -> Outcome<()> {
    let users = (records / 10).max(1);
    let plain = rate(place, "plain", ONE_TASK, records, users).await?;
    println!("(g) a plain task                                {plain:>9.0} actions/s");
    for (name, what, tasks) in PARTS {
        let rate = rate(place, name, tasks, records, users).await?;
        print(what, rate, plain);
    }
    // Each user counts up to ten thousand values, so users are few. A batch writes the chunks of a
    // large set that it adds to, not all of it.
    let users = (records / DISTINCT_MAX).max(1);
    let plain = rate(place, "plain_few", ONE_TASK, records, users).await?;
    println!("    a plain task, {users} users                       {plain:>9.0} actions/s");
    let distinct = rate(place, "distinct", DISTINCT, records, users).await?;
    print("`distinct` up to its bound", distinct, plain);
    Ok(())
}

fn print(what: &str, rate: f64, plain: f64) {
    println!("    {what:<43} {rate:>9.0} actions/s, ratio {:.2}", rate / plain);
}

async fn rate(place: &Place, name: &str, tasks: &str, records: u64, users: u64) -> Outcome<f64> {
    let name = format!("bench_{name}");
    let database = place.database(&name, tasks).await?;
    place.kafka.create_topic(&name, 16).await?;
    let (brokers, topic) = (place.kafka.brokers(), name.clone());
    tokio::task::spawn_blocking(move || kafka::fill_in_turn(&brokers, &topic, records, users))
        .await??;
    let mut child = place.serve(&database, &name, "ingest", "127.0.0.1:0")?;
    let rate = database.rate(&name, records).await?;
    child.kill().await?;
    database.finish(place).await?;
    Ok(rate)
}
