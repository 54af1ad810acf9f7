//! (b) From Kafka to visible: the program reads a topic that is already full.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use super::Outcome;
use super::cpu::Cpu;
use super::kafka::{self, Kinds, Spread};
use super::place::{ONE_TASK, Place, catalogue};
use super::rebuild;

/// The load of one run.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The name of the topic and of the database, without its prefix.
    pub name: &'static str,
    /// The number of records on the topic.
    pub records: u64,
    /// The number of users who act.
    pub users: u64,
    /// The distribution of actions over users.
    pub spread: Spread,
    /// True for 24 tasks, of which each action moves three; false for one task.
    pub catalogue: bool,
    /// True if a client keeps an old snapshot open all the time, as a dump does.
    pub snapshot: bool,
}

/// The results of a run.
pub struct Run {
    /// Actions per second, from the first tenth to the last.
    pub rate: f64,
    /// Events per action.
    pub events: u64,
    /// Processor time over the same actions.
    pub cpu: Cpu,
    /// The number of those actions.
    pub actions: u64,
    /// The program's peak memory, in MiB.
    pub peak_mib: u64,
    /// A rebuild of `task_view` afterwards.
    pub rebuild: rebuild::Rates,
}

/// Fills a topic of 16 partitions, then starts the program and measures it.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub async fn run(place: &Place, load: Load) -> Outcome<Run> {
    let name = format!("bench_{}", load.name);
    let (tasks, events, kinds) = if load.catalogue {
        (catalogue(), 3, Kinds::OfCatalogue)
    } else {
        (ONE_TASK.to_owned(), 1, Kinds::Gifts)
    };
    let database = place.database(&name, &tasks).await?;
    place.kafka.create_topic(&name, 16).await?;
    let (brokers, topic) = (place.kafka.brokers(), name.clone());
    let Load { records, users, spread, .. } = load;
    tokio::task::spawn_blocking(move || {
        kafka::fill(&brokers, &topic, records, users, spread, kinds)
    })
    .await??;
    let reader = if load.snapshot { Some(old_snapshot(&database.url).await?) } else { None };
    let mut child = place.serve(&database, &name, "ingest", "127.0.0.1:0")?;
    // The start does not count: joining the group takes seconds.
    database.wait_for(records / 10 * events, Duration::from_secs(120)).await?;
    let (begun, from) = (Instant::now(), database.events().await?);
    let used = Cpu::read(place, child.id());
    database.wait_for(records * events, Duration::from_secs(900)).await?;
    let actions = records - from / events;
    let rate = actions as f64 / begun.elapsed().as_secs_f64();
    let cpu = Cpu::read(place, child.id()).since(&used);
    let peak_mib = child.id().map_or(0, peak_mib);
    child.kill().await?;
    drop(reader);
    let rebuild = rebuild::measure(place, &database).await?;
    database.finish(place).await?;
    Ok(Run { rate, events, cpu, actions, peak_mib, rebuild })
}

/// Opens a transaction that sees the database as it is now, until it is dropped.
async fn old_snapshot(url: &str) -> Outcome<PgConnection> {
    let mut reader = PgConnection::connect(url).await?;
    let begin = "begin isolation level repeatable read; select count(*) from lanes";
    sqlx::raw_sql(begin).execute(&mut reader).await?;
    Ok(reader)
}

/// Returns the peak resident memory of a process.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    kib / 1024
}
