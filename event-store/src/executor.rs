//! One transaction per batch: lock lanes, load states, decide, append, save, project, commit.

mod bisect;
mod decide;
mod held_budget;
mod load;
mod probe;
mod retry;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use plaudit_domain::catalogue::BudgetKey;
use plaudit_domain::lane::{Lane, LaneCount, Position};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::time::Instant;

use crate::action_fields::SeenFields;
use crate::backfills::{actions, bounds};
use crate::batch::{Applied, Batch, BatchProjection, CheckpointMove, Item, Kind};
use crate::budgets::{BudgetsHeld, Taken};
use crate::catalogue_store::{CatalogueStore, InForce};
use crate::clock::Clock;
use crate::error::ExecuteError;
use crate::lanes::{self, LaneWait, LockOutcome, Locked};
use crate::off_the_runtime::off_the_runtime;
use crate::pool::{self, Borrowed};
use crate::states::{NeededUsers, RecentUsers, UserFaults};
use crate::{
    budgets, checkpoints, hand_receipts, log, parked, receipts, rewards, seen_actions,
    source_offsets, states, streak_looks,
};
use decide::DecidedBatch;
use held_budget::budget_held;
use retry::RetryState;

pub(crate) use bisect::is_same_record;
pub(crate) use decide::{CLAIM_ALL_MAX, tasks_moved_with};

/// Applies batches. Cancel-safe: a cancelled batch is committed completely or not at all, and a
/// committed one is recognised when it is sent again.
pub struct Executor {
    pool: PgPool,
    lane_count: LaneCount,
    catalogue: Arc<CatalogueStore>,
    projections: Vec<Arc<dyn BatchProjection>>,
    recent: RecentUsers,
    faults: Arc<UserFaults>,
    clock: Clock,
    seen_fields: SeenFields,
    budgets_held: BudgetsHeld,
    committed_at: Mutex<Option<Instant>>,
}

/// Time limit for one transaction, from acquiring a connection to the answer of the commit. After
/// that its connection is closed. A batch that needs longer is halved, so this limits only silence,
/// not work.
const ATTEMPT_MAX: Duration = Duration::from_secs(6);

/// Time limit of [`Executor::execute`] for a lane that another session holds.
const LANE_WAIT: Duration = Duration::from_millis(800);

/// The error of an attempt, and the state of its connection.
struct Failed {
    error: ExecuteError,
    /// The connection was lost or timed out after it had been acquired.
    connection_lost: bool,
}

/// Items applied in one transaction, with the checkpoints that move in it.
#[derive(Clone, Copy)]
struct Part<'b> {
    items: &'b [Item],
    checkpoints: &'b [CheckpointMove],
}

/// A part that is decided and written, with what is needed to remember its users after the commit.
struct Done<'b> {
    decided: DecidedBatch<'b>,
    locked: Locked,
    needed: NeededUsers,
}

impl Done<'_> {
    fn remember(self, recent: &RecentUsers) {
        let Self { decided, locked, needed } = self;
        let next = |lane| decided.heads.get(&lane).map_or(0, |head| head.next_position);
        recent.keep(&locked, next, decided.changes.users, &needed);
    }
}

/// Options of one attempt.
#[derive(Clone, Copy)]
struct How<'r> {
    wait: LaneWait,
    limits: decide::Limits,
    seeds: decide::Seeds,
    /// Fold all states from the log.
    refold_all: bool,
    /// Lock these budgets before deciding, in addition to those that the items are known to need.
    lock_budgets: Option<&'r BTreeSet<BudgetKey>>,
}

impl Part<'_> {
    fn lanes(&self) -> BTreeSet<Lane> {
        let of_items = self.items.iter().map(|item| item.lane);
        of_items.chain(self.checkpoints.iter().map(|step| step.lane)).collect()
    }
}

impl Executor {
    /// Creates an executor over a pool that [`pool::connect`] opened.
    pub fn new(
        pool: PgPool,
        lane_count: LaneCount,
        catalogue: Arc<CatalogueStore>,
        projections: Vec<Arc<dyn BatchProjection>>,
    ) -> Self {
        Self {
            pool,
            lane_count,
            catalogue,
            projections,
            recent: RecentUsers::new(lane_count),
            faults: Arc::default(),
            clock: Clock::System,
            seen_fields: SeenFields::default(),
            budgets_held: BudgetsHeld::default(),
            committed_at: Mutex::default(),
        }
    }

    /// The action types and fields that this executor has seen.
    pub(crate) fn seen_fields(&self) -> &SeenFields {
        &self.seen_fields
    }

