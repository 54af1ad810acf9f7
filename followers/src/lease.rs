//! The lanes that this process may follow: leases that expire, shared fairly among the processes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::pool::Borrowed;
use sqlx::{Executor as _, PgConnection, PgPool};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bounded::{CALL_MAX, begin, within};
use crate::health::{FollowerHealth, Subject};

/// Lifetime of a lease that is not renewed. If a process is frozen or gone, another one takes its
/// lanes after this and at most [`RENEW_EVERY`] more.
pub const LEASE: Duration = Duration::from_secs(5);

/// Interval at which leases are renewed and free ones are taken.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// Pause after a failed turn; the next one uses another connection.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// Time before its expiry at which this process stops using a lease: two clocks differ in speed.
const MARGIN: Duration = Duration::from_millis(500);

/// Maximum number of lane groups of a follower, and so of the processes that can share it.
const GROUPS_MAX: i32 = 16;

/// A lane that this process may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub epoch: i64,
    /// The checkpoint when the lease was taken. It may have moved since.
    pub position: i64,
    /// The lease must not be used after this.
    pub until: Instant,
}

/// The leases of one follower in this process.
pub(crate) struct Leases {
    follower: &'static str,
    pool: PgPool,
    member: Uuid,
    health: Arc<FollowerHealth>,
    groups: Mutex<BTreeMap<i16, Group>>,
    /// The number of processes that share the groups, as of the last renewal.
    processes: AtomicUsize,
    changed: Notify,
}

#[derive(Debug, Clone)]
struct Group {
    epoch: i64,
    until: Instant,
    /// Each lane with its checkpoint when the lease was taken.
    lanes: Vec<(Lane, i64)>,
}

impl Leases {
    pub fn new(follower: &'static str, pool: PgPool, health: Arc<FollowerHealth>) -> Self {
        let (groups, changed) = (Mutex::default(), Notify::new());
        let processes = AtomicUsize::new(1);
        Self { follower, pool, member: Uuid::new_v4(), health, groups, processes, changed }
    }

    /// Number of processes that have lanes of this follower or will have some within seconds; at
    /// least 1.
    pub fn processes(&self) -> usize {
        self.processes.load(Ordering::Relaxed)
    }

    /// The lanes whose lease has not expired.
    pub fn held(&self) -> BTreeMap<Lane, Tenure> {
        let now = Instant::now();
        let mut held = BTreeMap::new();
        for group in self.groups().values().filter(|group| group.until > now) {
            for (lane, position) in &group.lanes {
                let tenure = Tenure { epoch: group.epoch, position: *position, until: group.until };
                held.insert(*lane, tenure);
            }
        }
        held
    }

    /// Reads the checkpoints of the leased lanes again. Needed after a failure, when it is unknown
    /// which of them moved.
    pub async fn reread(&self) -> sqlx::Result<()> {
        let call = async {
            let mut connection = Borrowed::from(&self.pool).await?;
            let rows: Vec<(i16, i64, i64)> = sqlx::query_as(
                "select lane, epoch, position from follower_checkpoints where follower = $1",
            )
            .bind(self.follower)
            .fetch_all(&mut **connection)
            .await?;
            connection.give_back();
            Ok::<_, sqlx::Error>(rows)
        };
        let rows = within(CALL_MAX, call).await?;
        let stored: BTreeMap<(i16, i64), i64> =
            rows.into_iter().map(|(lane, epoch, position)| ((lane, epoch), position)).collect();
        for group in self.groups().values_mut() {
            for (lane, position) in &mut group.lanes {
                if let Some(stored) = stored.get(&(lane.0, group.epoch)) {
                    *position = *stored;
                }
            }
        }
        Ok(())
    }

    /// Waits until leases were taken or lost.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Renews leases and shares them with other processes until `stop` is cancelled.
    pub async fn keep(&self, stop: CancellationToken) {
        let mut is_made = false;
        while !stop.is_cancelled() {
            let rest = match stop.run_until_cancelled(self.turn(&mut is_made)).await {
                None => break,
                Some(Ok(())) => {
                    self.health.resolve(&Subject::Lease);
                    RENEW_EVERY
                }
                Some(Err(error)) => {
                    let follower = self.follower;
                    let text = format!("the leases of {follower} can't be renewed: {error}");
                    self.health.report(Subject::Lease, text);
                    RETRY_AFTER
                }
            };
            let _ = tokio::time::timeout(rest, stop.cancelled()).await;
        }
    }

    /// Gives all leases back, so that other processes need not wait for them to expire. Must not be
    /// called while a round is running.
    pub async fn give_back(&self) {
        self.groups().clear();
        let call = async {
            let mut connection = Borrowed::from(&self.pool).await?;
            let release = include_str!("lease/give_back.sql");
            let leave = "delete from follower_members where follower = $1 and member = $2";
            for sql in [release, leave] {
                sqlx::query(sql)
                    .bind(self.follower)
                    .bind(self.member)
                    .execute(&mut **connection)
                    .await?;
            }
            connection.give_back();
            Ok::<_, sqlx::Error>(())
        };
        if let Err(error) = within(CALL_MAX, call).await {
            tracing::debug!(%error, "leases are left to expire");
        }
    }

