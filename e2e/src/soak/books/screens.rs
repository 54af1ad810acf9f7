//! Compares the screen and the rewards of every user.

use std::sync::Arc;

use futures::{TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Audit, must};
use crate::soak::action::user_name;
use crate::soak::error::SoakError;
use crate::soak::oracle::{UserBook, expected_screen, grants};

/// The number of users compared at the same time.
const AT_ONCE: usize = 8;

impl Audit {
    /// Compares every user. Returns their number.
    pub(super) async fn check_users(self: &Arc<Self>) -> Result<usize, SoakError> {
        stream::iter(self.books.iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |(user, book)| async move {
                self.check_screen(*user, book).await?;
                self.check_rewards(*user, book).await
            })
            .await?;
        Ok(self.books.len())
    }

    /// Compares a screen with the oracle's at the moment before and after the read, between which a
    /// period may end. It must equal one of them.
    async fn check_screen(&self, user: u32, book: &UserBook) -> Result<(), SoakError> {
        let name = user_name(user);
        let before = Timestamp::now();
        let path = ["v1", "users", &name, "tasks"];
        let read = || self.api.get(&path, &[]);
        let screen = must(&format!("the screen of {name}"), read).await?;
        let after = Timestamp::now();
        let tasks = screen["tasks"].as_array().cloned().unwrap_or_default();
        let shown: Vec<Value> = tasks.iter().map(comparable_task).collect();
        let expected = expected_screen(user, book, &self.claimed, before);
        let later = expected_screen(user, book, &self.claimed, after);
        if shown == expected || shown == later {
            return Ok(());
        }
        self.note_differing(user);
        for (kind, what) in differences(&shown, &later) {
            self.findings.add(kind, format!("{name} {what}"));
        }
        Ok(())
    }

    async fn check_rewards(&self, user: u32, book: &UserBook) -> Result<(), SoakError> {
        let name = user_name(user);
        let path = ["v1", "users", &name, "rewards"];
        let mut shown = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("limit", "50".to_owned())]; // some users need more than a page
            query.extend(after.take().map(|after| ("after", after)));
            let read = || self.api.get(&path, &query);
            let page = must(&format!("the rewards of {name}"), read).await?;
            let rewards = page["rewards"].as_array().cloned().unwrap_or_default();
            shown.extend(rewards.iter().map(comparable_reward));
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
        let mut expected: Vec<Value> = grants(user, book)
            .iter()
            .map(|grant| {
                let taken = grant.automatic || self.claimed.contains(&grant.id);
                json!({
                    "grant": grant.id, "task": grant.task, "period": grant.period,
                    "milestone": grant.milestone, "line": grant.reward.line,
                    "kind": grant.reward.kind, "code": grant.reward.code,
                    "amount": grant.reward.amount,
                    "state": if taken { "taken" } else { "claimable" },
                })
            })
            .collect();
        shown.sort_by_key(|reward| reward["grant"].to_string());
        expected.sort_by_key(|reward| reward["grant"].to_string());
        for reward in shown.iter().filter(|reward| !expected.contains(reward)) {
            self.findings.add("rewards: shown and not earned so", format!("{name}: {reward}"));
        }
        for reward in expected.iter().filter(|reward| !shown.contains(reward)) {
            self.findings.add("rewards: earned and not shown so", format!("{name}: {reward}"));
        }
        if shown != expected {
            self.note_differing(user);
        }
        if shown.len() != expected.len() {
            let what = format!("{name}: {} shown, {} earned", shown.len(), expected.len());
            self.findings.add("rewards: number", what);
        }
        Ok(())
    }
}

/// Returns the compared fields of a task in a normal form.
fn comparable_task(task: &Value) -> Value {
    let mut shown = json!({
        "id": task["id"], "kind": task["kind"], "order": task["order"], "state": task["state"],
        "locked_by": list(&task["locked_by"]), "period": comparable_period(&task["period"]),
        "progress": task["progress"], "target": task["target"],
        "milestones": comparable_milestones(&task["milestones"]),
        "unclaimed_from_earlier_periods":
            comparable_milestones(&task["unclaimed_from_earlier_periods"]),
    });
    if task["streak"].is_object() {
        let streak = &task["streak"];
        shown["streak"] = json!({
            "current": streak["current"], "longest": streak["longest"], "at_risk": streak["at_risk"],
        });
    }
    shown
}

fn comparable_milestones(milestones: &Value) -> Vec<Value> {
    let comparable = |milestone: &Value| {
        let mut rewards: Vec<Value> =
            list(&milestone["rewards"]).iter().map(comparable_line).collect();
        rewards.sort_by_key(|reward| reward["line"].to_string());
        let mut shown = json!({
            "at": milestone["at"], "reached_at": instant(&milestone["reached_at"]),
            "rewards": rewards,
        });
        if milestone["period"].is_object() {
            shown["period"] = comparable_period(&milestone["period"]);
        }
        shown
    };
    list(milestones).iter().map(comparable).collect()
}

