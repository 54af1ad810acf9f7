-- Claimable milestones of all tasks, in order of tasks and then of periods, at most w.count, with
-- all their lines. $4: when the claim arrived; by then they must not have lapsed.
select w.place, r.task_id, r.period_key, r.milestone, r.line, r.grant_id, r.kind, r.code, r.amount, r.state,
       r.granted_at, r.granted_position, r.ordinal, r.version, r.period_starts_at, r.period_ends_at,
       r.claimed_at, r.claimed_position, r.claim_until, r.lapses_at, r.lapses_as
from unnest($1::smallint[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[])
     w (lane, user_id, count, at, place)
cross join lateral (
    select granted_position from reward_state
    where lane = w.lane and user_id = w.user_id and state = 'claimable' and ordinal = 0
      and (lapses_at is null or lapses_at > w.at)
    order by task_id, period_starts_at nulls first, milestone
    limit w.count
) m
join lateral (
    select * from reward_state
    where lane = w.lane and user_id = w.user_id and granted_position = m.granted_position order by ordinal
) r on true
order by w.place, r.task_id, r.period_starts_at nulls first, r.milestone, r.ordinal
