//! `plaudit tasks why` and `plaudit tasks simulate`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use plaudit_actions::cloud_events;
use plaudit_audit::{SimulationInput, WhyInput};
use plaudit_domain::action::Action;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::{TaskId, UserId};
use serde_json::{Map, Value, json};

use super::files::FiledTask;
use super::source::CatalogueSource;
use crate::cli::FormatKind;
use crate::config::{Config, ConfigError};
use crate::failure::Failure;
use crate::output::{count, outln};

/// The input of `simulate`.
pub struct Asked {
    /// Task files.
    pub drafts: Vec<TaskDefinition>,
    /// The user whose history the actions are added to; `None`: each action's user starts without
    /// one.
    pub user: Option<String>,
    /// The file with the actions.
    pub actions: Option<PathBuf>,
}

/// The input of `why`.
pub struct WhyAsked {
    /// The user.
    pub user: String,
    /// The task.
    pub task: String,
    /// The file with the action.
    pub action: Option<PathBuf>,
}

/// Explains why a task does not move for a user.
pub async fn why(
    source: &CatalogueSource,
    config: &dyn Fn() -> Result<Config, ConfigError>,
    asked: WhyAsked,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let (user, task): (UserId, TaskId) = (asked.user.parse()?, asked.task.parse()?);
    let action = asked.action.map(|path| read_action(&path, &user)).transpose()?;
    let sent = json!({ "user": user, "action": action.as_ref().map(Action::to_cloud_event) });
    let now = Timestamp::now();
    let latest = latest_time(source, config, now)?;
    let input = WhyInput { user, task, action, latest, now };
    let why = source.why(input, sent).await?;
    if format == FormatKind::Json {
        outln!("{why}");
    } else {
        print_why(&why);
    }
    Ok(ExitCode::SUCCESS)
}

/// The latest time of an action that would not be parked as one from the future. A server knows its
/// own.
fn latest_time(
    source: &CatalogueSource,
    config: &dyn Fn() -> Result<Config, ConfigError>,
    now: Timestamp,
) -> Result<Option<Timestamp>, ConfigError> {
    match source {
        CatalogueSource::Server(_) => Ok(None),
        CatalogueSource::Database(..) => {
            let tolerance = config()?.duration("future_tolerance");
            Ok(Some(now.checked_add(tolerance).unwrap_or(Timestamp::MAX)))
        }
    }
}

/// Reads a file that must hold exactly one action.
fn read_action(path: &Path, user: &UserId) -> Result<Action, Failure> {
    let mut actions = read_actions(path, Some(user))?;
    let one = actions.pop().filter(|_| actions.is_empty());
    one.ok_or_else(|| Failure::new(format!("{}: must hold exactly one action", path.display())))
}

fn print_why(why: &Value) {
    let (user, task) = (plain(&why["user"]), plain(&why["task"]));
    if let Value::Object(screen) = &why["screen"] {
        let text = |name: &str| screen.get(name).map_or(String::new(), plain);
        let period = screen.get("period").map_or(String::new(), |period| plain(&period["key"]));
        let (state, progress, target) = (text("state"), text("progress"), text("target"));
        outln!("{task} of {user}: {state}, {progress} of {target} in period {period}");
    } else {
        outln!("{user} does not have {task}");
    }
    let obstacles = why["obstacles"].as_array().map_or(&[][..], Vec::as_slice);
    for obstacle in obstacles {
        outln!("it does not move now: {}", plain(&obstacle["detail"]));
    }
    if obstacles.is_empty() && why["action"].is_null() {
        outln!("nothing stops it: an action that it listens to and whose `where` is true counts");
    }
    for delay in why["delays"].as_array().into_iter().flatten() {
        outln!("its rewards wait: {}", plain(&delay["detail"]));
    }
    if let Some(verdict) = why["action"].as_object() {
        print_verdict(verdict);
    }
    for event in why["refused"].as_array().into_iter().flatten() {
        let (at, payload) = (plain(&event["recorded_at"]), &event["payload"]);
        let cause = event["cause"]["action"]["id"].as_str().unwrap_or("?");
        let why = match payload["reason"].as_str() {
            Some(reason) => reason.to_owned(),
            None => format!(
                "too late for period {}, closed by an action of {}",
                plain(&payload["period"]),
                plain(&payload["watermark"])
            ),
        };
        outln!("{at}  action {cause} moved nothing: {why}");
    }
}

fn print_verdict(verdict: &Map<String, Value>) {
    if verdict.get("duplicate") == Some(&Value::Bool(true)) {
        outln!("the action is a duplicate: one with its source and id was decided before");
    }
    if let Some(reason) = verdict.get("parked").and_then(Value::as_str) {
        outln!("the action would be parked, {reason}");
    }
    for event in verdict.get("events").and_then(Value::as_array).into_iter().flatten() {
        outln!("the action would store {event}");
    }
    if let Some(unmoved) = verdict.get("unmoved").filter(|unmoved| !unmoved.is_null()) {
        outln!("the action would not move it: {}", unmoved_text(unmoved));
    }
}

