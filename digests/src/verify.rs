//! Recomputes the chains from the log and compares them with the stored ones.

use std::collections::BTreeMap;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::pool::{self, Borrowed};
use plaudit_event_store::raw_log::{self, RawRow};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, PgPool, PgTransaction};

use crate::FOLLOWER;
use crate::chain::Digest;

/// The verification result for one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserVerification {
    /// The user.
    pub user: String,
    /// True if the log still matches the stored chain.
    pub intact: bool,
    /// The number of the user's events.
    pub events: i64,
    /// The sequence of the last event that the stored chain covers; later events are not proven
    /// yet. 0 if there is no chain.
    pub covered: i64,
    /// The digest of all events, as recomputed now. Kept elsewhere, it can later prove that nothing
    /// was changed.
    pub digest: String,
    /// Descriptions of the faults found; empty if intact.
    pub faults: Vec<String>,
}

/// The verification result for one lane.
#[derive(Debug, Default)]
pub struct LaneVerification {
    /// The number of users compared.
    pub users: u64,
    /// The number of their events.
    pub events: u64,
    /// The users whose log no longer matches the stored chain.
    pub changed: Vec<UserVerification>,
}

/// The number of rows read at once.
const PAGE: i64 = 5_000;

/// A chain as stored. A digest that does not have 32 bytes is `None`.
#[derive(Debug, Clone, Copy)]
struct Stored {
    sequence: i64,
    digest: Option<Digest>,
}

/// A chain while it is recomputed.
struct Remade {
    user: String,
    stored: Option<Stored>,
    /// The follower's checkpoint: all events of the lane up to this position are covered.
    checkpoint: i64,
    events: i64,
    sequence: i64,
    digest: Digest,
    /// The recomputed digest at the last event that the stored chain covers; `None` until then.
    at_stored: Option<Digest>,
    faults: Vec<String>,
}

impl Remade {
    fn new(user: &str, stored: Option<Stored>, checkpoint: i64) -> Self {
        let at_stored = stored.filter(|s| s.sequence == 0).map(|_| Digest::default());
        Self {
            user: user.to_owned(),
            stored,
            checkpoint,
            events: 0,
            sequence: 0,
            digest: Digest::default(),
            at_stored,
            faults: Vec::new(),
        }
    }

    fn add(&mut self, row: &RawRow) {
        let next = self.sequence + 1;
        if row.sequence != next && self.faults.is_empty() {
            self.faults.push(format!("event {next} is missing"));
        }
        if self.stored.is_none() && row.position <= self.checkpoint && self.faults.is_empty() {
            self.faults.push("no digest is stored of this user any more".to_owned());
        }
        self.events += 1;
        self.sequence = row.sequence;
        self.digest = self.digest.with(row);
        if self.stored.is_some_and(|stored| stored.sequence == row.sequence) {
            self.at_stored = Some(self.digest);
        }
    }

    fn end(mut self) -> UserVerification {
        if let Some(stored) = self.stored {
            let covered = stored.sequence;
            match (self.at_stored, stored.digest) {
                (None, _) => self.faults.push(format!(
                    "event {covered} was there when the digest was stored, and is missing"
                )),
                (Some(now), Some(then)) if now == then => {}
                _ => self.faults.push(format!(
                    "the events up to {covered} are not as they were when their digest was stored"
                )),
            }
        }
        UserVerification {
            user: self.user,
            intact: self.faults.is_empty(),
            events: self.events,
            covered: self.stored.map_or(0, |stored| stored.sequence),
            digest: self.digest.to_string(),
            faults: self.faults,
        }
    }
}

