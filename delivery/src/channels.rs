//! The channels of the configuration: they choose the payer of each grant.
//!
//! Every grant is published to the topic of rewards. The first webhook with a matching pattern
//! leads to its payer; without one the topic does.

mod pattern;
mod secrets;

use std::collections::BTreeSet;
use std::time::Duration;

use plaudit_event_store::deliveries::{PayerRoutes, RETRY_FOR};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::webhook::Secret;
use crate::webhook::address::may_be_reached;
pub use pattern::GrantPattern;

/// The configured channels.
#[derive(Debug, Clone)]
pub struct Channels {
    /// The topic.
    pub kafka: KafkaChannel,
    /// In the order in which they are matched against a grant.
    pub webhooks: Vec<WebhookChannel>,
}

/// The way in which a payer confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// No confirmation: a message that the broker or the endpoint accepted counts as delivered.
    None,
    /// By the action `plaudit.reward.delivered` or `plaudit.reward.failed`.
    Action,
    /// By a 2xx of the webhook.
    Response,
}

/// The topic of rewards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaChannel {
    /// The way in which its payers confirm.
    pub ack: Ack,
    /// Time limit for a confirmation.
    pub ack_within: Duration,
}

/// An endpoint that receives grants.
#[derive(Debug, Clone)]
pub struct WebhookChannel {
    /// Name of the channel in tables, metrics and logs.
    pub name: String,
    /// Address of the endpoint.
    pub url: Url,
    /// Every message is signed with each of them, so that they can be replaced one after the other.
    pub secrets: Vec<Secret>,
    /// The grants that it takes.
    pub grants: Vec<GrantPattern>,
    /// The way in which the payer confirms.
    pub ack: Ack,
    /// Time limit for a confirmation by an action.
    pub ack_within: Duration,
    /// Maximum number of messages on their way at once, over all processes.
    pub concurrency: usize,
    /// Maximum number of messages begun per second, over all processes; `None` for no limit.
    pub rate_per_second: Option<f64>,
    /// Time limit for one attempt.
    pub timeout: Duration,
    /// Time after which a message is no longer tried.
    pub retry_for: Duration,
    /// True if addresses of private networks and of this machine may be reached.
    pub allow_private: bool,
}

/// Default time limit for a confirmation by an action: a payer may be down over a weekend.
const ACK_WITHIN: Duration = Duration::from_secs(72 * 3_600);
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const CONCURRENCY: usize = 8;
const CONCURRENCY_MAX: usize = 256;
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 10_000.0;
/// Maximum of `ack_within` and `retry_for`, in days. Anything longer is a mistake.
const DAYS_MAX: u64 = 365;
const SECRETS_MAX: usize = 4;
const CHANNELS_MAX: usize = 64;
/// The name of the channel of the topic.
pub const KAFKA: &str = plaudit_event_store::deliveries::IN_ORDER;

/// A channel as written in the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    r#type: Type,
    url: Option<String>,
    #[serde(default, deserialize_with = "secrets::list")]
    secrets: Vec<String>,
    grants: Option<Vec<GrantPattern>>,
    ack: Option<Ack>,
    ack_within: Option<String>,
    concurrency: Option<usize>,
    rate_per_second: Option<f64>,
    timeout: Option<String>,
    retry_for: Option<String>,
    #[serde(default)]
    allow_private: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    Kafka,
    Webhook,
}

impl Default for Channels {
    fn default() -> Self {
        let kafka = KafkaChannel { ack: Ack::Action, ack_within: ACK_WITHIN };
        Self { kafka, webhooks: Vec::new() }
    }
}

