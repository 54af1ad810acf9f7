//! (d) Time from produce to visible, at a fixed rate.

use std::collections::{HashSet, VecDeque};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;
use rdkafka::producer::{BaseRecord, Producer};

use super::Outcome;
use super::kafka::{self, Numbers, Spread, user_id};
use super::place::{Database, ONE_TASK, Place};

/// One action in this many has a user of its own and is timed until its row is visible.
const SAMPLE_EVERY: u64 = 50;

/// Time at the start that is not measured: the program's connections, plans and pages are new, and
/// the broker's Java is still compiling, on a core of its own.
const WARM_UP: Duration = Duration::from_secs(10);

/// Records that are sent at full speed before that, for the same reason.
const WARM_UP_RECORDS: u64 = 200_000;

/// Time limit for the last samples.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The most samples per query. Only the oldest are queried, so that a query costs the same however
/// many wait.
const LOOKED_FOR_MAX: usize = 64;

/// The latencies of a run.
pub struct Found {
    /// Actions produced per second.
    pub rate: u64,
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The maximum.
    pub max_ms: f64,
    /// The number of samples.
    pub samples: usize,
}

/// An action that is timed.
struct Sample {
    user: String,
    sent: Instant,
}

/// Returns a quarter of a measured rate, in actions per second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of the benchmark"
)]
pub fn quarter_of(rate: f64) -> u64 {
    (rate / 4.0).max(1.0) as u64
}

/// Produces at `rate` and times one action in [`SAMPLE_EVERY`] until its row is visible.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]
pub async fn run(place: &Place, rate: u64, seconds: u64) -> Outcome<Found> {
    // The name of the topic and of the database.
    let name = format!("bench_latency_{rate}");
    let database = place.database(&name, ONE_TASK).await?;
    place.kafka.create_topic(&name, 16).await?;
    let mut child = place.serve(&database, &name, "ingest", "127.0.0.1:0")?;
    let brokers = place.kafka.brokers();
    tokio::task::spawn_blocking({
        let (brokers, name) = (brokers.clone(), name.clone());
        move || {
            kafka::fill(
                &brokers,
                &name,
                WARM_UP_RECORDS,
                1_000,
                Spread::Uniform,
                kafka::Kinds::Gifts,
            )
        }
    })
    .await??;
    database.wait_for(WARM_UP_RECORDS, Duration::from_secs(120)).await?;
    let (sender, samples) = mpsc::channel();
    let duration = WARM_UP + Duration::from_secs(seconds);
    let producing =
        tokio::task::spawn_blocking(move || steady((&brokers, &name), rate, duration, &sender));
    let mut times = follow(&database, &samples, Instant::now() + WARM_UP).await?;
    producing.await??;
    child.kill().await?;
    database.finish(place).await?;
    if times.is_empty() {
        return Err(format!("no action was timed at {rate} actions/s in {seconds} s").into());
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Found { rate, p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0), samples: times.len() })
}

/// Queries every millisecond or two for visible samples. Returns the milliseconds that each sample
/// sent after `from` took.
async fn follow(
    database: &Database,
    samples: &Receiver<Sample>,
    from: Instant,
) -> Outcome<Vec<f64>> {
    let mut waiting: VecDeque<Sample> = VecDeque::new();
    let (mut times, mut ended) = (Vec::new(), None);
    while ended.is_none() || !waiting.is_empty() {
        loop {
            match samples.try_recv() {
                Ok(sample) => waiting.push_back(sample),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    ended.get_or_insert_with(Instant::now);
                    break;
                }
            }
        }
        if ended.is_some_and(|at| at.elapsed() > WAIT_MAX) {
            return Err(
                format!("{} samples are not visible after {WAIT_MAX:?}", waiting.len()).into()
            );
        }
        let oldest: Vec<&str> =
            waiting.iter().take(LOOKED_FOR_MAX).map(|sample| sample.user.as_str()).collect();
        let visible: HashSet<String> = visible(database, &oldest).await?.into_iter().collect();
        waiting.retain(|sample| {
            let is_visible = visible.contains(&sample.user);
            if is_visible && sample.sent >= from {
                times.push(sample.sent.elapsed().as_secs_f64() * 1000.0);
            }
            !is_visible
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(times)
}

/// Returns those of the users whose row is visible.
async fn visible(database: &Database, users: &[&str]) -> Outcome<Vec<String>> {
    if users.is_empty() {
        return Ok(vec![]);
    }
    let lanes: Vec<i16> = users.iter().map(|user| Lane::of(user, database.lane_count).0).collect();
    let found = sqlx::query_scalar(
        "select w.user_id from unnest($1::smallint[], $2::text[]) w (lane, user_id)
         cross join lateral (
             select from task_view
             where lane = w.lane and user_id = w.user_id and task_id = 'gifts' limit 1
         ) t",
    );
    Ok(found.bind(&lanes).bind(users).fetch_all(&database.pool).await?)
}

/// Produces at a fixed rate, in slices of five milliseconds.
fn steady(
    (brokers, topic): (&str, &str),
    rate: u64,
    time: Duration,
    sampled: &Sender<Sample>,
) -> Outcome<()> {
    let producer = kafka::producer(brokers)?;
    let mut numbers = Numbers(7);
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < time {
        let due = rate * u64::try_from(started.elapsed().as_millis())? / 1000;
        let now = jiff::Timestamp::now().to_string();
        while sent < due {
            let sample = sent % SAMPLE_EVERY == 0;
            let user =
                if sample { format!("sample-{sent}") } else { user_id(numbers.next() % 100_000) };
            let body = kafka::action(1_000_000 + sent, kafka::GIFT, &user, &now, 10);
            producer
                .send(BaseRecord::to(topic).key(&user).payload(&body))
                .map_err(|(error, _)| error)?;
            if sample {
                sampled.send(Sample { user, sent: Instant::now() })?;
            }
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    producer.flush(Duration::from_secs(30))?;
    Ok(())
}
