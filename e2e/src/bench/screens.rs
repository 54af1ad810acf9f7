//! (e) Task screens over HTTP, compared with pgbench on the same statement.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plaudit_actions::cloud_events;
use plaudit_domain::lane::Lane;
use plaudit_event_store::{Batch, Incoming, Item, Origin};
use serde_json::json;
use uuid::Uuid;

use super::Outcome;
use super::http::{self, Connection};
use super::kafka;
use super::place::{Database, Place};

/// The statement of the hot read path, as the program sends it.
const LOAD: &str = include_str!("../../../projections/src/task_view/load.sql");

/// The sample tasks, so that screens have content.
const TASKS: &str = include_str!("../../../samples/tasks.yaml");

/// Users whose screens are read. pgbench takes at most 128 scripts, and needs one for each user.
const USERS: u64 = 100;

/// Connections of each load: few, which leave both sides idle now and then, and more.
const CONNECTIONS: [usize; 2] = [8, 32];

/// The rates with one number of connections, per second.
pub struct Found {
    /// Connections of both loads.
    pub connections: usize,
    /// Screens over HTTP.
    pub http: f64,
    /// The statement alone, by pgbench.
    pub pgbench: f64,
}

/// Measures both loads, one after the other.
pub async fn run(place: &Place, seconds: u64) -> Outcome<Vec<Found>> {
    let database = place.database("bench_screens", TASKS).await?;
    fill(&database).await?;
    let mut found = Vec::new();
    for connections in CONNECTIONS {
        let pgbench = pgbench(&database, connections, seconds).await?;
        let listen = format!("127.0.0.1:{}", plaudit_embedded::port::choose_free()?);
        let mut child = place.serve(&database, "bench_screens", "api", &listen)?;
        let http = screens(&listen, connections, seconds).await?;
        child.kill().await?;
        found.push(Found { connections, http, pgbench });
    }
    database.finish(place).await?;
    Ok(found)
}

/// Gives each user some progress.
async fn fill(database: &Database) -> Outcome<()> {
    let executor = database.executor();
    let time = jiff::Timestamp::now().to_string();
    let mut items = Vec::new();
    for user in 0..USERS {
        let name = kafka::user_id(user);
        for (n, kind) in ["user.signed_in", "gift.sent", "team.formed"].iter().enumerate() {
            let event = json!({"specversion": "1.0", "source": "/bench", "id": format!("{n}"), "type": kind,
                "subject": name, "time": time, "data": {"coins": 120}});
            let lane = Lane::of(&name, database.lane_count);
            let action = cloud_events::from_json(&event)?;
            items.push(Item {
                lane,
                work: Incoming::Action(action),
                origin: Origin::Request(Uuid::now_v7()),
            });
        }
    }
    executor.execute(&Batch { items, checkpoints: vec![] }).await?;
    sqlx::query("analyze").execute(&database.pool).await?;
    Ok(())
}

/// Returns pgbench's transactions per second, with prepared statements and as many connections.
async fn pgbench(database: &Database, connections: usize, seconds: u64) -> Outcome<f64> {
    let dir = plaudit_embedded::ScratchDir::create("pgbench")?;
    let mut command = tokio::process::Command::new(program("pgbench"));
    let connections = connections.to_string();
    command.args([
        "-n",
        "-M",
        "prepared",
        "-c",
        &connections,
        "-j",
        "2",
        "-T",
        &seconds.to_string(),
    ]);
    for user in 0..USERS {
        let name = kafka::user_id(user);
        let lane = Lane::of(&name, database.lane_count);
        let path = dir.path().join(format!("{user}.sql"));
        let statement: String = LOAD
            .lines()
            .filter(|l| !l.trim_start().starts_with("--"))
            .collect::<Vec<_>>()
            .join(" ");
        let statement = statement
            .trim_end()
            .trim_end_matches(';')
            .replace("$1", &format!("array[{}]", lane.0))
            .replace("$2", &format!("array['{name}']"))
            .replace("$3", "now()");
        std::fs::write(&path, format!("{statement};\n"))?;
        command.arg("-f").arg(&path);
    }
    command.arg(&database.url).stderr(Stdio::inherit());
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    rate.ok_or_else(|| format!("pgbench said: {text}").into())
}

/// Finds a program of the server. On Debian, pgbench is among the server's programs, which are not
/// in PATH.
fn program(name: &str) -> std::path::PathBuf {
    let newest = (13..=19)
        .rev()
        .map(|v| Path::new("/usr/lib/postgresql").join(v.to_string()).join("bin").join(name));
    newest.into_iter().find(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// Returns the screens per second over connections that are kept open.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
async fn screens(listen: &str, connections: usize, seconds: u64) -> Outcome<f64> {
    let token = http::token("client")?;
    http::wait_for(listen).await?;
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let duration = Duration::from_secs(seconds);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..connections {
        let (done, token, listen) = (Arc::clone(&done), token.clone(), listen.to_owned());
        clients.spawn(async move {
            let mut connection = Connection::open(&listen).await?;
            let mut user = client as u64;
            while started.elapsed() < duration {
                user = (user + 7) % USERS;
                let name = kafka::user_id(user);
                let request = format!("GET /v1/users/{name}/tasks HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n");
                connection.send(&request).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}
