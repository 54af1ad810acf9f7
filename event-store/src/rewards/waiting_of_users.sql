-- The milestones of some users that wait for budgets, with their waiting lines, the oldest first.
-- $4: the maximum number of milestones per user, $5: true for all milestones of a user, else only
-- those named by $6 and $7.
select w.place, r.task_id, r.period_key, r.milestone, r.line, r.grant_id, r.kind, r.code, r.amount, r.state,
       r.granted_at, r.granted_position, r.ordinal, r.version, r.period_starts_at, r.period_ends_at,
       r.claimed_at, r.claimed_position, r.claim_until, r.lapses_at, r.lapses_as
from unnest($1::smallint[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[])
     w (lane, user_id, place, count, of_any_place)
cross join lateral (
    select granted_position from reward_state
    where lane = w.lane and user_id = w.user_id and state = 'waiting' and ordinal = 0
      and (w.of_any_place or (task_id, milestone) in (select * from unnest($6::text[], $7::bigint[])))
    order by granted_position
    limit w.count
) m
join lateral (
    select * from reward_state
    where lane = w.lane and user_id = w.user_id and granted_position = m.granted_position offset 0
) r on r.state = 'waiting'
order by w.place, r.granted_position, r.ordinal