    /// The users whose log can't be read, as far as this process has met them.
    pub fn faults(&self) -> &Arc<UserFaults> {
        &self.faults
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The clock of this process.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The time of this executor's last commit.
    pub(crate) fn committed_at(&self) -> Option<Instant> {
        *self.committed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of lanes of the database.
    pub fn lane_count(&self) -> LaneCount {
        self.lane_count
    }

    /// The catalogue store that batches are decided with.
    pub fn catalogue(&self) -> &Arc<CatalogueStore> {
        &self.catalogue
    }

    /// Applies a batch and returns one answer per item. Waits a moment for lanes that another
    /// session holds.
    ///
    /// Conflicts and lost connections are retried. An item that the database or the rules can't
    /// process is found, by halving the batch if needed, and parked; the others are applied. A
    /// batch with more events than a transaction should hold takes several transactions.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::LanesBusy`] if lanes, or a budget, are still held by another session after
    /// [`LANE_WAIT`]. The first items of a batch without checkpoints may be applied by then; the same
    /// batch may be sent again.
    pub async fn execute<K: Kind>(
        &self,
        batch: &Batch<K>,
    ) -> Result<Vec<Applied<K::Answer>>, ExecuteError> {
        let mut applied = Vec::with_capacity(batch.items.len());
        self.apply(&batch.mixed(), LaneWait::UpTo(LANE_WAIT), &mut applied).await?;
        Ok(applied.into_iter().map(Applied::own::<K>).collect())
    }

    /// Like [`Self::execute`], for one item.
    pub async fn execute_one<K: Kind>(
        &self,
        item: Item<K>,
    ) -> Result<Applied<K::Answer>, ExecuteError> {
        let batch = Batch { items: vec![item], checkpoints: vec![] };
        Ok(self.execute(&batch).await?.swap_remove(0))
    }

    /// Like [`Self::execute`], without waiting for lanes. If the batch fails, also returns the
    /// answers of the first items that were applied.
    pub async fn execute_if_free(&self, batch: &Batch) -> (Vec<Applied>, Result<(), ExecuteError>) {
        let mut applied = Vec::with_capacity(batch.items.len());
        let ended = self.apply(batch, LaneWait::None, &mut applied).await;
        (applied, ended)
    }

    async fn apply(
        &self,
        batch: &Batch,
        wait: LaneWait,
        applied: &mut Vec<Applied>,
    ) -> Result<(), ExecuteError> {
        loop {
            let part =
                Part { items: &batch.items[applied.len()..], checkpoints: &batch.checkpoints };
            match self.execute_part(part, wait).await {
                Ok(done) => applied.extend(done),
                Err(error) if error.is_about_an_item() && batch.checkpoints.is_empty() => {
                    self.bisect(part.items, error, wait, applied).await?;
                }
                Err(error) => return Err(error),
            }
            if applied.len() >= batch.items.len() {
                return Ok(());
            }
        }
    }

    /// Retries a part until it is committed or the attempts are used up. Returns the answers of the
    /// applied items: all of them, or the first ones.
    async fn execute_part(
        &self,
        part: Part<'_>,
        wait: LaneWait,
    ) -> Result<Vec<Applied>, ExecuteError> {
        let mut retry = RetryState::new(part);
        loop {
            let mut unconfirmed = None;
            let how = How {
                wait,
                limits: retry.limits(),
                seeds: retry.seeds(),
                refold_all: retry.refold_all(),
                lock_budgets: retry.lock_budgets(),
            };
            match self.attempt(retry.part(), how, &mut unconfirmed).await {
                Ok(applied) => return Ok(retry.settled(applied)),
                Err(failed) => retry.after(failed, unconfirmed, &self.pool).await?,
            }
        }
    }

    /// Runs one transaction within [`ATTEMPT_MAX`]. `unconfirmed` is set to the answers of the part
    /// just before the commit is sent. On a lost connection or a timeout, the connection is closed
    /// instead of returned to the pool.
    async fn attempt(
        &self,
        part: Part<'_>,
        how: How<'_>,
        unconfirmed: &mut Option<Vec<Applied>>,
    ) -> Result<Vec<Applied>, Failed> {
        let mut began = false;
        let work = AssertUnwindSafe(async {
            let mut connection = Borrowed::from(&self.pool).await?;
            began = true;
            let applied = self.transact(part, how, unconfirmed, &mut connection).await;
            // After a rollback that was answered, too, the connection is usable.
            if !applied.as_ref().is_err_and(ExecuteError::is_connection_lost) {
                connection.give_back();
            }
            applied
        });
        let ended = match tokio::time::timeout(ATTEMPT_MAX, work.catch_unwind()).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(panic)) => Err(ExecuteError::panicked(&*panic, None)),
            Err(_) => Err(pool::no_answer(ATTEMPT_MAX).into()),
        };
        ended.map_err(|error| {
            let connection_lost = began && error.is_connection_lost();
            Failed { error, connection_lost }
        })
    }

