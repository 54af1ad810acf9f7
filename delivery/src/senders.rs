//! Code shared by the senders of all channels: their lanes, how they are woken, and how they change
//! the users' histories.

mod handing_over;
mod in_flight;
mod reports;
mod stuck_lanes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Reward, RewardState};
use plaudit_event_store::deliveries::Due;
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::rewards::{RewardPlace, grants};
use plaudit_event_store::{Applied, Batch, ExecuteError, Executor, Item, Origin, Outcome, Work};
use plaudit_followers::bounded::{CALL_MAX, within};
use plaudit_followers::{FollowerHealth, HeldLanes, Subject};
use sqlx::{PgConnection, PgPool};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::channels::Channels;
pub use in_flight::InFlight;
pub use reports::Report;
use stuck_lanes::StuckLanes;

/// Time limit for storing the outcomes of attempts, retries included.
const STORE_MAX: Duration = Duration::from_secs(8);
/// Time limit for trying lanes one by one, after all of them together were refused. The rest is
/// tried later.
const ONE_BY_ONE_MAX: Duration = Duration::from_secs(4);
/// Time limit for attempts that are under way when the process stops.
const END_MAX: Duration = Duration::from_secs(4);
/// Interval at which a sender that is not woken looks for due deliveries.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The senders of this process.
pub struct Senders {
    channels: Channels,
    wake: watch::Sender<()>,
    in_flight: InFlight,
    pub tasks: TaskTracker,
}

impl Senders {
    pub fn new(channels: Channels) -> Self {
        let (wake, in_flight) = (watch::Sender::new(()), InFlight::default());
        Self { channels, wake, in_flight, tasks: TaskTracker::new() }
    }

    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Wakes all senders, because something is due.
    pub fn wake(&self) {
        self.wake.send_replace(());
    }

    /// Waits for the end of the senders, after the token that stops the process was cancelled.
    pub async fn ended(&self) {
        self.tasks.close();
        let _ = tokio::time::timeout(END_MAX, self.tasks.wait()).await;
    }

    /// Makes the desk of one sender. `name` is its channel or its task.
    pub fn desk(
        &self,
        name: &str,
        executor: Arc<Executor>,
        pool: PgPool,
        health: Arc<FollowerHealth>,
        held: HeldLanes,
        stop: CancellationToken,
    ) -> Desk {
        Desk {
            name: name.to_owned(),
            executor,
            pool,
            health,
            held,
            woken: self.wake.subscribe(),
            in_flight: self.in_flight.clone(),
            stop,
            unstored: Vec::new(),
            stuck: StuckLanes::default(),
            handed_over: BTreeMap::new(),
        }
    }
}

/// Everything that one sender works with.
#[derive(Clone)]
pub struct Desk {
    name: String,
    executor: Arc<Executor>,
    pub pool: PgPool,
    pub health: Arc<FollowerHealth>,
    held: HeldLanes,
    woken: watch::Receiver<()>,
    pub in_flight: InFlight,
    pub stop: CancellationToken,
    /// Outcomes of attempts that could not be stored yet. Nothing more is sent from their lanes
    /// until they are, so that nothing is sent twice because of them.
    unstored: Vec<Report>,
    stuck: StuckLanes,
    /// The last place of each lane that this sender stored as handed over.
    handed_over: BTreeMap<Lane, RewardPlace>,
}

impl Desk {
    /// Returns the lanes to send from: those held, without stuck ones and those with unstored
    /// outcomes.
    pub fn lanes(&mut self) -> Vec<Lane> {
        let mut lanes = self.held.now();
        for lane in self.stuck.forget_lost(&lanes) {
            self.health.resolve(&self.about_lane(lane));
        }
        let unstored: BTreeSet<Lane> = self.unstored.iter().map(|r| r.due.lane).collect();
        lanes.retain(|lane| !unstored.contains(lane) && !self.stuck.is_left_out(*lane));
        lanes
    }

    /// Returns true if this process may still send from the lane. Must be asked right before
    /// sending.
    pub fn may_send_from(&self, lane: Lane) -> bool {
        let has_unstored = self.unstored.iter().any(|report| report.due.lane == lane);
        !has_unstored && !self.stuck.is_left_out(lane) && self.held.now().contains(&lane)
    }

    /// The lanes that this process holds.
    pub fn held(&self) -> Vec<Lane> {
        self.held.now()
    }

    /// Number of processes that send, including this one. Each has its share of a channel's limits.
    pub fn processes(&self) -> usize {
        self.held.processes()
    }

