//! A file that uses everything that the format can say.

use jiff::Timestamp;
use plaudit_domain::catalogue::definition::{
    AtPeriodEnd, Audience, Backfill, BackfillRewards, FreezeUse, Freezes, MakeUp, Measure, Pause,
    Share, TaskDefinition,
};
use serde_json::{Value, json};

use crate::{Diagnostic, SCHEMA, parse_located, to_json, to_yaml};

/// The examples of the contract, and what it says beside them.
const WHOLE: &str = r#"
budgets:
  - { id: gold, limit: 1000, every: day, zone: Europe/Paris, day_starts_at: "05:00" }
  - { id: first-500, limit: 500, counts: grants }
  - { id: rare, limit: 3, every: { cron: "0 5 * * MON" } }

tasks:
  - id: first-team
    kind: ordinary
    text: { en: { title: "Form {target} teams for {amount} coins" } }
    objective: { on: team.formed, target: 1 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 100 } ]
    backfill: { from: 2026-01-01T00:00:00Z, rewards: hold }

  - id: daily-gifts
    kind: periodic
    text: { en: { title: Send gifts } }
    every: day
    zone: user
    day_starts_at: "05:00"
    window: { from: 2026-01-01T00:00:00Z, until: 9999-12-31T23:59:59Z }
    requires: [ first-team ]
    objective:
      on: [ gift.sent ]
      where: data.coins >= 10
      measure: { sum: data.coins }
      cap: { per_action: 500, per_period: 5000 }
      carry_over: true
      lateness: PT2H
    milestones:
      - { at: 100,  rewards: [ { line: small, kind: currency, code: coin, amount: 10 } ], meta: { glow: true } }
      - { at: 1000, rewards: [ { line: big, kind: item, code: badge-gold, amount: 1, budget: gold, at_cap: wait, meta: { a: [ 1, 2.5, null ] } } ] }
    claim: { mode: manual, expires_after: P7D, at_period_end: forfeit }
    audience: { where: user.vip >= 2, percent: 12.5, salt: spring }
    meta: { icon: gift.png, "on": { deep: [ x ] } }
    on_new_version: adopt_if_easier

  - { id: daily-watch, kind: periodic, every: day, text: { en: { title: Watch } }, objective: { on: stream.watched, measure: { max: data.minutes }, target: 10 } }
  - { id: rooms, kind: periodic, every: week, text: { en: { title: Rooms } }, objective: { on: stream.watched, measure: { distinct: data.room }, target: 10 } }
  - { id: level, kind: ordinary, text: { en: { title: Level } }, objective: { on: level.reached, measure: { latest: data.level }, target: 10 } }
  - { id: active, kind: periodic, every: { cron: "0 5 1 */3 *" }, text: { en: { title: Active } }, objective: { on: user.signed_in, measure: days, target: 10 } }

  - id: all-dailies
    kind: periodic
    text: { en: { title: All dailies } }
    every: day
    zone: user
    objective: { completions_of: [ daily-gifts, daily-watch ], target: 2 }
    rewards: [ { line: chest, kind: item, code: chest, amount: 1, title: { en: Daily chest }, budget: first-500,
                 at_cap: { substitute: { kind: currency, code: coin, amount: 5 } } } ]

  - id: sign-in
    kind: continuous
    text: { en: { title: Sign in } }
    every: day
    zone: user
    objective: { on: user.signed_in, target: 1, lateness: P1DT1S }
    streak:
      cycle: 7
      grace_periods: 1
      freezes: { initial: 1, max: 2, use: manual }
      make_up: { look_back: 3, on: user.made_up_day }
      pauses: [ { from: 2026-02-01T00:00:00Z, until: 2026-02-08T00:00:00Z } ]
    milestones:
      - { at: 1, rewards: [ { line: d1, kind: currency, code: coin, amount: 10 } ] }
      - { at: 7, rewards: [ { line: d7, one_of: [ { weight: 9, kind: currency, code: coin, amount: 100 },
                                                  { weight: 1, kind: item, code: badge-rare, amount: 1, budget: rare, at_cap: refuse } ] } ] }
"#;