    async fn transact(
        &self,
        part: Part<'_>,
        how: How<'_>,
        unconfirmed: &mut Option<Vec<Applied>>,
        connection: &mut PgConnection,
    ) -> Result<Vec<Applied>, ExecuteError> {
        let mut tx = connection.begin_with(pool::BEGIN_PROBING).await?;
        let outcome = self.decide_and_write(part, how, &mut tx).await;
        let done = match outcome {
            Ok(done) => done,
            Err(error) => {
                if !error.is_connection_lost() {
                    tx.rollback().await?;
                }
                return Err(error);
            }
        };
        let applied = done.decided.applied();
        *unconfirmed = Some(applied.clone());
        tx.commit().await.map_err(|error| {
            // Whatever the error code: only the next attempt shows whether a failed commit took
            // effect.
            tracing::debug!(%error, "a commit was not answered");
            ExecuteError::Unavailable(error)
        })?;
        *self.committed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.seen_fields.note(&part.items[..applied.len()]);
        done.decided.note_bounded();
        done.decided.count();
        done.remember(&self.recent);
        Ok(applied)
    }

    async fn decide_and_write<'b>(
        &self,
        part: Part<'b>,
        how: How<'_>,
        tx: &mut PgConnection,
    ) -> Result<Done<'b>, ExecuteError> {
        let locked = match lanes::lock(&part.lanes(), how.wait, tx).await? {
            LockOutcome::Locked(locked) => locked,
            LockOutcome::Busy(contention) => return Err(ExecuteError::LanesBusy(contention)),
        };
        let in_force = self.in_force(locked.catalogue_identity, tx).await?;
        let InForce { catalogue, backfills } = &in_force;
        let unbounded = backfills.unbounded(&part.lanes());
        if !unbounded.is_empty() {
            bounds::settle(&unbounded, backfills.tasks(), tx).await?;
        }
        let mut needed = decide::Needed::by(part.items, catalogue);
        if let Some(keys) = how.lock_budgets {
            needed.budgets.extend(keys.iter().cloned());
            if !budgets::lock(needed.budgets.iter(), &self.budgets_held, tx).await? {
                return Err(budget_held(part, catalogue));
            }
        }
        self.recent.open(&locked);
        let recent = (!how.refold_all).then_some(&self.recent);
        let (loaded, needed) =
            load::load(part.items, needed, catalogue, &locked, recent, &self.faults, tx).await?;
        let decided = off_the_runtime(|| {
            let (now, How { limits, seeds, .. }) = (self.clock.now(), how);
            decide::decide_batch(part.items, locked.clone(), loaded, &in_force, limits, seeds, now)
        })?;
        self.write(&decided, part.checkpoints, tx).await?;
        // Last, so that other batches wait for the budgets only until the commit.
        match budgets::take(&decided.budget_takes, &self.budgets_held, tx).await? {
            Taken::All => Ok(Done { decided, locked, needed }),
            Taken::UsedUp => {
                Err(ExecuteError::BudgetTaken(decided.budget_takes.keys().cloned().collect()))
            }
            Taken::Held => Err(budget_held(part, catalogue)),
        }
    }

    /// Writes the decided batch, including its read models.
    async fn write(
        &self,
        decided: &DecidedBatch<'_>,
        moves: &[CheckpointMove],
        tx: &mut PgConnection,
    ) -> Result<(), ExecuteError> {
        log::append(&decided.changes.events, tx).await?;
        if !decided.changes.users.is_empty() {
            states::save(&decided.changes, tx).await?;
            rewards::save(&decided.changes, tx).await?;
        }
        streak_looks::save(&decided.streak_looks, tx).await?;
        lanes::forget_external_appends(&decided.caught_up(), tx).await?;
        seen_actions::remember(&decided.newly_seen, decided.dedup_window, tx).await?;
        seen_actions::remember_again(&decided.seen_again, decided.dedup_window, tx).await?;
        actions::remember(&decided.backfill_actions, tx).await?;
        source_offsets::advance(&decided.offsets_moved, tx).await?;
        parked::insert(&decided.parked, tx).await?;
        parked::resolve(&decided.parked_resolved, tx).await?;
        receipts::insert(&decided.receipts_given, tx).await?;
        hand_receipts::insert(&decided.hand_receipts_given, tx).await?;
        checkpoints::advance(moves, tx).await?;
        if !decided.changes.users.is_empty() {
            for projection in &self.projections {
                projection.apply(&decided.changes, tx).await?;
            }
        }
        Ok(())
    }

    /// The head of a lane: the position of its last committed event.
    pub async fn head(&self, lane: Lane) -> Result<Position, ExecuteError> {
        Ok(lanes::head(lane, &mut *self.pool.acquire().await?).await?)
    }
}
