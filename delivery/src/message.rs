//! A reward as payers read it: a CloudEvent whose id is the grant.

use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::Reward;
use plaudit_event_store::deliveries::Due;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::json;

/// What its reader is to do with a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Pay it.
    ToPay,
    /// Nothing but read it: a webhook leads to the payer.
    Copy,
}

impl Role {
    pub fn of(due: &Due) -> Self {
        if due.pays { Self::ToPay } else { Self::Copy }
    }
}

/// The CloudEvent in structured mode. A copy says so by the extension attribute `plauditcopy`.
pub fn body(user: &UserId, reward: &Reward, role: Role) -> String {
    let mut event = json!({
        "specversion": "1.0",
        "id": reward.grant,
        "source": "/plaudit",
        "type": "plaudit.reward.granted",
        "subject": user,
        "time": reward.reached_at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "task": reward.task,
            "period": reward.period,
            "milestone": reward.milestone,
            "line": reward.line,
            "kind": reward.kind,
            "code": reward.code,
            "amount": reward.amount,
            "reached_at": reward.reached_at.to_string(),
        },
    });
    if role == Role::Copy {
        event["plauditcopy"] = true.into();
    }
    event.to_string()
}

/// What tells a consumer how to read it.
pub fn headers() -> OwnedHeaders {
    let value = Some("application/cloudevents+json; charset=UTF-8");
    OwnedHeaders::new().insert(Header { key: "content-type", value })
}