fn whole(text: &str) -> Result<Vec<TaskDefinition>, Vec<Diagnostic>> {
    let file = parse_located(text)?;
    let unguarded = ["reads data.coins without", "reads user.vip without"];
    let warnings = file.tasks.iter().flat_map(|task| task.warnings(Timestamp::UNIX_EPOCH, None));
    let lies_ahead = "is in the future: no past action counts";
    let is_expected = |w: &str| unguarded.iter().any(|read| w.starts_with(read)) || w == lies_ahead;
    let unexpected: Vec<_> =
        warnings.chain(file.warnings).filter(|w| !is_expected(&w.message)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    Ok(file.tasks.into_iter().map(|task| task.definition).collect())
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn everything_that_can_be_said_has_its_meaning() {
    let tasks = whole(WHOLE).unwrap();
    let [first, gifts, watch, rooms, level, active, all, streak] = &tasks[..] else {
        panic!("{tasks:#?}")
    };
    let backfill =
        Backfill { from: instant("2026-01-01T00:00:00Z"), rewards: BackfillRewards::Hold };
    assert_eq!(first.backfill, Some(backfill));
    assert_eq!(gifts.claim.expires_after_seconds, Some(7 * 86_400));
    assert_eq!(gifts.claim.at_period_end, AtPeriodEnd::Forfeit);
    let audience = Audience {
        filter: Some("user.vip >= 2".into()),
        share: Some(Share::try_from(1_250).unwrap()),
        salt: Some("spring".into()),
    };
    assert_eq!(gifts.audience, audience);
    assert_eq!(
        Value::from(gifts.meta.clone()),
        json!({ "icon": "gift.png", "on": { "deep": ["x"] } })
    );
    assert_eq!(Value::from(gifts.milestones[0].meta.clone()), json!({ "glow": true }));
    let line = &gifts.milestones[1].rewards[0];
    assert_eq!(Value::from(line.meta.clone()), json!({ "a": [1, 2.5, null] }));
    assert!(gifts.objective.carry_over);
    let minutes = || vec!["minutes".to_owned()];
    assert_eq!(watch.objective.measure, Measure::Max(minutes()));
    assert_eq!(rooms.objective.measure, Measure::Distinct(vec!["room".into()]));
    assert_eq!(level.objective.measure, Measure::Latest(vec!["level".into()]));
    assert_eq!(active.objective.measure, Measure::Days);
    assert_eq!(all.objective.completions_of, [gifts.id.clone(), watch.id.clone()]);
    assert_eq!(all.objective.on, Vec::<String>::new());
    assert_eq!(all.milestones[0].rewards[0].title["en"], "Daily chest");
    let rules = streak.streak.as_ref().unwrap();
    assert_eq!((rules.cycle, rules.grace_periods), (Some(7), 1));
    assert_eq!(rules.freezes, Freezes { initial: 1, max: 2, used: FreezeUse::Manual });
    let make_up = MakeUp { look_back: 3, on: "user.made_up_day".into() };
    assert_eq!(rules.make_up, Some(make_up));
    let pause =
        Pause { from: instant("2026-02-01T00:00:00Z"), until: instant("2026-02-08T00:00:00Z") };
    assert_eq!(rules.pauses, [pause]);
    let rolled = &streak.milestones[1].rewards[0];
    assert!(rolled.fixed().is_none());
    assert_eq!(rolled.payouts().iter().map(|p| p.amount).collect::<Vec<_>>(), [100, 1]);
    assert_eq!(streak.objective.lateness_seconds, 86_401);
}

#[test]
fn everything_that_can_be_said_can_be_stored_and_exported() {
    let tasks = whole(WHOLE).unwrap();
    let stored = serde_json::to_string(&tasks).unwrap();
    assert_eq!(serde_json::from_str::<Vec<TaskDefinition>>(&stored).unwrap(), tasks);
    let schema = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    for file in [to_yaml(&tasks), to_json(&tasks)] {
        assert_eq!(whole(&file), Ok(tasks.clone()), "{file}");
    }
    let json: Value = serde_json::from_str(&to_json(&tasks)).unwrap();
    let errors: Vec<_> =
        schema.iter_errors(&json).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// Definitions that were stored before these fields existed read as they did.
#[test]
fn a_definition_without_the_newer_fields_reads_as_before() {
    let stored = json!({
        "id": "a", "kind": "periodic", "every": "day", "text": { "en": { "title": "A", "description": "" } },
        "default_locale": "en", "order": 0, "zone": "user", "day_starts_at": "00:00", "window": {},
        "while_locked": "skip",
        "objective": { "on": ["x"], "measure": { "sum": ["coins"] }, "target": 3, "cap": {}, "lateness_seconds": 0 },
        "milestones": [{ "at": 3, "rewards": [{ "line": "a", "kind": "b", "code": "c", "amount": 1 }] }],
        "claim": { "mode": "manual" }, "on_new_version": "keep",
    });
    let read: TaskDefinition = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), stored);
}
