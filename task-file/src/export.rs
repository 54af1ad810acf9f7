//! Exports definitions to a task file that publishes to the same definitions.

mod yaml;

use std::collections::BTreeMap;

use jiff::Timestamp;
use plaudit_domain::calendar::Cadence;
use plaudit_domain::catalogue::definition::{
    AtCap, AtPeriodEnd, Audience, Backfill, BackfillRewards, Budget, BudgetUse, Claim, ClaimMode,
    Counts, FreezeUse, Freezes, Measure, Meta, Milestone, Objective, OnNewVersion, Payout,
    RewardLine, Rewards, Share, StreakRules, TaskDefinition, WhileLocked, Window, ZoneRule,
};
use saphyr::{Yaml, YamlEmitter};
use serde_json::Value as Json;
use yaml::{AsJson, Fields, IntoYaml};

/// Writes a task file in YAML. Values that equal a default are left out.
pub fn to_yaml(definitions: &[TaskDefinition]) -> String {
    let mut text = String::new();
    let mut emitter = YamlEmitter::new(&mut text);
    emitter.dump(&file(definitions)).expect("a text takes everything that is written to it");
    let body = text.trim_start_matches("---").trim_start_matches('\n');
    format!("{body}\n")
}

/// Writes a task file in JSON. Values that equal a default are left out.
pub fn to_json(definitions: &[TaskDefinition]) -> String {
    let file = file(definitions);
    let text =
        serde_json::to_string_pretty(&AsJson(&file)).expect("texts, numbers and their lists");
    format!("{text}\n")
}

/// Returns a task as in a JSON file, with the terms of its budgets by id.
pub fn task_as_json(definition: &TaskDefinition) -> Json {
    let budgets = definition.budgets().fold(Fields::default(), |all, used| {
        let Budget { id, .. } = &used.budget;
        all.with(id.as_str(), terms(Fields::default(), &used.budget))
    });
    let fields = whole(definition).with_any("budgets", budgets);
    serde_json::to_value(AsJson(&fields.into_yaml())).expect("texts, numbers and their lists")
}

fn file(definitions: &[TaskDefinition]) -> Yaml<'static> {
    let tasks: Vec<_> = definitions.iter().map(|task| whole(task).into_yaml()).collect();
    let named: BTreeMap<_, _> = definitions
        .iter()
        .flat_map(TaskDefinition::budgets)
        .map(|used| (&used.budget.id, used))
        .collect();
    let budgets = named.into_iter().map(|(id, used)| {
        terms(Fields::default().with("id", id.as_str()), &used.budget).into_yaml()
    });
    let budgets: Vec<_> = budgets.collect();
    Fields::default()
        .with_some("budgets", (!budgets.is_empty()).then_some(budgets))
        .with("tasks", tasks)
        .into_yaml()
}

fn whole(task: &TaskDefinition) -> Fields {
    let is_default_locale = task.default_locale.eq_ignore_ascii_case(crate::DEFAULT_LOCALE);
    let zone = match &task.zone {
        ZoneRule::User => Some("user"),
        ZoneRule::Fixed(name) => (task.zone != ZoneRule::default()).then_some(name.as_str()),
    };
    let requires: Vec<_> = task.requires.iter().map(|id| id.as_str().into_yaml()).collect();
    let counts_while_locked = task.while_locked == WhileLocked::Count;
    let on_new_version = match task.on_new_version {
        OnNewVersion::Keep => None,
        OnNewVersion::Adopt => Some("adopt"),
        OnNewVersion::AdoptIfEasier => Some("adopt_if_easier"),
    };
    let day_starts_at = String::from(task.day_starts_at);
    Fields::default()
        .with("id", task.id.as_str())
        .with("kind", task.kind.name())
        .with_some("default_locale", (!is_default_locale).then_some(task.default_locale.as_str()))
        .with("text", texts(task))
        .with_some("category", task.category.as_deref())
        .with_some("order", (task.order != 0).then_some(task.order))
        .with_some("navigate", task.navigate.as_deref())
        .with_some("every", every(task.every))
        .with_some("zone", zone)
        .with_some("day_starts_at", (day_starts_at != "00:00").then_some(day_starts_at))
        .with_any("window", window(&task.window))
        .with_some("requires", (!requires.is_empty()).then_some(requires))
        .with_some("while_locked", counts_while_locked.then_some("count"))
        .with("objective", objective(&task.objective, has_own_target(task)))
        .with("milestones", task.milestones.iter().map(milestone).collect::<Vec<_>>())
        .with_any("claim", claim(&task.claim))
        .with_some("on_new_version", on_new_version)
        .with_any("streak", task.streak.as_ref().map(streak).unwrap_or_default())
        .with_any("audience", audience(&task.audience))
        .with_some("backfill", task.backfill.as_ref().map(backfill))
        .with_some("meta", some(&task.meta))
}

