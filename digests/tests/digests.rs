//! The chains over a real log.

use std::time::Duration;

use plaudit_digests::verify;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_embedded::test_cluster;
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
    let follower =
        plaudit_digests::start(&pool, HeadWatch::start(&pool, stop.clone()), stop.clone());
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
