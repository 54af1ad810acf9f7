//! The messages of an endpoint that are on their way.

use std::collections::HashMap;

use jiff::Timestamp;
use plaudit_event_store::deliveries::{Attempt, Due};
use tokio::task::{Id, JoinError, JoinSet};

use super::{Posted, Reply};

/// The attempts that are under way. Each ends with an outcome, even if its task panics.
#[derive(Debug, Default)]
pub struct Posts {
    tasks: JoinSet<Posted>,
    due: HashMap<Id, Due>,
}

impl Posts {
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Begins an attempt.
    pub fn add(&mut self, due: Due, attempt: impl Future<Output = Posted> + Send + 'static) {
        let id = self.tasks.spawn(attempt).id();
        self.due.insert(id, due);
    }

    /// Waits for the end of an attempt; `None` if none is under way. Cancel-safe.
    pub async fn next(&mut self) -> Option<(Due, Posted)> {
        loop {
            let ended = self.tasks.join_next_with_id().await?;
            if let Some(outcome) = self.outcome(ended) {
                return Some(outcome);
            }
        }
    }

    /// Returns an attempt that has ended; `None` if there is none at the moment.
    pub fn try_next(&mut self) -> Option<(Due, Posted)> {
        loop {
            let ended = self.tasks.try_join_next_with_id()?;
            if let Some(outcome) = self.outcome(ended) {
                return Some(outcome);
            }
        }
    }

    fn outcome(&mut self, ended: Result<(Id, Posted), JoinError>) -> Option<(Due, Posted)> {
        match ended {
            Ok((id, posted)) => Some((self.due.remove(&id)?, posted)),
            Err(error) => {
                let due = self.due.remove(&error.id())?;
                tracing::error!(%error, grant = %due.reward.grant, "an attempt to deliver a reward ended without an answer");
                Some((due, without_answer(&error)))
            }
        }
    }
}

/// The outcome of an attempt whose task panicked. It is an attempt like any other, so the next one
/// waits longer, and the message may have been sent.
fn without_answer(error: &JoinError) -> Posted {
    let error =
        if error.is_panic() { "the attempt failed: a bug" } else { "the attempt was ended" };
    let attempt = Attempt {
        at: Timestamp::now(),
        duration_ms: 0,
        status: None,
        error: Some(error.to_owned()),
        answer: None,
    };
    Posted { reply: Reply::Failed, retry_after: None, attempt }
}

#[cfg(test)]
mod tests {
    use plaudit_domain::lane::Lane;
    use plaudit_domain::user_tasks::Reward;
    use plaudit_event_store::rewards::RewardPlace;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn due(grant: u128) -> Due {
        let reward: Reward = serde_json::from_value(json!({
            "grant": Uuid::from_u128(grant), "task": "t", "version": 1, "period": "once", "milestone": 1,
            "line": "l", "kind": "currency", "code": "coin", "amount": 1, "reached_at": "2026-03-29T12:00:00Z",
        }))
        .unwrap();
        Due {
            lane: Lane(0),
            user: "ann".parse().unwrap(),
            reward,
            place: RewardPlace { position: 1, ordinal: 0 },
            channel: "pay".to_owned(),
            pays: true,
            attempts: 0,
            is_sent: false,
            reason: None,
            time_left: None,
            redeliveries: 0,
            is_acknowledged: false,
        }
    }

    /// Otherwise its grant would count as on its way for as long as the process runs.
    #[tokio::test]
    async fn an_attempt_that_panics_has_an_outcome_as_well() {
        let mut posts = Posts::default();
        posts.add(due(1), async { panic!("a bug") });
        posts.add(due(2), std::future::pending());
        let (panicked, posted) = posts.next().await.unwrap();
        assert_eq!(panicked.reward.grant, Uuid::from_u128(1));
        assert_eq!(posted.reply, Reply::Failed);
        assert!(posted.attempt.error.unwrap().contains("a bug"));
        assert_eq!(posts.len(), 1);
        assert!(posts.try_next().is_none(), "the other one is still on its way");
    }
}
