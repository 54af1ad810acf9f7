//! A batch that the database refuses: the cause is found and parked, and everything else is
//! applied.

use crate::support::{Store, TASKS, action};
use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::{
    ActionAnswer, Answer, Applied, Batch, ClaimAll, Item, Origin, SourcePosition,
};
use serde_json::json;
use uuid::Uuid;

/// Refuses the events of one user for a reason that a retry does not change.
const REFUSE_BAD: &str = "
    create function refuse_bad() returns trigger language plpgsql as $$
    begin raise 'refused by the test' using errcode = '22023'; end $$;
    create trigger refuse_bad before insert on events for each row
        when (new.aggregate_id = 'bad') execute function refuse_bad()";

fn forms_a_team(store: &Store, user: &str, offset: i64) -> Item {
    let action = action(user, "1", "team.formed", "2026-03-29T12:00:00Z", &json!({}));
    let at = SourcePosition { topic: "actions".into(), incarnation: 0, partition: 0, offset };
    store.item(action, Origin::Record(at)).mixed()
}

fn claim(store: &Store, user: &str) -> Item {
    let user: UserId = user.parse().unwrap();
    Item {
        lane: Lane::of(user.as_str(), store.lane_count),
        work: ClaimAll { user, at: Timestamp::now(), idempotency_key: None }.into(),
        origin: Origin::Request(Uuid::from_u128(1)),
    }
}

fn is_claimed(applied: &Applied) -> bool {
    matches!(&applied.answer, Answer::ClaimAll(Ok(claimed)) if claimed.receipts.len() == 1)
}

/// Ends each session that writes an event of one user, and counts how often.
const KILLED_BY_BAD: &str = "
    create sequence kills;
    create function end_session() returns trigger language plpgsql as $$
    begin perform nextval('kills'); perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(10); return new; end $$;
    create trigger end_session before insert on events for each row
        when (new.aggregate_id = 'bad') execute function end_session()";

/// Rule 23. PostgreSQL ends a session that is idle for too long, however often the batch is sent.
#[tokio::test]
async fn a_batch_whose_connection_is_lost_again_and_again_is_halved_and_its_culprit_parked() {
    let store = Store::with_tasks(TASKS).await;
    sqlx::raw_sql(KILLED_BY_BAD).execute(&store.pool).await.unwrap();
    let items = vec![
        forms_a_team(&store, "u1", 1),
        forms_a_team(&store, "bad", 2),
        forms_a_team(&store, "u2", 3),
    ];
    let applied = store.execute(items).await;
    let answers = [&applied[0].answer, &applied[2].answer];
    assert_eq!(answers, [&Answer::Incoming(ActionAnswer::Accepted); 2], "{applied:?}");
    let culprit = &applied[1].answer;
    assert!(matches!(culprit, Answer::Incoming(ActionAnswer::Parked { .. })), "{applied:?}");
    assert_eq!(store.count("select count(*) from parked where repairable").await, 1);
    // All three together are sent twice, the culprit and its neighbour too, and the culprit alone
    // until the attempts are used up.
    assert_eq!(store.count("select last_value from kills").await, 2 + 2 + 6);
}

/// Rules 21 and 22. Offset 3 is one record for three users, and the second of them is the cause.
/// Halving by items alone would split that record.
#[tokio::test]
async fn a_record_with_a_culprit_is_parked_whole_and_all_else_is_applied() {
    let store = Store::with_tasks(TASKS).await;
    store.execute(vec![forms_a_team(&store, "claimer", 0)]).await;
    sqlx::raw_sql(REFUSE_BAD).execute(&store.pool).await.unwrap();
    let items = vec![
        forms_a_team(&store, "u1", 1),
        forms_a_team(&store, "u2", 2),
        forms_a_team(&store, "first of three", 3),
        forms_a_team(&store, "bad", 3),
        forms_a_team(&store, "last of three", 3),
        claim(&store, "claimer"),
        forms_a_team(&store, "u3", 4),
        forms_a_team(&store, "u4", 5),
        forms_a_team(&store, "u5", 6),
    ];
    let applied = store.execute(items.clone()).await;
    let parked = [2, 3, 4];
    for (index, applied) in applied.iter().enumerate() {
        match &applied.answer {
            Answer::Incoming(ActionAnswer::Parked { reason, .. }) => {
                assert!(parked.contains(&index), "{index}: {reason}");
                assert!(reason.contains("refused by the test"), "{reason}");
            }
            _ if index == 5 => assert!(is_claimed(applied), "{applied:?}"),
            answer => {
                let accepted = Answer::Incoming(ActionAnswer::Accepted);
                assert_eq!((answer, parked.contains(&index)), (&accepted, false));
            }
        }
    }
    assert_eq!(applied.len(), items.len());
    assert_eq!(store.count("select count(*) from parked where repairable").await, 3);
    let users =
        "select count(distinct aggregate_id) from events where event_type = 'task_completed'";
    assert_eq!(store.count(users).await, 6, "of the claimer and five others");
    // The offsets of all lanes have moved past all records: a repeat applies nothing.
    let again = Batch { items, checkpoints: vec![] };
    for (index, applied) in store.executor.execute(&again).await.unwrap().iter().enumerate() {
        if index != 5 {
            let already = Answer::Incoming(ActionAnswer::AlreadyApplied);
            assert_eq!(applied.answer, already, "{index}");
        }
    }
    assert_eq!(store.count("select count(*) from parked").await, 3);
}
