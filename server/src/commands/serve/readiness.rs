//! Readiness of a process, for `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use plaudit_api::auth::Keys;
use plaudit_api::{Readiness, ReadinessReport};
use plaudit_event_store::{BusyLane, CommandQueue, backfills};
use plaudit_followers::FollowerHealth;
use plaudit_ingest::health::IngestHealth;
use sqlx::PgPool;

use super::screen_probe::ScreenProbe;
use crate::source_files::SourceWatch;

/// The parts that decide the readiness of a process.
#[derive(Clone)]
pub struct Parts {
    pub background: PgPool,
    pub screens: Arc<ScreenProbe>,
    pub commands: CommandQueue,
    pub ingest: Option<Arc<IngestHealth>>,
    pub published: Option<SourceWatch>,
    pub followers: [Option<Arc<FollowerHealth>>; 3],
    pub keys: Option<Keys>,
}

/// The process is ready when screens can be read and its other roles can do their work.
pub fn readiness(parts: Parts) -> Readiness {
    Readiness::new(move || {
        let parts = parts.clone();
        async move { parts.report().await }
    })
}

impl Parts {
    async fn report(&self) -> ReadinessReport {
        let Self { background, screens, commands, ingest, published, followers, keys } = self;
        let mut report = ReadinessReport::default();
        let reasons = &mut report.reasons;
        reasons.extend(screens.ready().err());
        let failing = commands.failing().map(|(_, why)| why);
        reasons.extend(failing.or_else(|| commands.stalled()).map(|why| format!("writes: {why}")));
        reasons.extend(ingest.as_ref().and_then(|health| health.ready().err()));
        reasons.extend(keys.as_ref().and_then(|keys| keys.ready().err()));
        let followers = || followers.iter().flatten();
        reasons.extend(followers().filter_map(|health| health.ready().err()));
        report.warnings.extend(screens.warning());
        report.warnings.extend(commands.busy_lanes().iter().map(busy_lane));
        report.warnings.extend(commands.budget_held().map(budget_held));
        report.warnings.extend(ingest.iter().flat_map(|health| health.warnings()));
        report.warnings.extend(keys.as_ref().and_then(Keys::warning));
        report.warnings.extend(published.as_ref().and_then(SourceWatch::problem));
        let stuck = backfills::warnings(background);
        if let Ok(Ok(stuck)) = tokio::time::timeout(Duration::from_secs(1), stuck).await {
            report.warnings.extend(stuck);
        }
        report.warnings.extend(followers().flat_map(|health| health.warnings()));
        report
    }
}

fn budget_held(held: Duration) -> String {
    format!(
        "a budget has been held by another writer for {} s, and users whose rewards draw on it wait; \
         `select pid, granted from pg_locks where locktype = 'advisory' and classid = 1347174722` shows who holds it",
        held.as_secs()
    )
}

fn busy_lane(busy: &BusyLane) -> String {
    format!(
        "lane {} has been held by another writer for {} s, and its users wait; `select pid, granted from pg_locks where locktype = 'advisory'` shows who holds it",
        busy.lane,
        busy.since.as_secs()
    )
}
