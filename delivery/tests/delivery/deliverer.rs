//! Processes that deliver, in the process of the test.

use std::sync::Arc;

use plaudit_delivery::{Delivery, DeliveryOptions};
use plaudit_domain::lane::LaneCount;
use plaudit_event_store::Executor;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_followers::HeadWatch;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::world::eventually;

/// A process that delivers.
pub struct Deliverer {
    pub delivery: Delivery,
    stop: CancellationToken,
}

pub fn executor(pool: &PgPool, lanes: LaneCount) -> Arc<Executor> {
    let catalogue = Arc::new(CatalogueStore::default());
    let views: Vec<Arc<dyn plaudit_event_store::BatchProjection>> = vec![];
    Arc::new(Executor::new(pool.clone(), lanes, catalogue, views))
}

impl Deliverer {
    pub fn start(options: &DeliveryOptions, executor: &Arc<Executor>, pool: &PgPool) -> Self {
        let stop = CancellationToken::new();
        let heads = HeadWatch::start(pool, stop.clone());
        let delivery = Delivery::start(options, executor, pool, heads, &stop).unwrap();
        Self { delivery, stop }
    }

    /// Waits until a warning contains all these words.
    pub async fn until_problem(&self, words: &[&str]) {
        eventually(&format!("a warning with {words:?}"), async || {
            let problems = self.delivery.health().warnings();
            let speaks = |problem: &String| words.iter().all(|word| problem.contains(word));
            problems.iter().any(speaks).then_some(())
        })
        .await;
    }

    /// Waits until the process is not ready. Returns the reason.
    pub async fn until_unready(&self) -> String {
        eventually("it is unready", async || self.delivery.health().ready().err()).await
    }

    pub async fn until_well(&self) {
        let look = async || self.delivery.health().warnings().is_empty().then_some(());
        eventually("nothing is wrong", look).await;
    }

    /// Stops in order.
    pub async fn stop(self) {
        self.stop.cancel();
        self.delivery.join().await;
    }
}

/// A process that delivers and is killed: it has a runtime of its own, which is dropped in the
/// middle of its work.
pub struct Doomed(pub tokio::runtime::Runtime);

impl Doomed {
    /// Kills the process. Nothing that is under way is stored, and its lanes are free when their
    /// leases have expired.
    pub fn kill(self) {
        self.0.shutdown_background();
    }
}
