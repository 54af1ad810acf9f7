//! Releases and discards parked records.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use plaudit_actions::sources::Sources;
use plaudit_domain::action::Action;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{ParkedVerdict, Resolution};
use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::operations::{self, OperationKind};
use plaudit_event_store::parked::{self, Parked};
use plaudit_event_store::pool::{ANSWER_MAX, within};
use plaudit_event_store::{
    ActionAnswer, Applied, CommandQueue, Incoming, Item, NotApplied, Origin, ResolveAnswer,
    ResolveParked,
};
use serde::Serialize;
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

use crate::error::ResolveError;
use crate::meaning::actions_of;

/// Maximum number of a user's records that are released in one step.
const QUEUE_PAGE: i64 = 100;

/// Releases and discards parked records for operators. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    pool: PgPool,
    commands: CommandQueue,
    sources: watch::Receiver<Arc<Sources>>,
    future_tolerance: SignedDuration,
}

/// The operator who decides, with the reason.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The `sub` of a token, or a user of the operating system.
    pub by: String,
    /// Required to discard, optional to release.
    pub reason: Option<String>,
}

/// The result of a release or discard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The record.
    pub id: Uuid,
    /// Number of actions that were applied, including those of records that waited behind this one.
    pub applied: usize,
    /// Number of actions that had been applied before.
    pub duplicates: usize,
    /// Number of records released with it because they waited behind it.
    pub followed: usize,
    /// The record at which the release stopped. This record and those behind it are still parked.
    pub stopped: Option<Stopped>,
    /// A position at or after the effect; absent if the effect lies in several lanes.
    pub position: Option<Position>,
}

/// The record at which the release of a user's records stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// The record that is still parked.
    pub id: Uuid,
    /// The reason why it can't be applied.
    pub reason: String,
}

/// Error of a text that can't be an operator's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason has 1 to {max} characters, no control characters among them", max = Operator::REASON_CHARS_MAX)]
pub struct InvalidReason;

impl Operator {
    /// The longest reason, in characters.
    pub const REASON_CHARS_MAX: usize = 1_000;

    /// Checks a reason and trims the blank space around it.
    pub fn checked_reason(text: &str) -> Result<String, InvalidReason> {
        let reason = text.trim();
        let fits = (1..=Self::REASON_CHARS_MAX).contains(&reason.chars().count());
        if fits && !reason.chars().any(char::is_control) {
            Ok(reason.to_owned())
        } else {
            Err(InvalidReason)
        }
    }
}

impl Resolver {
    /// Makes a resolver that applies actions through `commands`.
    pub fn new(
        pool: PgPool,
        commands: CommandQueue,
        sources: watch::Receiver<Arc<Sources>>,
        future_tolerance: Duration,
    ) -> Self {
        let future_tolerance =
            SignedDuration::try_from(future_tolerance).unwrap_or(SignedDuration::MAX);
        Self { pool, commands, sources, future_tolerance }
    }

    /// Applies a parked record and then the records that waited behind it, in order, up to the
    /// first that still can't be applied.
    ///
    /// # Errors
    ///
    /// Fails if the record itself can't be applied, or waits behind another one. It stays parked.
    pub async fn release(&self, id: Uuid, operator: &Operator) -> Result<Released, ResolveError> {
        let parked = self.find(id).await?;
        let verdict = ParkedVerdict::Release { reason: operator.reason.clone() };
        if user_of(&parked).is_none() {
            return self.release_for_many(&parked, verdict, operator).await;
        }
        let applied = self.release_one(&parked, verdict, operator).await?;
        let mut released = self.begun(id, applied).await?;
        if parked.repairable {
            self.release_waiting(&parked, operator, true, &mut released).await?;
        }
        Ok(released)
    }

    /// Discards a parked record for good, and applies the records that waited behind it, in order.
    pub async fn discard(
        &self,
        id: Uuid,
        by: &str,
        reason: String,
    ) -> Result<Released, ResolveError> {
        let parked = self.find(id).await?;
        let operator = Operator { by: by.to_owned(), reason: Some(reason.clone()) };
        let item = self.item(&parked, ParkedVerdict::Discard { reason }, &operator.by, vec![]);
        let applied = in_time(self.commands.submit_one((), item)).await?;
        let mut released = self.begun(id, applied).await?;
        if user_of(&parked).is_none() {
            self.record(OperationKind::DiscardParked, id, &operator).await?;
        }
        if parked.repairable {
            self.release_waiting(&parked, &operator, false, &mut released).await?;
        }
        Ok(released)
    }