    /// Makes one call to the database, within [`CALL_MAX`].
    pub async fn call<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let call = async {
            let mut connection = Borrowed::from(&self.pool).await?;
            let answer = work(&mut connection).await?;
            connection.give_back();
            Ok(answer)
        };
        within(CALL_MAX, call).await
    }

    /// Waits until there may be something to do, or the process stops.
    pub async fn rest(&mut self) {
        tokio::select! {
            _ = self.woken.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits for this time, or until the process stops.
    pub async fn pause(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.stop.cancelled()).await;
    }

    /// Stores in the users' histories that these deliveries begin, and leaves out revoked rewards.
    /// A revocation committed before is seen here, and a later one finds the reward on its way: so
    /// a revoked reward is never sent to its payer. Copies start nothing in the history; revoked
    /// ones are left out as well.
    pub async fn clear(&mut self, due: Vec<Due>) -> Result<Vec<Due>, ExecuteError> {
        let mut unclear = self.revoked(due.iter().filter(|due| !due.pays)).await?;
        let mut by_user: BTreeMap<(Lane, &UserId), Vec<Reward>> = BTreeMap::new();
        for due in due.iter().filter(|due| due.pays) {
            by_user.entry((due.lane, &due.user)).or_default().push(due.reward.clone());
        }
        let started = by_user.into_iter().map(|((lane, user), rewards)| Item {
            lane,
            work: Work::StartDeliveries { user: user.clone(), rewards },
            origin: Origin::Follower,
        });
        let Executed { applied, left_out } = self.execute(started.collect()).await?;
        for (_, applied) in applied {
            if let Outcome::Revoked(grants) = applied.outcome {
                unclear.extend(grants);
            }
        }
        // Copies of a lane that was left out wait too, to keep the order of their users.
        let is_clear =
            |due: &Due| !unclear.contains(&due.reward.grant) && !left_out.contains(&due.lane);
        Ok(due.into_iter().filter(is_clear).collect())
    }

    /// Returns the grants among these that were revoked.
    async fn revoked(
        &self,
        due: impl Iterator<Item = &Due>,
    ) -> Result<BTreeSet<Uuid>, ExecuteError> {
        let keys: Vec<_> = due.map(|due| (due.lane, due.reward.grant)).collect();
        if keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        let look = async |connection: &mut PgConnection| grants::states(&keys, connection).await;
        let states = self.call(look).await?;
        let revoked = states.into_iter().filter(|(_, state)| *state == RewardState::Revoked);
        Ok(revoked.map(|(grant, _)| grant).collect())
    }

    /// Executes items. If some lanes make that fail, the others are executed without them.
    async fn execute(&mut self, items: Vec<Item>) -> Result<Executed, ExecuteError> {
        let (stuck, well): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| self.stuck.has(item.lane));
        let mut done = Executed::default();
        let mut by_lane: BTreeMap<Lane, Vec<Item>> = BTreeMap::new();
        let mut refused = match self.try_execute(well, &mut done).await {
            Ok(()) => None,
            Err((error, items)) if is_about_lanes(&error) => {
                items.into_iter().for_each(|i| by_lane.entry(i.lane).or_default().push(i));
                Some(error)
            }
            Err((error, _)) => return Err(error),
        };
        stuck.into_iter().for_each(|item| by_lane.entry(item.lane).or_default().push(item));
        let began = Instant::now();
        for (lane, items) in by_lane {
            if let Some(error) = refused.as_ref().filter(|_| began.elapsed() > ONE_BY_ONE_MAX) {
                done.left_out.insert(lane);
                self.leave_out(lane, error);
                continue;
            }
            match self.try_execute(items, &mut done).await {
                Ok(()) => self.take_in(lane),
                Err((error, _)) if is_about_lanes(&error) => {
                    done.left_out.insert(lane);
                    self.leave_out(lane, &error);
                    refused = Some(error);
                }
                Err((error, _)) => return Err(error),
            }
        }
        self.report_unnoted(&done.applied);
        Ok(done)
    }

    /// Adds what was applied to `done`, or returns the items with the error.
    async fn try_execute(
        &self,
        items: Vec<Item>,
        done: &mut Executed,
    ) -> Result<(), (ExecuteError, Vec<Item>)> {
        if items.is_empty() {
            return Ok(());
        }
        let batch = Batch { items, checkpoints: vec![] };
        match within(STORE_MAX, self.executor.execute(&batch)).await {
            Ok(applied) => {
                done.applied.extend(batch.items.into_iter().zip(applied));
                Ok(())
            }
            Err(error) => Err((error, batch.items)),
        }
    }

    /// Leaves a lane out for a while, with a warning.
    fn leave_out(&mut self, lane: Lane, error: &ExecuteError) {
        self.stuck.add(lane);
        let text = format!(
            "{}: rewards of lane {lane} wait, because nothing can be noted there: {error}",
            self.name
        );
        self.health.report(self.about_lane(lane), text);
    }

    /// Takes a lane in again after it was stuck.
    fn take_in(&mut self, lane: Lane) {
        if self.stuck.remove(lane) {
            self.health.resolve(&self.about_lane(lane));
        }
    }

    fn about_lane(&self, lane: Lane) -> Subject {
        Subject::Channel(format!("{}: stuck lane {lane}", self.name))
    }

    /// Reports the users whose histories can't be written.
    fn report_unnoted(&self, applied: &[(Item, Applied)]) {
        for (item, applied) in applied {
            let (Work::StartDeliveries { user, .. } | Work::SettleDeliveries { user, .. }) =
                &item.work
            else {
                continue;
            };
            let about = Subject::User(item.lane, user.to_string());
            match &applied.outcome {
                // The rewards are sent all the same; for a damaged user they stay `claimed` on the
                // screen.
                Outcome::Failed(reason) => self.health.report(
                    about,
                    format!("rewards of user {user} are sent but that is not noted: {reason}"),
                ),
                _ => self.health.resolve(&about),
            }
        }
    }
}

/// The items that were applied, and the lanes of those that were not.
#[derive(Default)]
struct Executed {
    applied: Vec<(Item, Applied)>,
    left_out: BTreeSet<Lane>,
}

/// Returns true if the error may concern single lanes only.
fn is_about_lanes(error: &ExecuteError) -> bool {
    error.is_about_an_item() || matches!(error, ExecuteError::LanesBusy(_))
}
