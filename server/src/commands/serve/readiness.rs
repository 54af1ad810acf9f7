//! Readiness of a process, for `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use plaudit_api::{Readiness, ReadinessReport};
use plaudit_event_store::{BusyLane, CommandQueue, backfills};
use plaudit_followers::FollowerHealth;
use plaudit_ingest::health::IngestHealth;
use sqlx::PgPool;

use crate::source_files::SourceWatch;

/// The process is ready when the database answers and its other roles can do their work.
pub fn readiness(
    pool: PgPool,
    commands: CommandQueue,
    ingest: Option<Arc<IngestHealth>>,
    published: Option<SourceWatch>,
    followers: [Option<Arc<FollowerHealth>>; 3],
) -> Readiness {
    Readiness::new(move || {
        let (pool, ingest, followers) = (pool.clone(), ingest.clone(), followers.clone());
        let (commands, published) = (commands.clone(), published.clone());
        async move {
            let mut report = ReadinessReport::default();
            let reasons = &mut report.reasons;
            let asked = sqlx::query("select 1").execute(&pool);
            match tokio::time::timeout(Duration::from_secs(2), asked).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => reasons.push(format!("database: {error}")),
                Err(_) => reasons.push("database: no answer within 2 s".to_owned()),
            }
            if let Some((_, why)) = commands.failing() {
                reasons.push(format!("writes: {why}"));
            }
            if let Some(Err(reason)) = ingest.map(|health| health.ready()) {
                reasons.push(reason);
            }
            let followers = || followers.iter().flatten();
            reasons.extend(followers().filter_map(|health| health.ready().err()));
            report.warnings.extend(commands.busy_lanes().iter().map(busy_lane));
            report.warnings.extend(published.as_ref().and_then(SourceWatch::problem));
            let stuck = backfills::warnings(&pool);
            if let Ok(Ok(stuck)) = tokio::time::timeout(Duration::from_secs(1), stuck).await {
                report.warnings.extend(stuck);
            }
            report.warnings.extend(followers().flat_map(|health| health.warnings()));
            report
        }
    })
}

fn busy_lane(busy: &BusyLane) -> String {
    format!(
        "lane {} has been held by another writer for {} s, and its users wait; `select pid, granted from pg_locks where locktype = 'advisory'` shows who holds it",
        busy.lane,
        busy.since.as_secs()
    )
}
