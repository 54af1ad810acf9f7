//! (c) Stock cqrs-es and postgres-es on the same actions: their own tables, one command per
//! transaction, no view.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use plaudit_domain::action::Action;
use plaudit_domain::user_tasks::Command;
use plaudit_event_store::aggregate::UserTasksAggregate;
use plaudit_event_store::catalogue_store::CatalogueStore;
use postgres_es::PostgresEventRepository;

use super::Outcome;
use super::kafka::{self, Numbers, Spread, user_id};
use super::place::{ONE_TASK, Place};

/// The table that postgres-es documents, under another name.
const TABLE: &str = "create table stock_events (
    aggregate_type text not null, aggregate_id text not null, sequence bigint not null check (sequence >= 0),
    event_type text not null, event_version text not null, payload json not null, metadata json not null,
    primary key (aggregate_type, aggregate_id, sequence))";

/// Actions per second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub async fn run(place: &Place, users: u64, seconds: u64, in_flight: u64) -> Outcome<f64> {
    let database = place.database(&format!("bench_stock_{in_flight}"), ONE_TASK).await?;
    sqlx::query(TABLE).execute(&database.pool).await?;
    let catalogue = CatalogueStore::default().newest(&database.pool).await?;
    let pool =
        sqlx::postgres::PgPoolOptions::new().max_connections(32).connect(&database.url).await?;
    let repository =
        PostgresEventRepository::new(pool).with_tables("stock_events", "stock_snapshots");
    let store = PersistedEventStore::<_, UserTasksAggregate>::new_event_store(repository);
    let stock = Arc::new(CqrsFramework::new(store, vec![], catalogue));
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let patience = Duration::from_secs(seconds);
    let time = jiff::Timestamp::now().to_string();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..in_flight {
        let (stock, done, time) = (Arc::clone(&stock), Arc::clone(&done), time.clone());
        workers.spawn(async move {
            let mut numbers = Numbers(worker);
            while started.elapsed() < patience {
                // Users of its own, so that no command meets another: the best case for it.
                let user =
                    Spread::Uniform.user(&mut numbers, users / in_flight) * in_flight + worker;
                let user = user_id(user);
                let body = kafka::action(numbers.next(), &user, &time, 50);
                let Ok(action) = Action::from_structured(body.as_bytes()) else { continue };
                if stock.execute(&user, Command::RecordAction(action)).await.is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    let rate = done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    database.pool.close().await;
    Ok(rate)
}
