//! (i) Actions over HTTP at a fixed rate, one in each request: the time until the answer, which
//! says that the action is durable, and the processor time of the program.

use std::time::{Duration, Instant};

use super::Outcome;
use super::cpu::Cpu;
use super::http::{self, Connection};
use super::kafka::{self, Numbers, user_id};
use super::place::{ONE_TASK, Place};

/// Requests per second of all connections.
pub const RATE: u64 = 1_000;

/// Connections that are kept open. Each sends a request every 64 ms.
const CONNECTIONS: u64 = 64;

/// Users who act.
const USERS: u64 = 10_000;

/// Time at the start that is not measured: connections, plans and pages are new.
const WARM_UP: Duration = Duration::from_secs(3);

/// The results of a run.
pub struct Found {
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The maximum.
    pub max_ms: f64,
    /// Answers per second.
    pub rate: f64,
    /// Processor time of the program, as a share of one core.
    pub cores: f64,
    /// The same of PostgreSQL.
    pub postgres_cores: f64,
}

/// Sends requests at [`RATE`] and measures those after the warm-up.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]
pub async fn run(place: &Place, seconds: u64) -> Outcome<Found> {
    let database = place.database("bench_requests", ONE_TASK).await?;
    let listen = format!("127.0.0.1:{}", plaudit_embedded::port::choose_free()?);
    let mut child = place.serve(&database, "bench_requests", "api", &listen)?;
    http::wait_for(&listen).await?;
    let token = http::token("producer")?;
    let begin = Instant::now() + Duration::from_millis(100);
    let measured = begin + WARM_UP..begin + WARM_UP + Duration::from_secs(seconds);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CONNECTIONS {
        let schedule = Schedule { begin, client, measured: measured.clone() };
        clients.spawn(send(schedule, listen.clone(), token.clone()));
    }
    tokio::time::sleep_until(measured.start.into()).await;
    let (used, started) = (Cpu::read(place, child.id()), Instant::now());
    tokio::time::sleep_until(measured.end.into()).await;
    let (used, elapsed) = (Cpu::read(place, child.id()).since(&used), started.elapsed());
    let mut times = Vec::new();
    while let Some(ended) = clients.join_next().await {
        times.extend(ended??);
    }
    child.kill().await?;
    database.finish(place).await?;
    if times.is_empty() {
        return Err("no request was answered".into());
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Found {
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        rate: times.len() as f64 / seconds as f64,
        cores: used.program.as_secs_f64() / elapsed.as_secs_f64(),
        postgres_cores: used.postgres.as_secs_f64() / elapsed.as_secs_f64(),
    })
}

/// The times at which one connection sends.
struct Schedule {
    begin: Instant,
    client: u64,
    measured: std::ops::Range<Instant>,
}

impl Schedule {
    /// Returns the time of the connection's `nth` request. Connections take turns.
    fn due(&self, nth: u64) -> Instant {
        self.begin + Duration::from_micros((nth * CONNECTIONS + self.client) * 1_000_000 / RATE)
    }
}

/// Sends the requests of one connection. Returns the milliseconds that each of them took. A request
/// that had to wait for the answer to the one before counts from the time at which it was due.
async fn send(schedule: Schedule, listen: String, token: String) -> Outcome<Vec<f64>> {
    let mut connection = Connection::open(&listen).await?;
    let mut numbers = Numbers(schedule.client);
    let (mut times, mut nth) = (Vec::new(), 0);
    loop {
        let due = schedule.due(nth);
        nth += 1;
        if due >= schedule.measured.end {
            return Ok(times);
        }
        let is_idle = Instant::now() <= due;
        tokio::time::sleep_until(due.into()).await;
        // The timer of an idle connection may fire a millisecond late, which is not the program's.
        let from = if is_idle { Instant::now() } else { due };
        let user = user_id(numbers.next() % USERS);
        let time = jiff::Timestamp::now().to_string();
        let body = kafka::action(numbers.next(), kafka::GIFT, &user, &time, 10);
        let request = format!(
            "POST /v1/actions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
             content-type: application/cloudevents+json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = connection.send(&request).await?;
        let answer = String::from_utf8(answer)?;
        if !answer.contains(r#""outcome":"accepted""#) {
            return Err(format!("an action was not accepted: {answer}").into());
        }
        if due >= schedule.measured.start {
            times.push(from.elapsed().as_secs_f64() * 1000.0);
        }
    }
}