impl Channels {
    /// Parses `rewards.channels`, a JSON array. Returns all errors, each with the channel it is
    /// about.
    pub fn parse(json: &str) -> Result<Self, Vec<String>> {
        let list = match serde_json::from_str(json) {
            Ok(Value::Array(list)) => list,
            Ok(_) => return Err(vec!["must be a JSON array of channels".to_owned()]),
            Err(error) => return Err(vec![format!("must be a JSON array of channels: {error}")]),
        };
        let (mut channels, mut errors, mut names) = (Self::default(), Vec::new(), Vec::new());
        if list.len() > CHANNELS_MAX {
            errors.push(format!("{} channels; at most {CHANNELS_MAX} are possible", list.len()));
        }
        for (index, entry) in list.into_iter().enumerate() {
            let shown = entry.get("name").and_then(Value::as_str).unwrap_or("without a name");
            let place = format!("channel {} ({shown})", index + 1);
            if !entry.is_object() {
                errors.push(format!("{place}: must be an object"));
                continue;
            }
            match serde_json::from_value::<Written>(entry) {
                Ok(written) => {
                    if names.contains(&written.name) {
                        errors.push(format!("{place}: another channel has this name"));
                    }
                    names.push(written.name.clone());
                    let mut faults = Vec::new();
                    channels.add(written, &mut faults);
                    errors.extend(faults.into_iter().map(|fault| format!("{place}: {fault}")));
                }
                Err(error) => errors.push(format!("{place}: {error}")),
            }
        }
        errors.extend(channels.never_reached());
        // Errors quote the configuration, and a secret may stand in the wrong field.
        let shown = errors.iter().map(|error| secrets::hide(error)).collect();
        if errors.is_empty() { Ok(channels) } else { Err(shown) }
    }

    fn add(&mut self, written: Written, faults: &mut Vec<String>) {
        match written.r#type {
            Type::Kafka => self.set_kafka(&written, faults),
            Type::Webhook => self.webhooks.extend(webhook(written, faults)),
        }
    }

    fn set_kafka(&mut self, written: &Written, faults: &mut Vec<String>) {
        if written.name != KAFKA {
            faults.push(format!(
                "the channel of the type kafka is named {KAFKA}; `kafka.rewards_topic` is its topic"
            ));
        }
        let of_webhooks = [
            ("url", written.url.is_some()),
            ("secrets", !written.secrets.is_empty()),
            ("grants", written.grants.is_some()),
            ("concurrency", written.concurrency.is_some()),
            ("rate_per_second", written.rate_per_second.is_some()),
            ("timeout", written.timeout.is_some()),
            ("retry_for", written.retry_for.is_some()),
            ("allow_private", written.allow_private),
        ];
        for (field, _) in of_webhooks.into_iter().filter(|(_, is_set)| *is_set) {
            faults.push(format!("`{field}` is for webhooks; the topic gets every grant"));
        }
        if written.ack == Some(Ack::Response) {
            faults.push("`ack` of the topic must be none or action".to_owned());
        }
        self.kafka.ack = written.ack.unwrap_or(Ack::Action);
        let ack_within = written.ack_within.as_deref();
        self.kafka.ack_within = days("ack_within", ack_within, ACK_WITHIN, faults);
    }

    /// Returns an error for each webhook all of whose patterns are covered by those of earlier ones:
    /// it would never get a reward.
    fn never_reached(&self) -> Vec<String> {
        let mut errors = Vec::new();
        for (place, channel) in self.webhooks.iter().enumerate() {
            let earlier = &self.webhooks[..place];
            let covering = |pattern: &GrantPattern| {
                earlier.iter().find(|other| other.grants.iter().any(|p| p.covers(pattern)))
            };
            let before: Option<BTreeSet<&str>> = channel
                .grants
                .iter()
                .map(|pattern| Some(covering(pattern)?.name.as_str()))
                .collect();
            let Some(before) = before.filter(|names| !names.is_empty()) else { continue };
            let (name, before) = (&channel.name, Vec::from_iter(before).join(" and "));
            errors.push(format!(
                "the channel {name} never gets a reward: {before} before it takes all that `grants` of {name} \
                 names; put {name} first, or narrow `grants` of {before}"
            ));
        }
        errors
    }

    /// The webhook that leads to the payer of such a reward; `None` if the topic does.
    pub fn payer_of(&self, kind: &str, code: &str) -> Option<&WebhookChannel> {
        self.webhooks.iter().find(|channel| channel.grants.iter().any(|p| p.fits(kind, code)))
    }

    /// The channel that leads to each payer, for redeliveries. Unknown without webhooks: this
    /// process may just not know them, such as a command line with another configuration.
    pub fn routes(&self) -> PayerRoutes {
        if self.webhooks.is_empty() {
            return PayerRoutes::unknown();
        }
        let channels = self.clone();
        PayerRoutes::new(move |kind, code| {
            let payer = channels.payer_of(kind, code);
            Some(payer.map_or(KAFKA, |channel| channel.name.as_str()).to_owned())
        })
    }

    /// The names of all channels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(KAFKA).chain(self.webhooks.iter().map(|channel| channel.name.as_str()))
    }

    /// Returns true if there is a channel of this name.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

