//! Task files: their meaning, refusals with their positions, and a schema that agrees.

use std::collections::BTreeMap;

use plaudit_domain::calendar::Cadence;
use plaudit_domain::catalogue::definition::{
    Audience, Cap, Claim, Kind, Measure, Meta, Milestone, Objective, OnNewVersion, Payout,
    RewardLine, Rewards, StreakRules, TaskDefinition, Text, WhileLocked, Window, ZoneRule,
};
use plaudit_task_file::{Diagnostic, SCHEMA, parse, parse_located};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};

const SAMPLES: &str = include_str!("../../../samples/tasks.yaml");
const DOCUMENTATION: &str = include_str!("../../../docs/tasks.md");

/// The examples of the contract.
const CONTRACT: &str = r#"
tasks:
  - id: first-team                      # 1-64 of a-z 0-9 . _ -; never reused
    kind: ordinary                      # ordinary | periodic | continuous
    text:                               # BCP 47
      en: { title: Form your first team, description: Any team counts. }
      zh: { title: 首次组队 }
    category: newbie
    order: 10
    navigate: app://teams/new
    objective: { on: team.formed, target: 1 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 100 } ]

  - id: daily-gifts
    kind: periodic
    text: { en: { title: Send gifts } }
    every: day
    zone: user                          # user | an IANA name (default UTC)
    day_starts_at: "05:00"              # default 00:00
    window: { from: 2026-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z }
    requires: [ first-team ]            # all of them completed once
    while_locked: skip                  # skip | count
    objective:
      on: [ gift.sent ]
      where: data.coins >= 10           # CEL over data, action, user attributes
      measure: { sum: data.coins }
      cap: { per_action: 500, per_period: 5000 }
      lateness: PT2H                    # default PT0S beyond the open period
    milestones:                         # `target` + `rewards` is short for one milestone
      - { at: 100,  rewards: [ { line: small, kind: currency, code: coin, amount: 10 } ] }
      - { at: 1000, rewards: [ { line: big, kind: item, code: badge-gold, amount: 1 } ] }
    claim: { mode: manual, at_period_end: keep }
    on_new_version: keep                # keep | adopt | adopt_if_easier

  - id: sign-in
    kind: continuous
    text: { en: { title: Sign in } }
    every: day
    zone: user
    objective: { on: user.signed_in, target: 1 }       # what makes a period count
    streak:
      cycle: 7                          # steps start over after this length; absent: never
      grace_periods: 0
      freezes: { initial: 0, max: 0, use: automatic }
    milestones:                         # `at` is the length of the streak
      - { at: 1, rewards: [ { line: d1, kind: currency, code: coin, amount: 10 } ] }
      - { at: 7, rewards: [ { line: d7, kind: currency, code: coin, amount: 100 } ] }
"#;

fn milestone(at: i64, line: &str, kind: &str, code: &str, amount: i64) -> Milestone {
    let pays = Rewards::Fixed(Payout { kind: kind.into(), code: code.into(), amount });
    let rewards = vec![RewardLine {
        line: line.into(),
        pays,
        budget: None,
        title: BTreeMap::new(),
        meta: Meta::new(),
    }];
    Milestone { at, rewards, meta: Meta::new() }
}

fn text(title: &str, description: &str) -> Text {
    Text { title: title.into(), description: description.into() }
}

/// The first task of [`CONTRACT`], whose absent fields mean the contract's defaults.
fn first_team() -> TaskDefinition {
    TaskDefinition {
        id: "first-team".parse().unwrap(),
        kind: Kind::named("ordinary").unwrap(),
        text: [
            ("en".to_owned(), text("Form your first team", "Any team counts.")),
            ("zh".to_owned(), text("首次组队", "")),
        ]
        .into(),
        default_locale: "en".into(),
        category: Some("newbie".into()),
        order: 10,
        navigate: Some("app://teams/new".into()),
        every: Cadence::Once,
        zone: ZoneRule::Fixed("UTC".into()),
        day_starts_at: "00:00".to_owned().try_into().unwrap(),
        window: Window::default(),
        requires: vec![],
        while_locked: WhileLocked::Skip,
        objective: Objective {
            on: vec!["team.formed".into()],
            filter: None,
            measure: Measure::Count,
            target: 1,
            completions_of: vec![],
            cap: Cap::default(),
            lateness_seconds: 0,
            carry_over: false,
        },
        milestones: vec![milestone(1, "coins", "currency", "coin", 100)],
        claim: Claim::default(),
        on_new_version: OnNewVersion::Keep,
        streak: None,
        audience: Audience::default(),
        meta: Meta::new(),
        backfill: None,
    }
}

