//! What the senders of all channels share: the lanes they may send from, who wakes them, and how they store
//! what came of an attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Reward, Verdict};
use plaudit_event_store::deliveries::{self, Due, Noted};
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::{Applied, Batch, ExecuteError, Executor, Item, Origin, Outcome, Work};
use plaudit_followers::bounded::{CALL_MAX, within};
use plaudit_followers::{FollowerHealth, HeldLanes, Subject};
use sqlx::{PgConnection, PgPool};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::channels::Channels;

/// How long it may take to store what came of some attempts, retries included.
const STORE_MAX: Duration = Duration::from_secs(8);
/// How long the end waits for attempts that are under way.
const END_MAX: Duration = Duration::from_secs(4);
/// How often a sender looks for what is due without being woken.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The senders of this process, seen from outside.
pub struct Senders {
    channels: Channels,
    wake: watch::Sender<()>,
    pub tasks: TaskTracker,
}

impl Senders {
    pub fn new(channels: Channels) -> Self {
        Self { channels, wake: watch::Sender::new(()), tasks: TaskTracker::new() }
    }

    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Tells all senders that something is due.
    pub fn wake(&self) {
        self.wake.send_replace(());
    }

    /// Waits for the end of the senders, which follows from the token that stops the process.
    pub async fn ended(&self) {
        self.tasks.close();
        let _ = tokio::time::timeout(END_MAX, self.tasks.wait()).await;
    }

    /// What one sender needs.
    pub fn desk(
        &self,
        executor: Arc<Executor>,
        pool: PgPool,
        health: Arc<FollowerHealth>,
        held: HeldLanes,
        stop: CancellationToken,
    ) -> Desk {
        let woken = self.wake.subscribe();
        Desk { executor, pool, health, held, woken, stop, unstored: Vec::new() }
    }
}

/// The place of work of one sender.
#[derive(Clone)]
pub struct Desk {
    executor: Arc<Executor>,
    pub pool: PgPool,
    pub health: Arc<FollowerHealth>,
    held: HeldLanes,
    woken: watch::Receiver<()>,
    pub stop: CancellationToken,
    /// What was attempted and could not be stored. Nothing more is sent from these lanes until it is, so
    /// that nothing is sent again because of it.
    unstored: Vec<Report>,
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct Report {
    pub due: Due,
    /// What is known of the grant by it.
    pub verdict: Option<Verdict>,
    pub noted: Noted,
}

impl Desk {
    /// The lanes to send from.
    pub fn lanes(&self) -> Vec<Lane> {
        let unstored: BTreeSet<Lane> = self.unstored.iter().map(|r| r.due.lane).collect();
        self.held.now().into_iter().filter(|lane| !unstored.contains(lane)).collect()
    }

    /// The lanes of this process.
    pub fn held(&self) -> Vec<Lane> {
        self.held.now()
    }

    /// Makes one call to the database, in bounded time.
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

