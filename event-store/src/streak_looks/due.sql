-- Due streaks. $1: as of this time, $2: the maximum per lane, $3: users who are left out.
-- Only the index by time gives this order.
select n.lane, d.user_id, d.task_id
from lane_numbers n
cross join lateral (
    select user_id, task_id from streak_looks
    where lane = n.lane and due_at <= $1 and user_id <> all($3)
    order by due_at limit $2
) d
