-- The order inside keeps the planner on the index by milestone, also where it plans on an empty table.
-- The lines of a period's milestones, of one of them or of all ($5 null), whatever became of them.
select w.place, r.task_id, r.period_key, r.milestone, r.line, r.grant_id, r.kind, r.code, r.amount, r.state,
       r.granted_at, r.granted_position, r.ordinal, r.version, r.period_starts_at, r.period_ends_at,
       r.claimed_at, r.claimed_position, r.claim_until, r.lapses_at, r.lapses_as
from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
     w (lane, user_id, task_id, period_key, milestone, place)
cross join lateral (
    select * from reward_state
    where lane = w.lane and user_id = w.user_id and task_id = w.task_id and period_key = w.period_key
      and (w.milestone is null or milestone = w.milestone)
    order by milestone
) r
order by w.place, r.milestone, r.ordinal
