-- Users with unclaimed rewards that are due, some of each lane. $1: as of when, $2: how many milestones of a lane.
select n.lane, d.user_id, min(d.lapses_at)
from lane_numbers n
cross join lateral (
    select user_id, lapses_at from reward_state
    where lane = n.lane and state = 'claimable' and ordinal = 0 and lapses_at <= $1
    order by lapses_at limit $2
) d
group by n.lane, d.user_id
order by 3
