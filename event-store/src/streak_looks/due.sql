-- Streaks that are due, some of each lane. $1: as of when, $2: how many of a lane. The order is one that only the
-- index by time gives.
select n.lane, d.user_id, d.task_id
from lane_numbers n
cross join lateral (
    select user_id, task_id from streak_looks
    where lane = n.lane and due_at <= $1
    order by due_at limit $2
) d
