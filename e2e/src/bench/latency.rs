//! (d) From produce to visible at a fixed rate.

use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;
use rdkafka::producer::{BaseRecord, Producer};

use super::Outcome;
use super::kafka::{self, Numbers, Spread, user_id};
use super::place::{Database, ONE_TASK, Place};

/// What was found.
pub struct Found {
    /// Actions per second that were produced.
    pub rate: u64,
    /// The median.
    pub p50_ms: f64,
    /// 99 of 100 are below.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// How many were timed.
    pub samples: usize,
}

/// Produces at `rate`, and follows sampled actions until their row is there.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]
pub async fn run(place: &Place, rate: u64, seconds: u64) -> Outcome<Found> {
    let database = place.database("bench_latency", ONE_TASK).await?;
    place.kafka.create_topic("bench_latency", 16).await?;
    let mut child = place.serve(&database, "bench_latency", "ingest", "127.0.0.1:0")?;
    let brokers = place.kafka.brokers();
    tokio::task::spawn_blocking({
        let brokers = brokers.clone();
        move || kafka::fill(&brokers, "bench_latency", 20_000, 1_000, Spread::Uniform)
    })
    .await??;
    database.wait_for(20_000, Duration::from_secs(120)).await?;
    let background = tokio::task::spawn_blocking({
        let brokers = brokers.clone();
        move || steady(&brokers, rate, seconds + 2)
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let producer = kafka::producer(&brokers)?;
    let mut times = Vec::new();
    let ends = Instant::now() + Duration::from_secs(seconds);
    let mut number = 0;
    while Instant::now() < ends {
        number += 1;
        let user = format!("sample-{number}");
        let body = kafka::action(number, &user, &jiff::Timestamp::now().to_string(), 10);
        let sent = Instant::now();
        producer
            .send(BaseRecord::to("bench_latency").key(&user).payload(&body))
            .map_err(|(error, _)| error)?;
        until_visible(&database, &user).await?;
        times.push(sent.elapsed().as_secs_f64() * 1000.0);
    }
    background.await??;
    child.kill().await?;
    database.pool.close().await;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Found { rate, p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0), samples: times.len() })
}

async fn until_visible(database: &Database, user: &str) -> Outcome<()> {
    let lane = Lane::of(user, database.lane_count);
    loop {
        let found: Option<i64> = sqlx::query_scalar(
            "select progress from task_view where lane = $1 and user_id = $2 and task_id = 'gifts'",
        )
        .bind(lane.0)
        .bind(user)
        .fetch_optional(&database.pool)
        .await?;
        if found.is_some() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Produces at a fixed rate, in slices of five milliseconds.
fn steady(brokers: &str, rate: u64, seconds: u64) -> Outcome<()> {
    let producer = kafka::producer(brokers)?;
    let mut numbers = Numbers(7);
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        let due = rate * u64::try_from(started.elapsed().as_millis())? / 1000;
        let time = jiff::Timestamp::now().to_string();
        while sent < due {
            let user = user_id(numbers.next() % 100_000);
            let body = kafka::action(1_000_000 + sent, &user, &time, 10);
            producer
                .send(BaseRecord::to("bench_latency").key(&user).payload(&body))
                .map_err(|(error, _)| error)?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    producer.flush(Duration::from_secs(30))?;
    Ok(())
}
