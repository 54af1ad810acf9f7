-- All that a task screen needs of one user, from one snapshot. $1: the lane, $2: the user. The head
-- of the lane, the revision and the zones come with each row: a user has few. `c.the_one` leads the
-- planner to the key, since connections are told not to scan tables.
select l.next_position - 1, c.revision, u.zones,
       t.task_id, t.completed_at, t.version, t.period_key, t.starts_at, t.ends_at, t.closes_at,
       t.progress, t.completed, t.details
from lanes l
cross join catalogue c
left join user_view u on u.lane = $1 and u.user_id = $2
left join task_view t on t.lane = $1 and t.user_id = $2
where l.lane = $1 and c.the_one