#[test]
fn the_examples_of_the_contract_mean_what_they_say() {
    let daily_gifts = TaskDefinition {
        id: "daily-gifts".parse().unwrap(),
        kind: Kind::named("periodic").unwrap(),
        text: [("en".to_owned(), text("Send gifts", ""))].into(),
        category: None,
        order: 0,
        navigate: None,
        every: Cadence::Day,
        zone: ZoneRule::User,
        day_starts_at: "05:00".to_owned().try_into().unwrap(),
        window: Window {
            from: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            until: Some("2027-01-01T00:00:00Z".parse().unwrap()),
        },
        requires: vec!["first-team".parse().unwrap()],
        objective: Objective {
            on: vec!["gift.sent".into()],
            filter: Some("data.coins >= 10".into()),
            measure: Measure::Sum(vec!["coins".into()]),
            target: 1000,
            cap: Cap { per_action: Some(500), per_period: Some(5000) },
            lateness_seconds: 7200,
            ..first_team().objective
        },
        milestones: vec![
            milestone(100, "small", "currency", "coin", 10),
            milestone(1000, "big", "item", "badge-gold", 1),
        ],
        ..first_team()
    };
    let sign_in = TaskDefinition {
        id: "sign-in".parse().unwrap(),
        kind: Kind::named("continuous").unwrap(),
        text: [("en".to_owned(), text("Sign in", ""))].into(),
        requires: vec![],
        day_starts_at: "00:00".to_owned().try_into().unwrap(),
        window: Window::default(),
        objective: Objective { on: vec!["user.signed_in".into()], ..first_team().objective },
        milestones: vec![
            milestone(1, "d1", "currency", "coin", 10),
            milestone(7, "d7", "currency", "coin", 100),
        ],
        streak: Some(StreakRules { cycle: Some(7), ..StreakRules::default() }),
        ..daily_gifts.clone()
    };
    assert_eq!(parse(CONTRACT), Ok(vec![first_team(), daily_gifts, sign_in]));
}