fn webhook(written: Written, faults: &mut Vec<String>) -> Option<WebhookChannel> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let name = written.name;
    if name == KAFKA || name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
        faults.push(format!("a name is 1 to 64 of a-z 0-9 . _ - and not {KAFKA}"));
    }
    let url = url(written.url.as_deref(), written.allow_private).map_err(|e| faults.push(e)).ok();
    if written.secrets.is_empty() || written.secrets.len() > SECRETS_MAX {
        faults.push(format!(
            "`secrets` has 1 to {SECRETS_MAX} secrets; `openssl rand -base64 32 | sed s/^/whsec_/` makes one"
        ));
    }
    let mut secrets = Vec::new();
    for secret in &written.secrets {
        secrets.extend(Secret::parse(secret).map_err(|error| faults.push(error)).ok());
    }
    let grants = written.grants.unwrap_or_else(|| vec![GrantPattern::default()]);
    if grants.is_empty() {
        faults.push("`grants` names what goes there; without it everything does".to_owned());
    }
    let concurrency = written.concurrency.unwrap_or(CONCURRENCY);
    if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
        faults.push(format!("`concurrency` is 1 to {CONCURRENCY_MAX}"));
    }
    if written.rate_per_second.is_some_and(|rate| !(RATE_MIN..=RATE_MAX).contains(&rate)) {
        faults.push(format!("`rate_per_second` is {RATE_MIN} to {RATE_MAX}"));
    }
    let timeout = duration("timeout", written.timeout.as_deref(), TIMEOUT, faults);
    if timeout > TIMEOUT_MAX {
        faults.push(format!("`timeout` is at most PT{}S", TIMEOUT_MAX.as_secs()));
    }
    let ack_within = days("ack_within", written.ack_within.as_deref(), ACK_WITHIN, faults);
    let retry_for = days("retry_for", written.retry_for.as_deref(), RETRY_FOR, faults);
    Some(WebhookChannel {
        name,
        url: url?,
        secrets,
        grants,
        ack: written.ack.unwrap_or(Ack::Response),
        ack_within,
        concurrency,
        rate_per_second: written.rate_per_second,
        timeout,
        retry_for,
        allow_private: written.allow_private,
    })
}

/// Parses and checks the address of an endpoint.
pub fn url(text: Option<&str>, allow_private: bool) -> Result<Url, String> {
    let text = text.ok_or("`url` is missing")?;
    let url: Url = text.parse().map_err(|error| format!("`url` is not a valid URL: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        "http" => {
            return Err(
                "`url` is not https; http is for private networks, with `allow_private = true`"
                    .to_owned(),
            );
        }
        other => return Err(format!("`url` must begin with https, not {other}")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`url` has a user or a password; the signature says who sends".to_owned());
    }
    let literal = url.host_str().map(|host| host.trim_matches(['[', ']']));
    if let Some(address) = literal.and_then(|host| host.parse().ok())
        && !allow_private
    {
        may_be_reached(address).map_err(|why| {
            format!("`url` leads to {address}, {why}; `allow_private = true` allows it")
        })?;
    }
    Ok(url)
}

/// Parses a duration of up to [`DAYS_MAX`].
fn days(
    field: &str,
    written: Option<&str>,
    default: Duration,
    faults: &mut Vec<String>,
) -> Duration {
    let read = duration(field, written, default, faults);
    if read > Duration::from_secs(DAYS_MAX * 24 * 3_600) {
        faults.push(format!("`{field}` is at most P{DAYS_MAX}D"));
        return default;
    }
    read
}

fn duration(
    field: &str,
    written: Option<&str>,
    default: Duration,
    faults: &mut Vec<String>,
) -> Duration {
    let Some(text) = written else { return default };
    match plaudit_domain::duration::seconds(text).map(u64::try_from) {
        Ok(Ok(seconds)) if seconds > 0 => Duration::from_secs(seconds),
        _ => {
            faults.push(format!(
                "`{field}` must be a duration above zero, such as PT10S, got {text:?}"
            ));
            default
        }
    }
}

#[cfg(test)]
mod tests;
