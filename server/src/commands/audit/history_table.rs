//! A user's history as a table for people: one line per event.

use serde_json::{Map, Value};

/// The head of the table.
pub const HEAD: &str = "   seq  stored at             position  event                task                  period      details";

/// One event, as the HTTP interface describes it (`event`), as a line under [`HEAD`].
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
        // To the second; JSON has all of it.
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

/// What is not in a column of its own.
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

/// Such as `100 coin (line coins, grant 106e4ee3-…)`.
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
    match (action, &cause["request"], &cause["follower"]) {
        (Value::Object(_), _, _) => {
            let [kind, id, source] = ["type", "id", "source"].map(|name| plain(&action[name]));
            format!("action {kind} {id} from {source}{place}")
        }
        (_, Value::String(request), _) => format!("request {request}"),
        (_, _, Value::String(follower)) => follower.clone(),
        _ => "unknown".to_owned(),
    }
}

/// Text without quotes; null is nothing.
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
