-- The numbers of unclaimed milestones of some tasks that have lapsed, although no event records it
-- yet. $4: as of this time, $5: the index of the task.
select w.place, r.lapsed
from unnest($1::smallint[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
     w (lane, user_id, task_id, at, place)
cross join lateral (
    select count(*) as lapsed from reward_state
    where lane = w.lane and user_id = w.user_id and task_id = w.task_id
      and state = 'claimable' and ordinal = 0 and lapses_at <= w.at
) r
