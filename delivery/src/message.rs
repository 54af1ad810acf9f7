//! A reward as payers read it: a CloudEvent whose id is the grant.

use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::Reward;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::json;

/// The CloudEvent in structured mode.
pub fn body(user: &UserId, reward: &Reward) -> String {
    json!({
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
    })
    .to_string()
}

/// What tells a consumer how to read it.
pub fn headers() -> OwnedHeaders {
    let value = Some("application/cloudevents+json; charset=UTF-8");
    OwnedHeaders::new().insert(Header { key: "content-type", value })
}
