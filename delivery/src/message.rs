//! A reward as payers read it: a CloudEvent whose id is the grant.

use plaudit_domain::cloud_event::{CloudEvent, STRUCTURED_UTF8};
use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::Reward;
use plaudit_event_store::deliveries::Due;
use rdkafka::message::{Header, OwnedHeaders};
use serde::Serialize;
use serde_json::json;

/// The type of a reward that is to be paid.
const GRANTED: &str = "plaudit.reward.granted";

/// The type of a message that pays nothing.
const TEST: &str = "plaudit.reward.test";

/// The duty of the reader of a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Pay it.
    ToPay,
    /// Nothing but read it: a webhook leads to the payer.
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

/// The CloudEvent in structured mode. A copy says so by the extension attribute `plauditcopy`.
pub fn body(user: &UserId, reward: &Reward, role: Role) -> String {
    body_of_type(GRANTED, user, reward, role)
}

/// A message of the same shape by which an endpoint is tested. It pays nothing.
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

/// What tells a consumer how to read it.
pub fn headers() -> OwnedHeaders {
    OwnedHeaders::new().insert(Header { key: "content-type", value: Some(STRUCTURED_UTF8) })
}