fn every(cadence: Cadence) -> Option<Yaml<'static>> {
    match cadence {
        Cadence::Once => None,
        Cadence::Day => Some("day".into_yaml()),
        Cadence::Week => Some("week".into_yaml()),
        Cadence::Month => Some("month".into_yaml()),
        Cadence::Cron(cron) => Some(Fields::default().with("cron", cron.to_string()).into_yaml()),
    }
}

/// Adds the terms of a budget, all but its id.
fn terms(fields: Fields, budget: &Budget) -> Fields {
    let day_starts_at = String::from(budget.day_starts_at);
    fields
        .with("limit", budget.limit)
        .with_some("counts", (budget.counts == Counts::Grants).then_some("grants"))
        .with_some("every", every(budget.every))
        .with_some("zone", (budget.zone != "UTC").then_some(budget.zone.as_str()))
        .with_some("day_starts_at", (day_starts_at != "00:00").then_some(day_starts_at))
}

/// Adds the budget of a line, or of one of its choices.
fn budget(fields: Fields, used: Option<&BudgetUse>) -> Fields {
    let Some(BudgetUse { budget, at_cap }) = used else { return fields };
    let at_cap = match at_cap {
        AtCap::Wait => "wait".into_yaml(),
        AtCap::Refuse => "refuse".into_yaml(),
        AtCap::Substitute(pays) => {
            Fields::default().with("substitute", payout(Fields::default(), pays)).into_yaml()
        }
    };
    fields.with("budget", budget.id.as_str()).with("at_cap", at_cap)
}

/// True if the objective's target must be written: in a continuous task the milestones are lengths
/// of streak; in others the last one is the target.
fn has_own_target(task: &TaskDefinition) -> bool {
    task.kind.shape().counts_streaks && task.objective.target != 1
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

/// Writes an instant. The latest timestamp is the end of the year 9999 in a file.
fn instant(at: Timestamp) -> String {
    if at == Timestamp::MAX { "9999-12-31T23:59:59Z".to_owned() } else { at.to_string() }
}

fn objective(objective: &Objective, with_target: bool) -> Fields {
    let ids = objective.completions_of.iter().map(|id| id.as_str().into_yaml());
    let (on, ids) = (objective.on.iter().map(|kind| kind.as_str().into_yaml()), ids);
    let (on, completions_of) = (on.collect::<Vec<_>>(), ids.collect::<Vec<_>>());
    let of_field = |name: &str, field: &[String]| {
        Some(Fields::default().with(name, format!("data.{}", field.join("."))).into_yaml())
    };
    let measure = match &objective.measure {
        Measure::Count => None,
        Measure::Days => Some("days".into_yaml()),
        Measure::Sum(field) => of_field("sum", field),
        Measure::Max(field) => of_field("max", field),
        Measure::Latest(field) => of_field("latest", field),
        Measure::Distinct(field) => of_field("distinct", field),
    };
    let cap = Fields::default()
        .with_some("per_action", objective.cap.per_action)
        .with_some("per_period", objective.cap.per_period);
    let is_late = objective.lateness_seconds != 0;
    Fields::default()
        .with_some("on", (!on.is_empty()).then_some(on))
        .with_some("completions_of", (!completions_of.is_empty()).then_some(completions_of))
        .with_some("where", objective.filter.as_deref())
        .with_some("measure", measure)
        .with_any("cap", cap)
        .with_some("lateness", is_late.then(|| duration(objective.lateness_seconds)))
        .with_some("carry_over", objective.carry_over.then_some(true))
        .with_some("target", with_target.then_some(objective.target))
}

/// Writes whole days as days, and everything else in seconds.
fn duration(seconds: i64) -> String {
    match (seconds / 86_400, seconds % 86_400) {
        (days, 0) if days > 0 => format!("P{days}D"),
        _ => format!("PT{seconds}S"),
    }
}

fn milestone(milestone: &Milestone) -> Yaml<'static> {
    let rewards: Vec<_> = milestone.rewards.iter().map(reward_line).collect();
    let fields = Fields::default()
        .with("at", milestone.at)
        .with_some("rewards", (!rewards.is_empty()).then_some(rewards))
        .with_some("meta", some(&milestone.meta));
    fields.into_yaml()
}

