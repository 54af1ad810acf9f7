//! Publications under load: every process decides each action with one state of the catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plaudit_event_store::catalogue_store::publish;
use plaudit_event_store::{Batch, Executor};
use serde_json::json;

use crate::support::{Store, action, eventually, request, tasks_of};

/// The number of times both tasks are published.
const PUBLICATIONS: i32 = 25;

/// Two tasks that count the same action and adopt each new version.
fn both(version: i32) -> String {
    let task = |id: &str| {
        let target = 1_000_000 + version;
        format!(
            "- {{ id: {id}, kind: ordinary, on_new_version: adopt, objective: {{ on: gift.sent, target: {target} }} }}\n"
        )
    };
    format!("tasks:\n{}{}", task("a"), task("b"))
}

/// Applies actions of ten users, batch after batch, until stopped.
async fn load(store: &Store, executor: &Executor, process: &str, stop: &AtomicBool) {
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let items = (0..10).map(|n| {
            let user = format!("{process}-{n}");
            let id = format!("{round}");
            store.item(
                action(&user, &id, "gift.sent", "2026-03-29T12:00:00Z", &json!({})),
                request(),
            )
        });
        let batch = Batch { items: items.collect(), checkpoints: vec![] };
        executor.execute(&batch).await.unwrap();
    }
}

/// The newest version with which a process has decided an action.
async fn newest_of(store: &Store, process: &str) -> Option<i32> {
    sqlx::query_scalar(
        "select max((payload->>'version')::int) from events
         where aggregate_id like $1 and event_type = 'progress_recorded'",
    )
    .bind(format!("{process}-%"))
    .fetch_one(&store.pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn both_tasks_of_a_publication_take_effect_at_once_in_every_process_within_2_s() {
    let store = Arc::new(Store::with_tasks(&both(1)).await);
    let stop = Arc::new(AtomicBool::new(false));
    let processes: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|process| {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            let executor = store.another_executor();
            tokio::spawn(async move { load(&store, &executor, process, &stop).await })
        })
        .collect();
    for version in 2..=PUBLICATIONS {
        publish(&store.pool, &tasks_of(&both(version)), "test").await.unwrap();
        for process in ["one", "two"] {
            eventually(&format!("{process} goes by version {version}"), async || {
                (newest_of(&store, process).await == Some(version)).then_some(())
            })
            .await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for process in processes {
        process.await.unwrap();
    }

    let decided: Vec<(String, String, i32)> = sqlx::query_as(
        "select aggregate_id || ' ' || (metadata->>'action_id'), payload->>'task', (payload->>'version')::int
         from events where event_type = 'progress_recorded'",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let mut by_action: BTreeMap<String, BTreeMap<String, i32>> = BTreeMap::new();
    for (action, task, version) in decided {
        by_action.entry(action).or_default().insert(task, version);
    }
    for (action, versions) in &by_action {
        assert_eq!(versions.len(), 2, "{action}: {versions:?}");
        assert_eq!(versions["a"], versions["b"], "{action}: {versions:?}");
    }
    // Compares times of the database's clock, so that delays of this test do not matter.
    let late = "select count(*) from events e
         join task_versions v on v.task_id = e.payload->>'task' and v.version > (e.payload->>'version')::int
         where e.event_type = 'progress_recorded' and e.recorded_at > v.published_at + interval '2 s'";
    assert_eq!(store.count(late).await, 0, "decided by an old version 2 s after a new one");
}
