//! Measures whether the cost of an action stays flat, from ten thousand to a million users and from
//! 10 to 10,000 events per user. Runs the executor in this process, without Kafka, since only the
//! executor's cost could grow.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use plaudit_actions::cloud_events;
use plaudit_domain::lane::Lane;
use plaudit_event_store::{Batch, Executor, Incoming, Item, Origin};
use uuid::Uuid;

use super::Outcome;
use super::kafka::{self, Numbers, user_id};
use super::place::{Database, ONE_TASK, Place};

/// Actions per batch.
const BATCH: u64 = 2_000;

/// Users whose histories grow: enough to measure, and few enough that 10,000 events of each fit on
/// a small disk.
const HISTORIES: u64 = 200;

/// Measures both curves and writes a plot of each.
pub async fn run(place: &Place, plots: &Path, seconds: u64) -> Outcome<()> {
    std::fs::create_dir_all(plots)?;
    let mut by_users = Vec::new();
    let database = place.database("bench_users", ONE_TASK).await?;
    let executor = database.executor();
    let mut known = 0;
    for users in [10_000, 30_000, 100_000, 300_000, 1_000_000] {
        // Every user acts once; after that, users are drawn at random.
        while known < users {
            let names: Vec<u64> = (known..(known + BATCH).min(users)).collect();
            known += BATCH;
            apply(&executor, &database, &names).await?;
        }
        let mut numbers = Numbers(users);
        let cost = cost_us(&executor, &database, seconds, || numbers.next() % users).await?;
        println!("    {users:>9} users                            {cost:>9.1} µs an action");
        by_users.push((users, cost));
    }
    database.finish(place).await?;
    let title = "Cost of an action by number of users";
    std::fs::write(plots.join("users.svg"), plot(title, "users", &by_users))?;

    let mut by_events = Vec::new();
    let database = place.database("bench_events", ONE_TASK).await?;
    let executor = database.executor();
    let users = HISTORIES;
    let names: Vec<u64> = (0..users).collect();
    let mut events = 0;
    for length in [10, 100, 1_000, 3_000, 10_000] {
        let measured = Duration::from_secs(seconds).min(Duration::from_secs(5));
        while events + 5 < length && events < 400 {
            apply(&executor, &database, &names).await?;
            events += 1;
        }
        if events + 5 < length {
            // Copies of the last event make up longer histories. They repeat its totals, so that
            // the stored state is still the fold of the log.
            lengthen(&database, events, length - 5).await?;
            events = length - 5;
        }
        let started = Instant::now();
        let mut rounds = 0;
        while rounds < 5 || (started.elapsed() < measured && rounds < 100) {
            apply(&executor, &database, &names).await?;
            rounds += 1;
        }
        let cost = micros(started.elapsed()) / to_f64(rounds * users);
        events += rounds;
        println!("    {length:>9} events of each user             {cost:>9.1} µs an action");
        by_events.push((length, cost));
    }
    database.finish(place).await?;
    let title = "Cost of an action by length of a user's history";
    std::fs::write(plots.join("events.svg"), plot(title, "events of each user", &by_events))?;
    Ok(())
}

/// Lengthens each history by copies of its last event, as if that many actions had been applied.
async fn lengthen(database: &Database, from: u64, to: u64) -> Outcome<()> {
    let more = i64::try_from(to - from)?;
    sqlx::query(
        "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
         select s.lane, 'UserTasks', s.user_id, s.sequence + n, 'progress_recorded', '1.0', e.payload, e.metadata,
                l.next_position - 1 + row_number() over (partition by s.lane order by s.user_id, n)
         from (select lane, aggregate_id as user_id, max(sequence) as sequence from events
               where aggregate_type = 'UserTasks' group by lane, aggregate_id) s
         join lanes l on l.lane = s.lane
         join events e on e.lane = s.lane and e.aggregate_type = 'UserTasks' and e.aggregate_id = s.user_id and e.sequence = s.sequence
         cross join generate_series(1, $1) n",
    )
    .bind(more)
    .execute(&database.pool)
    .await?;
    Ok(())
}

/// Applies one action for each of these users in one batch.
async fn apply(executor: &Executor, database: &Database, users: &[u64]) -> Outcome<()> {
    let time = jiff::Timestamp::now().to_string();
    let mut items = Vec::with_capacity(users.len());
    for user in users {
        let name = user_id(*user);
        let id = Uuid::new_v4().as_u64_pair().0;
        let event = kafka::action(id, kafka::GIFT, &name, &time, 1);
        let action = cloud_events::from_structured(event.as_bytes())?;
        let lane = Lane::of(&name, database.lane_count);
        items.push(Item {
            lane,
            work: Incoming::Action(action),
            origin: Origin::Request(Uuid::nil()),
        });
    }
    executor.execute(&Batch { items, checkpoints: vec![] }).await?;
    Ok(())
}

/// Returns the cost in microseconds of an action by a user that `next` draws.
async fn cost_us(
    executor: &Executor,
    database: &Database,
    seconds: u64,
    mut next: impl FnMut() -> u64,
) -> Outcome<f64> {
    let started = Instant::now();
    let mut actions = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        let users: Vec<u64> = (0..BATCH).map(|_| next()).collect();
        apply(executor, database, &users).await?;
        actions += BATCH;
    }
    Ok(micros(started.elapsed()) / to_f64(actions))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

/// Draws a plot with a logarithmic x axis, as SVG.
fn plot(title: &str, unit: &str, points: &[(u64, f64)]) -> String {
    let most = points.iter().map(|p| p.1).fold(0.0, f64::max) * 1.2;
    let (first, last) = (to_f64(points[0].0).log10(), to_f64(points[points.len() - 1].0).log10());
    let x = |count: u64| 70.0 + (to_f64(count).log10() - first) / (last - first) * 500.0;
    let y = |cost: f64| 320.0 - cost / most * 260.0;
    let mut svg = String::from(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 380" font-family="sans-serif" font-size="13"><rect width="620" height="380" fill="white"/>"#,
    );
    let _ =
        write!(svg, r#"<text x="310" y="28" text-anchor="middle" font-size="16">{title}</text>"#);
    let _ = write!(
        svg,
        r#"<path d="M70 60V320H570" fill="none" stroke="black"/><text x="310" y="372" text-anchor="middle">{unit}</text>"#
    );
    let _ = write!(
        svg,
        r#"<text x="20" y="190" transform="rotate(-90 20 190)" text-anchor="middle">µs an action</text>"#
    );
    let line: Vec<String> =
        points.iter().map(|(count, cost)| format!("{:.1},{:.1}", x(*count), y(*cost))).collect();
    let _ = write!(
        svg,
        r##"<polyline points="{}" fill="none" stroke="#2060c0" stroke-width="2"/>"##,
        line.join(" ")
    );
    for (count, cost) in points {
        let (x, y) = (x(*count), y(*cost));
        let _ = write!(
            svg,
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="#2060c0"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{cost:.1}</text><text x="{x:.1}" y="340" text-anchor="middle">{count}</text>"##,
            y - 10.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
