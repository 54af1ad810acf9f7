//! Gives up overdue deliveries, and counts the backlog for metrics and warnings.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use plaudit_domain::user_tasks::{RewardState, Verdict};
use plaudit_event_store::deliveries::{self, Attempt, Backlog, DeliveryState, Due, GivenUp, Noted};
use plaudit_event_store::rewards::grants;
use plaudit_followers::Subject;
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::channels::Channels;
use crate::senders::{Desk, Report};

/// Interval between looks for overdue deliveries.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Interval between counts of the backlog.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// Maximum number of overdue deliveries that are given up at once.
const OVERDUE_MAX: i64 = 500;

/// Gives up overdue deliveries and counts those that wait.
pub struct Upkeep {
    desk: Desk,
    channels: Channels,
    /// Channels that have gauges and may have warnings.
    counted: BTreeSet<String>,
}

impl Upkeep {
    pub fn new(desk: Desk, channels: Channels) -> Self {
        let counted = channels.names().map(str::to_owned).collect();
        Self { desk, channels, counted }
    }

    pub async fn run(mut self) {
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

    /// Gives up overdue deliveries. Returns true if there may be more.
    async fn give_up(&mut self) -> Result<bool, String> {
        let lanes = self.desk.lanes();
        let take = async |connection: &mut PgConnection| {
            deliveries::overdue(&lanes, OVERDUE_MAX, connection).await
        };
        let mut due = self.desk.call(take).await.map_err(|error| error.to_string())?;
        let is_full = i64::try_from(due.len()).is_ok_and(|count| count == OVERDUE_MAX);
        // A message that is on its way is answered within the channel's timeout.
        due.retain(|due| !self.desk.in_flight.has(&due.channel, due.reward.grant));
        let mut reports: Vec<Report> = due.iter().map(|due| self.failed(due)).collect();
        let left_out = self.desk.tell(&reports).await.map_err(|error| error.to_string())?;
        reports.retain(|report| !left_out.contains(&report.due.lane));
        if reports.is_empty() {
            return Ok(false);
        }
        // A reward that was delivered in the meantime counts, although the table of deliveries does
        // not show it yet.
        let keys: Vec<_> = reports.iter().map(|r| (r.due.lane, r.due.reward.grant)).collect();
        let give_up = async |connection: &mut PgConnection| {
            let states = grants::states(&keys, connection).await?;
            let given_up: Vec<GivenUp> = reports
                .iter()
                .map(|report| given_up(report, states.get(&report.due.reward.grant).copied()))
                .collect();
            deliveries::give_up(&given_up, connection).await
        };
        self.desk.call(give_up).await.map_err(|error| error.to_string())?;
        for report in &reports {
            metrics::counter!(
                "plaudit_delivery_attempts_total", "channel" => report.due.channel.clone(), "result" => "given_up"
            )
            .increment(1);
        }
        Ok(is_full)
    }

    fn failed(&self, due: &Due) -> Report {
        let reason = match (&due.reason, due.is_sent) {
            _ if !self.channels.has(&due.channel) => {
                format!("the channel {} is no longer configured", due.channel)
            }
            (_, true) => "the payer did not confirm in time".to_owned(),
            (Some(last), false) => format!("not delivered in time; the last attempt: {last}"),
            (None, false) => "not delivered in time; there was no attempt".to_owned(),
        };
        let noted = Noted {
            lane: due.lane,
            grant: due.reward.grant,
            state: DeliveryState::Failed,
            redeliveries: due.redeliveries,
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

    async fn count(&mut self) -> sqlx::Result<()> {
        let lanes = self.desk.held();
        let count =
            async |connection: &mut PgConnection| deliveries::backlog(&lanes, connection).await;
        let mut backlog = self.desk.call(count).await?;
        // A channel with no deliveries left has its gauges set to 0, and no warnings.
        for channel in &self.counted {
            backlog.entry(channel.clone()).or_default();
        }
        for (channel, backlog) in &backlog {
            self.report(channel, backlog);
            let gauge = |name: &'static str| metrics::gauge!(name, "channel" => channel.clone());
            let count = |count: i64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            gauge("plaudit_delivery_backlog").set(count(backlog.waiting));
            gauge("plaudit_delivery_oldest_seconds").set(backlog.oldest_seconds);
            gauge("plaudit_delivery_unacknowledged").set(count(backlog.unacknowledged));
            gauge("plaudit_delivery_failed").set(count(backlog.failed));
        }
        self.counted = self.channels.names().map(str::to_owned).collect();
        let is_left = |(_, backlog): &(String, Backlog)| *backlog != Backlog::default();
        self.counted.extend(backlog.into_iter().filter(is_left).map(|(channel, _)| channel));
        Ok(())
    }

    /// Warns of deliveries that wait for a channel that is not configured, and of recent failures.
    fn report(&self, channel: &str, backlog: &Backlog) {
        let set = |kind: &str, text: Option<String>| {
            let about = Subject::Channel(format!("{channel}: {kind}"));
            match text {
                Some(text) => self.desk.health.report(about, text),
                None => self.desk.health.resolve(&about),
            }
        };
        let is_missing = !self.channels.has(channel) && backlog.waiting > 0;
        let missing = || {
            format!(
                "{} rewards wait for the channel {channel}, which is not configured; configure it, or `plaudit rewards redeliver` them, with --to-new-payer those that were sent",
                backlog.waiting
            )
        };
        set("missing", is_missing.then(missing));
        let failed = || {
            format!(
                "{} rewards of the channel {channel} have failed within the last hour, {} in all; `plaudit rewards list --state failed` names them",
                backlog.failed_lately, backlog.failed
            )
        };
        set("failed", (backlog.failed_lately > 0).then(failed));
        // An endpoint with no waiting deliveries is not asked, so no answer would end its warning.
        if backlog.waiting == 0 {
            self.desk.health.resolve(&Subject::Channel(channel.to_owned()));
        }
    }
}

/// Decides how an overdue delivery ends, by the state of its grant.
fn given_up(report: &Report, grant: Option<RewardState>) -> GivenUp {
    let Report { due, noted, .. } = report;
    // A reward that was sent again after its delivery, or confirmed before it was sent, has not
    // reached its payer by this delivery. If it does in the meantime, that event settles the
    // delivery later.
    let is_repeat = due.redeliveries > 0 || due.is_acknowledged;
    let (state, reason) = match grant {
        Some(RewardState::Delivered) if !is_repeat => (DeliveryState::Delivered, None),
        Some(RewardState::Revoked) => (DeliveryState::Revoked, None),
        _ => (DeliveryState::Failed, noted.attempt.error.clone()),
    };
    let (lane, grant, channel) = (due.lane, due.reward.grant, due.channel.clone());
    GivenUp { lane, grant, channel, state, reason }
}