    /// Returns when there may be something to do, or all is to end.
    pub async fn rest(&mut self) {
        tokio::select! {
            _ = self.woken.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits, unless all is to end.
    pub async fn pause(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.stop.cancelled()).await;
    }

    /// Stores what came of attempts, and of earlier ones that could not be stored. What fails is kept.
    pub async fn store(&mut self, channel: &str, reports: Vec<Report>) -> Result<(), ExecuteError> {
        let mut all = std::mem::take(&mut self.unstored);
        all.extend(reports);
        if all.is_empty() {
            return Ok(());
        }
        let whole = self.try_store(channel, &all).await;
        let Err(error) = whole else { return Ok(()) };
        let is_of_lanes = matches!(
            error,
            ExecuteError::Refused(_) | ExecuteError::Unreadable(_) | ExecuteError::LanesBusy(_)
        );
        if !is_of_lanes {
            self.unstored = all;
            return Err(error);
        }
        // The others may be stored without the lanes that it is about.
        let mut by_lane: BTreeMap<Lane, Vec<Report>> = BTreeMap::new();
        for report in all {
            by_lane.entry(report.due.lane).or_default().push(report);
        }
        let mut failed = None;
        for reports in by_lane.into_values() {
            if let Err(error) = self.try_store(channel, &reports).await {
                self.unstored.extend(reports);
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn try_store(&self, channel: &str, reports: &[Report]) -> Result<(), ExecuteError> {
        self.tell(reports).await?;
        let noted: Vec<Noted> = reports.iter().map(|report| report.noted.clone()).collect();
        let note = async |connection: &mut PgConnection| {
            deliveries::note(channel, &noted, connection).await
        };
        Ok(self.call(note).await?)
    }

    /// Notes in the users' histories that these are handed over from now on, and leaves out what was revoked.
    /// A revocation committed before is seen here, and a later one finds the reward on its way: so a revoked
    /// reward is never sent.
    pub async fn clear(&self, due: Vec<Due>) -> Result<Vec<Due>, ExecuteError> {
        let mut by_user: BTreeMap<(Lane, &UserId), Vec<Reward>> = BTreeMap::new();
        for due in due.iter().filter(|due| !due.is_sent) {
            by_user.entry((due.lane, &due.user)).or_default().push(due.reward.clone());
        }
        let started = by_user.into_iter().map(|((lane, user), rewards)| Item {
            lane,
            work: Work::StartDeliveries { user: user.clone(), rewards },
            origin: Origin::Follower,
        });
        let batch = Batch { items: started.collect(), checkpoints: vec![] };
        if batch.items.is_empty() {
            return Ok(due);
        }
        let applied = within(STORE_MAX, self.executor.execute(&batch)).await?;
        self.report_unnoted(&batch, &applied);
        let revoked: BTreeSet<Uuid> = applied
            .into_iter()
            .filter_map(|applied| match applied.outcome {
                Outcome::Revoked(grants) => Some(grants),
                _ => None,
            })
            .flatten()
            .collect();
        Ok(due.into_iter().filter(|due| !revoked.contains(&due.reward.grant)).collect())
    }

    /// Writes into the users' histories what is news there.
    pub async fn tell(&self, reports: &[Report]) -> Result<(), ExecuteError> {
        let mut by_user: BTreeMap<(Lane, &UserId), Vec<&Report>> = BTreeMap::new();
        for report in reports.iter().filter(|report| report.due.pays) {
            by_user.entry((report.due.lane, &report.due.user)).or_default().push(report);
        }
        let at = Timestamp::now();
        let mut items = Vec::new();
        for ((lane, user), reports) in by_user {
            let settled: Vec<_> = reports
                .iter()
                .filter_map(|r| Some((r.due.reward.grant, r.verdict.clone()?)))
                .collect();
            let item = |work| Item { lane, work, origin: Origin::Follower };
            if !settled.is_empty() {
                items.push(item(Work::SettleDeliveries { user: user.clone(), settled, at }));
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        let batch = Batch { items, checkpoints: vec![] };
        let applied = within(STORE_MAX, self.executor.execute(&batch)).await?;
        self.report_unnoted(&batch, &applied);
        Ok(())
    }

    /// Names the users in whose histories nothing can be noted.
    fn report_unnoted(&self, batch: &Batch, applied: &[Applied]) {
        for (item, applied) in batch.items.iter().zip(applied) {
            let (Work::StartDeliveries { user, .. } | Work::SettleDeliveries { user, .. }) =
                &item.work
            else {
                continue;
            };
            let about = Subject::User(item.lane, user.to_string());
            match &applied.outcome {
                // They are sent; for a damaged user they stay `claimed` on the screen.
                Outcome::Failed(reason) => self.health.report(
                    about,
                    format!("rewards of user {user} are sent but that is not noted: {reason}"),
                ),
                _ => self.health.resolve(&about),
            }
        }
    }
}