fn comparable_line(reward: &Value) -> Value {
    let mut shown = json!({
        "line": reward["line"], "kind": reward["kind"], "code": reward["code"],
        "amount": reward["amount"],
    });
    if !reward["grant"].is_null() {
        shown["grant"] = reward["grant"].clone();
        shown["state"] = settled(&reward["state"]);
    }
    shown
}

fn comparable_reward(reward: &Value) -> Value {
    let mut shown = json!({});
    for name in ["grant", "task", "period", "milestone", "line", "kind", "code", "amount"] {
        shown[name] = reward[name].clone();
    }
    shown["state"] = settled(&reward["state"]);
    shown
}

fn comparable_period(period: &Value) -> Value {
    json!({
        "key": period["key"], "starts_at": instant(&period["starts_at"]),
        "ends_at": instant(&period["ends_at"]),
    })
}

/// Treats `delivered` as `taken`, since by now all claimed rewards are delivered.
fn settled(state: &Value) -> Value {
    match state.as_str() {
        Some("delivered") => json!("taken"),
        _ => state.clone(),
    }
}

/// Normalizes a time, so that equal instants are equal.
fn instant(time: &Value) -> Value {
    let parsed = time.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    parsed.map_or_else(|| time.clone(), |at| json!(at.to_string()))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Returns how a screen differs from the expected one, each difference with its kind. Tasks are
/// paired by id, so that one that is missing or too many is named as such.
fn differences(shown: &[Value], expected: &[Value]) -> Vec<(&'static str, String)> {
    let id = |task: &Value| task["id"].as_str().unwrap_or_default().to_owned();
    let mut extra: Vec<&Value> = shown.iter().collect();
    let mut found = Vec::new();
    for expected in expected {
        let task = id(expected);
        let Some(at) = extra.iter().position(|shown| id(shown) == task) else {
            found.push(("screen: missing task", task));
            continue;
        };
        let mut paths = Vec::new();
        differ("", extra.remove(at), expected, &mut paths);
        let paths = paths.into_iter().map(|(path, what)| (kind_of(top(&path)), what));
        found.extend(paths.map(|(kind, what)| (kind, format!("{task}{what}"))));
    }
    found.extend(extra.into_iter().map(|task| ("screen: unexpected task", task.to_string())));
    if found.is_empty() && shown != expected {
        let ids: Vec<String> = shown.iter().map(id).collect();
        found.push(("screen: order of tasks", ids.join(", ")));
    }
    found
}

/// Collects the paths at which two values differ, with both values.
fn differ(path: &str, shown: &Value, expected: &Value, found: &mut Vec<(String, String)>) {
    match (shown, expected) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                differ(&format!("{path}/{name}"), &shown[name], &expected[name], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (number, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}/{number}"), a, b, found);
            }
        }
        _ if shown != expected => {
            found.push((path.to_owned(), format!("{path}: shown {shown}, expected {expected}")));
        }
        _ => {}
    }
}

/// Returns the first step of a path.
fn top(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// Returns the kind under which a difference in a field is counted.
fn kind_of(field: &str) -> &'static str {
    match field {
        "state" => "screen: state",
        "period" => "screen: period",
        "progress" => "screen: progress",
        "streak" => "screen: streak",
        "locked_by" => "screen: locked_by",
        "milestones" => "screen: milestones",
        "unclaimed_from_earlier_periods" => "screen: unclaimed_from_earlier_periods",
        _ => "screen: other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_is_missing_unexpected_or_in_another_place_is_a_difference() {
        let task = |id: &str, progress: u32| json!({ "id": id, "progress": progress });
        let (a, b, c) = (task("a", 1), task("b", 2), task("c", 3));
        let kinds = |shown: &[Value], expected: &[Value]| {
            differences(shown, expected).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
        };
        let expected = [a.clone(), b.clone()];
        assert_eq!(kinds(&expected, &expected), [""; 0]);
        assert_eq!(
            kinds(&[c.clone(), a.clone(), b.clone()], &expected),
            ["screen: unexpected task"]
        );
        assert_eq!(
            kinds(&[a.clone(), b.clone(), b.clone()], &expected),
            ["screen: unexpected task"]
        );
        assert_eq!(kinds(&expected[1..], &expected), ["screen: missing task"]);
        assert_eq!(kinds(&[b.clone(), a.clone()], &expected), ["screen: order of tasks"]);
        assert_eq!(kinds(&[a, task("b", 5)], &expected), ["screen: progress"]);
    }
}
