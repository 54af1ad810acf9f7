//! The sender of one endpoint.

use std::time::{Duration, Instant};

use plaudit_domain::user_tasks::Verdict;
use plaudit_event_store::deliveries::{self, DeliveryState, Due, Noted};
use plaudit_followers::{Subject, backoff};
use sqlx::PgConnection;
use uuid::Uuid;

use super::circuit::Circuit;
use super::posts::Posts;
use super::rate::Slots;
use super::{Client, Posted, Reply};
use crate::channels::{Ack, WebhookChannel};
use crate::message::{self, Role};
use crate::senders::{Desk, Report};
use crate::waits;

/// Number of messages that are read ahead, per message that may be on its way.
const READ_AHEAD: usize = 4;
/// Time for which messages that were read ahead may be sent. Changes to their rewards are seen no
/// later than that.
const READY_MAX: Duration = Duration::from_secs(1);
/// Longest wait for answers before the sender looks for due deliveries again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Posts to one endpoint.
pub struct WebhookSender {
    pub desk: Desk,
    pub channel: WebhookChannel,
    pub client: Client,
}

/// Messages that are on their way or ready, and the limits on further ones.
struct Traffic {
    circuit: Circuit,
    posts: Posts,
    /// Read ahead and not sent yet, in reverse order.
    ready: Vec<Due>,
    read_at: Instant,
    slots: Slots,
    /// True if the last look found nothing due.
    is_drained: bool,
}

impl WebhookSender {
    pub async fn run(mut self) {
        let mut traffic = Traffic {
            circuit: Circuit::new(),
            posts: Posts::default(),
            ready: Vec::new(),
            read_at: Instant::now(),
            slots: Slots::new(Instant::now()),
            is_drained: false,
        };
        self.desk.in_flight.forget(&self.channel.name);
        // Apart from the endpoint's problem, which an answer resolves.
        let rounds = Subject::Channel(format!("{}: rounds", self.channel.name));
        let mut waits = backoff();
        while !self.desk.stop.is_cancelled() {
            match self.turn(&mut traffic).await {
                Ok(()) => {
                    waits = backoff();
                    self.desk.health.resolve(&rounds);
                }
                Err(reason) => {
                    metrics::counter!("plaudit_delivery_failures_total").increment(1);
                    let name = &self.channel.name;
                    let text = format!("the channel {name} makes no progress: {reason}");
                    self.desk.health.report(rounds.clone(), text);
                    self.desk.pause(waits.next().unwrap_or_default()).await;
                }
            }
        }
        // Messages on their way are answered or time out soon; those whose outcome is not stored
        // are sent again.
        let mut reports = Vec::new();
        while let Some((due, posted)) = traffic.posts.next().await {
            reports.push(self.outcome_of(due, posted, &mut traffic.circuit));
        }
        if let Err(error) = self.desk.store(reports).await {
            tracing::warn!(%error, channel = self.channel.name, "the last attempts are not stored; they are made again");
        }
    }

    async fn turn(&mut self, traffic: &mut Traffic) -> Result<(), String> {
        self.collect(traffic, None).await?;
        self.fill(traffic).await?;
        let allowed = traffic.circuit.allows(self.concurrency(), Instant::now());
        while traffic.posts.len() < allowed && traffic.slots.are_open(Instant::now()) {
            let Some(due) = traffic.ready.pop() else { break };
            // No attempt begins once its delivery may be given up, or another process has the lane.
            let is_in_time = due.time_left.is_none_or(|left| traffic.read_at.elapsed() < left);
            if is_in_time && self.desk.may_send_from(due.lane) {
                self.post(due, traffic);
            }
        }
        self.wait(traffic).await
    }

    /// Reads due messages ahead. Those that can't be sent soon are dropped: they may be given up or
    /// revoked in the meantime.
    async fn fill(&mut self, traffic: &mut Traffic) -> Result<(), String> {
        let now = Instant::now();
        let allowed = traffic.circuit.allows(self.concurrency(), now);
        if allowed == 0 || now.duration_since(traffic.read_at) >= READY_MAX {
            traffic.ready.clear();
        }
        let is_full = traffic.posts.len() >= allowed;
        if !traffic.ready.is_empty() || is_full || !traffic.slots.are_open(now) {
            return Ok(());
        }
        traffic.read_at = now;
        let lanes = self.desk.lanes();
        let limit = traffic.posts.len() + self.ahead(allowed, &traffic.circuit);
        let (name, limit) = (&self.channel.name, i64::try_from(limit).unwrap_or(i64::MAX));
        let take = async |connection: &mut PgConnection| {
            deliveries::next_due(name, &lanes, limit, connection).await
        };
        let mut due = self.desk.call(take).await.map_err(|error| error.to_string())?;
        due.retain(|due| !self.desk.in_flight.has(name, due.reward.grant));
        traffic.ready = self.desk.clear(due).await.map_err(|error| error.to_string())?;
        traffic.ready.reverse();
        traffic.is_drained = traffic.ready.is_empty();
        Ok(())
    }

    /// Number of messages to read ahead: no more than can be begun within [`READY_MAX`].
    fn ahead(&self, allowed: usize, circuit: &Circuit) -> usize {
        if circuit.is_open() {
            return 1;
        }
        let begun = self.interval().map(|interval| {
            let begun = READY_MAX.as_nanos() / interval.as_nanos().max(1);
            usize::try_from(begun).unwrap_or(usize::MAX).max(1)
        });
        (allowed * READ_AHEAD).min(begun.unwrap_or(usize::MAX))
    }