    /// Registers this process, renews its leases, gives back those beyond its share and takes free
    /// ones.
    async fn turn(&self, is_made: &mut bool) -> sqlx::Result<()> {
        if !*is_made {
            within(CALL_MAX, self.make()).await?;
            *is_made = true;
        }
        let share = within(CALL_MAX, self.renew()).await?;
        let mut in_use = Vec::new();
        while self.groups().len() < share {
            match within(CALL_MAX, self.take_one(&in_use)).await? {
                Taken::Group => self.changed.notify_one(),
                Taken::InUse(group) => in_use.push(group),
                Taken::NoneFree => break,
            }
        }
        let held = self.groups().len();
        metrics::gauge!("plaudit_follower_lane_groups", "follower" => self.follower)
            .set(u32::try_from(held).unwrap_or(u32::MAX));
        Ok(())
    }

    async fn make(&self) -> sqlx::Result<()> {
        let mut connection = Borrowed::from(&self.pool).await?;
        sqlx::query(include_str!("lease/make.sql"))
            .bind(self.follower)
            .bind(GROUPS_MAX)
            .execute(&mut **connection)
            .await?;
        connection.give_back();
        Ok(())
    }

    /// Renews the held leases and gives back those beyond this process's share, which it returns.
    async fn renew(&self) -> sqlx::Result<usize> {
        let until = Instant::now() + LEASE - MARGIN;
        let (groups, epochs): (Vec<i16>, Vec<i64>) =
            self.groups().iter().map(|(group, held)| (*group, held.epoch)).unzip();
        let mut connection = Borrowed::from(&self.pool).await?;
        let mut tx = begin(&mut connection).await?;
        self.join(&mut tx).await?;
        let renewed: Vec<i16> = sqlx::query_scalar(include_str!("lease/renew.sql"))
            .bind(self.follower)
            .bind(self.member)
            .bind(&groups)
            .bind(&epochs)
            .bind(LEASE.as_secs_f64())
            .fetch_all(&mut *tx)
            .await?;
        let (members, all): (i64, i64) = sqlx::query_as(include_str!("lease/counts.sql"))
            .bind(self.follower)
            .fetch_one(&mut *tx)
            .await?;
        // Set before lanes change hands, so that limits divided among the processes are not
        // exceeded for long.
        let processes = usize::try_from(members.min(all).max(1)).unwrap_or(1);
        self.processes.store(processes, Ordering::Relaxed);
        let share = usize::try_from((all + members - 1) / members.max(1)).unwrap_or(usize::MAX);
        let (kept, surplus) = renewed.split_at(renewed.len().min(share));
        // Must precede the commit, after which others can take the surplus: no further round uses
        // these lanes. A running round is fenced once they are taken.
        self.keep_only(kept, until);
        sqlx::query(include_str!("lease/give_back_surplus.sql"))
            .bind(self.follower)
            .bind(self.member)
            .bind(surplus)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        connection.give_back();
        Ok(share)
    }

    /// Registers this process, and deletes those that have expired.
    async fn join(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query(include_str!("lease/join.sql"))
            .bind(self.follower)
            .bind(self.member)
            .bind(LEASE.as_secs_f64())
            .execute(&mut *connection)
            .await?;
        sqlx::query(include_str!("lease/forget_expired.sql"))
            .bind(self.follower)
            .execute(&mut *connection)
            .await?;
        Ok(())
    }

    fn keep_only(&self, kept: &[i16], until: Instant) {
        let mut groups = self.groups();
        let before = groups.len();
        groups.retain(|group, _| kept.contains(group));
        groups.values_mut().for_each(|group| group.until = until);
        if groups.len() < before {
            self.changed.notify_one();
        }
    }

    /// Takes one free group, and fences its previous holder.
    async fn take_one(&self, in_use: &[i16]) -> sqlx::Result<Taken> {
        let until = Instant::now() + LEASE - MARGIN;
        let mut connection = Borrowed::from(&self.pool).await?;
        let mut tx = begin(&mut connection).await?;
        let taken: Option<(i16, i64)> = sqlx::query_as(include_str!("lease/take.sql"))
            .bind(self.follower)
            .bind(self.member)
            .bind(in_use)
            .bind(LEASE.as_secs_f64())
            .fetch_optional(&mut *tx)
            .await?;
        let Some((group, epoch)) = taken else {
            tx.rollback().await?;
            connection.give_back();
            return Ok(Taken::NoneFree);
        };
        // The previous holder may be in the middle of a step, for longer if it is frozen.
        tx.execute("set local lock_timeout = '300ms'").await?;
        let lanes = sqlx::query_as(include_str!("lease/fence.sql"))
            .bind(self.follower)
            .bind(group)
            .bind(epoch)
            .bind(self.group_count(&mut tx).await?)
            .fetch_all(&mut *tx)
            .await;
        let lanes: Vec<(i16, i64)> = match lanes {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
                tx.rollback().await?;
                connection.give_back();
                return Ok(Taken::InUse(group));
            }
            lanes => lanes?,
        };
        tx.commit().await?;
        connection.give_back();
        let lanes = lanes.into_iter().map(|(lane, position)| (Lane(lane), position)).collect();
        self.groups().insert(group, Group { epoch, until, lanes });
        Ok(Taken::Group)
    }

    async fn group_count(&self, connection: &mut PgConnection) -> sqlx::Result<i16> {
        sqlx::query_scalar("select count(*)::smallint from follower_leases where follower = $1")
            .bind(self.follower)
            .fetch_one(connection)
            .await
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<i16, Group>> {
        self.groups.lock().expect("nothing panics while it holds the lock")
    }
}

/// The outcome of looking for a free group.
enum Taken {
    Group,
    /// Free, but one of its checkpoints is locked. Tried again in the next turn.
    InUse(i16),
    NoneFree,
}