/// Verifies one user.
pub async fn user(pool: &PgPool, lane: Lane, user: &UserId) -> sqlx::Result<UserVerification> {
    let mut connection = Borrowed::from(pool).await?;
    let mut tx = snapshot(&mut connection).await?;
    let checkpoint = checkpoint(lane, &mut tx).await?;
    let stored = stored(lane, &[user.as_str()], &mut tx).await?;
    let name = user.as_str();
    let mut remade = Remade::new(name, stored.get(name).copied(), checkpoint);
    loop {
        let after = (name, remade.sequence);
        let rows = pool::within(
            pool::ANSWER_MAX,
            raw_log::by_user(lane, after, Some(name), PAGE, &mut tx),
        )
        .await?;
        if rows.is_empty() {
            break;
        }
        rows.iter().for_each(|row| remade.add(row));
    }
    pool::within(pool::ANSWER_MAX, tx.rollback()).await?;
    connection.give_back();
    Ok(remade.end())
}

/// Verifies all users of a lane.
pub async fn lane(pool: &PgPool, lane: Lane) -> sqlx::Result<LaneVerification> {
    let mut connection = Borrowed::from(pool).await?;
    let mut tx = snapshot(&mut connection).await?;
    let checkpoint = checkpoint(lane, &mut tx).await?;
    let mut found = LaneVerification::default();
    let mut end = |remade: Option<Remade>| {
        let Some(verified) = remade.map(Remade::end) else { return };
        found.users += 1;
        found.events += u64::try_from(verified.events).unwrap_or(0);
        if !verified.intact {
            found.changed.push(verified);
        }
    };
    let mut open: Option<Remade> = None;
    let mut after = (String::new(), 0);
    loop {
        let page = pool::within(
            pool::ANSWER_MAX,
            raw_log::by_user(lane, (&after.0, after.1), None, PAGE, &mut tx),
        )
        .await?;
        let Some(last) = page.last() else { break };
        let mut users: Vec<&str> = page.iter().map(|row| row.user.as_str()).collect();
        users.dedup();
        let stored = stored(lane, &users, &mut tx).await?;
        for row in &page {
            if open.as_ref().is_none_or(|open| open.user != row.user) {
                end(open.take());
                let known = stored.get(row.user.as_str()).copied();
                open = Some(Remade::new(&row.user, known, checkpoint));
            }
            if let Some(open) = &mut open {
                open.add(row);
            }
        }
        after = (last.user.clone(), last.sequence);
    }
    end(open.take());
    for user in without_events(lane, &mut tx).await? {
        let known = stored(lane, &[&user], &mut tx).await?.get(user.as_str()).copied();
        end(Some(Remade::new(&user, known, checkpoint)));
    }
    pool::within(pool::ANSWER_MAX, tx.rollback()).await?;
    connection.give_back();
    Ok(found)
}

/// Begins a transaction with one snapshot, so that the digests and the events belong together.
async fn snapshot(connection: &mut PgConnection) -> sqlx::Result<PgTransaction<'_>> {
    let begin = connection.begin_with("begin isolation level repeatable read, read only");
    pool::within(pool::ANSWER_MAX, begin).await
}

async fn checkpoint(lane: Lane, connection: &mut PgConnection) -> sqlx::Result<i64> {
    let found = sqlx::query_scalar(
        "select position from follower_checkpoints where lane = $1 and follower = $2",
    );
    let found = found.bind(lane.0).bind(FOLLOWER).fetch_optional(connection);
    Ok(pool::within(pool::ANSWER_MAX, found).await?.unwrap_or(0))
}

async fn stored(
    lane: Lane,
    users: &[&str],
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeMap<String, Stored>> {
    let rows = pool::within(pool::ANSWER_MAX, crate::stored::load(lane, users, connection)).await?;
    let stored = |(user, sequence, digest): (String, i64, Vec<u8>)| {
        (user, Stored { sequence, digest: Digest::from_bytes(&digest) })
    };
    Ok(rows.into_iter().map(stored).collect())
}

/// Returns the users who have a stored digest but no events.
async fn without_events(lane: Lane, connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = crate::stored::users_after(lane, &after, PAGE, connection);
        let page = pool::within(pool::ANSWER_MAX, page).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after.clone_from(last);
        found.extend(
            pool::within(pool::ANSWER_MAX, raw_log::without_events(lane, &page, connection))
                .await?,
        );
    }
}
