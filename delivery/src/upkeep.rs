//! What waits, for whoever watches; and what has waited for too long.

use std::time::Duration;

use jiff::Timestamp;
use plaudit_domain::user_tasks::{RewardState, Verdict};
use plaudit_event_store::deliveries::{self, Attempt, DeliveryState, Due, Noted, Settled};
use plaudit_event_store::rewards::grants;
use plaudit_followers::Subject;
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::channels::Channels;
use crate::senders::{Desk, Report};

/// How often overdue deliveries are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the backlog is counted.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// How many overdue deliveries are given up in one go.
const OVERDUE_MAX: i64 = 500;

/// Gives up what is overdue, and counts what waits.
pub struct Upkeep {
    pub desk: Desk,
    pub channels: Channels,
}

impl Upkeep {
    pub async fn run(self) {
        let mut counted_at: Option<Instant> = None;
        while !self.desk.stop.is_cancelled() {
            let is_full = match self.give_up().await {
                Ok(is_full) => is_full,
                Err(reason) => {
                    tracing::warn!("overdue deliveries can't be given up yet: {reason}");
                    false
                }
            };
            if counted_at.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
                counted_at = Some(Instant::now());
                if let Err(error) = self.count().await {
                    tracing::warn!(%error, "deliveries that wait can't be counted");
                }
            }
            if !is_full {
                self.desk.pause(LOOK_EVERY).await;
            }
        }
    }

    /// Gives up deliveries whose time is over. Says whether there are more.
    async fn give_up(&self) -> Result<bool, String> {
        let lanes = self.desk.held();
        let take = async |connection: &mut PgConnection| {
            deliveries::overdue(&lanes, OVERDUE_MAX, connection).await
        };
        let due = self.desk.call(take).await.map_err(|error| error.to_string())?;
        if due.is_empty() {
            return Ok(false);
        }
        let reports: Vec<Report> = due.iter().map(|due| self.failed(due)).collect();
        self.desk.tell(&reports).await.map_err(|error| error.to_string())?;
        // What was delivered meanwhile is delivered, whatever the table of deliveries knew.
        let keys: Vec<_> = due.iter().map(|due| (due.lane, due.reward.grant)).collect();
        let settle = async |connection: &mut PgConnection| {
            let states = grants::states(&keys, connection).await?;
            let settled: Vec<Settled> = reports
                .iter()
                .map(|report| {
                    let (lane, grant) = (report.noted.lane, report.noted.grant);
                    match states.get(&grant) {
                        Some(RewardState::Delivered) => {
                            let state = DeliveryState::Delivered;
                            Settled { lane, grant, state, reason: None }
                        }
                        Some(RewardState::Revoked) => {
                            let state = DeliveryState::Revoked;
                            Settled { lane, grant, state, reason: None }
                        }
                        _ => {
                            let reason = report.noted.attempt.error.clone();
                            Settled { lane, grant, state: DeliveryState::Failed, reason }
                        }
                    }
                })
                .collect();
            deliveries::settle(&settled, connection).await
        };
        self.desk.call(settle).await.map_err(|error| error.to_string())?;
        for due in &due {
            metrics::counter!(
                "plaudit_delivery_attempts_total", "channel" => due.channel.clone(), "result" => "given_up"
            )
            .increment(1);
        }
        Ok(i64::try_from(due.len()).is_ok_and(|count| count == OVERDUE_MAX))
    }

    fn failed(&self, due: &Due) -> Report {
        let reason = match (&due.reason, due.is_sent) {
            _ if !self.channels.has(&due.channel) => {
                format!("there is no channel {} any more", due.channel)
            }
            (_, true) => "the payer did not confirm in time".to_owned(),
            (Some(last), false) => format!("not delivered in time; the last attempt: {last}"),
            (None, false) => "not delivered in time; there was no attempt".to_owned(),
        };
        let noted = Noted {
            lane: due.lane,
            grant: due.reward.grant,
            state: DeliveryState::Failed,
            wait: Duration::ZERO,
            acknowledged_within: Duration::ZERO,
            attempt: Attempt {
                at: Timestamp::now(),
                duration_ms: 0,
                status: None,
                error: Some(reason.clone()),
                answer: None,
            },
        };
        Report { due: due.clone(), verdict: Some(Verdict::Failed { reason }), noted }
    }

    async fn count(&self) -> sqlx::Result<()> {
        let lanes = self.desk.held();
        let count =
            async |connection: &mut PgConnection| deliveries::backlog(&lanes, connection).await;
        let mut backlog = self.desk.call(count).await?;
        for (channel, waits) in &backlog {
            let about = Subject::Channel(format!("{channel}: missing"));
            if self.channels.has(channel) || waits.waiting == 0 {
                self.desk.health.resolve(&about);
            } else {
                let text = format!(
                    "{} rewards wait for the channel {channel}, which is not configured; configure it, or `plaudit rewards redeliver` them",
                    waits.waiting
                );
                self.desk.health.report(about, text);
            }
        }
        for channel in self.channels.names() {
            backlog.entry(channel.to_owned()).or_insert(deliveries::Backlog {
                waiting: 0,
                oldest_seconds: 0.0,
                unacknowledged: 0,
            });
        }
        for (channel, waits) in backlog {
            let gauge = |name: &'static str| metrics::gauge!(name, "channel" => channel.clone());
            let count = |count: i64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            gauge("plaudit_delivery_backlog").set(count(waits.waiting));
            gauge("plaudit_delivery_oldest_seconds").set(waits.oldest_seconds);
            gauge("plaudit_delivery_unacknowledged").set(count(waits.unacknowledged));
        }
        Ok(())
    }
}
