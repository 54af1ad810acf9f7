//! The services that a benchmark runs on, with a new database for each run.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use plaudit_domain::lane::LaneCount;
use plaudit_embedded::{Kafka, KafkaOptions, Postgres, PostgresOptions, ScratchDir};
use plaudit_event_store::catalogue_store::{self, CatalogueStore};
use plaudit_event_store::{Executor, pool, schema};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::process::{Child, Command};

use super::Outcome;

/// The key that signs the benchmark's tokens.
pub const SECRET: &str = "a secret of benchmarks, not of anything else";

/// A private PostgreSQL, a private Kafka, and the program under test.
pub struct Place {
    /// The database server, with durable commits.
    pub postgres: Postgres,
    /// The Kafka broker.
    pub kafka: Kafka,
    plaudit: PathBuf,
    _dir: ScratchDir,
}

/// A migrated database.
pub struct Database {
    /// The database's name.
    pub name: String,
    /// The database's URL.
    pub url: String,
    /// A pool of connections.
    pub pool: PgPool,
    /// The number of lanes.
    pub lane_count: LaneCount,
}

impl Place {
    /// Starts both services.
    pub async fn start(plaudit: Option<PathBuf>) -> Outcome<Self> {
        let dir = ScratchDir::create("bench")?;
        let settings = PostgresOptions::default()
            .with("shared_buffers", "2GB")
            .with("max_wal_size", "16GB")
            .with("checkpoint_timeout", "30min")
            .with("wal_compression", "lz4");
        let postgres = Postgres::start(&dir.path().join("postgres"), settings).await?;
        let kafka = Kafka::start(&dir.path().join("kafka"), KafkaOptions::default()).await?;
        let beside = std::env::current_exe()?.with_file_name("plaudit");
        let plaudit = plaudit.unwrap_or(beside);
        if !plaudit.exists() {
            return Err(format!(
                "{} is not there; `cargo build --release -p plaudit` makes it",
                plaudit.display()
            )
            .into());
        }
        Ok(Self { postgres, kafka, plaudit, _dir: dir })
    }

    /// Prints the machine and the set-up.
    pub fn describe(&self) {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu
            .lines()
            .find_map(|l| l.strip_prefix("model name\t: "))
            .unwrap_or("unknown")
            .to_owned();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!(
            "machine: {cores} cores of {model}; broker, database, program and load on it together"
        );
        println!(
            "PostgreSQL with durable commits, Apache Kafka with one node; absolute numbers are this machine's, ratios carry over"
        );
        println!("load average at the start: {}", load_average());
    }

    /// Creates a migrated database with the given tasks.
    pub async fn database(&self, name: &str, tasks: &str) -> Outcome<Database> {
        let mut admin = PgConnection::connect(&self.postgres.url("plaudit")).await?;
        sqlx::query(&format!("create database {name}")).execute(&mut admin).await?;
        let url = self.postgres.url(name);
        let pool = pool::connect(&url, 16)?;
        schema::migrate(&pool, LaneCount::try_from(64)?).await?;
        let lane_count = schema::check(&pool).await?;
        if !tasks.is_empty() {
            let definitions =
                plaudit_task_file::parse(tasks).map_err(|errors| format!("{}", errors[0]))?;
            catalogue_store::publish(&pool, &definitions, "bench").await?;
        }
        Ok(Database { name: name.to_owned(), url, pool, lane_count })
    }

    /// Starts `plaudit serve` with the given roles, database and topic.
    pub fn serve(
        &self,
        database: &Database,
        topic: &str,
        roles: &str,
        listen: &str,
    ) -> Outcome<Child> {
        self.serve_with(database, topic, roles, listen, &[])
    }

    /// Starts `plaudit serve` as [`Self::serve`] does, with further settings.
    pub fn serve_with(
        &self,
        database: &Database,
        topic: &str,
        roles: &str,
        listen: &str,
        settings: &[(&str, String)],
    ) -> Outcome<Child> {
        let log = std::env::var_os("BENCH_LOG").is_some();
        let child = Command::new(&self.plaudit)
            .args(["serve", "--roles", roles])
            .env("PLAUDIT_DATABASE_URL", &database.url)
            .env("PLAUDIT_KAFKA_BROKERS", self.kafka.brokers())
            .env("PLAUDIT_KAFKA_TOPICS", topic)
            .env("PLAUDIT_KAFKA_GROUP", topic)
            .env("PLAUDIT_HTTP_LISTEN", listen)
            .env("PLAUDIT_AUTH_HS256_SECRET", SECRET)
            .env("PLAUDIT_LOG_LEVEL", "warn,librdkafka=error")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stderr(if log { Stdio::inherit() } else { Stdio::null() })
            .kill_on_drop(true)
            .spawn()?;
        Ok(child)
    }

