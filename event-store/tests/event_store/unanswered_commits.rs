//! A commit that PostgreSQL carries out but whose answer is lost: the next attempt returns the
//! first answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{Store, TASKS, action, request};
use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_embedded::test_cluster;
use plaudit_event_store::{ActionAnswer, Answer, Batch, Claim, ClaimAnswer, Executor, Item, pool};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

/// Makes each commit of events wait for a lock, without a time limit.
const WAIT_AT_COMMIT: &str = "
    create function wait_at_commit() returns trigger language plpgsql set lock_timeout = 0 as $$
    begin perform pg_advisory_xact_lock_shared(4242); return null; end $$;
    create constraint trigger wait_at_commit after insert on events
        deferrable initially deferred for each row execute function wait_at_commit()";

/// Waits until a commit waits for the lock of [`WAIT_AT_COMMIT`].
async fn a_commit_waits(store: &Store) {
    let waiting = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                   where d.datname = current_database() and not l.granted
                     and l.locktype = 'advisory' and l.objid = 4242";
    let deadline = Instant::now() + Duration::from_secs(30);
    while store.count(waiting).await == 0 {
        assert!(Instant::now() < deadline, "no commit waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Rules 5 and 14.
#[tokio::test]
async fn what_was_committed_without_an_answer_is_answered_as_if_nothing_had_happened() {
    let store = Store::with_tasks(TASKS).await;
    // Two claimable rewards: a blind retry of "claim the oldest" would take both.
    for (id, kind) in [("t", "team.formed"), ("s", "user.signed_in")] {
        store.act(action("u1", id, kind, "2026-03-29T12:00:00Z", &json!({}))).await;
    }
    sqlx::raw_sql(WAIT_AT_COMMIT).execute(&store.pool).await.unwrap();
    let (proxy, through) = test_cluster::fault_proxy(&store.url).await;
    let frozen = pool::connect(&through, 2).unwrap();
    let executor = Executor::new(frozen, store.lane_count, Arc::default(), vec![]);
    let user: UserId = "u1".parse().unwrap();
    let lane = Lane::of("u1", store.lane_count);
    let claim = Claim {
        user,
        task: "first-team".parse().unwrap(),
        period: None,
        milestone: None,
        at: Timestamp::now(),
        idempotency_key: None,
    };
    let gift = action("u1", "g", "gift.sent", "2026-03-29T13:00:00Z", &json!({ "coins": 10 }));
    let claim = Item { lane, work: claim, origin: request() };
    let items = vec![store.item(gift, request()).mixed(), claim.mixed()];
    let mut holder = PgConnection::connect(&store.url).await.unwrap();
    sqlx::query("select pg_advisory_lock(4242)").execute(&mut holder).await.unwrap();
    let running =
        tokio::spawn(async move { executor.execute(&Batch { items, checkpoints: vec![] }).await });
    a_commit_waits(&store).await;
    proxy.freeze();
    // The commit succeeds, but its answer is lost.
    holder.close().await.unwrap();
    let applied = running.await.unwrap().unwrap();
    let accepted = Answer::Incoming(ActionAnswer::Accepted);
    assert_eq!(applied[0].answer, accepted, "not a duplicate of itself");
    let is_claimed = matches!(applied[1].answer, Answer::Claim(Ok(ClaimAnswer::Claimed(_))));
    assert!(is_claimed, "{applied:?}");
    assert!(proxy.accepted() > 1, "the answer came over another connection");
    let claims = "select count(*) from events where event_type = 'rewards_claimed'";
    assert_eq!(store.count(claims).await, 1);
    let gifts = "select count(*) from events where payload ->> 'task' = 'daily-gifts'";
    assert_eq!(store.count(gifts).await, 1);
}
