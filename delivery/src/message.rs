//! A reward as payers read it: a CloudEvent whose id is the grant.

use plaudit_domain::cloud_event::{CloudEvent, STRUCTURED_UTF8};
use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::Reward;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::json;

/// The type of a reward that is to be paid.
const GRANTED: &str = "plaudit.reward.granted";

/// The type of a message that pays nothing.
const TEST: &str = "plaudit.reward.test";

/// The CloudEvent in structured mode.
pub fn body(user: &UserId, reward: &Reward) -> String {
    body_of_type(GRANTED, user, reward)
}

/// A message of the same shape by which an endpoint is tested. It pays nothing.
pub fn test_body(user: &UserId, reward: &Reward) -> String {
    body_of_type(TEST, user, reward)
}

fn body_of_type(kind: &str, user: &UserId, reward: &Reward) -> String {
    let id = reward.grant.to_string();
    let data = json!({
        "task": reward.task,
        "period": reward.period,
        "milestone": reward.milestone,
        "line": reward.line,
        "kind": reward.kind,
        "code": reward.code,
        "amount": reward.amount,
        "reached_at": reward.reached_at,
    });
    let (subject, time) = (user.as_str(), reward.reached_at);
    CloudEvent { id: &id, source: "/plaudit", kind, subject, time, data }.to_json()
}

/// What tells a consumer how to read it.
pub fn headers() -> OwnedHeaders {
    OwnedHeaders::new().insert(Header { key: "content-type", value: Some(STRUCTURED_UTF8) })
}
