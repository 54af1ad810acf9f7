//! Rule 22: after a record is parked for a repairable reason, its user's later actions wait behind
//! it, in order.

use crate::support::{Store, TASKS, action, request};
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{ParkedVerdict, Resolution};
use plaudit_event_store::{
    ActionAnswer, Incoming, Item, Origin, ParkedRecord, ResolveAnswer, ResolveParked,
    SourcePosition, parked,
};
use serde_json::json;
use uuid::Uuid;

const NOON: &str = "2026-03-29T12:00:00Z";

fn record(user: &str, name: &str) -> ParkedRecord {
    ParkedRecord {
        id: ParkedRecord::id_of(name),
        reason: "the mapping failed".to_owned(),
        repairable: true,
        user: Some(user.parse().unwrap()),
        headers: json!({}),
        bytes: b"{}".to_vec(),
    }
}

fn park(store: &Store, user: &str, name: &str) -> Item<Incoming> {
    let at = SourcePosition { topic: "t".into(), incarnation: 2, partition: 0, offset: 7 };
    let lane = Lane::of(user, store.lane_count);
    Item { lane, work: Incoming::Park(record(user, name)), origin: Origin::Record(at) }
}

fn decide(
    store: &Store,
    user: &str,
    id: Uuid,
    verdict: ParkedVerdict,
    actions: Vec<plaudit_domain::action::Action>,
) -> Item<ResolveParked> {
    let at = NOON.parse().unwrap();
    let decision = Resolution { parked: id, verdict, by: "ops".to_owned(), at };
    let user = Some(user.parse().unwrap());
    let lane = Lane::of(
        user.as_ref().map_or("", |u: &plaudit_domain::ids::UserId| u.as_str()),
        store.lane_count,
    );
    let work = ResolveParked { decision, user, actions };
    Item { lane, work, origin: Origin::Parked { id, from: None } }
}

fn release() -> ParkedVerdict {
    ParkedVerdict::Release { reason: None }
}

fn id_of(answer: &ActionAnswer) -> Uuid {
    let ActionAnswer::Parked { id, .. } = answer else { panic!("parked: {answer:?}") };
    *id
}

#[tokio::test]
async fn rule_22_later_actions_wait_and_are_released_in_order() {
    let store = Store::with_tasks(TASKS).await;
    let formed = |id: &str| action("u", id, "team.formed", NOON, &json!({}));
    let before = store.act(formed("before")).await;
    assert_eq!(before.answer, ActionAnswer::Accepted);
    // An action in the same batch as the record waits too, like later ones.
    let same_batch =
        store.item(action("u", "g1", "gift.sent", NOON, &json!({"coins": 10})), request());
    let other =
        store.item(action("other", "g", "gift.sent", NOON, &json!({"coins": 10})), request());
    let outcomes = store.execute(vec![park(&store, "u", "first"), same_batch, other]).await;
    let first = id_of(&outcomes[0].answer);
    let second = id_of(&outcomes[1].answer);
    assert_eq!(outcomes[2].answer, ActionAnswer::Accepted, "other users go on");
    let g2 = action("u", "g2", "gift.sent", NOON, &json!({"coins": 30}));
    let third = id_of(&store.act(g2.clone()).await.answer);
    assert_eq!(id_of(&store.act(g2.clone()).await.answer), third, "sent again: parked once");
    assert_eq!(store.act(formed("before")).await.answer, ActionAnswer::Duplicate);

    let lane = Lane::of("u", store.lane_count);
    let queue = parked::queue_of(&store.pool, lane, "u", 10).await.unwrap();
    let ids: Vec<_> = queue.iter().map(|p| (p.id, p.waiting)).collect();
    assert_eq!(ids, [(first, false), (second, true), (third, true)]);
    assert_eq!(queue[0].source_position().unwrap().incarnation, 2);

    let early = store.execute(vec![decide(&store, "u", third, release(), vec![g2.clone()])]).await;
    assert_eq!(early[0].answer, Ok(ResolveAnswer::Behind(first)));
    let g1 = action("u", "g1", "gift.sent", NOON, &json!({"coins": 10}));
    let g0 = action("u", "g0", "gift.sent", NOON, &json!({"coins": 20}));
    let released = store
        .execute(vec![
            decide(&store, "u", first, release(), vec![g0.clone()]),
            decide(&store, "u", second, release(), vec![g1]),
            decide(&store, "u", third, release(), vec![g2.clone()]),
            decide(&store, "u", third, release(), vec![g2]),
        ])
        .await;
    let applied = ResolveAnswer::Resolved { applied: 1, duplicates: 0 };
    let answers: Vec<_> = released.into_iter().map(|r| r.answer.unwrap()).collect();
    assert_eq!(answers, [applied.clone(), applied.clone(), applied, ResolveAnswer::NotParked]);
    let kinds = "select string_agg(event_type || coalesce(':' || (payload ->> 'progress'), ''), ' ' order by sequence)
                 from events where aggregate_id = 'u'";
    let kinds: String = sqlx::query_scalar(kinds).fetch_one(&store.pool).await.unwrap();
    let expected = "progress_recorded:1 milestone_reached task_completed \
                  progress_recorded:20 parked_released progress_recorded:30 parked_released \
                  progress_recorded:60 parked_released";
    assert_eq!(kinds, expected);
    assert_eq!(store.act(g0).await.answer, ActionAnswer::Duplicate, "remembered from then on");
    let free = store.act(action("u", "g3", "gift.sent", NOON, &json!({"coins": 10}))).await;
    assert_eq!(free.answer, ActionAnswer::Accepted, "nothing blocks the user any more");
    let kept = parked::find(&store.pool, first).await.unwrap().unwrap().resolved.unwrap();
    assert_eq!((kept.resolution.as_str(), kept.by.as_str()), ("released", "ops"));
    assert!(parked::page(&store.pool, None, 10).await.unwrap().parked.is_empty());
}

#[tokio::test]
async fn rule_24_a_discarded_record_is_gone_from_the_list_and_stands_in_the_history() {
    let store = Store::with_tasks(TASKS).await;
    let parked_now = store.execute(vec![park(&store, "u", "x")]).await;
    let id = id_of(&parked_now[0].answer);
    let discard = || ParkedVerdict::Discard { reason: "sent by a test".to_owned() };
    let discarded = store.execute(vec![decide(&store, "u", id, discard(), vec![])]).await;
    let resolved = ResolveAnswer::Resolved { applied: 0, duplicates: 0 };
    assert_eq!(discarded[0].answer, Ok(resolved));
    let again = store.execute(vec![decide(&store, "u", id, discard(), vec![])]).await;
    assert_eq!(again[0].answer, Ok(ResolveAnswer::NotParked));
    let recorded: String = sqlx::query_scalar(
        "select payload ->> 'reason' from events where event_type = 'parked_discarded'",
    )
    .fetch_one(&store.pool)
    .await
    .unwrap();
    assert_eq!(recorded, "sent by a test");
    assert!(parked::page(&store.pool, None, 10).await.unwrap().parked.is_empty());
    // The same record again, for example repeated over HTTP, is parked again and not lost.
    let mut again = park(&store, "u", "x");
    again.origin = request();
    store.execute(vec![again]).await;
    assert_eq!(parked::page(&store.pool, None, 10).await.unwrap().parked.len(), 1);
}