/// Shows what actions would do.
pub async fn simulate(
    source: &CatalogueSource,
    config: &dyn Fn() -> Result<Config, ConfigError>,
    asked: Asked,
    tasks: &[FiledTask<'_>],
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let user: Option<UserId> = asked.user.map(|user| user.parse()).transpose()?;
    let actions = match &asked.actions {
        Some(path) => read_actions(path, user.as_ref())?,
        None => vec![],
    };
    let mut sent =
        json!({ "actions": actions.iter().map(Action::to_cloud_event).collect::<Vec<_>>() });
    if let Some(user) = &user {
        sent["user"] = user.as_str().into();
    }
    if !asked.drafts.is_empty() {
        sent["file"] = plaudit_task_file::to_json(&asked.drafts).into();
    }
    let now = Timestamp::now();
    let latest = latest_time(source, config, now)?;
    let input = SimulationInput { user, actions, drafts: asked.drafts, latest, now };
    let simulated = match source.simulate(input, sent).await {
        Ok(simulated) => simulated,
        Err(super::source::SourceError::Simulation(plaudit_audit::SimulationError::Conflicts(
            conflicts,
        ))) => {
            let refused = plaudit_event_store::catalogue_store::PublishError::Conflicts(conflicts);
            return super::refused(refused.into(), tasks);
        }
        Err(error) => return super::refused(error, tasks),
    };
    if format == FormatKind::Json {
        outln!("{simulated}");
        return Ok(ExitCode::SUCCESS);
    }
    print_simulation(&simulated);
    Ok(ExitCode::SUCCESS)
}

fn print_simulation(simulated: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let actions = list(&simulated["actions"]);
    for action in &actions {
        let [kind, id, user, time] =
            ["type", "id", "user", "time"].map(|name| plain(&action[name]));
        outln!("{kind} {id} of {user} at {time}");
        if action["duplicate"] == true {
            outln!("    duplicate: its source and id were seen before");
        }
        if let Some(reason) = action["parked"].as_str() {
            outln!("    parked: {reason}; once released:");
        }
        for event in list(&action["events"]) {
            outln!("    {event}");
        }
        for unmoved in list(&action["unmoved"]) {
            outln!("    {} would not move: {}", plain(&unmoved["task"]), unmoved_text(&unmoved));
        }
    }
    for task in list(&simulated["tasks"]) {
        let shown = |value: &Value| match value {
            Value::Null => "absent".to_owned(),
            screen => format!(
                "{} {} of {} (version {})",
                plain(&screen["state"]),
                screen["progress"],
                screen["target"],
                screen["version"]
            ),
        };
        let (before, after) = (shown(&task["before"]), shown(&task["after"]));
        outln!("{} of {}: {before} -> {after}", plain(&task["task"]), plain(&task["user"]));
    }
    outln!("{} tried, nothing was written", count(actions.len(), "action"));
}

fn unmoved_text(unmoved: &Value) -> String {
    let mut text = plain(&unmoved["detail"]);
    if let Some(filter) = unmoved["where"].as_str() {
        let _ = write!(text, " (where: {filter}");
        for (path, value) in unmoved["saw"].as_object().into_iter().flatten() {
            let _ = write!(text, "; {path} = {value}");
        }
        text.push(')');
    }
    text
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads actions: one, an array, or one per line. With a user, missing attributes are filled in, so
/// that a file may just hold `{"type": "gift.sent", "data": {"coins": 5}}`.
fn read_actions(path: &Path, user: Option<&UserId>) -> Result<Vec<Action>, Failure> {
    let named = |why: &dyn std::fmt::Display| Failure::new(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut found = Vec::new();
    for value in values {
        match value.map_err(|error| named(&error))? {
            Value::Array(many) => found.extend(many),
            one => found.push(one),
        }
    }
    if found.is_empty() {
        return Err(named(&"holds no action"));
    }
    let mut actions = Vec::with_capacity(found.len());
    for (index, mut value) in found.into_iter().enumerate() {
        if let (Value::Object(fields), Some(user)) = (&mut value, user) {
            let mut fill = |name: &str, text: String| {
                fields.entry(name).or_insert_with(|| Value::from(text));
            };
            fill("specversion", "1.0".to_owned());
            fill("subject", user.to_string());
            fill("source", "/dry-run".to_owned());
            fill("id", format!("dry-run-{}", index + 1));
            fill("time", jiff::Timestamp::now().to_string());
        }
        let action = cloud_events::from_json(&value);
        actions.push(action.map_err(|why| named(&format!("action {}: {why}", index + 1)))?);
    }
    Ok(actions)
}
