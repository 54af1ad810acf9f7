//! A database of the first version: `plaudit migrate` takes it to the new form, with its events untouched.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use plaudit_actions::cloud_events;
use plaudit_domain::lane::Lane;
use plaudit_embedded::test_cluster;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::{Batch, Executor, Item, Origin, Outcome, Work, pool, schema};
use serde_json::json;
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::program::{migrated, plaudit, sample_tasks, text};

/// The migrations that the first version knew.
const FIRST: [&str; 3] =
    ["0001_lanes_and_events.sql", "0002_cqrs_events.sql", "0003_core_views.sql"];

const USERS: usize = 12;

/// Some days of users who do what the sample tasks ask for, and claim some of it.
async fn some_history(pool: &PgPool) {
    let executor = executor(pool).await;
    let mut items = Vec::new();
    for day in 20..26 {
        for user in 0..USERS {
            let at = format!("2026-03-{day}T10:{user:02}:00Z");
            for kind in ["team.formed", "user.signed_in", "gift.sent", "stream.watched"] {
                let event = json!({
                    "specversion": "1.0", "source": "/old", "id": format!("{kind}-{day}"), "type": kind,
                    "subject": format!("user-{user}"), "time": at, "data": {"coins": 400, "minutes": 30},
                });
                items.push(item(&executor, Work::Action(cloud_events::from_json(&event).unwrap())));
            }
        }
    }
    for user in 0..USERS / 2 {
        items.push(item(&executor, claim(&format!("user-{user}"))));
    }
    executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap();
}

async fn executor(pool: &PgPool) -> Executor {
    let lanes = schema::check(pool).await.unwrap();
    Executor::new(pool.clone(), lanes, Arc::new(CatalogueStore::default()), vec![])
}

fn item(executor: &Executor, work: Work) -> Item {
    let user = match &work {
        Work::Action(action) => action.user.clone(),
        Work::Claim { user, .. } => user.clone(),
        other => unreachable!("{other:?}"),
    };
    let lane = Lane::of(user.as_str(), executor.lane_count());
    Item { lane, work, origin: Origin::Request(Uuid::new_v4()) }
}

/// A claim that names what it takes, so that it can be repeated.
fn claim(user: &str) -> Work {
    Work::Claim {
        user: user.parse().unwrap(),
        task: "first-team".parse().unwrap(),
        period: Some("once".to_owned().into()),
        milestone: Some(1),
        at: Timestamp::now(),
        idempotency_key: None,
    }
}

/// A database as the first version had it, with the events and the catalogue of `source`. Of its states only
/// the sequence matters; one user's is behind, as if stock code had appended.
async fn database_of_the_first_version(source: &PgPool) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(Uuid::new_v4().to_string());
    std::fs::create_dir(&folder).unwrap();
    for file in FIRST {
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        std::fs::copy(all.join(file), folder.join(file)).unwrap();
    }
    let url = test_cluster::create_database("first").await;
    let mut old = PgConnection::connect(&url).await.unwrap();
    Migrator::new(folder.as_path()).await.unwrap().run_direct(&mut old).await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    for table in ["tasks", "task_versions", "events"] {
        // As text, so that the JSON in it stays byte for byte what it is.
        let rows: String =
            sqlx::query_scalar(&format!("select coalesce(json_agg(t), '[]')::text from {table} t"))
                .fetch_one(source)
                .await
                .unwrap();
        let copy = format!(
            "insert into {table} select * from json_populate_recordset(null::{table}, $1::json)"
        );
        sqlx::query(&copy).bind(rows).execute(&mut old).await.unwrap();
    }
    sqlx::raw_sql(
        "insert into lanes (lane, next_position)
         select n, 1 + (select count(*) from events where lane = n) from generate_series(0, 63) n;
         insert into user_states (lane, user_id, sequence, state)
         select lane, aggregate_id, max(sequence) - case when aggregate_id = 'user-3' then 1 else 0 end, '{}'
         from events group by lane, aggregate_id;
         update lanes set outside_position = 1 where lane = plaudit_lane('user-3');
         update catalogue set revision = 7;
         insert into follower_checkpoints (follower, lane, position) select 'delivery', lane, next_position - 1 from lanes;",
    )
    .execute(&mut old)
    .await
    .unwrap();
    url
}

async fn events(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select e::text from (select lane, aggregate_id, sequence, position, event_type, payload::text, metadata::text, recorded_at from events) e order by 1")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_first_version_is_migrated_and_counts_on() {
    let source_url = migrated().await;
    let variable = ("PLAUDIT_DATABASE_URL", source_url.as_str());
    let published = plaudit(&["tasks", "publish", sample_tasks().to_str().unwrap()], &[variable]);
    assert!(published.status.success(), "{}", text(&published.stderr));
    let source = pool::connect(&source_url, 4).unwrap();
    some_history(&source).await;
    let url = database_of_the_first_version(&source).await;
    let variable = ("PLAUDIT_DATABASE_URL", url.as_str());
    let run = |arguments: &[&str]| plaudit(arguments, &[variable]);

    let refused = run(&["projections", "list"]);
    assert!(text(&refused.stderr).contains("run `plaudit migrate`"), "{}", text(&refused.stderr));
    let done = run(&["migrate"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let pool = pool::connect(&url, 4).unwrap();
    assert_eq!(events(&pool).await, events(&source).await, "the log is untouched");

    let verified = run(&["projections", "verify"]);
    assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));
    let executor = executor(&pool).await;
    let repeated = item(&executor, claim("user-1"));
    let first = item(&executor, claim("user-11"));
    let gift = json!({
        "specversion": "1.0", "source": "/new", "id": "1", "type": "gift.sent", "subject": "user-3",
        "time": "2026-03-25T11:00:00Z", "data": {"coins": 400},
    });
    let gift = item(&executor, Work::Action(cloud_events::from_json(&gift).unwrap()));
    let batch = Batch { items: vec![repeated, first, gift], checkpoints: vec![] };
    let applied = executor.execute(&batch).await.unwrap();
    assert!(matches!(applied[0].outcome, Outcome::Claimed(_)), "{applied:?}");
    assert!(matches!(applied[1].outcome, Outcome::Claimed(_)), "{applied:?}");
    assert_eq!(applied[2].outcome, Outcome::Accepted);
    let claims = "select count(*) from events where event_type = 'rewards_claimed' and aggregate_id = 'user-1'";
    assert_eq!(sqlx::query_scalar::<_, i64>(claims).fetch_one(&pool).await.unwrap(), 1);
    assert!(run(&["projections", "verify"]).status.success());
}
