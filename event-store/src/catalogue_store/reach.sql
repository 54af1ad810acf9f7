-- Counts users with a period of the task, by the values that determine the effect of a new version.
-- The lanes lead the index.
-- The period of an ordinary task takes actions for ever; its end is that of the window it was stored with.
select t.version, t.period_key = 'once' or coalesce(t.closes_at, t.ends_at, 'infinity') > now() as is_open,
       t.completed,
       t.progress >= $2 as is_enough, count(*)
from lane_numbers n
join task_view t on t.lane = n.lane and t.task_id = $1
where t.version is not null
group by 1, 2, 3, 4
