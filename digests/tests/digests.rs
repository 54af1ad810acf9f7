//! The chains over a real log.

use std::sync::Arc;
use std::time::Duration;

use plaudit_digests::verify;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_embedded::test_cluster;
use plaudit_event_store::states::UserFaults;
use plaudit_event_store::{pool, schema};
use plaudit_followers::HeadWatch;
use serde_json::json;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

async fn append(pool: &PgPool, lane: Lane, user: &str, sequence: i64) {
    let payload = json!({"type": "user_updated", "at": "2026-03-29T09:12:00Z", "zone": "UTC"});
    sqlx::query(
        "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
         select lane, 'UserTasks', $2, $3, 'user_updated', '1.0', $4, '{}', next_position from lanes where lane = $1",
    )
    .bind(lane.0)
    .bind(user)
    .bind(sequence)
    .bind(payload)
    .execute(pool)
    .await
    .unwrap();
}

async fn covered(pool: &PgPool, lane: Lane, user: &UserId, up_to: i64) {
    let wait = async {
        loop {
            let found = verify::user(pool, lane, user).await.unwrap();
            if found.covered >= up_to {
                assert!(found.intact, "{found:?}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the chain follows the log");
}

/// True for the error of a call that got no answer in time, which is not that of PostgreSQL's
/// `lock_timeout`.
fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// Runs a verification while a table is locked, until its time limit has passed.
async fn while_locked<T: Send + 'static>(
    table: &str,
    locking: &mut PgConnection,
    verification: impl Future<Output = sqlx::Result<T>> + Send + 'static,
) -> sqlx::Result<T> {
    sqlx::raw_sql("begin").execute(&mut *locking).await.unwrap();
    let lock = format!("lock table {table} in access exclusive mode");
    sqlx::raw_sql(&lock).execute(&mut *locking).await.unwrap();
    let running = tokio::spawn(verification);
    let waits = "select exists (select from pg_locks l join pg_database d on d.oid = l.database
        where d.datname = current_database() and not l.granted and l.relation = $1::regclass)";
    let until_it_waits = async {
        while !sqlx::query_scalar::<_, bool>(waits)
            .bind(table)
            .fetch_one(&mut *locking)
            .await
            .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), until_it_waits).await.expect("it waits");
    tokio::time::pause();
    tokio::time::advance(pool::ANSWER_MAX + Duration::from_secs(1)).await;
    let outcome = running.await.unwrap();
    tokio::time::resume();
    sqlx::raw_sql("rollback").execute(&mut *locking).await.unwrap();
    outcome
}

#[tokio::test]
async fn a_database_that_does_not_answer_ends_a_verification() {
    let url = test_cluster::create_database("digests_silent").await;
    let pool = pool::connect(&url, 6).unwrap();
    schema::migrate(&pool, LaneCount::try_from(4).unwrap()).await.unwrap();
    let mut locking = PgConnection::connect(&url).await.unwrap();
    let ann: UserId = "ann".parse().unwrap();
    for table in ["follower_checkpoints", "user_digests"] {
        let (of, ann) = (pool.clone(), ann.clone());
        let verification = async move { verify::user(&of, Lane(0), &ann).await };
        let error = while_locked(table, &mut locking, verification).await.expect_err(table);
        assert!(is_silence(&error), "{table}: {error:?}");
        let of = pool.clone();
        let verification = async move { verify::lane(&of, Lane(0)).await };
        let error = while_locked(table, &mut locking, verification).await.expect_err(table);
        assert!(is_silence(&error), "{table}: {error:?}");
    }
}

