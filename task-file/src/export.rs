//! From definitions back to a task file that publishes to the same definitions.

use jiff::Timestamp;
use plaudit_domain::calendar::Cadence;
use plaudit_domain::catalogue::definition::{
    ClaimMode, Kind, Measure, Milestone, Objective, OnNewVersion, RewardLine, StreakRules,
    TaskDefinition, WhileLocked, Window, ZoneRule,
};
use saphyr::{Mapping, Scalar, Yaml, YamlEmitter};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A task file in YAML. What equals a default is left out.
pub fn to_yaml(definitions: &[TaskDefinition]) -> String {
    let mut text = String::new();
    let mut emitter = YamlEmitter::new(&mut text);
    emitter.dump(&file(definitions)).expect("a text takes everything that is written to it");
    let body = text.trim_start_matches("---").trim_start_matches('\n');
    format!("{body}\n")
}

/// A task file in JSON. What equals a default is left out.
pub fn to_json(definitions: &[TaskDefinition]) -> String {
    let file = file(definitions);
    let text = serde_json::to_string_pretty(&Json(&file)).expect("texts, numbers and their lists");
    format!("{text}\n")
}

fn file(definitions: &[TaskDefinition]) -> Yaml<'static> {
    let tasks: Vec<_> = definitions.iter().map(task).collect();
    Fields::default().with("tasks", tasks).into_yaml()
}

/// What can stand in a file.
trait IntoYaml {
    fn into_yaml(self) -> Yaml<'static>;
}

impl IntoYaml for &str {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Value(Scalar::String(self.to_owned().into()))
    }
}

impl IntoYaml for String {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Value(Scalar::String(self.into()))
    }
}

impl IntoYaml for Yaml<'static> {
    fn into_yaml(self) -> Yaml<'static> {
        self
    }
}

impl IntoYaml for i64 {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Value(Scalar::Integer(self))
    }
}

impl IntoYaml for Vec<Yaml<'static>> {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Sequence(self)
    }
}

impl IntoYaml for Fields {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Mapping(self.0)
    }
}

