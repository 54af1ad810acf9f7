//! A user's history as a table for people: one line per event.

use serde_json::{Map, Value};

/// The header of the table.
pub const HEAD: &str = "   seq  stored at             position  event                task                  period      details";

/// Formats an event of the HTTP interface as a line under [`HEAD`].
pub fn row(event: &Value) -> String {
    let payload = event["payload"].as_object().cloned().unwrap_or_default();
    let reward = payload.get("reward").unwrap_or(&Value::Null);
    let period = [payload.get("period"), reward.get("period")].into_iter().flatten().next();
    let period = period.map_or(String::new(), |period| plain(period.get("key").unwrap_or(period)));
    let stored_at = plain(&event["recorded_at"]);
    let unreadable = event.get("unreadable").filter(|reason| !reason.is_null());
    let unreadable = unreadable.map(|reason| format!("CAN'T BE READ: {}", plain(reason)));
    let details: Vec<String> = details(&payload).chain(unreadable).collect();
    format!(
        "{:>6}  {:<20}  {:<8}  {:<19}  {:<20}  {period:<10}  {}  <- {}",
        plain(&event["sequence"]),
        // Cut to seconds; JSON has the full time.
        stored_at
            .split('.')
            .next()
            .map_or(String::new(), |time| format!("{}Z", time.trim_end_matches('Z'))),
        plain(&event["position"]),
        plain(&event["type"]),
        plain(&event["task"]),
        details.join(", "),
        cause(event),
    )
    .trim_end()
    .to_owned()
}

/// The fields of an event that have no column of their own.
fn details(payload: &Map<String, Value>) -> impl Iterator<Item = String> {
    let in_columns = ["type", "task", "version", "period", "at", "closes_at"];
    payload.iter().filter(move |(name, _)| !in_columns.contains(&name.as_str())).map(
        |(name, value)| match value {
            Value::Array(rewards) if name == "rewards" && rewards.is_empty() => {
                "no rewards".to_owned()
            }
            Value::Array(rewards) if name == "rewards" => {
                rewards.iter().map(reward).collect::<Vec<_>>().join(" + ")
            }
            Value::Object(_) if name == "reward" => reward(value),
            other => format!("{name} {}", plain(other)),
        },
    )
}

/// Formats a reward, such as `100 coin (line coins, grant 106e4ee3-…)`.
fn reward(reward: &Value) -> String {
    let [amount, code, line, grant] =
        ["amount", "code", "line", "grant"].map(|name| plain(&reward[name]));
    format!("{amount} {code} (line {line}, grant {grant})")
}

fn cause(event: &Value) -> String {
    let cause = &event["cause"];
    let at = &event["source_position"];
    let place = match at {
        Value::Null => String::new(),
        at => format!(
            " ({}/{}@{})",
            plain(&at["topic"]),
            plain(&at["partition"]),
            plain(&at["offset"])
        ),
    };
    let action = &cause["action"];
    let named = |name: &str| cause[name].as_str();
    if action.is_object() {
        let [kind, id, source] = ["type", "id", "source"].map(|name| plain(&action[name]));
        let via = match (named("parked"), named("backfill")) {
            (Some(parked), _) => format!(", parked as {parked}"),
            (None, Some(task)) => format!(", counted by the backfill of {task}"),
            (None, None) => String::new(),
        };
        return format!("action {kind} {id} from {source}{place}{via}");
    }
    if let Some(request) = named("request") {
        let command = named("command").map(|command| format!(" ({command})"));
        return format!("request {request}{}", command.unwrap_or_default());
    }
    if let Some(parked) = named("parked") {
        return format!("parked record {parked}{place}");
    }
    if let Some(task) = named("backfill") {
        return format!("backfill of {task}");
    }
    if let Some(what) = named("sweeper") {
        return format!("sweeper of {what}");
    }
    named("follower").or(named("command")).unwrap_or("unknown").to_owned()
}

/// A value as text: without quotes, and empty for null.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_origin_is_named_as_the_cause() {
        let of = |cause: Value| super::cause(&json!({ "cause": cause, "source_position": null }));
        assert_eq!(of(json!({ "sweeper": "rewards" })), "sweeper of rewards");
        assert_eq!(of(json!({ "backfill": "veteran" })), "backfill of veteran");
        assert_eq!(of(json!({ "parked": "8d1f" })), "parked record 8d1f");
        assert_eq!(of(json!({ "request": "01a2", "command": "adjust" })), "request 01a2 (adjust)");
        assert_eq!(of(json!({ "follower": "delivery" })), "delivery");
        let action = json!({ "source": "/s", "id": "a", "type": "t" });
        let released = of(json!({ "action": action, "parked": "8d1f" }));
        assert_eq!(released, "action t a from /s, parked as 8d1f");
        assert_eq!(of(json!({})), "unknown", "appended by stock code");
    }

    #[test]
    fn an_event_is_one_line_with_its_cause() {
        let progress = json!({
            "sequence": 4, "position": "20:4", "type": "progress_recorded", "recorded_at": "2026-11-24T03:45:03.123456Z",
            "task": "first-team", "cause": {"action": {"source": "/teams", "id": "t-1", "type": "team.formed"}},
            "source_position": {"topic": "plaudit.actions", "partition": 3, "offset": 17},
            "payload": {"type": "progress_recorded", "task": "first-team", "version": 1, "at": "2026-11-24T03:45:03Z",
                "period": {"key": "once"}, "credited": 1, "progress": 1, "target": 1},
        });
        assert_eq!(
            row(&progress),
            "     4  2026-11-24T03:45:03Z  20:4      progress_recorded    first-team            once        \
             credited 1, progress 1, target 1  <- action team.formed t-1 from /teams (plaudit.actions/3@17)"
        );
        let claimed = json!({
            "sequence": 5, "position": "20:5", "type": "rewards_claimed", "recorded_at": "2026-11-24T03:45:04Z",
            "task": "first-team", "cause": {"request": "01a2"}, "source_position": null,
            "payload": {"task": "first-team", "period": {"key": "once"}, "milestone": 1, "rewards": [
                {"grant": "106e", "line": "coins", "kind": "currency", "code": "coin", "amount": 100}]},
        });
        let row = row(&claimed);
        assert!(
            row.ends_with("milestone 1, 100 coin (line coins, grant 106e)  <- request 01a2"),
            "{row}"
        );
    }
}
