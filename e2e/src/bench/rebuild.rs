//! Rebuild of `task_view`, compared with the least that any rebuild does: reading the log page by
//! page as text, and loading as many rows of the same width.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio::sync::Mutex;

use super::Outcome;
use super::in_process::{Act, InProcess};
use super::kafka::{self, Numbers};
use super::place::{Database, ONE_TASK, Place};

/// Events per page of the log.
const PAGE: i64 = 20_000;

/// Actions per batch when the log is filled.
const BATCH: u64 = 2_000;

/// The tables whose rows the bare run loads.
const TABLES: [&str; 2] = ["task_view", "user_view"];

/// The rates of both, in events per second.
pub struct Rates {
    /// The rebuild, over the whole command.
    pub rebuild: f64,
    /// The bare pages and `COPY`.
    pub bare: f64,
}

impl Rates {
    /// Prints both and their ratio.
    pub fn print(&self) {
        println!("    rebuild of task_view from its events        {:>9.0} events/s", self.rebuild);
        println!("    reading pages and COPY alone                {:>9.0} events/s", self.bare);
        println!(
            "    ratio                                       {:>9.2}",
            self.rebuild / self.bare
        );
    }
}

/// Fills a log in this process and measures both.
pub async fn run(place: &Place, records: u64, users: u64) -> Outcome<Rates> {
    let database = place.database("bench_rebuild", ONE_TASK).await?;
    let filling = InProcess::new(&database);
    let time: Arc<str> = jiff::Timestamp::now().to_string().into();
    let mut numbers = Numbers(1);
    for _ in 0..records.div_ceil(BATCH) {
        let mut act = || Act {
            user: numbers.next() % users,
            kind: kafka::GIFT.to_owned(),
            time: Arc::clone(&time),
            coins: 10,
        };
        let acts: Vec<Act> = (0..BATCH).map(|_| act()).collect();
        filling.apply(&acts).await?;
    }
    let rates = measure(place, &database).await?;
    database.finish(place).await?;
    Ok(rates)
}

/// Measures both on a database whose log is filled. The bare run is the second, so it never has
/// colder pages.
#[expect(clippy::cast_precision_loss, reason = "rates for people")]
pub async fn measure(place: &Place, database: &Database) -> Outcome<Rates> {
    let events = database.events().await? as f64;
    let rebuild = place.run(database, &["projections", "rebuild", "task_view"]).await?;
    let bare = bare(database).await?;
    Ok(Rates { rebuild: events / rebuild.as_secs_f64(), bare: events / bare.as_secs_f64() })
}

/// Reads the log and loads the rows, on as many connections as a rebuild has workers.
async fn bare(database: &Database) -> Outcome<Duration> {
    let mut connection = PgConnection::connect(&database.url).await?;
    let mut rows = 0;
    let mut bytes = 0;
    for table in TABLES {
        let sql = format!(
            "select count(*), coalesce(sum(pg_column_size(t.*)), 0)::bigint from {table} t"
        );
        let row = sqlx::query(&sql).fetch_one(&mut connection).await?;
        rows += row.try_get::<i64, _>(0)?;
        bytes += row.try_get::<i64, _>(1)?;
    }
    connection
        .execute("create table bare_rows (lane smallint not null, content text not null)")
        .await?;
    connection.close().await?;
    let lanes: Vec<i16> = (0..i16::try_from(database.lane_count.get())?).collect();
    let row = "x".repeat(usize::try_from(bytes / rows.max(1))?);
    let rows_of_lane = usize::try_from(rows)? / lanes.len();
    let waiting = Arc::new(Mutex::new(lanes));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..workers {
        let (url, row, waiting) = (database.url.clone(), row.clone(), Arc::clone(&waiting));
        running.spawn(async move {
            let mut connection = PgConnection::connect(&url).await?;
            loop {
                let Some(lane) = waiting.lock().await.pop() else { break };
                read_lane(lane, &mut connection).await?;
                copy_rows(lane, &row, rows_of_lane, &mut connection).await?;
            }
            connection.close().await
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}

/// Reads a lane of the log page by page.
async fn read_lane(lane: i16, connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut after = 0_i64;
    loop {
        let page = sqlx::query(include_str!("rebuild/page.sql"))
            .bind(lane)
            .bind(after)
            .bind(PAGE)
            .fetch_all(&mut *connection)
            .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.try_get(0)?;
    }
}

/// Loads this many rows in one transaction.
async fn copy_rows(
    lane: i16,
    row: &str,
    count: usize,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let mut tx = connection.begin().await?;
    // As the rebuild does.
    tx.execute("set local synchronous_commit = off").await?;
    let mut copy = tx.copy_in_raw("copy bare_rows (lane, content) from stdin").await?;
    let text = format!("{lane}\t{row}\n").repeat(count);
    copy.send(text.into_bytes()).await?;
    copy.finish().await?;
    tx.commit().await
}
