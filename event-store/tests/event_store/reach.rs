//! The number of users affected by a publication, by index or, if the audience changes, by their
//! attributes.

use std::sync::Arc;
use std::time::Duration;

use plaudit_event_store::catalogue_store::{
    CatalogueStore, UsersReached, users_reached, with_drafts,
};
use serde_json::{Value, json};

use crate::support::{Store, action, tasks_of};

const BY_INDEX: &str = include_str!("../../src/catalogue_store/reach.sql");
const ONE_BY_ONE: &str = include_str!("../../src/catalogue_store/reach_in_audience.sql");

/// A daily task of three gifts.
fn gifts(changes: &str) -> String {
    format!(
        "tasks:
- id: gifts
  kind: periodic
  every: day
  objective: {{ on: gift.sent, target: 3 }}
{changes}"
    )
}

async fn reach(store: &Store, file: &str, limit: Duration) -> Option<UsersReached> {
    let known = CatalogueStore::default().newest(&store.pool).await.unwrap();
    let after = with_drafts(&known, &tasks_of(file), jiff::Timestamp::now()).unwrap();
    let id = "gifts".parse().unwrap();
    let draft = Arc::clone(after.task(&id).unwrap().current());
    users_reached(&store.pool, known.task(&id).unwrap(), &draft, limit).await.unwrap()
}

#[tokio::test]
async fn users_outside_a_narrower_audience_are_not_counted_among_those_who_go_on() {
    let store = Store::with_tasks(&gifts("")).await;
    let now = jiff::Timestamp::now().to_string();
    let send = async |user: &str, id: &str, kind: &str, time: &str, data: Value| {
        store.act(action(user, id, kind, time, &data)).await;
    };
    for (user, vip) in [("ann", 3), ("bob", 1), ("cid", 1), ("dan", 1)] {
        send(user, "u", "plaudit.user.updated", &now, json!({ "attributes": { "vip": vip } }))
            .await;
    }
    for user in ["ann", "bob", "eve"] {
        send(user, "1", "gift.sent", &now, json!({})).await;
    }
    for id in ["1", "2", "3"] {
        send("cid", id, "gift.sent", &now, json!({})).await;
    }
    // This period ended long ago.
    send("dan", "1", "gift.sent", "2026-01-05T12:00:00Z", json!({})).await;

    let limit = Duration::from_secs(30);
    let all = gifts("  order: 7\n  on_new_version: adopt\n");
    let everybody =
        UsersReached { completed: 1, adopt_version: 3, begin_anew: 1, ..UsersReached::default() };
    assert_eq!(reach(&store, &all, limit).await, Some(everybody));
    let vips = "  audience: { where: user.vip >= 2 }\n";
    let adopting = gifts(&format!("  on_new_version: adopt\n{vips}"));
    // Completed periods stay completed; bob and eve would adopt the version, dan would begin with
    // it.
    let narrowed = UsersReached {
        completed: 1,
        adopt_version: 1,
        outside_audience: 3,
        ..UsersReached::default()
    };
    assert_eq!(reach(&store, &adopting, limit).await, Some(narrowed));
    let keeping = UsersReached {
        completed: 1,
        keep_version: 3,
        outside_audience: 1,
        ..UsersReached::default()
    };
    assert_eq!(reach(&store, &gifts(vips), limit).await, Some(keeping));
}

#[tokio::test]
async fn users_of_an_ordinary_task_go_on_with_it_after_the_end_of_its_window() {
    let file = |until: &str, rest: &str| {
        format!(
            "tasks: [{{id: gifts, kind: ordinary, window: {{until: {until}}}, \
             objective: {{on: gift.sent, target: 3}}{rest}}}]"
        )
    };
    let store = Store::with_tasks(&file("2026-02-01T00:00:00Z", "")).await;
    store.act(action("ann", "1", "gift.sent", "2026-01-05T12:00:00Z", &json!({}))).await;
    let limit = Duration::from_secs(30);
    let extended = |rest: &str| file("9000-01-01T00:00:00Z", rest);
    let keeping = UsersReached { keep_version: 1, ..UsersReached::default() };
    assert_eq!(reach(&store, &extended(""), limit).await, Some(keeping));
    let adopting = UsersReached { adopt_version: 1, ..UsersReached::default() };
    assert_eq!(reach(&store, &extended(", on_new_version: adopt"), limit).await, Some(adopting));
    let narrowed = ", on_new_version: adopt, audience: {where: user.vip > 1}";
    let outside = UsersReached { outside_audience: 1, ..UsersReached::default() };
    assert_eq!(reach(&store, &extended(narrowed), limit).await, Some(outside));
}

/// The nodes of a plan, with the table or index that each reads.
fn nodes(plan: &Value, found: &mut Vec<(String, String)>) {
    let name = |field: &str| plan[field].as_str().unwrap_or_default().to_owned();
    let read = if plan["Index Name"].is_string() { "Index Name" } else { "Relation Name" };
    found.push((name("Node Type"), name(read)));
    for below in plan["Plans"].as_array().into_iter().flatten() {
        nodes(below, found);
    }
}

#[tokio::test]
async fn users_of_a_task_are_found_by_an_index_however_many_other_tasks_have() {
    let store = Store::with_tasks(&gifts("")).await;
    let filled = [
        "insert into task_view (lane, user_id, task_id, version, period_key, starts_at, ends_at, progress, completed)
         select n % 64, 'user-' || n, 'other-' || t, 1, '2026-03-29', '2026-03-29', '2026-03-30', 1, false
         from generate_series(1, 60) n, generate_series(1, 1000) t",
        "insert into task_view (lane, user_id, task_id, version, period_key, starts_at, ends_at, progress, completed)
         select n % 64, 'user-' || n, 'gifts', 1, '2026-03-29', '2026-03-29', '2026-03-30', 1, false
         from generate_series(1, 60) n",
        "insert into user_view (lane, user_id, zones)
         select n % 64, 'user-' || n, '{}' from generate_series(1, 60000) n",
    ];
    for rows in filled {
        sqlx::query(rows).execute(&store.pool).await.unwrap();
    }
    for table in ["task_view", "user_view", "lane_numbers"] {
        sqlx::query(&format!("analyze {table}")).execute(&store.pool).await.unwrap();
    }
    for (query, probes) in [
        (BY_INDEX, &["task_view_by_task"][..]),
        (ONE_BY_ONE, &["task_view_by_task", "user_view_pkey"]),
    ] {
        let query = query.replace("$1", "'gifts'").replace("$2", "3");
        let plan: Value = sqlx::query_scalar(&format!("explain (format json) {query}"))
            .fetch_one(&store.pool)
            .await
            .unwrap();
        let mut found = Vec::new();
        nodes(&plan[0]["Plan"], &mut found);
        let scans_a_view =
            |(node, of): &&(String, String)| node == "Seq Scan" && of.ends_with("_view");
        assert_eq!(found.iter().find(scans_a_view), None, "{plan:#}");
        for index in probes {
            assert!(found.iter().any(|(_, of)| of == index), "{index}: {plan:#}");
        }
    }
}