    /// Runs a command of the program to its end and returns its duration.
    pub async fn run(&self, database: &Database, arguments: &[&str]) -> Outcome<Duration> {
        let begun = std::time::Instant::now();
        let ended = Command::new(&self.plaudit)
            .args(arguments)
            .env("PLAUDIT_DATABASE_URL", &database.url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await?;
        let took = begun.elapsed();
        if ended.success() { Ok(took) } else { Err(format!("{arguments:?}: {ended}").into()) }
    }

    /// Stops both services.
    pub async fn stop(mut self) {
        self.kafka.stop().await;
        self.postgres.stop().await;
    }
}

/// Returns the number of processes that ran or waited for a core, on average over the last 1, 5 and
/// 15 minutes. Figures of a machine with other load are worth less.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<&str> = text.split_whitespace().take(3).collect();
    if averages.is_empty() { "unknown".to_owned() } else { averages.join(" ") }
}

impl Database {
    /// Drops the database, so that nothing of it is written or cleaned up during the next
    /// measurement.
    pub async fn finish(self, place: &Place) -> Outcome<()> {
        self.pool.close().await;
        let mut admin = PgConnection::connect(&place.postgres.superuser_url("postgres")).await?;
        for sql in [format!("drop database {} with (force)", self.name), "checkpoint".to_owned()] {
            sqlx::query(&sql).execute(&mut admin).await?;
        }
        Ok(admin.close().await?)
    }

    /// Returns an executor that applies batches inside this process.
    pub fn executor(&self) -> Arc<Executor> {
        let projections: Vec<Arc<dyn plaudit_event_store::BatchProjection>> = vec![];
        Arc::new(Executor::new(
            self.pool.clone(),
            self.lane_count,
            Arc::new(CatalogueStore::default()),
            projections,
        ))
    }

    /// Returns the number of events in the log.
    pub async fn events(&self) -> Outcome<u64> {
        let sum: i64 = sqlx::query_scalar("select sum(next_position - 1)::bigint from lanes")
            .fetch_one(&self.pool)
            .await?;
        Ok(sum.unsigned_abs())
    }

    /// Returns the number of a topic's applied records, give or take the batches in flight.
    pub async fn applied(&self, topic: &str) -> Outcome<u64> {
        let sum: Option<i64> = sqlx::query_scalar(
            "select sum(next_offset)::bigint from (
                 select max(next_offset) next_offset from lane_offsets where topic = $1 group by partition
             ) p",
        )
        .bind(topic)
        .fetch_one(&self.pool)
        .await?;
        Ok(sum.unwrap_or_default().unsigned_abs())
    }

    /// Returns the rate at which a topic's records are applied, from the first tenth to the last.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub async fn rate(&self, topic: &str, records: u64) -> Outcome<f64> {
        let deadline = std::time::Instant::now() + Duration::from_secs(900);
        let mut begun = None;
        loop {
            let applied = self.applied(topic).await?;
            let now = std::time::Instant::now();
            match begun {
                None if applied >= records / 10 => begun = Some((now, applied)),
                Some((at, from)) if applied >= records => {
                    return Ok((applied - from) as f64 / now.duration_since(at).as_secs_f64());
                }
                _ if now > deadline => {
                    return Err(format!("only {applied} of {records} records applied").into());
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Waits until the log holds this many events.
    pub async fn wait_for(&self, events: u64, wait_max: Duration) -> Outcome<()> {
        let deadline = std::time::Instant::now() + wait_max;
        while self.events().await? < events {
            if std::time::Instant::now() > deadline {
                return Err(format!(
                    "only {} of {events} events within {wait_max:?}",
                    self.events().await?
                )
                .into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// One task that every action moves and none completes.
pub const ONE_TASK: &str = r"
tasks:
  - id: gifts
    kind: periodic
    every: day
    objective: { on: gift.sent, measure: { sum: data.coins }, target: 1000000000 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ]
";

/// The number of action types in the tasks of [`catalogue`].
pub const CATALOGUE_KINDS: u64 = 8;

/// Returns 24 tasks: for each of eight action types one without a period, one daily and one weekly.
/// No action completes any of them.
pub fn catalogue() -> String {
    use std::fmt::Write as _;
    let mut yaml = "tasks:\n".to_owned();
    for kind in 0..CATALOGUE_KINDS {
        for (name, schedule) in [
            ("once", "kind: ordinary"),
            ("day", "kind: periodic, every: day"),
            ("week", "kind: periodic, every: week"),
        ] {
            let _ = writeln!(
                yaml,
                "  - {{ id: {name}-{kind}, {schedule}, \
                 objective: {{ on: bench.k{kind}, measure: {{ sum: data.coins }}, target: 1000000000 }}, \
                 rewards: [ {{ line: coins, kind: currency, code: coin, amount: 1 }} ] }}"
            );
        }
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_of_the_benchmark_is_one() {
        assert_eq!(plaudit_task_file::parse(&catalogue()).unwrap().len(), 24);
    }
}
