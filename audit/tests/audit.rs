//! Auditors' answers from a real log.

use plaudit_audit::{AuditError, History, HistoryQuery, Moment, StateAt};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_embedded::test_cluster;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::{pool, schema};
use serde_json::{Value, json};
use sqlx::PgPool;

const ALL: HistoryQuery = HistoryQuery { after: 0, limit: 100, from: None, until: None };

async fn database() -> (PgPool, Lane, UserId) {
    let pool = pool::connect(&test_cluster::create_database("audit").await, 4).unwrap();
    let lanes = LaneCount::try_from(4).unwrap();
    schema::migrate(&pool, lanes).await.unwrap();
    (pool, Lane::of("ann", lanes), "ann".parse().unwrap())
}

/// Appends a row as another program may have written it.
async fn append(pool: &PgPool, lane: Lane, sequence: i64, version: &str, payload: &Value) {
    sqlx::query(
        "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type,
                             event_version, payload, metadata, position)
         values ($1, 'UserTasks', 'ann', $2, 'user_updated', $3, $4,
                 '{\"topic\": \"t\", \"partition\": \"3\", \"offset\": \"17\",
                   \"action_source\": \"/s\", \"action_id\": \"a\"}', $2)",
    )
    .bind(lane.0)
    .bind(sequence)
    .bind(version)
    .bind(payload)
    .execute(pool)
    .await
    .unwrap();
}

fn updated(zone: &str) -> Value {
    json!({"type": "user_updated", "at": "2026-03-29T09:12:00Z", "zone": zone, "attributes": {}})
}

#[tokio::test]
async fn the_history_shows_an_event_that_cannot_be_read_as_it_is_stored() {
    let (pool, lane, ann) = database().await;
    append(&pool, lane, 1, "1.0", &updated("Europe/Paris")).await;
    append(&pool, lane, 2, "9.0", &json!({"strange": true, "task": "x"})).await;
    append(&pool, lane, 3, "1.0", &updated("UTC")).await;
    let mut connection = pool.acquire().await.unwrap();
    let history = History::read(lane, &ann, &ALL, &mut connection).await.unwrap();
    let shown = serde_json::to_value(&history).unwrap();
    assert_eq!(shown["next"], Value::Null);
    let events = shown["events"].as_array().unwrap();
    assert_eq!(events.iter().map(|e| &e["sequence"]).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(events[0].get("unreadable"), None);
    assert_eq!(events[1]["payload"], json!({"strange": true, "task": "x"}));
    assert_eq!(
        (&events[1]["type"], &events[1]["version"]),
        (&json!("user_updated"), &json!("9.0"))
    );
    assert_eq!(events[1]["source_position"], json!({"topic": "t", "partition": 3, "offset": 17}));
    assert_eq!(events[1]["cause"]["action"]["id"], "a");
    assert!(events[1]["unreadable"].as_str().unwrap().contains("9.0"));

    let page = HistoryQuery { limit: 2, ..ALL };
    let page = History::read(lane, &ann, &page, &mut connection).await.unwrap();
    assert_eq!((page.events.len(), page.next), (2, Some(2)));
    let rest = HistoryQuery { after: 2, ..ALL };
    let rest = History::read(lane, &ann, &rest, &mut connection).await.unwrap();
    assert_eq!((rest.events.len(), rest.next), (1, None));
}

#[tokio::test]
async fn a_state_before_the_unreadable_event_is_shown_and_a_later_one_says_what_is_wrong() {
    let (pool, lane, ann) = database().await;
    append(&pool, lane, 1, "1.0", &updated("Europe/Paris")).await;
    append(&pool, lane, 2, "9.0", &json!({})).await;
    let catalogue = CatalogueStore::default();
    let at = async |moment| StateAt::read(ann.clone(), lane, moment, None, &catalogue, &pool).await;
    let first = at(Some(Moment::Sequence(1))).await.unwrap();
    assert_eq!((first.sequence, first.position.number), (1, 1));
    let shown = serde_json::to_value(&first).unwrap();
    assert_eq!(shown["position"], format!("{lane}:1"));
    for beyond in [Some(Moment::Sequence(2)), None] {
        let error = at(beyond).await.unwrap_err();
        assert!(matches!(error, AuditError::Unreadable { .. }), "{error:?}");
        assert!(error.to_string().contains("event 2 of user ann"), "{error}");
    }
}

/// A database's clock gets adjusted, so a later event may have an earlier time.
#[tokio::test]
async fn the_history_between_two_times_is_complete_though_the_clock_was_set_back() {
    let (pool, lane, ann) = database().await;
    sqlx::query(
        "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version,
                             payload, metadata, position, recorded_at)
         select $1, 'UserTasks', 'ann', n, 'user_updated', '1.0', $2, '{}', n,
                '2026-03-29T10:00:00Z'::timestamptz + make_interval(mins => minute)
         from unnest('{10,30,20,40,25}'::int[]) with ordinality t (minute, n)",
    )
    .bind(lane.0)
    .bind(updated("UTC"))
    .execute(&pool)
    .await
    .unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let time = |minute| Some(format!("2026-03-29T10:{minute}:00Z").parse().unwrap());
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = HistoryQuery { after, limit: 2, from: time(20), until: time(40) };
        let page = History::read(lane, &ann, &page, &mut connection).await.unwrap();
        found.extend(page.events.iter().map(|event| event.sequence));
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!(found, [2, 3, 5]);
}