    /// Stores a decision about a record without a user as an operation, which is kept for ever: no
    /// user's history holds it, and the upkeep deletes the row of the record.
    async fn record(
        &self,
        kind: OperationKind,
        id: Uuid,
        operator: &Operator,
    ) -> Result<(), ResolveError> {
        let Operator { by, reason } = operator.clone();
        let (id, author) = (id.to_string(), Author { by, reason });
        in_time(operations::record(kind, &id, &author, &self.pool)).await
    }

    async fn find(&self, id: Uuid) -> Result<Parked, ResolveError> {
        let found = in_time(parked::find(&self.pool, id)).await?;
        let parked = found.ok_or(ResolveError::Unknown(id))?;
        match parked.resolved {
            None => Ok(parked),
            Some(resolved) => Err(ResolveError::Resolved {
                id,
                resolution: resolved.resolution,
                by: resolved.by,
                at: resolved.at,
            }),
        }
    }

    /// Turns the answer to a decision into its result. If another operator decided
    /// between [`Self::find`] and the batch, the error names them.
    async fn begun(&self, id: Uuid, applied: Resolved) -> Result<Released, ResolveError> {
        let Applied { answer, position } = applied;
        match counts_of(id, answer)? {
            Some((applied, duplicates)) => Ok(Released {
                id,
                applied,
                duplicates,
                followed: 0,
                stopped: None,
                position: Some(position),
            }),
            None => Err(self.find(id).await.err().unwrap_or(ResolveError::Unknown(id))),
        }
    }

    /// Builds the item that stores the decision about a parked record, with the actions that a
    /// release applies.
    fn item(
        &self,
        parked: &Parked,
        verdict: ParkedVerdict,
        by: &str,
        actions: Vec<Action>,
    ) -> Item<ResolveParked> {
        let at = self.commands.clock().now();
        let decision = Resolution { parked: parked.id, verdict, by: by.to_owned(), at };
        let work = ResolveParked { decision, user: user_of(parked), actions };
        Item { lane: parked.lane, work, origin: origin(parked) }
    }

    /// Maps a record by the current sources. May block for a while, and may wait for a schema.
    async fn actions_of(&self, parked: &Parked) -> Result<Vec<Action>, ResolveError> {
        let (parked, tolerance) = (parked.clone(), self.future_tolerance);
        let now = self.commands.clock().now();
        let sources = Arc::clone(&self.sources.borrow());
        let read = move || actions_of(&parked, &sources, tolerance, now);
        let internal = |_| Err(ResolveError::Unapplied("an internal error".to_owned()));
        tokio::task::spawn_blocking(read).await.unwrap_or_else(internal)
    }

    async fn release_one(
        &self,
        parked: &Parked,
        verdict: ParkedVerdict,
        operator: &Operator,
    ) -> Result<Resolved, ResolveError> {
        let actions = self.actions_of(parked).await?;
        let item = self.item(parked, verdict, &operator.by, actions);
        in_time(self.commands.submit_one((), item)).await
    }

    /// Releases a record that names no user and may hold actions of several. The actions are
    /// applied first: if the process dies before the decision is stored, the next release finds
    /// them applied.
    async fn release_for_many(
        &self,
        parked: &Parked,
        verdict: ParkedVerdict,
        operator: &Operator,
    ) -> Result<Released, ResolveError> {
        let actions = self.actions_of(parked).await?;
        let lanes = self.commands.lane_count();
        let items = actions.into_iter().map(|action| Item {
            lane: Lane::of(action.user.as_str(), lanes),
            work: Incoming::Action(action),
            origin: origin(parked),
        });
        let applied = in_time(self.commands.submit(items.collect())).await?;
        let count = |answer: ActionAnswer| applied.iter().filter(|a| a.answer == answer).count();
        let (accepted, duplicates) =
            (count(ActionAnswer::Accepted), count(ActionAnswer::Duplicate));
        // If an action waits behind another record of its user, it is parked in a record of its
        // own.
        let stopped = applied.iter().find_map(|applied| match &applied.answer {
            ActionAnswer::Parked { id, reason } => {
                Some(Stopped { id: *id, reason: reason.clone() })
            }
            ActionAnswer::Accepted | ActionAnswer::Duplicate | ActionAnswer::AlreadyApplied => None,
        });
        let position = match applied.as_slice() {
            [one] => Some(one.position),
            _ => None,
        };
        let decision = self.item(parked, verdict, &operator.by, vec![]);
        let noted = in_time(self.commands.submit_one((), decision)).await?;
        let noted = self.begun(parked.id, noted).await?;
        self.record(OperationKind::ReleaseParked, parked.id, operator).await?;
        Ok(Released { applied: accepted, duplicates, stopped, position, ..noted })
    }

