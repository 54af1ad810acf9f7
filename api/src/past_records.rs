//! Past actions that a new task would count, for the plan of its publication.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use plaudit_domain::catalogue::definition::{Backfill, BackfillRewards};
use serde::{Deserialize, Serialize};

/// The past actions that a new task would count.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlannedBackfill {
    /// The earliest time of an action that counts.
    pub from: Timestamp,
    /// The treatment of rewards that past actions earn.
    pub rewards: BackfillRewards,
    /// The records that would be read, by partition; absent if the brokers could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Vec<PastRecords>>,
    /// The reason why the brokers could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// The records of a source partition that would be read.
#[derive(Debug, Serialize, Deserialize)]
pub struct PastRecords {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// An upper bound of the number of records.
    pub records: i64,
    /// The timestamp of the oldest record that Kafka still has. Set if Kafka has removed records
    /// that might have counted.
    pub kept_from: Option<Timestamp>,
}

/// The answer of the brokers, or the reason why there is none.
pub type PastAnswer = Result<Vec<PastRecords>, String>;

/// Asks the brokers for the records since a time.
#[derive(Clone)]
pub struct PastLookup(Arc<dyn Fn(Timestamp) -> BoxFuture<'static, PastAnswer> + Send + Sync>);

impl PastLookup {
    /// Asks through `ask`.
    pub fn new<F, R>(ask: F) -> Self
    where
        F: Fn(Timestamp) -> R + Send + Sync + 'static,
        R: Future<Output = PastAnswer> + Send + 'static,
    {
        Self(Arc::new(move |from| Box::pin(ask(from))))
    }

    /// A lookup for processes without brokers. Every answer is `why`.
    pub fn none(why: &str) -> Self {
        let why = why.to_owned();
        Self::new(move |_| std::future::ready(Err(why.clone())))
    }

    /// Plans a backfill within the time `limit`.
    pub(super) async fn plan(&self, backfill: Backfill, limit: Duration) -> PlannedBackfill {
        let Backfill { from, rewards } = backfill;
        let asked = tokio::time::timeout(limit, (self.0)(from)).await;
        let asked = asked.unwrap_or_else(|_| Err("Kafka did not answer in time".to_owned()));
        let (partitions, unknown) = match asked {
            Ok(partitions) => (Some(partitions), None),
            Err(why) => (None, Some(why)),
        };
        PlannedBackfill { from, rewards, partitions, unknown }
    }
}

impl fmt::Debug for PastLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PastLookup")
    }
}