fn reward_line(line: &RewardLine) -> Yaml<'static> {
    let named = Fields::default().with("line", line.line.as_str());
    let paying = match &line.pays {
        Rewards::Fixed(pays) => budget(payout(named, pays), line.budget.as_ref()),
        Rewards::OneOf(choices) => {
            let choices = choices.iter().map(|choice| {
                let weighted = Fields::default().with("weight", choice.weight);
                budget(payout(weighted, &choice.payout), choice.budget.as_ref()).into_yaml()
            });
            named.with("one_of", choices.collect::<Vec<_>>())
        }
    };
    let titles = line.title.iter();
    let title = titles.fold(Fields::default(), |all, (tag, text)| all.with(tag, text.as_str()));
    paying.with_any("title", title).with_some("meta", some(&line.meta)).into_yaml()
}

fn payout(fields: Fields, Payout { kind, code, amount }: &Payout) -> Fields {
    fields.with("kind", kind.as_str()).with("code", code.as_str()).with("amount", *amount)
}

fn claim(claim: &Claim) -> Fields {
    let at_period_end = match claim.at_period_end {
        AtPeriodEnd::Keep => None,
        AtPeriodEnd::Grant => Some("grant"),
        AtPeriodEnd::Forfeit => Some("forfeit"),
    };
    Fields::default()
        .with_some("mode", (claim.mode == ClaimMode::Automatic).then_some("automatic"))
        .with_some("expires_after", claim.expires_after_seconds.map(duration))
        .with_some("at_period_end", at_period_end)
}

fn streak(rules: &StreakRules) -> Fields {
    let Freezes { initial, max, used } = rules.freezes;
    let freezes = Fields::default()
        .with_some("initial", (initial != 0).then_some(initial))
        .with_some("max", (max != 0).then_some(max))
        .with_some("use", (used == FreezeUse::Manual).then_some("manual"));
    let make_up = rules.make_up.as_ref().map(|make_up| {
        Fields::default().with("look_back", make_up.look_back).with("on", make_up.on.as_str())
    });
    let pauses = rules.pauses.iter().map(|pause| {
        let from = Fields::default().with("from", instant(pause.from));
        from.with("until", instant(pause.until)).into_yaml()
    });
    let pauses: Vec<_> = pauses.collect();
    Fields::default()
        .with_some("cycle", rules.cycle)
        .with_some("grace_periods", (rules.grace_periods != 0).then_some(rules.grace_periods))
        .with_any("freezes", freezes)
        .with_some("make_up", make_up)
        .with_some("pauses", (!pauses.is_empty()).then_some(pauses))
}

fn audience(audience: &Audience) -> Fields {
    Fields::default()
        .with_some("where", audience.filter.as_deref())
        .with_some("percent", audience.share.map(percent))
        .with_some("salt", audience.salt.as_deref())
}

fn percent(share: Share) -> Yaml<'static> {
    let hundredths = u32::from(share);
    match hundredths % 100 {
        0 => i64::from(hundredths / 100).into_yaml(),
        _ => Json::from(f64::from(hundredths) / 100.0).into_yaml(),
    }
}

fn backfill(backfill: &Backfill) -> Fields {
    let rewards = match backfill.rewards {
        BackfillRewards::Grant => None,
        BackfillRewards::Hold => Some("hold"),
        BackfillRewards::None => Some("none"),
    };
    Fields::default().with("from", instant(backfill.from)).with_some("rewards", rewards)
}

fn some(meta: &Meta) -> Option<Meta> {
    (!meta.is_empty()).then(|| meta.clone())
}
