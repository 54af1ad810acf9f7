//! (b) From Kafka to visible: a topic that is full, and the program that reads it.

use std::time::{Duration, Instant};

use super::Outcome;
use super::kafka::{self, Spread};
use super::place::{ONE_TASK, Place};

/// What a run found.
pub struct Run {
    /// Actions per second, from the first tenth to the last.
    pub rate: f64,
    /// The most memory that the program had, in MiB.
    pub peak_mib: u64,
    /// Events per second of a rebuild of `task_view` afterwards, from its start to its swap.
    pub rebuild_rate: f64,
}

/// Fills a topic of 16 partitions, then starts the program and times it.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub async fn run(place: &Place, records: u64, users: u64, spread: Spread) -> Outcome<Run> {
    let name = format!("bench_{spread:?}").to_lowercase();
    let database = place.database(&name, ONE_TASK).await?;
    place.kafka.create_topic(&name, 16).await?;
    let (brokers, topic) = (place.kafka.brokers(), name.clone());
    tokio::task::spawn_blocking(move || kafka::fill(&brokers, &topic, records, users, spread))
        .await??;
    let mut child = place.serve(&database, &name, "ingest", "127.0.0.1:0")?;
    // The start is not throughput: joining the group takes seconds.
    database.wait_for(records / 10, Duration::from_secs(120)).await?;
    let (begun, from) = (Instant::now(), database.events().await?);
    database.wait_for(records, Duration::from_secs(600)).await?;
    let rate = (records - from) as f64 / begun.elapsed().as_secs_f64();
    let peak_mib = child.id().map_or(0, peak_mib);
    child.kill().await?;
    let rebuild = place.run(&database, &["projections", "rebuild", "task_view"]).await?;
    let rebuild_rate = records as f64 / rebuild.as_secs_f64();
    database.finish(place).await?;
    Ok(Run { rate, peak_mib, rebuild_rate })
}

/// The peak resident memory of a process.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    kib / 1024
}