    /// Releases the records that waited behind a record that was released or discarded. With
    /// `causes`, it also releases records that were parked for a reason of their own; otherwise it
    /// stops at the first of these.
    async fn release_waiting(
        &self,
        first: &Parked,
        operator: &Operator,
        causes: bool,
        released: &mut Released,
    ) -> Result<(), ResolveError> {
        let Some(user) = &first.user else { return Ok(()) };
        let reason = Some(format!("waited behind the parked record {}", first.id));
        loop {
            let queue = parked::queue_of(&self.pool, first.lane, user, QUEUE_PAGE);
            let queue = in_time(queue).await?;
            let mut items = Vec::with_capacity(queue.len());
            let mut stopped = None;
            for waiting in &queue {
                if !causes && !waiting.waiting {
                    let reason = waiting.reason.clone();
                    stopped = Some(Stopped { id: waiting.id, reason });
                    break;
                }
                match self.actions_of(waiting).await {
                    Ok(actions) => {
                        let verdict = ParkedVerdict::Release { reason: reason.clone() };
                        items.push(self.item(waiting, verdict, &operator.by, actions));
                    }
                    Err(why) => {
                        stopped = Some(Stopped { id: waiting.id, reason: why.to_string() });
                        break;
                    }
                }
            }
            if items.is_empty() {
                released.stopped = stopped;
                return Ok(());
            }
            let applied = in_time(self.commands.submit(items)).await?;
            for (waiting, applied) in queue.iter().zip(applied) {
                released.position = Some(applied.position);
                match counts_of(waiting.id, applied.answer) {
                    Ok(Some((applied, duplicates))) => {
                        released.applied += applied;
                        released.duplicates += duplicates;
                        released.followed += 1;
                    }
                    // Another operator has released or discarded it since.
                    Ok(None) => {}
                    Err(refusal) => {
                        let reason = refusal.to_string();
                        released.stopped = Some(Stopped { id: waiting.id, reason });
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Waits for one answer of the database or the queue. A release has no time limit as a whole, since
/// many records may follow the first.
async fn in_time<T, E>(asked: impl Future<Output = Result<T, E>>) -> Result<T, ResolveError>
where
    ResolveError: From<E>,
{
    within(ANSWER_MAX, async { asked.await.map_err(ResolveError::from) }).await
}

/// The answer to a decision about a record, with a position at or after its effect.
type Resolved = Applied<Result<ResolveAnswer, NotApplied>>;

/// Returns the numbers of actions that were applied now and before. `None`: the record is not
/// parked any more.
fn counts_of(
    id: Uuid,
    answer: Result<ResolveAnswer, NotApplied>,
) -> Result<Option<(usize, usize)>, ResolveError> {
    match answer {
        Ok(ResolveAnswer::Resolved { applied, duplicates }) => Ok(Some((applied, duplicates))),
        Ok(ResolveAnswer::NotParked) => Ok(None),
        Ok(ResolveAnswer::Behind(first)) => Err(ResolveError::Behind { id, first }),
        Ok(ResolveAnswer::StaysParked(reason)) | Err(NotApplied(reason)) => {
            Err(ResolveError::Unapplied(reason))
        }
    }
}

/// The user of a record; `None` if it has none or the id is invalid.
fn user_of(parked: &Parked) -> Option<UserId> {
    parked.user.clone().and_then(|user| UserId::try_from(user).ok())
}

fn origin(parked: &Parked) -> Origin {
    Origin::Parked { id: parked.id, from: parked.source_position() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_not_blank_and_not_a_novel() {
        assert_eq!(Operator::checked_reason(" a test "), Ok("a test".to_owned()));
        for bad in ["", "  ", "a\0b", "a\nb", &"x".repeat(1_001)] {
            assert_eq!(Operator::checked_reason(bad), Err(InvalidReason), "{bad:?}");
        }
    }
}
