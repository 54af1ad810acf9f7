-- The lines of one milestone of a period, or of all its milestones ($5 null), in any state. The
-- inner order keeps the planner on the index by milestone, even if it plans on an empty table.
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
