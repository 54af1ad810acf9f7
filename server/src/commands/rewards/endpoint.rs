//! `plaudit rewards test-endpoint`: sends messages that pay nothing, and checks whether the
//! endpoint answers as a payer should.

use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use plaudit_delivery::webhook::{Client, Posted, Secret};
use plaudit_delivery::{channels, message};
use plaudit_domain::user_tasks::Reward;
use reqwest::Url;
use uuid::Uuid;

use crate::commands::serve;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::outln;

/// Time limit for an answer of the endpoint.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends a signed message, the same message again, and one with a wrong signature.
pub async fn test(
    config: &Config,
    url: &str,
    secret: Option<&str>,
    allow_private: bool,
) -> Result<ExitCode, Failure> {
    let url = channels::url(Some(url), allow_private).map_err(|fault| {
        Failure::new(
            fault
                .replace("`allow_private = true`", "--allow-private")
                .replace("`url`", "the address"),
        )
    })?;
    let secrets = secrets(config, &url, secret)?;
    let client = Client::new(TIMEOUT, allow_private)?;
    let reward = test_reward();
    let id = reward.grant.to_string();
    let user = "plaudit-test".parse().expect("it is written as the ids of users are");
    let body = message::test_body(&user, &reward);
    let strange = Secret::parse(&format!("whsec_{}", "c3RyYW5nZXI=".repeat(4).replace('=', "A")))
        .map_err(Failure::new)?;
    let tests: [(&str, &[Secret], bool); 3] = [
        ("a signed message", &secrets, true),
        ("the same message again", &secrets, true),
        ("a message with another signature", std::slice::from_ref(&strange), false),
    ];
    let mut is_right = true;
    for (what, signed_by, wants_2xx) in tests {
        let posted = client.post(&url, signed_by, &id, body.clone()).await;
        is_right &= report(what, &posted, wants_2xx);
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A reward of a task that is in no catalogue.
fn test_reward() -> Reward {
    let test = || "test".to_owned();
    Reward {
        grant: Uuid::new_v4(),
        task: "plaudit-test".parse().expect("it is written as the ids of tasks are"),
        version: 1,
        period: "once".to_owned().into(),
        milestone: 1,
        line: test(),
        kind: test(),
        code: test(),
        amount: 1,
        reached_at: Timestamp::now(),
    }
}

fn report(what: &str, posted: &Posted, wants_2xx: bool) -> bool {
    let attempt = &posted.attempt;
    let (status, error) = (attempt.status, attempt.error.as_deref());
    let is_right = match status {
        Some(status) if wants_2xx => (200..300).contains(&status),
        Some(status) => (400..500).contains(&status),
        None => false,
    };
    let verdict = if is_right { "ok   " } else { "WRONG" };
    let expected = if wants_2xx { "2xx" } else { "4xx" };
    let got = match (status, error) {
        (Some(status), _) => status.to_string(),
        (None, error) => error.unwrap_or("no answer").to_owned(),
    };
    outln!("{verdict}  {what}: expected {expected}, got {got} after {} ms", attempt.duration_ms);
    is_right
}

/// The given secret, or those of the channel with this address.
fn secrets(config: &Config, url: &Url, named: Option<&str>) -> Result<Vec<Secret>, Failure> {
    if let Some(named) = named {
        return Ok(vec![Secret::parse(named).map_err(Failure::new)?]);
    }
    let channels = serve::channels(config)?;
    let channel = channels.webhooks.into_iter().find(|channel| channel.url == *url);
    channel.map(|channel| channel.secrets).ok_or_else(|| {
        Failure::new("no channel of `rewards.channels` has this URL; pass the secret with --secret")
    })
}