/// A file of one ordinary task in JSON, whose fields `changes` replace; `null` removes one.
fn task_with(changes: Value) -> Value {
    let mut task = json!({
        "id": "a", "kind": "ordinary", "text": {"en": {"title": "A"}}, "objective": {"on": "x.done", "target": 3},
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (name, value) in changes {
        task[&name] = value;
    }
    task.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    json!({"tasks": [task]})
}

/// As [`task_with`], but of a continuous task.
fn streak_with(changes: Value) -> Value {
    let mut all = json!({
        "kind": "continuous", "every": "day", "objective": {"on": "x.done"}, "milestones": [{"at": 1}],
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    all.as_object_mut().unwrap().extend(changes);
    task_with(all)
}

fn errors(text: &str) -> Vec<Diagnostic> {
    parse(text).expect_err("the file should be refused")
}

#[track_caller]
fn assert_refused(file: &Value, path: &str, message: &str) {
    let errors = errors(&file.to_string());
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0].path, path);
    assert!(errors[0].message.contains(message), "{}", errors[0]);
}

#[test]
fn ten_errors_are_reported_each_in_its_place() {
    let file = "\
default_locale: en
tasks:
  - id: First Team
    kind: ordinary
    every: day
    text:
      en: { titel: Form a team }
    order: 1.5
    objective: { on: team.formed, where: 'data.coins >', target: 0 }
    rewards: [ { line: a, kind: currency, code: coin, amount: '100' } ]
  - id: b
    kind: weekly
    text: { en: { title: B } }
    zone: Europe/Pari
    requires: [ b ]
    objective: { on: x, target: 1 }
";
    let found: Vec<_> = errors(file).iter().map(|f| (f.line, f.column, f.path.clone())).collect();
    let expected = [
        (3, 9, "tasks[0].id"),
        (5, 12, "tasks[0].every"),
        (7, 13, "tasks[0].text.en.titel"),
        (8, 12, "tasks[0].order"),
        (9, 42, "tasks[0].objective.where"),
        (9, 66, "tasks[0].objective.target"),
        (10, 63, "tasks[0].rewards[0].amount"),
        (12, 11, "tasks[1].kind"),
        (14, 11, "tasks[1].zone"),
        (15, 17, "tasks[1].requires[0]"),
    ];
    assert_eq!(found, expected.map(|(line, column, path)| (line, column, path.to_owned())));
    assert_eq!(
        errors("tasks:\n  - { id: a, kind: ordinary, text: { en: { title: A } }, objective: { onn: x, target: 1 } }")[0].to_string(),
        "2:71: tasks[0].objective.onn: is not a known key (did you mean on?); \
         known here: on, completions_of, where, measure, cap, lateness, carry_over, target"
    );
}

#[test]
fn a_target_beyond_what_a_period_remembers_is_refused() {
    for measure in [json!("days"), json!({"distinct": "data.room"})] {
        let file = |target: i64| {
            task_with(json!({"objective": {"on": "x", "measure": measure, "target": target}}))
        };
        assert!(parse(&file(10_000).to_string()).is_ok());
        let path = "tasks[0].objective.target";
        assert_refused(&file(10_001), path, "at most 10000 different values or days");
    }
    let milestones = json!({
        "objective": {"on": "x", "measure": "days"}, "milestones": [{"at": 1}, {"at": 20_000}],
    });
    let path = "tasks[0].objective.measure";
    assert_refused(&task_with(milestones), path, "the target is 20000");
}

#[test]
fn more_days_than_a_period_has_get_a_warning() {
    let warnings = |every: &str, target: i64| {
        let objective = json!({"on": "x", "measure": "days", "target": target});
        let file = task_with(json!({"kind": "periodic", "every": every, "objective": objective}));
        let file = parse_located(&file.to_string()).unwrap();
        let found = file.tasks[0].warnings("2026-03-01T00:00:00Z".parse().unwrap(), None);
        found.into_iter().map(|warning| warning.message).collect::<Vec<_>>()
    };
    assert_eq!(warnings("week", 7), Vec::<String>::new());
    assert_eq!(warnings("week", 8), ["a period has at most 7 days, but the target is 8"]);
    assert_eq!(warnings("day", 2), ["a period has at most 1 days, but the target is 2"]);
}

#[test]
fn past_actions_may_be_counted_unless_a_task_counts_none() {
    let backfill = json!({"from": "2026-01-01T00:00:00Z"});
    let file = task_with(json!({"backfill": backfill}));
    assert!(parse(&file.to_string()).is_ok() && schema_accepts(&file), "{file}");
    let composite = json!({"completions_of": ["other"], "target": 1});
    let file = task_with(json!({"backfill": backfill, "objective": composite}));
    assert_refused(&file, "tasks[0].backfill", "which counts no actions");
}

#[test]
fn defaults_may_be_spelt_out() {
    for file in [
        task_with(json!({"objective": {"on": "x", "target": 1, "carry_over": false}})),
        task_with(json!({"claim": {"at_period_end": "keep"}})),
    ] {
        assert!(parse(&file.to_string()).is_ok(), "{file}");
        assert!(schema_accepts(&file), "{file}");
    }
}

#[test]
fn all_rules_of_a_streak_may_be_used() {
    let pause = json!({"from": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"});
    for file in [
        streak_with(json!({"streak": {"grace_periods": 1}})),
        streak_with(json!({"streak": {"freezes": {"initial": 1, "max": 2, "use": "manual"}}})),
        streak_with(json!({"streak": {"make_up": {"look_back": 3, "on": "x"}}})),
        streak_with(json!({"streak": {"pauses": [pause]}})),
        streak_with(json!({"while_locked": "count", "objective": {"on": "x", "lateness": "PT1S"}})),
    ] {
        assert!(parse(&file.to_string()).is_ok(), "{file}");
        assert!(schema_accepts(&file), "{file}");
    }
}

/// Each refused file with its path, a part of the message, and true if the schema refuses it too.
#[test]
fn every_rule_of_the_format_is_kept() {
    let line = |name: &str| json!({"line": name, "kind": "k", "code": "c", "amount": 1});
    let milestones = |at: &[i64]| at.iter().map(|at| json!({"at": at})).collect::<Vec<_>>();
    let objective =
        |more: &str| serde_json::from_str::<Value>(&format!(r#"{{"on": "x", {more}}}"#)).unwrap();
    #[rustfmt::skip]
    let rules = [
        ("id", "1 to 64", true, task_with(json!({"id": "A"}))),
        ("id", "missing", true, task_with(json!({"id": null}))),
        ("every", "missing", true, task_with(json!({"kind": "periodic"}))),
        ("every", "day or week or month", true, task_with(json!({"kind": "periodic", "every": "year"}))),
        ("every.cron", "five fields", true, task_with(json!({"kind": "periodic", "every": {"cron": "0 5 * *"}}))),
        ("every.cron", "no month has such a day", false, task_with(json!({"kind": "periodic", "every": {"cron": "0 5 31 2 *"}}))),
        ("day_starts_at", "no meaning", true, task_with(json!({"kind": "periodic", "every": {"cron": "0 5 * * *"}, "day_starts_at": "05:00"}))),
        ("zone", "did you mean Europe/Paris?", false, task_with(json!({"zone": "Europe/Pari"}))),
        ("zone", "not a zone", false, task_with(json!({"zone": "localtime"}))),
        ("text", "at least one language", true, task_with(json!({"text": {}}))),
        ("text.en.title", "empty", true, task_with(json!({"text": {"en": {"title": " "}}}))),
        ("text.zh_CN", "BCP 47", true, task_with(json!({"text": {"en": {"title": "A"}, "zh_CN": {"title": "A"}}}))),
        ("category", "a text, got nothing", true, serde_json::from_str(
            &task_with(json!({"category": "?"})).to_string().replace("\"?\"", "null")).unwrap()),
        ("order", "64 bits", true, serde_json::from_str(
            &task_with(json!({"order": 0})).to_string().replace("\"order\":0", "\"order\":1e300")).unwrap()),
        ("day_starts_at", "05:00", true, task_with(json!({"day_starts_at": "5:00"}))),
        ("window.until", "later", false, task_with(json!({"window": {"from": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}}))),
        ("window.from", "RFC 3339", true, task_with(json!({"window": {"from": "2026-01-01"}}))),
        ("requires[1]", "twice", true, task_with(json!({"requires": ["b", "b"]}))),
        ("requires[0]", "itself", false, task_with(json!({"requires": ["a"]}))),
        ("objective.on", "no meaning with `completions_of`", true, task_with(json!({"objective": {"on": "x", "completions_of": ["b"], "target": 1}}))),
        ("objective.completions_of[0]", "count its own", false, task_with(json!({"objective": {"completions_of": ["a"], "target": 1}}))),
        ("objective.cap", "count and sum only", false, task_with(json!({"objective": objective(r#""target": 1, "measure": "days", "cap": {"per_action": 1}"#)}))),
        ("objective.carry_over", "only periodic", false, task_with(json!({"objective": objective(r#""target": 1, "carry_over": true"#)}))),
        ("objective.measure.sums", "did you mean sum?", true, task_with(json!({"objective": objective(r#""target": 1, "measure": {"sums": "data.a", "sum": "data.a"}"#)}))),
        ("objective.lateness", "366 days", false, task_with(json!({"objective": objective(r#""target": 1, "lateness": "P367D""#)}))),
        ("objective.lateness", "at most 400 of the shortest periods of `every`, here PT200H", false,
            task_with(json!({"kind": "periodic", "every": {"cron": "0,30 * * * MON"}, "objective": objective(r#""target": 1, "lateness": "PT201H""#)}))),
        ("claim.expires_after", "longer than nothing", false, task_with(json!({"claim": {"expires_after": "PT0S"}}))),
        ("rewards[0].kind", "beside it", true, task_with(json!({"rewards": [{"line": "a", "kind": "k", "one_of": [{"weight": 1, "kind": "k", "code": "c", "amount": 1}]}]}))),
        ("rewards[0].one_of[0].weight", "1 to 1000000000", true, task_with(json!({"rewards": [{"line": "a", "one_of": [{"weight": 0, "kind": "k", "code": "c", "amount": 1}]}]}))),
        ("rewards[0].title.en", "one line", true, task_with(json!({"rewards": [{"line": "a", "kind": "k", "code": "c", "amount": 1, "title": {"en": "A\nB"}}]}))),
        ("audience.where", "data", false, task_with(json!({"audience": {"where": "data.coins > 1"}}))),
        ("audience.percent", "0 to 100", true, task_with(json!({"audience": {"percent": 100.5}}))),
        ("audience.percent", "two decimals", true, task_with(json!({"audience": {"percent": 0.125}}))),
        ("meta", "4096 bytes", false, task_with(json!({"meta": {"a": "x".repeat(4_096)}}))),
        ("meta", "must be a mapping", true, task_with(json!({"meta": [1]}))),
        ("meta", "NUL", false, task_with(json!({"meta": {"a\u{0}": 1}}))),
        ("meta.a[0]", "NUL", false, task_with(json!({"meta": {"a": ["\u{0}"]}}))),
        ("text.en.description", "NUL", false, task_with(json!({"text": {"en": {"title": "A", "description": "a\u{0}"}}}))),
        ("text.en.title", "control", true, task_with(json!({"text": {"en": {"title": "a\u{0}"}}}))),
        ("streak.freezes.initial", "at most `max`, 1", false, streak_with(json!({"streak": {"freezes": {"initial": 2, "max": 1}}}))),
        ("streak.make_up.look_back", "missing", true, streak_with(json!({"streak": {"make_up": {"on": "x"}}}))),
        ("streak.pauses[0].until", "later", false, streak_with(json!({"streak": {"pauses": [{"from": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}]}}))),
        ("objective.on", "at least one", true, task_with(json!({"objective": {"on": [], "target": 1}}))),
        ("objective.on", "1 to 256", true, task_with(json!({"objective": {"on": "", "target": 1}}))),
        ("objective.target", "missing", true, task_with(json!({"objective": {"on": "x"}}))),
        ("objective.where", "nobody", false, task_with(json!({"objective": objective(r#""target": 1, "where": "nobody.x == 1""#)}))),
        ("objective.measure.sum", "below data", true, task_with(json!({"objective": objective(r#""target": 1, "measure": {"sum": "data.a + data.b"}"#)}))),
        ("objective.cap.per_action", "at least 1", true, task_with(json!({"objective": objective(r#""target": 1, "cap": {"per_action": 0}"#)}))),
        ("objective.lateness", "PT2H", true, task_with(json!({"objective": objective(r#""target": 1, "lateness": "P1M""#)}))),
        ("objective.target", "last milestone is at 4", false, task_with(json!({"milestones": milestones(&[2, 4])}))),
        ("milestones[1].at", "ascend", false, task_with(json!({"objective": {"on": "x"}, "milestones": milestones(&[2, 2])}))),
        ("rewards", "not both", true, task_with(json!({"milestones": milestones(&[3]), "rewards": [line("a")]}))),
        ("rewards[1].line", "already", false, task_with(json!({"rewards": [line("a"), line("a")]}))),
        ("rewards[0].line", "control", true, task_with(json!({"rewards": [line("a\u{1f}b")]}))),
        ("rewards", "use `milestones`", true, streak_with(json!({"milestones": null, "rewards": [line("a")]}))),
        ("milestones", "missing", true, streak_with(json!({"milestones": null}))),
        ("milestones[1].at", "exceeds the cycle of 7", false, streak_with(json!({"milestones": milestones(&[7, 8]), "streak": {"cycle": 7}}))),
        ("streak", "only continuous", true, task_with(json!({"streak": {}}))),
    ];
    for (path, message, schema_can_know, file) in rules {
        assert_refused(&file, &format!("tasks[0].{path}"), message);
        assert_eq!(!schema_accepts(&file), schema_can_know, "{file}");
    }
}

#[test]
fn the_end_of_the_year_9999_is_a_bound_for_ever() {
    for until in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999+00:00"] {
        let file = task_with(json!({"window": {"from": "2026-01-01T00:00:00Z", "until": until}}));
        let task = parse(&file.to_string()).unwrap().remove(0);
        assert_eq!(task.window.until, Some(jiff::Timestamp::MAX), "{until}");
        assert!(schema_accepts(&file), "{file}");
    }
    let file = task_with(json!({"window": {"until": "9999-12-32T00:00:00Z"}}));
    assert_refused(&file, "tasks[0].window.until", "RFC 3339");
}

#[test]
fn ids_are_unique_and_no_task_waits_for_itself_by_way_of_others() {
    let mut file = task_with(json!({}));
    for (id, requires) in [("b", "c"), ("c", "d"), ("d", "b"), ("e", "b"), ("f", "elsewhere")] {
        let mut task = file["tasks"][0].clone();
        (task["id"], task["requires"]) = (json!(id), json!([requires]));
        file["tasks"].as_array_mut().unwrap().push(task);
    }
    assert_refused(&file, "tasks[3].requires[0]", "b needs c needs d needs b");
    file["tasks"][3]["requires"] = json!(["a"]);
    assert!(parse(&file.to_string()).is_ok());
    file["tasks"][4]["id"] = json!("a");
    file["tasks"][3]["requires"] = json!(["elsewhere"]);
    assert_refused(&file, "tasks[4].id", "a is already the id of the task in line 1");
}

#[test]
fn a_continuous_task_needs_one_in_a_period_unless_it_says_otherwise() {
    let read = |file: Value| parse(&file.to_string()).unwrap().remove(0);
    assert_eq!(read(streak_with(json!({}))).objective.target, 1);
    assert_eq!(read(streak_with(json!({}))).streak, Some(StreakRules::default()));
    let thrice = read(streak_with(json!({"objective": {"on": "x", "target": 3}})));
    assert_eq!((thrice.objective.target, thrice.last_at()), (3, 1));
}

#[test]
fn a_text_in_the_default_locale_of_the_file_is_enough() {
    let file = "{default_locale: zh-hans, tasks: [{id: a, kind: ordinary, text: {zh-Hans: {title: 甲}}, objective: {on: x, target: 1}}]}";
    let task = parse(file).unwrap().remove(0);
    assert_eq!(task.default_locale, "zh-Hans");
    assert_eq!(task.text_in(None).title, "甲");
}

fn json_of(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(is)) => json!(is),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        Yaml::Value(Scalar::FloatingPoint(number)) => json!(number.into_inner()),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(entries) => entries
            .iter()
            .map(|(key, value)| (key.as_str().unwrap().to_owned(), json_of(value)))
            .collect(),
        other => panic!("no JSON: {other:?}"),
    }
}

fn schema_accepts(file: &Value) -> bool {
    static VALIDATOR: std::sync::LazyLock<jsonschema::Validator> = std::sync::LazyLock::new(|| {
        jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
    });
    VALIDATOR.is_valid(file)
}

#[test]
fn every_published_example_is_a_complete_file() {
    jsonschema::meta::validate(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let examples =
        DOCUMENTATION.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let examples: Vec<&str> = examples.chain([SAMPLES, CONTRACT]).collect();
    assert!(examples.len() > 5);
    for example in examples {
        parse(example).unwrap_or_else(|errors| panic!("{example}\n{errors:#?}"));
        let file = json_of(&Yaml::load_from_str(example).unwrap()[0]);
        assert!(schema_accepts(&file), "{example}");
        assert_eq!(parse(&file.to_string()), parse(example), "the same as JSON");
    }
}
