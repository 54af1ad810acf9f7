-- Users who wait for the rewards of these milestones, in the order in which they reached them. $3:
-- the maximum per lane, $4: in total.
select n.lane, d.user_id, min(d.granted_at)
from unnest($1::text[], $2::bigint[]) p (task_id, milestone)
cross join lane_numbers n
cross join lateral (
    select user_id, granted_at from reward_state
    where lane = n.lane and task_id = p.task_id and milestone = p.milestone and state = 'waiting' and ordinal = 0
    order by granted_at limit $3
) d
group by n.lane, d.user_id
order by 3
limit $4