/// The follower reads every event, so it also finds users whom nobody has touched since.
#[tokio::test(flavor = "multi_thread")]
async fn users_with_an_event_of_any_type_that_cannot_be_read_are_named() {
    let url = test_cluster::create_database("digests_faults").await;
    let pool = pool::connect(&url, 6).unwrap();
    let lanes = LaneCount::try_from(4).unwrap();
    schema::migrate(&pool, lanes).await.unwrap();
    for (user, event_type, payload) in [
        ("ann", "progress_recorded", "{\"type\": \"progress_recorded\"}"),
        ("bob", "from_the_future", "{}"),
    ] {
        append(&pool, Lane::of(user, lanes), user, 1).await;
        sqlx::query(
            "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
             select lane, 'UserTasks', $2, 2, $3, '1.0', $4::json, '{}', next_position from lanes where lane = $1",
        )
        .bind(Lane::of(user, lanes).0)
        .bind(user)
        .bind(event_type)
        .bind(payload)
        .execute(&pool)
        .await
        .unwrap();
    }
    let (stop, faults) = (CancellationToken::new(), Arc::<UserFaults>::default());
    let heads = HeadWatch::start(&pool, stop.clone());
    let follower = plaudit_digests::start(&pool, heads, Arc::clone(&faults), stop.clone());
    for user in ["ann", "bob"] {
        covered(&pool, Lane::of(user, lanes), &user.parse().unwrap(), 2).await;
    }
    let named = async {
        while faults.warnings().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), named).await.expect("both are named");
    for user in ["user ann in", "user bob in"] {
        let warnings = faults.warnings();
        assert!(warnings.iter().any(|warning| warning.contains(user)), "{warnings:?}");
    }
    stop.cancel();
    follower.join().await;
}

#[tokio::test]
async fn what_is_changed_later_is_noticed() {
    let url = test_cluster::create_database("digests").await;
    let pool = pool::connect(&url, 6).unwrap();
    let lanes = LaneCount::try_from(4).unwrap();
    schema::migrate(&pool, lanes).await.unwrap();
    let lane = Lane::of("ann", lanes);
    let ann: UserId = "ann".parse().unwrap();
    let other = (0..1_000).map(|n| format!("u{n}")).find(|u| Lane::of(u, lanes) == lane).unwrap();
    append(&pool, lane, "ann", 1).await;
    append(&pool, lane, &other, 1).await;
    append(&pool, lane, "ann", 2).await;
    let stop = CancellationToken::new();
    let heads = HeadWatch::start(&pool, stop.clone());
    let follower = plaudit_digests::start(&pool, heads, Arc::default(), stop.clone());
    covered(&pool, lane, &ann, 2).await;
    let before = verify::user(&pool, lane, &ann).await.unwrap();
    append(&pool, lane, "ann", 3).await;
    covered(&pool, lane, &ann, 3).await;
    let after = verify::user(&pool, lane, &ann).await.unwrap();
    assert_eq!((before.events, after.events), (2, 3));
    assert_ne!(before.digest, after.digest);
    let all = verify::lane(&pool, lane).await.unwrap();
    assert_eq!((all.users, all.events, all.changed.len()), (2, 4, 0));
    let nobody: UserId = "nobody".parse().unwrap();
    assert!(verify::user(&pool, lane, &nobody).await.unwrap().intact);
    stop.cancel();
    follower.join().await;

    // The owner grants itself the right that it had given up, as a cheat would.
    let mut owner = PgConnection::connect(&url).await.unwrap();
    sqlx::query("grant update, delete on events to current_user")
        .execute(&mut owner)
        .await
        .unwrap();
    let change = "update events set payload = '{\"type\": \"user_updated\", \"at\": \"2026-03-29T09:12:01Z\"}'
                  where aggregate_id = 'ann' and sequence = 2";
    sqlx::query(change).execute(&mut owner).await.unwrap();
    let changed = verify::user(&pool, lane, &ann).await.unwrap();
    assert!(!changed.intact && changed.faults[0].contains("up to 3"), "{changed:?}");
    sqlx::query("delete from events where aggregate_id = 'ann' and sequence = 3")
        .execute(&mut owner)
        .await
        .unwrap();
    let cut = verify::user(&pool, lane, &ann).await.unwrap();
    assert!(cut.faults[0].contains("event 3 was there"), "{cut:?}");
    sqlx::query("delete from events where aggregate_id = 'ann'").execute(&mut owner).await.unwrap();
    let all = verify::lane(&pool, lane).await.unwrap();
    let named: Vec<_> = all.changed.iter().map(|v| v.user.as_str()).collect();
    assert_eq!(named, ["ann"], "all of a user's events are gone");
    sqlx::query("delete from user_digests").execute(&mut owner).await.unwrap();
    let other: UserId = other.parse().unwrap();
    assert!(!verify::user(&pool, lane, &other).await.unwrap().intact, "the digest was removed");
}
