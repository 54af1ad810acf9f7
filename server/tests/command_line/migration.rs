//! A database of the first version: `plaudit migrate` brings it to the current form, leaves its
//! events untouched, and all earlier answers stay true.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::action::{Action, Parts};
use plaudit_domain::lane::Lane;
use plaudit_embedded::test_cluster;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::{
    ActionAnswer, Claim, ClaimAnswer, Executor, Incoming, Item, Kind, Origin, SourcePosition, pool,
    schema,
};
use serde_json::{Map, Value, json};
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::program::{plaudit, text};

/// The migrations that the first version knew.
const FIRST: [&str; 3] =
    ["0001_lanes_and_events.sql", "0002_cqrs_events.sql", "0003_core_views.sql"];

/// A database as the first version wrote it.
const CONTENT: &str = include_str!("migration/first_version.sql");

/// The parked action of `bob` in [`CONTENT`].
const PARKED: &str = "e4af3175-816a-5d30-b037-8670cba899b4";

async fn database_of_the_first_version() -> String {
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
    sqlx::raw_sql(CONTENT).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    url
}

/// The events, byte by byte.
async fn events(url: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(
        "select e::text from (select lane, aggregate_id, sequence, position, event_type, event_version,
                                     payload::text, metadata::text, recorded_at
                              from events order by lane, position) e",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

fn executor(pool: &PgPool) -> Executor {
    let lanes = 64.try_into().unwrap();
    Executor::new(pool.clone(), lanes, Arc::new(CatalogueStore::default()), vec![])
}

/// An action of a user on March 29, as a record of the old topic or else over HTTP.
fn acts((user, id, kind): (&str, &str, &str), data: &Value, offset: Option<i64>) -> Item<Incoming> {
    let (source, time) = ("/old", "2026-03-29T12:00:00Z");
    let data: Map<String, Value> = data.as_object().unwrap().clone();
    let action = Action::new(Parts { user, source, id, kind, time, data }).unwrap();
    let topic = "plaudit.actions".into();
    let origin = match offset {
        Some(offset) => {
            Origin::Record(SourcePosition { topic, incarnation: 0, partition: 0, offset })
        }
        None => Origin::Request(Uuid::new_v4()),
    };
    Item { lane: Lane::of(user, 64.try_into().unwrap()), work: Incoming::Action(action), origin }
}

fn claims(user: &str, task: &str, idempotency_key: Option<&str>) -> Item<Claim> {
    let work = Claim {
        user: user.parse().unwrap(),
        task: task.parse().unwrap(),
        period: None,
        milestone: None,
        at: Timestamp::now(),
        idempotency_key: idempotency_key.map(str::to_owned),
    };
    let lane = Lane::of(user, 64.try_into().unwrap());
    Item { lane, work, origin: Origin::Request(Uuid::new_v4()) }
}

async fn answer<K: Kind>(executor: &Executor, item: Item<K>) -> K::Answer {
    executor.execute_one(item).await.unwrap().answer
}

/// A field of a user's last event of a type.
async fn last(pool: &PgPool, (user, kind): (&str, &str), field: &str) -> Option<String> {
    let last = "select payload ->> $3 from events where aggregate_id = $1 and event_type = $2
                order by sequence desc limit 1";
    let query = sqlx::query_scalar(last).bind(user).bind(kind).bind(field);
    query.fetch_optional(pool).await.unwrap().flatten()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_first_version_is_migrated_and_counts_on() {
    let url = database_of_the_first_version().await;
    let variable = ("PLAUDIT_DATABASE_URL", url.as_str());
    let run = |arguments: &[&str]| plaudit(arguments, &[variable]);
    let verify = || {
        let verified = run(&["projections", "verify"]);
        let printed = format!("{}{}", text(&verified.stdout), text(&verified.stderr));
        assert!(verified.status.success(), "{printed}");
    };
    let before = events(&url).await;

    let refused = run(&["projections", "list"]);
    assert!(text(&refused.stderr).contains("run `plaudit migrate`"), "{}", text(&refused.stderr));
    let done = run(&["migrate"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(events(&url).await, before, "the log is untouched");
    verify();

    let pool = pool::connect(&url, 4).unwrap();
    assert_eq!(schema::check(&pool).await.unwrap(), 64.try_into().unwrap());
    let executor = executor(&pool);
    let coins = json!({ "coins": 40 });
    // Decided actions are recognised, whether they moved something or not, and wherever they come
    // from.
    for (offset, user, id, kind) in [
        (40, "ann", "g-1", "gift.sent"),
        (41, "ann", "x-1", "page.viewed"),
        (42, "carol", "s-2", "user.signed_in"),
    ] {
        let again = answer(&executor, acts((user, id, kind), &coins, Some(offset))).await;
        assert_eq!(again, ActionAnswer::Duplicate, "{user} {id}");
    }
    let read_again = answer(&executor, acts(("ann", "new", "gift.sent"), &coins, Some(3))).await;
    assert_eq!(read_again, ActionAnswer::AlreadyApplied);

    let repeated = answer(&executor, claims("ann", "first-team", Some("k-1"))).await;
    let Ok(ClaimAnswer::Claimed(receipt)) = repeated else { panic!("{repeated:?}") };
    assert_eq!(receipt.claimed_at.to_string(), "2026-03-28T10:00:00Z");
    assert_eq!(receipt.rewards.len(), 1);
    let unclaimed = answer(&executor, claims("ann", "daily-gifts", None)).await;
    let Ok(ClaimAnswer::Claimed(receipt)) = unclaimed else { panic!("{unclaimed:?}") };
    assert_eq!(receipt.milestone, 100);

    let gift = answer(&executor, acts(("ann", "g-3", "gift.sent"), &coins, Some(43))).await;
    assert_eq!(gift, ActionAnswer::Accepted);
    let progress = last(&pool, ("ann", "progress_recorded"), "progress").await;
    assert_eq!(progress.as_deref(), Some("170"), "on top of the 130 of the first version");
    // Stock postgres-es had appended to carol: her reward is known all the same.
    let by_stock = answer(&executor, claims("carol", "sign-in", None)).await;
    let Ok(ClaimAnswer::Claimed(receipt)) = by_stock else { panic!("{by_stock:?}") };
    assert_eq!(receipt.milestone, 3);

    // No action of bob is applied before his parked one.
    let waits = answer(&executor, acts(("bob", "t-8", "team.formed"), &json!({}), None)).await;
    assert!(matches!(waits, ActionAnswer::Parked { .. }), "{waits:?}");
    let released = run(&["parked", "release", PARKED, "--reason", "the fault is mended"]);
    assert!(released.status.success(), "{}", text(&released.stderr));
    assert_eq!(last(&pool, ("bob", "task_completed"), "period").await.as_deref(), Some("once"));
    verify();
}