    /// This process's share of the messages on their way; at least 1.
    fn concurrency(&self) -> usize {
        (self.channel.concurrency / self.desk.processes()).max(1)
    }

    /// Minimum time between the beginnings of two messages, by this process's share of the rate.
    fn interval(&self) -> Option<Duration> {
        let processes = f64::from(u32::try_from(self.desk.processes()).unwrap_or(u32::MAX));
        self.channel.rate_per_second.map(|rate| Duration::from_secs_f64(processes / rate))
    }

    fn post(&self, due: Due, traffic: &mut Traffic) {
        traffic.slots.take(self.interval(), Instant::now());
        self.desk.in_flight.add(&self.channel.name, due.reward.grant);
        let (client, channel) = (self.client.clone(), &self.channel);
        let (url, secrets) = (channel.url.clone(), channel.secrets.clone());
        let (id, user, reward) =
            (due.reward.grant.to_string(), due.user.clone(), due.reward.clone());
        traffic.posts.add(due, async move {
            let body = message::body(&user, &reward, Role::ToPay);
            client.post(&url, &secrets, &id, body).await
        });
    }

    /// Waits for an answer, or until something may be sent.
    async fn wait(&mut self, traffic: &mut Traffic) -> Result<(), String> {
        let now = Instant::now();
        let retry_at = traffic.circuit.retry_at().unwrap_or(now);
        let at = (now + LOOK_EVERY).min(traffic.slots.open_at().max(retry_at).max(now));
        if traffic.posts.is_empty() {
            if traffic.is_drained {
                self.desk.rest().await;
            } else {
                self.desk.pause(at.duration_since(now)).await;
            }
            return Ok(());
        }
        let full = traffic.posts.len() >= traffic.circuit.allows(self.concurrency(), now);
        let wait = if full || traffic.is_drained { LOOK_EVERY } else { at.duration_since(now) };
        let stop = self.desk.stop.clone();
        let answered = tokio::select! {
            answered = traffic.posts.next() => answered,
            () = tokio::time::sleep(wait) => None,
            () = stop.cancelled() => None,
        };
        self.collect(traffic, answered).await
    }

    /// Stores all answers that have arrived.
    async fn collect(
        &mut self,
        traffic: &mut Traffic,
        first: Option<(Due, Posted)>,
    ) -> Result<(), String> {
        let mut reports = Vec::new();
        let mut next = first;
        while let Some((due, posted)) = next.or_else(|| traffic.posts.try_next()) {
            next = None;
            reports.push(self.outcome_of(due, posted, &mut traffic.circuit));
        }
        let grants: Vec<Uuid> = reports.iter().map(|r| r.due.reward.grant).collect();
        let stored = self.desk.store(reports).await;
        for grant in grants {
            self.desk.in_flight.remove(&self.channel.name, grant);
        }
        // They were read before these outcomes could be stored, and may be out of date.
        if stored.is_err() {
            traffic.ready.clear();
        }
        stored.map_err(|error| error.to_string())
    }

    /// Derives the outcome of a message from its answer.
    fn outcome_of(&self, due: Due, posted: Posted, circuit: &mut Circuit) -> Report {
        let Posted { reply, retry_after, attempt } = posted;
        self.note_circuit(reply, retry_after, attempt.error.as_deref(), circuit);
        let confirms = self.channel.ack != Ack::Action;
        let (state, verdict) = match reply {
            Reply::Accepted if confirms => (DeliveryState::Delivered, Some(Verdict::Delivered)),
            Reply::Accepted => (DeliveryState::Sent, None),
            Reply::Refused => {
                let reason = attempt.error.clone().unwrap_or_default();
                (DeliveryState::Failed, Some(Verdict::Failed { reason }))
            }
            Reply::Rejected | Reply::Unavailable | Reply::Failed => (DeliveryState::Waiting, None),
        };
        let noted = Noted {
            lane: due.lane,
            grant: due.reward.grant,
            state,
            redeliveries: due.redeliveries,
            wait: waits::of_message(due.attempts + 1).max(retry_after.unwrap_or_default()),
            acknowledged_within: self.channel.ack_within,
            attempt,
        };
        Report { due, verdict, noted }
    }

    fn note_circuit(
        &self,
        reply: Reply,
        retry_after: Option<Duration>,
        error: Option<&str>,
        circuit: &mut Circuit,
    ) {
        let (name, result) = (
            &self.channel.name,
            match reply {
                Reply::Accepted => "accepted",
                Reply::Refused => "refused",
                Reply::Rejected => "rejected",
                Reply::Unavailable => "unavailable",
                Reply::Failed => "failed",
            },
        );
        metrics::counter!(
            "plaudit_delivery_attempts_total", "channel" => name.clone(), "result" => result
        )
        .increment(1);
        if circuit.learn(reply, retry_after, Instant::now()) {
            self.desk.health.resolve(&Subject::Channel(name.clone()));
        }
        if circuit.is_open() {
            let error = error.unwrap_or("no answer");
            self.report(format!("the channel {name} makes no progress, its rewards wait: {error}"));
        }
    }

    fn report(&self, text: String) {
        self.desk.health.report(Subject::Channel(self.channel.name.clone()), text);
    }
}
