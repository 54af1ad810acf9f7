//! The plans of a batch's statements are made while the tables are empty, and kept. They must still
//! be good when a lane has many users: each statement probes keys instead of scanning a lane.

use std::time::{Duration, Instant};

use crate::support::{Store, TASKS, action, request};
use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_event_store::{Claim, ClaimAnswer, Item, rewards};
use serde_json::json;

/// The average number of rows that an index scan may read: the rows of one user, not of a lane.
const ROWS_PER_SCAN: f64 = 12.0;

const USERS: usize = 150;

/// Returns the index scans of all sessions, once the statistics are complete.
async fn scans(store: &Store) -> Vec<(String, i64, i64)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "select indexrelname::text, idx_scan, idx_tup_read from pg_stat_user_indexes
             where idx_scan > 0 and (relname in ('events', 'task_view', 'user_view', 'reward_state', 'claim_keys')
                                     or relname like 'seen_actions%')",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        if rows.iter().any(|(index, ..)| index == "task_view_pkey") {
            return rows;
        }
        assert!(Instant::now() < deadline, "no statistics have arrived");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn every_statement_of_a_batch_probes_keys_also_when_it_was_planned_on_empty_tables() {
    let store = Store::with_tasks(TASKS).await;
    let lane = Lane::of("u", store.lane_count);
    let users: Vec<String> = (0..)
        .map(|n| format!("user-{n}"))
        .filter(|user| Lane::of(user, store.lane_count) == lane)
        .take(USERS)
        .collect();
    for day in 1..=4 {
        for kind in ["team.formed", "gift.sent", "user.signed_in"] {
            let time = format!("2026-03-{day:02}T12:00:00Z");
            let items = users.iter().map(|user| {
                let data = json!({ "coins": 600 });
                store.item(action(user, &format!("{kind}-{day}"), kind, &time, &data), request())
            });
            store.execute(items.collect()).await;
        }
        let task: TaskId = "sign-in".parse().unwrap();
        let claims = users.iter().map(|user| {
            let user: UserId = user.parse().unwrap();
            let work = Claim {
                user,
                task: task.clone(),
                period: None,
                milestone: None,
                at: Timestamp::now(),
                idempotency_key: Some(format!("claim-{day}")),
            };
            Item { lane, work, origin: request() }
        });
        store.execute(claims.collect()).await;
    }
    for (index, scans, read) in scans(&store).await {
        #[expect(clippy::cast_precision_loss, reason = "an average for people")]
        let average = read as f64 / scans as f64;
        assert!(average <= ROWS_PER_SCAN, "{index}: {scans} scans read {read} rows");
    }
}

/// The rows of a user who has signed in for decades.
const MANY_CLAIMED_FEW_CLAIMABLE: &str = "
    insert into reward_state (lane, user_id, task_id, period_key, milestone, line, grant_id, kind, code, amount,
                              state, granted_at, granted_position, ordinal, version)
    select $1, $2, 'sign-in', n::text, 1, 'd1', gen_random_uuid(), 'currency', 'coin', 1,
           case when n % 10000 = 0 then 'claimable' else 'claimed' end, now(), n, 0, 1
    from generate_series(1, 100000) n";

/// Rule 17 without an idempotency key: the receipt is found by the key of the milestone.
#[tokio::test]
async fn a_named_repeat_of_a_claim_reads_one_milestone_also_when_it_was_planned_on_empty_tables() {
    let store = Store::with_tasks(TASKS).await;
    let user: UserId = "u".parse().unwrap();
    let lane = Lane::of("u", store.lane_count);
    let repeat = async || {
        let work = Claim {
            user: user.clone(),
            task: "sign-in".parse().unwrap(),
            period: Some("5".to_owned().into()),
            milestone: Some(1),
            at: Timestamp::now(),
            idempotency_key: None,
        };
        store.answer(Item { lane, work, origin: request() }).await
    };
    let nothing = repeat().await;
    assert!(matches!(nothing, Ok(ClaimAnswer::Rejected(_))), "nothing was claimed yet");
    let claimed = MANY_CLAIMED_FEW_CLAIMABLE
        .replace("ordinal, version)", "ordinal, version, claimed_at, claimed_position)")
        .replace("now(), n, 0, 1", "now(), n, 0, 1, now(), n");
    sqlx::query(&claimed).bind(lane.0).bind("u").execute(&store.pool).await.unwrap();
    for _ in 0..2 {
        let receipt = repeat().await;
        assert!(matches!(receipt, Ok(ClaimAnswer::Claimed(_))), "{receipt:?}");
        // A plan made with statistics of the table is good, too.
        sqlx::query("analyze reward_state").execute(&store.pool).await.unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let scans = "select idx_scan from pg_stat_user_indexes where indexrelname = 'reward_state_by_milestone'";
    while store.count(scans).await < 3 {
        assert!(Instant::now() < deadline, "the index by milestone was not used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let read =
        "select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relname = 'reward_state'";
    let read = store.count(read).await;
    assert!(read <= 20, "two repeats read {read} rows");
}

#[tokio::test]
async fn a_page_of_claimable_rewards_reads_no_others_also_when_it_was_planned_on_empty_tables() {
    let store = Store::with_tasks(TASKS).await;
    let user: UserId = "u".parse().unwrap();
    let lane = Lane::of("u", store.lane_count);
    let claimable = async || {
        let state = Some("claimable");
        rewards::load(&store.pool, lane, &user, state, None, 100, Timestamp::now()).await.unwrap()
    };
    assert!(claimable().await.rows.is_empty());
    let insert = sqlx::query(MANY_CLAIMED_FEW_CLAIMABLE).bind(lane.0).bind("u");
    insert.execute(&store.pool).await.unwrap();
    let page = claimable().await;
    assert_eq!((page.rows.len(), page.next), (10, None));
    // A plan made with statistics of the table is good, too.
    sqlx::query("analyze reward_state").execute(&store.pool).await.unwrap();
    assert_eq!(claimable().await.rows.len(), 10);
    let deadline = Instant::now() + Duration::from_secs(60);
    let read = loop {
        let of_index = "select idx_scan, idx_tup_read from pg_stat_user_indexes
                        where indexrelname = 'reward_state_claimable_in_order'";
        let (scans, _): (i64, i64) = sqlx::query_as(of_index).fetch_one(&store.pool).await.unwrap();
        if scans >= 3 {
            let of_table = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes
                            where relname = 'reward_state'";
            break store.count(of_table).await;
        }
        assert!(Instant::now() < deadline, "the index was used {scans} times");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(read <= 20, "two pages of ten rewards read {read} rows");
}
