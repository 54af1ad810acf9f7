-- Users with unclaimed rewards that are due. $1: as of this time, $2: the maximum number of
-- milestones per lane, $3: users who are left out.
select n.lane, d.user_id, min(d.lapses_at)
from lane_numbers n
cross join lateral (
    select user_id, lapses_at from reward_state
    where lane = n.lane and state = 'claimable' and ordinal = 0 and lapses_at <= $1
      and user_id <> all($3)
    order by lapses_at limit $2
) d
group by n.lane, d.user_id
order by 3
