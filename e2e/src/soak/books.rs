//! The final comparison of plaudit's answers with the oracle's books.

mod parked;
mod payers;
mod rewards;
mod screens;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::action::Action;
use super::error::SoakError;
use super::findings::Findings;
use super::http::{Answer, Api};
use super::oracle::{Books, Claimed};
use super::payers::Payers;
use super::producer::Sent;
use super::program::{Program, said};
use super::traffic::Meaning;

/// Time limit for everything to be applied after the last record.
const DRAIN_MAX: Duration = Duration::from_secs(300);
const GLANCE: Duration = Duration::from_millis(250);
/// Attempts at a read that should succeed, since nothing is broken any more.
const ATTEMPTS: u32 = 5;
/// The most users whose records are kept beside the logs.
const DIFFERING_MAX: usize = 20;

/// The comparison: plaudit's interfaces and the expected results.
pub struct Audit {
    /// The API of the instances.
    pub api: Arc<Api>,
    /// The commands of the program.
    pub program: Program,
    /// Collects the differences.
    pub findings: Arc<Findings>,
    /// The Kafka brokers.
    pub brokers: String,
    /// The oracle's book of each user.
    pub books: Books,
    /// The grants for which there are receipts.
    pub claimed: Claimed,
    /// The position in its lane at which each grant was claimed.
    pub claimed_at: HashMap<Uuid, u64>,
    /// The payers, with their own books.
    pub payers: Arc<Payers>,
    /// The start of the soak, before which nothing was due.
    pub since: Timestamp,
    /// Users whose screen or rewards differ from the oracle's.
    pub differing: Mutex<BTreeSet<u32>>,
}

impl Audit {
    /// Waits until every record is applied. Returns the time that took.
    pub async fn drained(&self, sents: &[Sent]) -> Result<Duration, SoakError> {
        let begun = Instant::now();
        loop {
            let output = self.program.run(&["ingest", "status", "--format", "json"]).await?;
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let topics = status["topics"].as_array().cloned().unwrap_or_default();
            let partitions = |topic: &Value| topic["partitions"].as_array().cloned();
            let partitions: Vec<Value> = topics.iter().filter_map(partitions).flatten().collect();
            let sum = |name: &str| partitions.iter().filter_map(|p| p[name].as_u64()).sum::<u64>();
            if output.status.success() && !partitions.is_empty() && sum("lag") == 0 {
                if sum("end_offset") != sents.len() as u64 {
                    let (end, sent) = (sum("end_offset"), sents.len());
                    let what = format!("the log holds {end} records, {sent} were produced");
                    return Err(SoakError::Broken(what));
                }
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > DRAIN_MAX {
                let what = format!("after {} s: {}", DRAIN_MAX.as_secs(), said(&output));
                self.findings.add("lag never reached 0", what);
                return Ok(begun.elapsed());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Marks a user whose records are worth keeping.
    fn note_differing(&self, user: u32) {
        self.differing.lock().unwrap_or_else(PoisonError::into_inner).insert(user);
    }

    /// Returns the actions of the first differing users in the order of the log, one per line.
    pub fn histories(&self, sents: &[Sent]) -> String {
        let differing = self.differing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        for sent in sents {
            if let (Meaning::Action(action), Some((partition, offset))) =
                (&sent.meaning, sent.place)
                && differing.iter().take(DIFFERING_MAX).any(|user| *user == action.user)
            {
                let Action { user, source, id, time, deed } = action.as_ref();
                lines.push((
                    (*user, partition, offset),
                    format!("{user} {partition}@{offset} {source}/{id} {time} {deed:?}\n"),
                ));
            }
        }
        lines.sort();
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// Compares everything.
    pub async fn compare(self: &Arc<Self>, sents: &[Sent]) -> Result<Compared, SoakError> {
        self.deliver_the_rest().await?;
        self.contradict().await?;
        let (grants, in_order) = self.check_topic().await?;
        let (by_webhook, by_topic) = self.check_payers().await;
        let parked = self.check_parked(sents).await?;
        let users = self.check_users().await?;
        let output = self.program.run(&["projections", "verify"]).await?;
        if !output.status.success() {
            let what = format!("{}: {}", output.status, said(&output));
            self.findings.add("projections verify", what);
        }
        Ok(Compared { users, grants, in_order, by_webhook, by_topic, parked })
    }
}

/// The numbers of compared items.
#[derive(Debug)]
pub struct Compared {
    /// Users.
    pub users: usize,
    /// Grants on the topic.
    pub grants: usize,
    /// Grants that were compared with an earlier one of the same user for their order.
    pub in_order: usize,
    /// Grants paid by webhook.
    pub by_webhook: usize,
    /// Grants paid by the reader of the topic.
    pub by_topic: usize,
    /// Records in the parked list.
    pub parked: usize,
}

/// Repeats a read that should succeed. Fails after [`ATTEMPTS`].
async fn must<F: Future<Output = Result<Answer, String>>>(
    what: &str,
    read: impl Fn() -> F,
) -> Result<Value, SoakError> {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match read().await {
            Ok((200, body)) => return Ok(body),
            other => last = format!("{other:?}"),
        }
        tokio::time::sleep(GLANCE).await;
    }
    Err(SoakError::Broken(format!("{what} can't be read: {last}")))
}
