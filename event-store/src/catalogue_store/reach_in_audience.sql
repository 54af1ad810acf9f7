-- Users with a period of the task, one by one, with the values that determine the effect of a new
-- version with another audience. The lanes lead the index.
-- The period of an ordinary task takes actions for ever; its end is that of the window it was stored with.
select t.version, t.period_key = 'once' or coalesce(t.closes_at, t.ends_at, 'infinity') > now() as is_open,
       t.completed,
       t.progress >= $2 as is_enough, t.user_id, v.zones::text, v.attributes::text, v.updated_at, v.counted
from lane_numbers n
join task_view t on t.lane = n.lane and t.task_id = $1
left join user_view v on v.lane = t.lane and v.user_id = t.user_id
where t.version is not null
