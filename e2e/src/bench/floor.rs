//! (a) The database alone: the statements of a batch, with content prepared in advance and no
//! rules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Event, UserTasks, evolve};
use plaudit_event_store::floor::{Synthetic, write};
use plaudit_event_store::{BatchProjection, ChangedUser, Changes, NewEvent};
use uuid::Uuid;

use super::Outcome;
use super::kafka::{Numbers, Spread, user_id};
use super::place::{Database, ONE_TASK, Place};

/// Events per batch: the program's batch size divided by the number of workers.
const BATCH: usize = 2_048;

/// Number of workers. Each has its own lanes, as in the program.
const WORKERS: i16 = 2;

/// Returns the events written per second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub async fn run(place: &Place, users: u64, seconds: u64) -> Outcome<f64> {
    let database = place.database("bench_floor", ONE_TASK).await?;
    // Prepared before the clock starts, and more than can be written in the time.
    let batches = seconds * 40;
    let mut made: Vec<Vec<Synthetic>> =
        (0..WORKERS).map(|w| make(&database, users, w, batches)).collect();
    let started = Instant::now();
    let duration = Duration::from_secs(seconds);
    let mut workers = tokio::task::JoinSet::new();
    while let Some(batches) = made.pop() {
        let pool = database.pool.clone();
        workers.spawn(async move {
            let projections: Vec<Arc<dyn BatchProjection>> = vec![];
            let mut written = 0;
            for batch in batches {
                write(&pool, &batch, &projections).await?;
                written += batch.changes.events.len();
                if started.elapsed() > duration {
                    break;
                }
            }
            Ok::<_, plaudit_event_store::ExecuteError>(written)
        });
    }
    let mut written = 0;
    while let Some(done) = workers.join_next().await {
        written += done??;
    }
    let rate = written as f64 / started.elapsed().as_secs_f64();
    database.finish(place).await?;
    Ok(rate)
}

/// Prepares the batches of one worker: users of its lanes, one event each.
fn make(database: &Database, users: u64, worker: i16, batches: u64) -> Vec<Synthetic> {
    let task: TaskId = "gifts".parse().expect("a task id");
    let mut numbers = Numbers(u64::from(worker.unsigned_abs()) + 1);
    let mut states: std::collections::HashMap<u64, (UserTasks, i64)> =
        std::collections::HashMap::new();
    let mut heads = std::collections::HashMap::<Lane, i64>::new();
    let at = jiff::Timestamp::now();
    let day = plaudit_domain::calendar::Calendar {
        cadence: plaudit_domain::calendar::Cadence::Day,
        day_start: plaudit_domain::calendar::DayStart::default(),
    };
    let period = day.period_at(at, &jiff::tz::TimeZone::UTC);
    let metadata: Arc<str> = r#"{"action_source":"/bench","action_id":"b-1000000","action_type":"gift.sent","topic":"bench","partition":"7","offset":"1000000"}"#.into();
    let mut made = Vec::new();
    for number in 0..batches {
        let mut changes = Changes::default();
        let mut identities = Vec::new();
        let mut in_batch = BTreeSet::new();
        while identities.len() < BATCH {
            let user = Spread::Uniform.user(&mut numbers, users);
            let name = user_id(user);
            let lane = Lane::of(&name, database.lane_count);
            if lane.0 % WORKERS != worker || !in_batch.insert(user) {
                continue;
            }
            let id: UserId = name.parse().expect("a user id");
            let (state, sequence) = states.entry(user).or_default();
            *sequence += 1;
            let position = heads.entry(lane).or_insert(0);
            *position += 1;
            let event = Event::ProgressRecorded {
                task: task.clone(),
                version: 1,
                period: period.clone(),
                closes_at: None,
                credited: 50,
                progress: *sequence * 50,
                target: 1_000_000_000,
                at,
                withheld: false,
                carried: 0,
                surplus: 0,
                dropped: 0,
                latest: false,
                value: None,
                day: None,
                completion_of: None,
                held: false,
            };
            evolve(state, &event);
            let touched = BTreeSet::from([task.clone()]);
            let new = NewEvent {
                lane,
                user: id.clone(),
                sequence: *sequence,
                position: *position,
                event,
                metadata: Arc::clone(&metadata),
            };
            changes.events.push(new);
            changes.users.push(ChangedUser {
                lane,
                user: id,
                state: state.clone(),
                sequence: *sequence,
                touched,
                stored_sets: BTreeSet::new(),
                user_touched: false,
                refolded: false,
            });
            identities.push((lane, Uuid::from_u64_pair(numbers.next(), numbers.next())));
        }
        changes.users.sort_by(|a, b| (a.lane, &a.user).cmp(&(b.lane, &b.user)));
        made.push(Synthetic {
            changes,
            identities,
            next_offset: i64::try_from(number).unwrap_or(0),
        });
    }
    made
}
