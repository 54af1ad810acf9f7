//! The message to a payer: a CloudEvent whose id is the grant.

use plaudit_domain::cloud_event::{CloudEvent, STRUCTURED_UTF8};
use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::Reward;
use plaudit_event_store::deliveries::Due;
use rdkafka::message::{Header, OwnedHeaders};
use serde::Serialize;
use serde_json::json;

/// CloudEvents type of a reward that must be paid.
const GRANTED: &str = "plaudit.reward.granted";

/// CloudEvents type of a test message, which must not be paid.
const TEST: &str = "plaudit.reward.test";

/// The duty of the reader of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The reader must pay the reward.
    ToPay,
    /// The reader must not pay: the payer gets the reward by a webhook.
    Copy,
}

impl Role {
    /// The role of a message about a due delivery.
    pub fn of(due: &Due) -> Self {
        if due.pays { Self::ToPay } else { Self::Copy }
    }
}

/// A CloudEvent with the extension attribute of a copy.
#[derive(Serialize)]
struct Copied<'a, D: Serialize> {
    #[serde(flatten)]
    event: CloudEvent<'a, D>,
    plauditcopy: bool,
}

/// Builds the CloudEvent in structured mode. A copy has the extension attribute `plauditcopy`.
pub fn body(user: &UserId, reward: &Reward, role: Role) -> String {
    body_of_type(GRANTED, user, reward, role)
}

/// Builds a message of the same shape that tests an endpoint and pays nothing.
pub fn test_body(user: &UserId, reward: &Reward) -> String {
    body_of_type(TEST, user, reward, Role::ToPay)
}

fn body_of_type(kind: &str, user: &UserId, reward: &Reward, role: Role) -> String {
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
    let event = CloudEvent { id: &id, source: "/plaudit", kind, subject, time, data };
    match role {
        Role::ToPay => event.to_json(),
        Role::Copy => serde_json::to_string(&Copied { event, plauditcopy: true })
            .expect("the data of a CloudEvent can be written as JSON"),
    }
}

/// The Kafka headers: the content type of the body.
pub fn headers() -> OwnedHeaders {
    OwnedHeaders::new().insert(Header { key: "content-type", value: Some(STRUCTURED_UTF8) })
}
