-- Users who wait for the rewards of milestones, in the order in which they reached them. $4 and $5:
-- the last milestone of the lane that was tried, null at the beginning; $6: the maximum per lane;
-- $7: the index of the milestone.
select p.place, p.lane, d.user_id, d.granted_at, d.granted_position
from unnest($1::smallint[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::bigint[])
     p (lane, task_id, milestone, after_at, after_position, count, place)
cross join lateral (
    select user_id, granted_at, granted_position from reward_state
    where lane = p.lane and task_id = p.task_id and milestone = p.milestone and state = 'waiting' and ordinal = 0
      and (granted_at, granted_position) > (coalesce(p.after_at, '-infinity'), coalesce(p.after_position, 0))
    order by granted_at, granted_position limit p.count
) d
order by d.granted_at, p.lane, d.granted_position
