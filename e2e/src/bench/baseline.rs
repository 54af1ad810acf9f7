//! (a) The database alone: the statements of a batch, with content prepared in advance and no
//! rules. The statements are this benchmark's own, as a set-based writer would send them that knows
//! nothing but the tables.

mod content;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::lane::LaneCount;
use plaudit_event_store::catalogue_store::CatalogueStore;
use sqlx::PgPool;
use tokio::sync::Barrier;

use super::Outcome;
use super::place::{ONE_TASK, Place};
use content::{Batch, Content};

/// Number of connections that write at once: as many as the program has workers, unless it is
/// configured otherwise.
const WORKERS: u16 = 2;

/// The most actions of a run. They are all prepared before it starts, and are held in memory.
const ACTIONS_MAX: u64 = 400_000;

/// The shape of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 1,024 actions of one lane, which touch neighbouring rows.
    OneLane,
    /// 2,048 actions of all lanes of a worker.
    AllLanes,
}

impl Shape {
    fn actions(self) -> usize {
        match self {
            Self::OneLane => 1_024,
            Self::AllLanes => 2_048,
        }
    }
}

/// The variants of the baseline.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// The name of the database, without its prefix.
    name: &'static str,
    shape: Shape,
    /// True if each batch reads the rows of its users and tasks, as a writer must that does not
    /// remember them.
    reads: bool,
}

/// The baseline that other figures are compared with.
pub const REFERENCE: Variant =
    Variant { name: "baseline_lane", shape: Shape::OneLane, reads: true };

/// The same without reading rows: the most that a writer can reach who remembers every user.
pub const REMEMBERING: Variant =
    Variant { name: "baseline_remembering", shape: Shape::OneLane, reads: false };

/// The same with transactions that touch all lanes.
pub const SPREAD: Variant =
    Variant { name: "baseline_spread", shape: Shape::AllLanes, reads: true };

/// Returns the events written per second, without the first tenth, which creates most rows.
pub async fn run(place: &Place, records: u64, users: u64, variant: Variant) -> Outcome<f64> {
    let database = place.database(&format!("bench_{}", variant.name), ONE_TASK).await?;
    let catalogue = CatalogueStore::default().newest(&database.pool).await?;
    let load = Load {
        actions: records.min(ACTIONS_MAX),
        users,
        variant,
        lane_count: database.lane_count,
        catalogue,
    };
    let rate = load.write(&database.pool).await?;
    database.finish(place).await?;
    Ok(rate)
}

/// The load of one run.
struct Load {
    actions: u64,
    users: u64,
    variant: Variant,
    lane_count: LaneCount,
    catalogue: Arc<Catalogue>,
}

impl Load {
    /// Writes everything. Returns the events written per second after the first tenth.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    async fn write(&self, pool: &PgPool) -> Outcome<f64> {
        let prepared: Vec<Vec<Batch>> =
            (0..WORKERS).map(|worker| self.prepare(worker)).collect::<Outcome<_>>()?;
        // The workers and this task, which takes the time.
        let warm = Arc::new(Barrier::new(prepared.len() + 1));
        let written = Arc::new(AtomicU64::new(0));
        let mut workers = tokio::task::JoinSet::new();
        for batches in prepared {
            let (pool, reads) = (pool.clone(), self.variant.reads);
            let (warm, written) = (Arc::clone(&warm), Arc::clone(&written));
            workers.spawn(async move {
                let mut failed = None;
                let (first, rest) = batches.split_at(batches.len() / 10);
                for batch in first {
                    failed = failed.or(write::write(&pool, batch, reads).await.err());
                }
                // Reached whatever happened, or the others would wait for ever.
                warm.wait().await;
                if let Some(error) = failed {
                    return Err(error);
                }
                for batch in rest {
                    write::write(&pool, batch, reads).await?;
                    written.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
                }
                Ok::<_, sqlx::Error>(())
            });
        }
        warm.wait().await;
        let started = Instant::now();
        while let Some(done) = workers.join_next().await {
            done??;
        }
        Ok(written.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
    }

    /// Prepares the batches of one worker. Workers have different lanes, as in the program.
    fn prepare(&self, worker: u16) -> Outcome<Vec<Batch>> {
        let lanes = (0..self.lane_count.get()).filter(|lane| lane % WORKERS == worker);
        let lanes = lanes.map(i16::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut content = Content::new(&self.catalogue, self.users, self.lane_count);
        content.batches(self.variant.shape, &lanes, self.actions / u64::from(WORKERS))
    }
}

#[cfg(test)]
mod tests {
    use plaudit_embedded::test_cluster;
    use plaudit_event_store::{catalogue_store, pool, schema};

    use super::*;

    /// The baseline writes the same as the program: the rows follow from the log, and each action
    /// left one event.
    #[tokio::test]
    async fn the_baseline_writes_rows_that_follow_from_its_events() {
        for variant in [REFERENCE, REMEMBERING, SPREAD] {
            let url = test_cluster::create_database("baseline").await;
            let pool = pool::connect(&url, 4).unwrap();
            schema::migrate(&pool, LaneCount::try_from(64).unwrap()).await.unwrap();
            let lane_count = schema::check(&pool).await.unwrap();
            let definitions = plaudit_task_file::parse(ONE_TASK).unwrap();
            catalogue_store::publish(&pool, &definitions, "test").await.unwrap();
            let catalogue = CatalogueStore::default().newest(&pool).await.unwrap();
            let load = Load { actions: 40_960, users: 10_000, variant, lane_count, catalogue };
            let rate = load.write(&pool).await.unwrap();
            assert!(rate > 0.0, "{variant:?}");
            let verified = plaudit_projections::verify::verify(&pool, None, |_| {}).await.unwrap();
            assert!(verified.is_equal(), "{variant:?}: {verified:?}");
            assert_eq!(verified.events, load.actions, "{variant:?}");
            let seen: i64 = sqlx::query_scalar("select count(*) from seen_actions")
                .fetch_one(&pool)
                .await
                .unwrap();
            assert_eq!(u64::try_from(seen).unwrap(), load.actions, "{variant:?}");
            pool.close().await;
            test_cluster::drop_database(&url).await;
        }
    }
}
