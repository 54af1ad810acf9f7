//! (c) Stock cqrs-es and postgres-es on the same actions: their own tables, one command per
//! transaction, and one view to make progress visible; also without the view.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cqrs_es::persist::{GenericQuery, PersistedEventStore};
use cqrs_es::{CqrsFramework, EventEnvelope, Query, View};
use plaudit_actions::cloud_events;
use plaudit_domain::user_tasks::{Event, Seed};
use plaudit_event_store::aggregate::{AggregateCommand, UserTasksAggregate};
use plaudit_event_store::catalogue_store::CatalogueStore;
use postgres_es::{PostgresEventRepository, PostgresViewRepository};
use serde::{Deserialize, Serialize};

use super::Outcome;
use super::kafka::{self, Numbers, Spread, user_id};
use super::place::{ONE_TASK, Place};

/// The tables that postgres-es documents, under other names.
const TABLES: [&str; 2] = [
    "create table stock_view (
    view_id text not null primary key, version bigint not null check (version >= 0), payload json not null)",
    "create table stock_events (
    aggregate_type text not null, aggregate_id text not null, sequence bigint not null check (sequence >= 0),
    event_type text not null, event_version text not null, payload json not null, metadata json not null,
    primary key (aggregate_type, aggregate_id, sequence))",
];

/// The view: the least that makes an action visible.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Shown {
    progress: i64,
}

impl View<UserTasksAggregate> for Shown {
    fn update(&mut self, event: &EventEnvelope<UserTasksAggregate>) {
        if let Event::ProgressRecorded { progress, .. } = &event.payload.0 {
            self.progress = *progress;
        }
    }
}

/// The load on the stock crates.
#[derive(Debug, Clone, Copy)]
pub struct Stock {
    /// Commands in flight.
    pub in_flight: u64,
    /// True if a view is written. Without one, nothing becomes visible.
    pub view: bool,
}

/// Returns the actions per second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub async fn run(place: &Place, users: u64, seconds: u64, stock: Stock) -> Outcome<f64> {
    let Stock { in_flight, view } = stock;
    let database = place.database("bench_stock", ONE_TASK).await?;
    for table in TABLES {
        sqlx::query(table).execute(&database.pool).await?;
    }
    let catalogue = CatalogueStore::default().newest(&database.pool).await?;
    let pool =
        sqlx::postgres::PgPoolOptions::new().max_connections(32).connect(&database.url).await?;
    let repository =
        PostgresEventRepository::new(pool.clone()).with_tables("stock_events", "stock_snapshots");
    let store = PersistedEventStore::<_, UserTasksAggregate>::new_event_store(repository);
    let views = Arc::new(PostgresViewRepository::new("stock_view", pool));
    let view = view.then(|| {
        Box::new(GenericQuery::<_, Shown, UserTasksAggregate>::new(views))
            as Box<dyn Query<UserTasksAggregate>>
    });
    let stock = Arc::new(CqrsFramework::new(store, view.into_iter().collect(), catalogue));
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let duration = Duration::from_secs(seconds);
    let time = jiff::Timestamp::now().to_string();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..in_flight {
        let (stock, done, time) = (Arc::clone(&stock), Arc::clone(&done), time.clone());
        workers.spawn(async move {
            let mut numbers = Numbers(worker);
            while started.elapsed() < duration {
                // Each worker has its own users, so that no commands conflict: the best case for
                // the stock crates.
                let user =
                    Spread::Uniform.user(&mut numbers, users / in_flight) * in_flight + worker;
                let user = user_id(user);
                let body = kafka::action(numbers.next(), kafka::GIFT, &user, &time, 50);
                let Ok(action) = cloud_events::from_structured(body.as_bytes()) else { continue };
                if stock
                    .execute(&user, AggregateCommand::Action { action, seed: Seed::default() })
                    .await
                    .is_ok()
                {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    let rate = done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    database.finish(place).await?;
    Ok(rate)
}