/// A mapping whose fields stand in the order in which they were added.
#[derive(Default)]
struct Fields(Mapping<'static>);

impl Fields {
    fn with(mut self, name: &str, value: impl IntoYaml) -> Self {
        self.0.insert(name.into_yaml(), value.into_yaml());
        self
    }

    fn with_some(self, name: &str, value: Option<impl IntoYaml>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds what is not empty.
    fn with_any(self, name: &str, fields: Self) -> Self {
        if fields.0.is_empty() { self } else { self.with(name, fields) }
    }
}

fn task(task: &TaskDefinition) -> Yaml<'static> {
    let is_default_locale = task.default_locale.eq_ignore_ascii_case(crate::DEFAULT_LOCALE);
    let zone = match &task.zone {
        ZoneRule::User => Some("user"),
        ZoneRule::Fixed(name) => (task.zone != ZoneRule::default()).then_some(name.as_str()),
    };
    let every = match task.every {
        Cadence::Once => None,
        Cadence::Day => Some("day".into_yaml()),
        Cadence::Week => Some("week".into_yaml()),
        Cadence::Month => Some("month".into_yaml()),
        Cadence::Cron(cron) => Some(Fields::default().with("cron", cron.to_string()).into_yaml()),
    };
    let kind = match task.kind {
        Kind::Ordinary => "ordinary",
        Kind::Periodic => "periodic",
        Kind::Continuous => "continuous",
    };
    let requires: Vec<_> = task.requires.iter().map(|id| id.as_str().into_yaml()).collect();
    let counts_while_locked = task.while_locked == WhileLocked::Count;
    let on_new_version = match task.on_new_version {
        OnNewVersion::Keep => None,
        OnNewVersion::Adopt => Some("adopt"),
        OnNewVersion::AdoptIfEasier => Some("adopt_if_easier"),
    };
    let claim = Fields::default()
        .with_some("mode", (task.claim.mode == ClaimMode::Automatic).then_some("automatic"));
    let day_starts_at = String::from(task.day_starts_at);
    let fields = Fields::default()
        .with("id", task.id.as_str())
        .with("kind", kind)
        .with_some("default_locale", (!is_default_locale).then_some(task.default_locale.as_str()))
        .with("text", texts(task))
        .with_some("category", task.category.as_deref())
        .with_some("order", (task.order != 0).then_some(task.order))
        .with_some("navigate", task.navigate.as_deref())
        .with_some("every", every)
        .with_some("zone", zone)
        .with_some("day_starts_at", (day_starts_at != "00:00").then_some(day_starts_at))
        .with_any("window", window(&task.window))
        .with_some("requires", (!requires.is_empty()).then_some(requires))
        .with_some("while_locked", counts_while_locked.then_some("count"))
        .with("objective", objective(&task.objective, has_own_target(task)))
        .with("milestones", task.milestones.iter().map(milestone).collect::<Vec<_>>())
        .with_any("claim", claim)
        .with_some("on_new_version", on_new_version)
        .with_any("streak", task.streak.as_ref().map(streak).unwrap_or_default());
    fields.into_yaml()
}

/// Of a continuous task the milestones are lengths of streak; of others the last one is the target.
fn has_own_target(task: &TaskDefinition) -> bool {
    task.kind == Kind::Continuous && task.objective.target != 1
}

fn texts(task: &TaskDefinition) -> Fields {
    task.text.iter().fold(Fields::default(), |texts, (tag, text)| {
        let is_described = !text.description.is_empty();
        let fields = Fields::default()
            .with("title", text.title.as_str())
            .with_some("description", is_described.then_some(text.description.as_str()));
        texts.with(tag, fields)
    })
}

fn window(window: &Window) -> Fields {
    Fields::default()
        .with_some("from", window.from.map(instant))
        .with_some("until", window.until.map(instant))
}

/// The latest timestamp is what an author writes as the end of the year 9999.
fn instant(at: Timestamp) -> String {
    if at == Timestamp::MAX { "9999-12-31T23:59:59Z".to_owned() } else { at.to_string() }
}

fn objective(objective: &Objective, with_target: bool) -> Fields {
    let measure = match &objective.measure {
        Measure::Count => None,
        Measure::Sum(field) => Some(Fields::default().with("sum", field_path(field))),
    };
    let cap = Fields::default()
        .with_some("per_action", objective.cap.per_action)
        .with_some("per_period", objective.cap.per_period);
    let is_late = objective.lateness_seconds != 0;
    let on: Vec<_> = objective.on.iter().map(|kind| kind.as_str().into_yaml()).collect();
    Fields::default()
        .with("on", on)
        .with_some("where", objective.filter.as_deref())
        .with_some("measure", measure)
        .with_any("cap", cap)
        .with_some("lateness", is_late.then(|| format!("PT{}S", objective.lateness_seconds)))
        .with_some("target", with_target.then_some(objective.target))
}

fn field_path(names: &[String]) -> String {
    format!("data.{}", names.join("."))
}

fn milestone(milestone: &Milestone) -> Yaml<'static> {
    let rewards: Vec<_> = milestone.rewards.iter().map(reward_line).collect();
    let fields = Fields::default()
        .with("at", milestone.at)
        .with_some("rewards", (!rewards.is_empty()).then_some(rewards));
    fields.into_yaml()
}

fn reward_line(line: &RewardLine) -> Yaml<'static> {
    let fields = Fields::default()
        .with("line", line.line.as_str())
        .with("kind", line.kind.as_str())
        .with("code", line.code.as_str())
        .with("amount", line.amount);
    fields.into_yaml()
}

fn streak(rules: &StreakRules) -> Fields {
    Fields::default().with_some("cycle", rules.cycle)
}

/// A file as JSON, its fields in the same order.
struct Json<'y>(&'y Yaml<'static>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Yaml::Value(Scalar::Boolean(is)) => serializer.serialize_bool(*is),
            Yaml::Value(Scalar::Integer(number)) => serializer.serialize_i64(*number),
            Yaml::Value(Scalar::FloatingPoint(number)) => serializer.serialize_f64(**number),
            Yaml::Value(Scalar::String(text)) => serializer.serialize_str(text),
            Yaml::Sequence(items) => serializer.collect_seq(items.iter().map(Json)),
            Yaml::Mapping(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(&Json(name), &Json(value))?;
                }
                map.end()
            }
            // Nothing else is made here.
            _ => serializer.serialize_unit(),
        }
    }
}
