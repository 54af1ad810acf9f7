//! Corrections of a user by command, in the database.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plaudit_actions::cloud_events;
use plaudit_domain::lane::Lane;
use plaudit_event_store::{Batch, Executor, Incoming, Item, Origin, pool, schema};
use serde_json::{Value, json};

use crate::program::{migrated, plaudit, scratch, text};

const TASKS: &str = "
tasks:
  - id: daily
    kind: periodic
    every: day
    objective: { on: gift.sent, target: 3 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 10 } ]
";

#[tokio::test]
async fn rule_24_an_operator_corrects_grants_and_revokes_by_command() {
    let database = migrated().await;
    let run = |arguments: &[&str]| {
        let done = plaudit(arguments, &[("PLAUDIT_DATABASE_URL", database.as_str())]);
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let ok = |arguments: &[&str]| {
        let (code, out, err) = run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    };
    let tasks = scratch("tasks.yaml", TASKS);
    ok(&["tasks", "publish", tasks.to_str().unwrap()]);

    let reason = ["--reason", "a test"];
    let adjust = ["tasks", "adjust", "ann", "daily", "--by", "2", "--idempotency-key", "k1"];
    let adjusted = ok(&[&adjust[..], &reason].concat());
    assert!(adjusted.ends_with(": 2 of 3 (+2)\n"), "{adjusted}");
    assert_eq!(ok(&[&adjust[..], &reason].concat()), adjusted, "the same key makes it once");
    let down = ok(&[&["tasks", "adjust", "ann", "daily", "--by", "-1"][..], &reason].concat());
    assert!(down.ends_with(": 1 of 3 (-1)\n"), "{down}");
    let complete = [&["tasks", "complete", "ann", "daily"][..], &reason].concat();
    assert!(ok(&complete).ends_with(": 3 of 3 (+2)\nreached milestone 3\n"));
    let (code, _, error) = run(&complete);
    assert_eq!(code, Some(1));
    assert!(error.contains("is completed already"), "{error}");
    let reset = ok(&[&["tasks", "reset", "ann", "daily"][..], &reason].concat());
    assert!(reset.ends_with(": 0 of 3 (-3)\n"), "{reset}");

    let grant =
        ["rewards", "grant", "ann", "--kind", "currency", "--code", "coin", "--amount", "5"];
    let line = ["--line", "case-7", "--format", "json"];
    let granted = ok(&[&grant[..], &line, &reason].concat());
    let granted: Value = serde_json::from_str(&granted).unwrap();
    let id = granted["grant"].as_str().unwrap();
    assert_eq!((&granted["amount"], &granted["line"]), (&5.into(), &"case-7".into()));
    let revoke = [&["rewards", "revoke", id][..], &reason].concat();
    assert_eq!(ok(&revoke), "1 grant revoked\n");
    let (code, out, error) = run(&revoke);
    assert_eq!((code, out.as_str()), (Some(1), "0 grants revoked\n"));
    assert!(error.contains("is revoked and can't be revoked"), "{error}");

    let history = ok(&["audit", "history", "ann", "--format", "json"]);
    for word in ["progress_corrected", "reward_granted", "rewards_revoked", "a test", "os:"] {
        assert!(history.contains(word), "{word}: {history}");
    }
    ok(&["projections", "verify"]);
}

const SIGN_IN: &str = "
tasks:
  - id: sign-in
    kind: continuous
    every: day
    objective: { on: user.signed_in, target: 1 }
    milestones: [ { at: 2, rewards: [ { line: coins, kind: currency, code: coin, amount: 10 } ] } ]
";

/// Lets a user act at that time.
pub async fn act(database: &str, user: &str, kind: &str, at: Timestamp) {
    let pool = pool::connect(database, 2).unwrap();
    let lanes = schema::check(&pool).await.unwrap();
    let event = json!({"specversion": "1.0", "source": "/test", "id": at.to_string(), "subject": user,
        "type": kind, "time": at, "data": {}});
    let work = Incoming::Action(cloud_events::from_json(&event).unwrap());
    let origin = Origin::Request(uuid::Uuid::from_u128(7));
    let items = vec![Item { lane: Lane::of(user, lanes), work, origin }];
    let executor = Executor::new(pool, lanes, Arc::default(), vec![]);
    executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap();
}

#[tokio::test]
async fn rule_24_an_operator_restores_a_streak_by_command() {
    let database = migrated().await;
    let run = |arguments: &[&str]| {
        let done = plaudit(arguments, &[("PLAUDIT_DATABASE_URL", database.as_str())]);
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let tasks = scratch("sign-in.yaml", SIGN_IN);
    assert_eq!(run(&["tasks", "publish", tasks.to_str().unwrap()]).0, Some(0));
    let days_ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    act(&database, "ann", "user.signed_in", days_ago(3)).await;
    // Not yesterday: even if a day ends during the test, this one is over and was missed.
    let missed = days_ago(2).to_string()[..10].to_owned();
    let restore = ["tasks", "restore", "ann", "sign-in", "--period", &missed, "--reason", "case 7"];
    let expected = format!("sign-in {missed}: filled, streak 2, longest 2\nreached milestone 2\n");
    let (code, out, error) = run(&restore);
    assert_eq!((code, out), (Some(0), expected), "{error}");
    let (code, _, error) = run(&restore);
    assert_eq!(code, Some(1));
    assert!(error.contains(&format!("period {missed} was not missed")), "{error}");
    let (_, history, _) = run(&["audit", "history", "ann", "--format", "json"]);
    for word in ["period_made_up", "case 7", "os:"] {
        assert!(history.contains(word), "{word}: {history}");
    }
    assert_eq!(run(&["projections", "verify"]).0, Some(0));
}
